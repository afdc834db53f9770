"""A Kafka of these tests: to be frozen, to take rights away from, to log in to."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from connectors.sandbox.kafka import LocalKafka
from connectors.sandbox.process import free_ports
from tests.kafka.world import until

PASSWORD = "correct horse"  # noqa: S105 - of a broker that lives for seconds


class Guarded(LocalKafka):
    """A Kafka with two more listeners, SASL and TLS, and rights that can be taken away."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.sasl, self.tls = (f"localhost:{port}" for port in free_ports(2))
        self.cafile = folder / "ca.pem"
        self._certificate = _certificate(self.cafile)

    def _settings(self, node: Any) -> dict[str, str]:
        settings = super()._settings(node)
        login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        more = f",SASL://{self.sasl},TLS://{self.tls}"
        chain, key = self._certificate
        return {
            **settings,
            "listeners": settings["listeners"] + more,
            "advertised.listeners": settings["advertised.listeners"] + more,
            "listener.security.protocol.map": (
                "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SSL"
            ),
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl.plain.sasl.jaas.config": f'{login} user_alice="{PASSWORD}";',
            "listener.name.tls.ssl.keystore.type": "PEM",
            "listener.name.tls.ssl.keystore.certificate.chain": chain.replace("\n", "\\n"),
            "listener.name.tls.ssl.keystore.key": key.replace("\n", "\\n"),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "true",
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": "200",
        }


def _certificate(file: Path) -> tuple[str, str]:
    """A certificate for ``localhost`` that signs itself, written to ``file``; with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain = certificate.public_bytes(serialization.Encoding.PEM).decode()
    file.write_text(chain)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    return chain, secret


@contextmanager
def frozen(service: LocalKafka) -> Iterator[None]:
    """Its only broker answers nothing, and its connections stay open."""
    service.pause(1)
    try:
        yield
    finally:
        service.resume(1)


async def deny(
    bootstrap: str, kind: ResourceType, name: str, what: AclOperation = AclOperation.WRITE
) -> None:
    """From now on nobody may do this with this topic or transactional id."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    never = AclPermissionType.DENY
    rule = AclBinding(kind, name, ResourcePatternType.LITERAL, "User:*", "*", what, never)
    for done in admin.create_acls([rule]).values():
        done.result()
    any_rule = AclBindingFilter(
        kind,
        name,
        ResourcePatternType.LITERAL,
        None,
        None,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    await until(lambda: rule in admin.describe_acls(any_rule).result())
