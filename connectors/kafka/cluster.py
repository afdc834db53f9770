"""Where Kafka is, how to log in, and in one sentence why it cannot be reached."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final
from urllib.parse import urlsplit

from aiokafka.conn import create_conn
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from connectors.errors import AccessError, Unreachable, UsageError
from connectors.kafka.bounded import within

DEFAULT_PORT: Final = 9092
PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
PROBE_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Cluster:
    """A Kafka cluster as a client sees it.

    ``bootstrap`` is ``host:port``, several joined by commas. ``cafile`` is a PEM file of the
    authorities that brokers' certificates are checked against (default: those of the machine).
    UsageError for settings that cannot be right.
    """

    bootstrap: str
    security: str = "PLAINTEXT"
    mechanism: str = "PLAIN"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    cafile: str | None = None
    client_id: str = "candles"

    def __post_init__(self) -> None:
        if self.security not in PROTOCOLS:
            raise UsageError(f"security {self.security!r} is unknown: use {_one_of(PROTOCOLS)}")
        if self.mechanism not in MECHANISMS:
            raise UsageError(
                f"SASL mechanism {self.mechanism!r} is unknown: use {_one_of(MECHANISMS)}"
            )
        if self.security.startswith("SASL") and (self.username is None or self.password is None):
            raise UsageError(f"{self.security} needs a user name and a password: give both")
        if not self.addresses:
            raise UsageError("Kafka's address is empty: write host:port")

    @cached_property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of every bootstrap server."""
        return [_address(text) for text in self.bootstrap.split(",") if text.strip()]

    @cached_property
    def options(self) -> dict[str, Any]:
        """The arguments that every client of aiokafka takes."""
        return {
            "bootstrap_servers": [text.strip() for text in self.bootstrap.split(",")],
            "client_id": self.client_id,
            **self.login,
        }

    @cached_property
    def login(self) -> dict[str, Any]:
        """The part of the options that is about security."""
        return {
            "security_protocol": self.security,
            "ssl_context": self._ssl_context() if self.security.endswith("SSL") else None,
            "sasl_mechanism": self.mechanism,
            "sasl_plain_username": self.username,
            "sasl_plain_password": self.password,
        }

    def _ssl_context(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self.cafile)
        except OSError as error:
            raise UsageError(
                f"the CA file {self.cafile} cannot be read ({error.strerror or error}): "
                "give a PEM file of certificates"
            ) from None


def _one_of(words: Iterable[str]) -> str:
    return ", ".join(words)


def _address(text: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text.strip()}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.path:
        raise UsageError(f"{text!r} is not an address of Kafka: write host:port")
    return host, port or DEFAULT_PORT


async def probe(
    cluster: Cluster, topics: Iterable[str] = (), seconds: float = PROBE_SECONDS
) -> None:
    """Return when a broker answers and lets us in; else say in one sentence what is wrong.

    Raises AccessError for what a person has to correct (user name, password, certificate, rights
    to ``topics``), and Unreachable for what may pass. aiokafka's clients tell neither: to them
    all of it is a connection that cannot be had.
    """
    silent = []
    for host, port in cluster.addresses:
        try:
            await _greet(cluster, host, port, list(topics), seconds)
        except Unreachable as error:
            silent.append(str(error))
        else:
            return
    raise Unreachable("; ".join(silent))


async def _greet(cluster: Cluster, host: str, port: int, topics: list[str], limit: float) -> None:
    address = f"{host}:{port}"
    try:
        await within(limit, _converse(cluster, host, port, topics, limit))
    except (SaslAuthenticationFailed, UnsupportedSaslMechanismError, IllegalSaslStateError) as no:
        raise AccessError(
            f"Kafka at {address} refuses to log {cluster.username} in with {cluster.mechanism} "
            f"({_words(no)}): correct user name, password or mechanism"
        ) from no
    except TopicAuthorizationFailedError as no:
        raise AccessError(
            f"Kafka at {address} gives {cluster.username or 'this client'} no right to topic "
            f"{_words(no)}: grant it Describe, Read and Write there"
        ) from no
    except ssl.SSLCertVerificationError as no:
        raise AccessError(
            f"the certificate of Kafka at {address} is not to be trusted ({no.verify_message}): "
            "give the CA file that signed it, or the host name that it was issued for"
        ) from no
    except ssl.SSLError as no:
        raise AccessError(
            f"Kafka at {address} does not agree on TLS ({no.reason}): "
            f"is {cluster.security} what that port speaks?"
        ) from no
    except socket.gaierror as no:
        raise Unreachable(f"the host {host} of Kafka at {address} is unknown: correct it") from no
    except TimeoutError as no:
        raise Unreachable(
            f"Kafka at {address} did not answer within {limit:g} s: "
            f"is it running, and is {cluster.security} what that port speaks?"
        ) from no
    except (ConnectionResetError, ConnectionAbortedError, BrokenPipeError) as no:
        raise Unreachable(
            f"what listens at {address} hangs up: is {cluster.security} what that port speaks?"
        ) from no
    except OSError as no:
        why = os.strerror(no.errno) if no.errno else "connection refused"
        raise Unreachable(
            f"nothing answers at {address} ({why}): start Kafka there, or correct the address"
        ) from no
    except KafkaError as no:
        raise Unreachable(
            f"what listens at {address} does not answer as Kafka does ({_words(no)}): "
            f"is {cluster.security} what that port speaks?"
        ) from no


async def _converse(
    cluster: Cluster, host: str, port: int, topics: list[str], limit: float
) -> None:
    connection = await create_conn(
        host,
        port,
        client_id=cluster.client_id,
        request_timeout_ms=int(limit * 1000),
        **cluster.login,
    )
    try:
        answer = await connection.send(MetadataRequest(topics, allow_auto_topic_creation=False))
        for error_code, name, *_ in answer.topics:
            if error_code == TopicAuthorizationFailedError.errno:
                raise TopicAuthorizationFailedError(name)
    finally:
        connection.close()


def _words(error: KafkaError) -> str:
    return ", ".join(str(word) for word in error.args if word) or type(error).__name__
