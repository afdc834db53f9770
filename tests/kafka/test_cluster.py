"""Where Kafka is, and why it cannot be reached, in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka.admin import AclOperation, ResourceType

from connectors.errors import AccessError, Unreachable, UsageError
from connectors.kafka import Cluster, Shard, missing, probe
from connectors.sandbox.process import free_ports
from tests.kafka.guarded import PASSWORD, Guarded, deny, frozen
from tests.kafka.world import World

pytestmark = pytest.mark.kafka


async def test_a_reachable_kafka(kafka: str, own: Guarded) -> None:
    """A Kafka that answers and lets us in is fine, by each of the ways in."""
    await probe(Cluster(kafka))
    await probe(Cluster(own.sasl, "SASL_PLAINTEXT", username="alice", password=PASSWORD))
    await probe(Cluster(own.tls, "SSL", cafile=str(own.cafile)))
    await probe(Cluster(f"127.0.0.1:{free_ports(1)[0]},{kafka}"))


async def test_a_closed_port() -> None:
    """An address where nothing listens is named, and so it is when a shard starts there."""
    address = f"127.0.0.1:{free_ports(1)[0]}"
    sentence = f"nothing answers at {address} .*: start Kafka there, or correct the address"
    with pytest.raises(Unreachable, match=sentence):
        await probe(Cluster(address))
    with pytest.raises(Unreachable, match=sentence):
        await Shard(Cluster(address), "t.coverage.fixed").take_over()
    with pytest.raises(Unreachable, match=sentence):
        await missing(Cluster(address), [])


async def test_an_unknown_host() -> None:
    """A host that does not exist is named."""
    with pytest.raises(Unreachable, match=r"the host kafka\.invalid .* is unknown"):
        await probe(Cluster("kafka.invalid:9092"))


async def test_a_wrong_password(own: Guarded) -> None:
    """A wrong password is said to be that, by the probe and when a shard starts."""
    wrong = Cluster(own.sasl, "SASL_PLAINTEXT", username="alice", password="wrong")  # noqa: S106 - a wrong one on purpose
    with pytest.raises(AccessError, match="refuses to log alice in with PLAIN"):
        await probe(wrong)
    with pytest.raises(AccessError, match="refuses to log alice in with PLAIN"):
        await Shard(wrong, "t.coverage.fixed").take_over()


async def test_a_mechanism_that_kafka_does_not_have(own: Guarded) -> None:
    """A SASL mechanism that is not enabled is said to be that."""
    scram = Cluster(own.sasl, "SASL_PLAINTEXT", "SCRAM-SHA-512", "alice", PASSWORD)
    with pytest.raises(AccessError, match="correct user name, password or mechanism"):
        await probe(scram)


async def test_a_certificate_that_nobody_vouches_for(own: Guarded) -> None:
    """A certificate that is not to be trusted is said to be that, never accepted."""
    with pytest.raises(AccessError, match=r"certificate of Kafka at .* is not to be trusted"):
        await probe(Cluster(own.tls, "SSL"))


async def test_the_wrong_protocol(own: Guarded) -> None:
    """TLS towards a plain port, and plain words towards a TLS port, are told as such."""
    with pytest.raises((AccessError, Unreachable), match="is SSL what that port speaks"):
        await probe(Cluster(own.bootstrap, "SSL", cafile=str(own.cafile)), seconds=2)
    with pytest.raises(Unreachable, match="is PLAINTEXT what that port speaks"):
        await probe(Cluster(own.tls), seconds=2)


async def test_a_topic_without_a_right(own_world: World) -> None:
    """A topic that may not even be described is named by the probe, and not taken for missing."""
    await deny(own_world.bootstrap, ResourceType.TOPIC, own_world.live, AclOperation.DESCRIBE)
    with pytest.raises(AccessError, match=f"right to topic {own_world.live}"):
        await probe(own_world.cluster, [own_world.live])
    with pytest.raises(AccessError, match=f"right to topic {own_world.live}"):
        await missing(own_world.cluster, [own_world.plan.live("x")])


async def test_a_frozen_kafka_is_told_in_time(own: Guarded) -> None:
    """A broker that accepts connections and says nothing is told within the limit."""
    with frozen(own), pytest.raises(Unreachable, match=r"did not answer within 0\.5 s"):
        await probe(Cluster(own.bootstrap), seconds=0.5)


def test_a_password_is_never_shown() -> None:
    """The password is in no text that the cluster's settings make of themselves."""
    cluster = Cluster("k:1", "SASL_SSL", "SCRAM-SHA-256", "alice", PASSWORD)
    assert PASSWORD not in repr(cluster)
    assert PASSWORD not in str(cluster)
    assert cluster.login["sasl_plain_password"] == PASSWORD


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"bootstrap": "host:port"}, "'host:port' is not an address of Kafka: write host:port"),
        ({"bootstrap": " , "}, "Kafka's address is empty"),
        ({"security": "TLS"}, "security 'TLS' is unknown: use PLAINTEXT, SSL"),
        ({"mechanism": "SCRAM"}, "SASL mechanism 'SCRAM' is unknown"),
        ({"security": "SASL_SSL", "username": "alice"}, "needs a user name and a password"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, str], sentence: str) -> None:
    """A setting that cannot be right is a sentence before anything is connected."""
    with pytest.raises(UsageError, match=sentence):
        Cluster(**{"bootstrap": "localhost:9092", **settings})


def test_a_ca_file_that_is_not_there(tmp_path: Path) -> None:
    """A CA file that cannot be read is named."""
    with pytest.raises(UsageError, match=r"the CA file .* cannot be read"):
        _ = Cluster("k:1", "SSL", cafile=str(tmp_path / "nowhere.pem")).options
