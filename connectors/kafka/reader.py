"""Reading committed records up to the high watermark, and on.

The end is the *high watermark*, asked for by a client that does not honour transactions. A
read-committed one is told the last stable offset, which may lie before committed records of ours
when somebody else's transaction is open.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from connectors.errors import AccessError, SetupError, Unreachable
from connectors.kafka.bounded import end_client, within
from connectors.kafka.cluster import Cluster, probe
from connectors.kafka.topics import partition_counts

START_SECONDS: Final = 30.0
STALL_SECONDS: Final = 60.0
ASK_SECONDS: Final = 10.0  # for one request
AGAIN_SECONDS: Final = 0.2  # a leader that moves makes a request fail for a moment
_POLL_MS: Final = 200
_POLL_RECORDS: Final = 250
"""So many records at once: others shall run between the work that they make."""


class Stored(NamedTuple):
    """A record as it lies in Kafka; ``timestamp`` in milliseconds."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int


async def watermarks(
    cluster: Cluster, topic: str, partitions: Iterable[int] | None = None
) -> dict[int, tuple[int, int]]:
    """Of each partition the first offset that is kept and the high watermark (exclusive).

    Without ``partitions``, of all. SetupError when there is no such topic or partition. This and
    everything else here: Unreachable where Kafka does not answer in time, AccessError without the
    right to read.
    """
    places = await _places(cluster, topic, partitions)
    async with _consumer(cluster, "read_uncommitted") as consumer:
        ends = await _insist(lambda: consumer.end_offsets(places))
        starts = await _insist(lambda: consumer.beginning_offsets(places))
    return {place.partition: (starts[place], ends[place]) for place in places}


async def _places(
    cluster: Cluster, topic: str, partitions: Iterable[int] | None
) -> list[TopicPartition]:
    every = range((await partition_counts(cluster, [topic]))[topic])
    places = [TopicPartition(topic, each) for each in (every if partitions is None else partitions)]
    for place in places:
        if place.partition not in every:
            raise SetupError(
                f"topic {topic} has {len(every)} partitions and no partition {place.partition}: "
                "their number must never change"
            )
    return places


async def offsets_since(
    cluster: Cluster, topic: str, timestamps: Mapping[int, int]
) -> dict[int, int]:
    """Of each partition the first offset with its timestamp (milliseconds) or a later one.

    No record before it has one; without any it is the high watermark. It may come earlier, for the
    markers of transactions bear the broker's time.
    """
    places = await _places(cluster, topic, timestamps)
    wanted = {place: max(0, timestamps[place.partition]) for place in places}
    async with _consumer(cluster, "read_uncommitted") as consumer:
        ends = await _insist(lambda: consumer.end_offsets(places))
        found = await _insist(lambda: consumer.offsets_for_times(dict(wanted)))
    return {
        place.partition: ends[place] if found.get(place) is None else found[place].offset
        for place in places
    }


async def read_topic(
    cluster: Cluster,
    topic: str,
    start: Mapping[int, int] | None = None,
    *,
    partitions: Iterable[int] | None = None,
    follow: bool = False,
    stall: float = STALL_SECONDS,
) -> AsyncGenerator[Stored, None]:
    """Every committed record of a topic up to the high watermark of now, then what follows.

    From the offsets in ``start``, elsewhere from the beginning; per partition in order of offset.
    With ``follow`` it goes on without end. Raises Unreachable, naming position, stable offset and
    watermark, when for ``stall`` seconds nothing came although the watermark is not reached: an
    open transaction, or brokers that are away. ``aclose`` it when it is not read to its end.
    """
    marks = await watermarks(cluster, topic, partitions)
    ends = {TopicPartition(topic, number): end for number, (_, end) in marks.items()}
    async with _consumer(cluster, "read_committed") as consumer:
        consumer.assign(list(ends))
        for place in ends:
            consumer.seek(place, (start or {}).get(place.partition, marks[place.partition][0]))
        async for place, records in _to_watermark(consumer, ends, stall):
            for record in records:
                if follow or record.offset < ends[place]:
                    yield _stored(record)
        while follow:
            for records in (await _poll(consumer)).values():
                for record in records:
                    yield _stored(record)


async def _to_watermark(
    consumer: Any, ends: Mapping[TopicPartition, int], stall: float
) -> AsyncIterator[tuple[TopicPartition, list[Any]]]:
    positions = await _positions(consumer, ends)
    moved = time.monotonic()
    while any(positions[place] < ends[place] for place in ends):
        for place, records in (await _poll(consumer)).items():
            yield place, records
        before, positions = positions, await _positions(consumer, ends)
        if positions != before:
            moved = time.monotonic()
        elif time.monotonic() - moved > stall:
            raise Unreachable(_stalled(consumer, positions, ends, stall))


def _stalled(
    consumer: Any,
    positions: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
    stall: float,
) -> str:
    place = next(place for place in ends if positions[place] < ends[place])
    return (
        f"reading {place.topic}, partition {place.partition}, stands still for {stall:g} s at "
        f"position {positions[place]}, stable offset {consumer.last_stable_offset(place)}, "
        f"watermark {ends[place]}: a transaction there is open, or brokers are away"
    )


async def _poll(consumer: Any) -> dict[TopicPartition, list[Any]]:
    """What has arrived; positions pass markers, aborted and compacted records by themselves."""
    found: dict[TopicPartition, list[Any]] = await within(
        ASK_SECONDS, consumer.getmany(timeout_ms=_POLL_MS, max_records=_POLL_RECORDS)
    )
    return found


async def _positions(consumer: Any, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    return {place: await within(ASK_SECONDS, consumer.position(place)) for place in places}


async def _insist(ask: Any, seconds: float = START_SECONDS) -> Any:
    """Ask again after any error of Kafka's but a lack of rights, until ``seconds`` have passed."""
    end = time.monotonic() + seconds
    while True:
        try:
            return await within(ASK_SECONDS, ask())
        except TopicAuthorizationFailedError:
            raise
        except (KafkaError, TimeoutError):
            if time.monotonic() > end:
                raise
        await asyncio.sleep(AGAIN_SECONDS)


@asynccontextmanager
async def _consumer(cluster: Cluster, isolation: str) -> AsyncIterator[Any]:
    consumer = AIOKafkaConsumer(
        **cluster.options,
        isolation_level=isolation,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        request_timeout_ms=10_000,
    )
    try:
        await _started(cluster, consumer)
        yield consumer
    except TopicAuthorizationFailedError as error:
        raise AccessError(f"this user may not read topic {error}: grant it Read there") from error
    except (KafkaError, TimeoutError) as error:
        raise Unreachable(f"Kafka at {cluster.bootstrap} answers no reader ({error!r})") from error
    finally:
        await end_client(consumer)


async def _started(cluster: Cluster, consumer: Any) -> None:
    try:
        await within(START_SECONDS, consumer.start())
    except (KafkaError, TimeoutError) as error:
        await probe(cluster)
        raise Unreachable(f"Kafka at {cluster.bootstrap} lets no reader in ({error!r})") from error


def _stored(record: Any) -> Stored:
    return Stored(
        record.topic,
        record.partition,
        record.offset,
        record.key,
        record.value,
        record.timestamp,
    )
