"""Which topics there are, with which settings; creating and checking them.

Topics are created ahead, with explicit partitions, by a command; never by a worker on the way and
never by the broker itself. Partition counts never change afterwards: keys would move.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.metadata import MetadataRequest

from connectors.errors import AccessError, SetupError, Unreachable, UsageError
from connectors.kafka.bounded import end_client, within
from connectors.kafka.cluster import Cluster, probe

ASK_SECONDS: Final = 30.0
VISIBLE_SECONDS: Final = 30.0  # until every broker knows a new topic
_LOOK_SECONDS: Final = 0.05

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
CENTURY: Final = 100 * 365 * DAY
_LONGEST: Final = str(2**63 - 1)

CLOSED_NAME: Final = "{prefix}.{exchange}.closed"
LIVE_NAME: Final = "{prefix}.{exchange}.live"

_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,100}")

# The default would refuse records more than an hour ahead, which a compressed market clock is, and
# a broker may be set to replace timestamps by its own.
_OWN_TIMESTAMPS: Final = {
    "message.timestamp.type": "CreateTime",
    "message.timestamp.before.max.ms": _LONGEST,
    "message.timestamp.after.max.ms": _LONGEST,
}
_SIZES: Final = {"max.message.bytes": str(1024 * 1024 + 12), "compression.type": "producer"}
_COMPACTED: Final = {
    **_SIZES,
    **_OWN_TIMESTAMPS,
    "cleanup.policy": "compact",
    "segment.ms": str(10 * MINUTE),
    "segment.bytes": str(16 * 1024 * 1024),
    "min.cleanable.dirty.ratio": "0.05",
    "max.compaction.lag.ms": str(30 * MINUTE),
}
# History is written in ascending batches of old times: with segments by time it would be cut into
# hundreds of them.
_CLOSED: Final = {
    **_SIZES,
    **_OWN_TIMESTAMPS,
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "segment.ms": str(CENTURY),
}
_LIVE: Final = {
    **_SIZES,
    **_OWN_TIMESTAMPS,
    "cleanup.policy": "delete",
    "retention.ms": str(6 * HOUR),
    "segment.ms": str(HOUR),
}
_DEAD_LETTERS: Final = {
    **_SIZES,
    "cleanup.policy": "delete",
    "retention.ms": str(7 * DAY),
    "segment.ms": str(DAY),
}


@dataclass(frozen=True)
class TopicSpec:
    """A topic as it shall be; ``replication`` -1 leaves the number of copies to the broker."""

    name: str
    partitions: int
    configs: Mapping[str, str] = field(default_factory=dict)
    replication: int = -1


@dataclass(frozen=True)
class TopicPlan:
    """The topics under one prefix. UsageError for a prefix that cannot be part of their names.

    ``closed_name`` and ``live_name`` are templates of the names of the topics of candles.
    """

    prefix: str = "candles"
    partitions: int = 12
    shards: int = 24
    replication: int = -1
    closed_name: str = CLOSED_NAME
    live_name: str = LIVE_NAME

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix):
            raise UsageError(
                f"the prefix {self.prefix!r} cannot be used: "
                "write letters, digits, - and _, without dots"
            )
        if self._named(self.closed_name, "x") == self._named(self.live_name, "x"):
            raise UsageError(
                f"closed candles and live updates cannot share a topic ({self.closed_name!r}): "
                "write two templates of names"
            )

    def closed(self, exchange: str) -> TopicSpec:
        """Closed candles and revisions of an exchange, kept for ever."""
        return self._candles(self.closed_name, exchange, _CLOSED)

    def live(self, exchange: str) -> TopicSpec:
        """Updates of open candles, kept for hours."""
        return self._candles(self.live_name, exchange, _LIVE)

    def coverage(self, transport: str) -> TopicSpec:
        """What is settled and what is missing, one partition a shard."""
        return self._spec(f"coverage.{transport}", self.shards, _COMPACTED)

    def fixed_coverage(self) -> TopicSpec:
        """The same for a fixed set of subscriptions, which is a single shard."""
        return self._spec("coverage.fixed", 1, _COMPACTED)

    def subscriptions(self, transport: str) -> TopicSpec:
        """The wishes, one partition a shard."""
        return self._spec(f"subscriptions.{transport}", self.shards, _COMPACTED)

    def dead_letters(self) -> TopicSpec:
        """What could not be parsed, kept for days."""
        return self._spec("dead-letters", 1, _DEAD_LETTERS)

    def schemas(self) -> TopicSpec:
        """Every writer schema."""
        return self._spec("schemas", 1, _COMPACTED)

    def _candles(self, template: str, exchange: str, configs: Mapping[str, str]) -> TopicSpec:
        name = self._named(template, exchange)
        return TopicSpec(name, self.partitions, configs, self.replication)

    def _named(self, template: str, exchange: str) -> str:
        try:
            return template.format(prefix=self.prefix, exchange=exchange)
        except (LookupError, ValueError, AttributeError):
            raise UsageError(
                f"the template {template!r} of a topic's name cannot be used: "
                "write {prefix} and {exchange} for what changes"
            ) from None

    def _spec(self, name: str, partitions: int, configs: Mapping[str, str]) -> TopicSpec:
        return TopicSpec(f"{self.prefix}.{name}", partitions, configs, self.replication)


async def ensure(cluster: Cluster, specs: Sequence[TopicSpec]) -> list[str]:
    """Create the topics that are missing and return their names; every broker knows them then.

    SetupError when an existing one has another number of partitions, or when Kafka refuses;
    AccessError without the right to. Settings of existing topics are left alone.
    """
    async with _admin(cluster) as admin:
        wanted = _mismatches(specs, await _describe(admin, [spec.name for spec in specs]))
        if wanted:
            await _create(admin, wanted)
            await _until_visible(admin, specs)
    return [spec.name for spec in wanted]


async def missing(cluster: Cluster, specs: Sequence[TopicSpec]) -> list[str]:
    """The names of the topics that do not exist; SetupError for a wrong number of partitions."""
    async with _admin(cluster) as admin:
        found = await _describe(admin, [spec.name for spec in specs])
    return [spec.name for spec in _mismatches(specs, found)]


async def partition_counts(cluster: Cluster, names: Iterable[str]) -> dict[str, int]:
    """How many partitions each of these topics has; SetupError when one does not exist."""
    wanted = list(names)
    async with _admin(cluster) as admin:
        found = await _describe(admin, wanted)
    for name in wanted:
        if name not in found:
            raise SetupError(f"topic {name} does not exist: create it with candles topics")
    return found


def _mismatches(specs: Sequence[TopicSpec], found: Mapping[str, int]) -> list[TopicSpec]:
    for spec in specs:
        count = found.get(spec.name, spec.partitions)
        if count != spec.partitions:
            raise SetupError(
                f"topic {spec.name} has {count} partitions where {spec.partitions} are expected, "
                "and their number must never change: use the number it has, or another prefix"
            )
    return [spec for spec in specs if spec.name not in found]


async def _describe(admin: Any, names: list[str]) -> dict[str, int]:
    """The partition counts of those topics that exist. Asking never creates one."""
    request = MetadataRequest(names, allow_auto_topic_creation=False)
    answer = await within(ASK_SECONDS, admin._send_request(request))  # noqa: SLF001 - as above
    found = {}
    for error_code, name, _internal, partitions in answer.topics:
        if error_code == UnknownTopicOrPartitionError.errno:
            continue
        if error_code == TopicAuthorizationFailedError.errno:
            raise AccessError(f"this user has no right to topic {name}: grant it Describe at least")
        found[name] = len(partitions)
    return found


async def _create(admin: Any, specs: Sequence[TopicSpec]) -> None:
    topics = [
        NewTopic(
            spec.name,
            spec.partitions,
            spec.replication,
            # NewTopic refuses -1 without an assignment; an empty one is none to Kafka
            replica_assignments={} if spec.replication == -1 else None,
            topic_configs=dict(spec.configs),
        )
        for spec in specs
    ]
    answer = await within(ASK_SECONDS, admin.create_topics(topics))
    for name, error_code, message in answer.topic_errors:
        error = for_code(error_code)
        if error in {TopicAuthorizationFailedError, ClusterAuthorizationFailedError}:
            raise AccessError(f"this user may not create topic {name}: grant it Create")
        if error_code and error is not TopicAlreadyExistsError:  # somebody else was faster
            raise SetupError(f"Kafka does not create topic {name}: {message or error.__name__}")


async def _until_visible(admin: Any, specs: Sequence[TopicSpec]) -> None:
    end = time.monotonic() + VISIBLE_SECONDS
    names = [spec.name for spec in specs]
    while _mismatches(specs, await _describe(admin, names)):
        if time.monotonic() > end:
            raise SetupError(
                f"the new topics {', '.join(names)} did not appear within {VISIBLE_SECONDS:g} s: "
                "look after the health of the cluster"
            )
        await asyncio.sleep(_LOOK_SECONDS)


@asynccontextmanager
async def _admin(cluster: Cluster) -> AsyncIterator[Any]:
    admin = AIOKafkaAdminClient(**cluster.options, request_timeout_ms=10_000)
    try:
        await within(ASK_SECONDS, admin.start())
        yield admin
    except (KafkaError, TimeoutError) as error:
        await probe(cluster)
        raise Unreachable(f"Kafka at {cluster.bootstrap} does not answer ({error!r})") from error
    finally:
        await end_client(admin)
