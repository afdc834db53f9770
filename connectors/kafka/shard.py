"""Closed candles and their coverage, exactly once: one transactional id, life after life.

A life begins with ``take_over`` and ends with the first exception, whatever it is: the producer is
thrown away, and only a new life, whose ``take_over`` reads coverage back, knows what is true.

    shard = Shard(cluster, topic_of_coverage, partition)
    while ...:
        try:
            coverage = await shard.take_over()
            ...
            await shard.commit(records)     # it returned: and only now it is so
        except (ShardLost, Unreachable):    # wait a little, take over again
        except Fenced:                      # let go
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Collection,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, UnknownTopicOrPartitionError

from connectors.errors import RecordRefused, SetupError, ShardLost, Unreachable
from connectors.kafka.batches import BATCH_BYTES, Place, Record, by_place, packed, refusal
from connectors.kafka.bounded import STOP_SECONDS, end_producer, seen, within
from connectors.kafka.cluster import Cluster, probe
from connectors.kafka.failures import Stage, explain
from connectors.kafka.reader import (
    STALL_SECONDS,
    Stored,
    offsets_since,
    read_topic,
    watermarks,
)
from connectors.kafka.topics import partition_counts

TRANSACTIONAL: Final[Mapping[str, Any]] = {
    "acks": "all",
    "transaction_timeout_ms": 10_000,
    "request_timeout_ms": 10_000,
    "retry_backoff_ms": 50,
    "metadata_max_age_ms": 30_000,
    "linger_ms": 0,
    "compression_type": "lz4",
    "max_batch_size": BATCH_BYTES,
}
"""Settings of the producer."""


@dataclass(frozen=True)
class Limits:
    """The longest that a step may take, in seconds of real time."""

    start: float = 30.0
    read: float = STALL_SECONDS  # without getting any further
    send: float = 15.0
    commit: float = 15.0
    stop: float = STOP_SECONDS


class Shard:
    """The one writer of one coverage partition. Its methods are called one at a time.

    The transactional id is ``{coverage topic}-{partition}``. ``settings`` replace single ones of
    ``TRANSACTIONAL``; ``new_producer`` is what makes a producer of aiokafka.
    """

    def __init__(
        self,
        cluster: Cluster,
        coverage_topic: str,
        partition: int = 0,
        *,
        limits: Limits = Limits(),
        settings: Mapping[str, Any] | None = None,
        new_producer: Callable[..., Any] = AIOKafkaProducer,
    ) -> None:
        self.transactional_id = f"{coverage_topic}-{partition}"
        self._cluster = cluster
        self._coverage: Place = (coverage_topic, partition)
        self._limits = limits
        self._settings = {**TRANSACTIONAL, **(settings or {})}
        self._new_producer = new_producer
        self._producer: Any = None

    @property
    def held(self) -> bool:
        """Whether ``commit`` may be called: not before ``take_over``, nor after an exception."""
        return self._producer is not None

    async def take_over(self) -> list[tuple[bytes, bytes | None]]:
        """Fence every other holder of the shard, then return what its coverage says.

        That is the newest value of each key, in the order of the log; None is a tombstone. Raises
        Unreachable and ShardLost (wait, take over again), AccessError, SetupError, Fenced.
        """
        await self.close()
        self._producer = self._new_producer(
            **self._cluster.options, **self._settings, transactional_id=self.transactional_id
        )
        async with self._life(Stage.START):
            await within(self._limits.start, self._producer.start())
        async with self._life(Stage.READ):
            return await self._read()

    async def peek(self) -> list[tuple[bytes, bytes | None]]:
        """What its coverage says, as ``take_over`` returns it, without fencing anybody."""
        return await self._read()

    async def ends(self, topic: str, partitions: Collection[int]) -> dict[int, int]:
        """The high watermarks of partitions that this shard writes to."""
        marks = await watermarks(self._cluster, topic, partitions)
        return {partition: end for partition, (_, end) in marks.items()}

    async def offsets_since(self, topic: str, timestamps: Mapping[int, int]) -> dict[int, int]:
        """Of each partition the first offset with its timestamp (milliseconds) or a later one."""
        return await offsets_since(self._cluster, topic, timestamps)

    def stored(self, topic: str, starts: Mapping[int, int]) -> AsyncGenerator[Stored, None]:
        """What is committed in these partitions, from these offsets to the high watermark."""
        stall = self._limits.read
        return read_topic(self._cluster, topic, starts, partitions=list(starts), stall=stall)

    async def commit(self, records: Sequence[Record]) -> dict[Place, int]:
        """Write all ``records`` or none; when it returns, they are visible, exactly once.

        The records of one partition keep their order. Returns the last offset written in each
        partition. Everything that it raises means that the shard has to be taken over again, except
        a RecordRefused of a record that ``refusal`` objects to: then nothing was sent, and ``held``
        is still true. Kafka's own RecordRefused does not tell which record it was.
        """
        if self._producer is None:
            raise ShardLost(f"shard {self.transactional_id} is not held: take it over first")
        for record in records:
            if reason := refusal(record, self._settings["max_batch_size"]):
                raise RecordRefused(reason)
        if not records:
            return {}
        async with self._life(Stage.SEND):
            offsets = await within(self._limits.send, self._send(records))
        async with self._life(Stage.COMMIT):
            await within(self._limits.commit, self._producer.commit_transaction())
        return offsets

    async def close(self) -> None:
        """End this life, if there is one; what was not committed never happened."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await end_producer(producer, self._limits.stop)

    @asynccontextmanager
    async def _life(self, stage: Stage) -> AsyncIterator[None]:
        """Any exception inside, a cancellation too, ends this life."""
        try:
            yield
        except Exception as error:
            await self.close()
            raise await self._explained(error, stage) from error
        except BaseException:
            await self.close()
            raise

    async def _explained(self, error: Exception, stage: Stage) -> Exception:
        if stage is Stage.START and isinstance(error, KafkaConnectionError):
            try:
                await probe(self._cluster)
            except Exception as found:  # noqa: BLE001 - handed on, it is what has to be told
                return found
        return explain(error, stage, f"shard {self.transactional_id}")

    async def _read(self) -> list[tuple[bytes, bytes | None]]:
        """To the high watermark, which is taken here: after the producer was initialised."""
        topic, partition = self._coverage
        latest: dict[bytes, bytes | None] = {}
        stored = read_topic(self._cluster, topic, partitions=[partition], stall=self._limits.read)
        try:
            async for record in stored:
                key = record.key or b""
                latest.pop(key, None)
                latest[key] = record.value
        except Unreachable as stalled:
            raise ShardLost(f"shard {self.transactional_id}: {stalled}") from stalled
        return list(latest.items())

    async def _send(self, records: Sequence[Record]) -> dict[Place, int]:
        """Begin, send, and wait until every single record is acknowledged.

        aiokafka commits a transaction although a batch of it was refused, so no commit may be
        called before that.
        """
        await self._producer.begin_transaction()
        places = by_place(records)
        offsets = await asyncio.gather(*(self._write(*item) for item in places.items()))
        return dict(zip(places, offsets, strict=True))

    async def _partitions(self, topic: str) -> Collection[int]:
        """Of a topic; aiokafka calls one unknown, too, where no broker answered for a while."""
        try:
            known: Collection[int] = await self._producer.partitions_for(topic)
        except UnknownTopicOrPartitionError as unknown:
            await partition_counts(self._cluster, [topic])  # SetupError where there is none
            raise ShardLost(f"no broker has told of topic {topic} in time") from unknown
        return known

    async def _write(self, place: Place, records: Sequence[Record]) -> int:
        """The batches of one partition, one after another: ``send_batch`` lets callers overtake."""
        topic, partition = place
        if partition not in (known := await self._partitions(topic)):
            raise SetupError(
                f"topic {topic} has {len(known)} partitions and no partition {partition}: "
                "their number must never change"
            )
        batches = packed(records, self._producer.create_batch)
        acknowledged = []
        for batch in batches:
            future = await self._producer.send_batch(batch, topic, partition=partition)
            future.add_done_callback(seen)
            acknowledged.append(future)
        last = (await asyncio.gather(*acknowledged))[-1]
        return int(last.offset) + int(batches[-1].record_count()) - 1
