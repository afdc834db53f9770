"""The rules of writing, each with a Kafka that is only pretended: what a broken rule would do.

What needs a real broker to be believed is in the other files.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import errors

from connectors.errors import AccessError, RecordRefused, ShardLost, Unreachable
from connectors.kafka import (
    Limits,
    LivePublisher,
    Record,
    Shard,
    TopicSpec,
    cluster,
    ensure,
    missing,
    offsets_since,
    read_topic,
    watermarks,
)
from connectors.kafka.batches import BATCH_BYTES, LATEST_TIMESTAMP
from tests.kafka.pretended import CLUSTER, LIMIT, VALUES, Kafka
from tests.kafka.world import never
from tests.plain import until

COVERAGE = "p.coverage.fixed"
RECORDS = [Record("one", 0, b"k", b"v", 1), Record("two", 0, b"k", b"v", 1)]
SHORT = Limits(start=LIMIT, read=LIMIT, send=LIMIT, commit=LIMIT, stop=LIMIT)
PATIENCE = 10.0
"""Real seconds within which whatever is limited has ended, on a busy machine."""


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> Kafka:
    """One that answers everything."""
    return Kafka(monkeypatch)


def shard(kafka: Kafka) -> Shard:
    """A shard that is written to it."""
    return Shard(CLUSTER, COVERAGE, limits=SHORT, new_producer=kafka.producer)


async def a_life(kafka: Kafka, records: list[Record] = RECORDS) -> None:
    """Take over, and commit once."""
    held = shard(kafka)
    await held.take_over()
    await held.commit(records)
    await held.close()


# --- rule 1: a producer lives until its first exception -------------------------------------------


@pytest.mark.parametrize("call", ["begin", "send_batch", "acknowledge one", "commit"])
async def test_every_life_has_a_producer_of_its_own(kafka: Kafka, call: str) -> None:
    """After an exception a producer is stopped, never aborted; the next has the same id."""
    kafka.fails[call] = deque([errors.OutOfOrderSequenceNumber()])
    held = shard(kafka)
    await held.take_over()
    with pytest.raises(ShardLost):
        await held.commit(RECORDS)
    assert kafka.asked[-1] == "producer.stop"
    assert "abort" not in kafka.asked
    with pytest.raises(ShardLost, match="take it over first"):
        await held.commit(RECORDS)
    await held.take_over()
    await held.commit(RECORDS)
    first, second = kafka.producers
    assert first is not second
    assert first.options == second.options
    assert first._closed
    await held.close()


@pytest.mark.parametrize("call", ["begin", "acknowledge one", "commit"])
async def test_a_cancellation_ends_a_life_too(kafka: Kafka, call: str) -> None:
    """A producer that was left in the middle of something is not gone on with."""
    kafka.hangs = {call}
    held = Shard(CLUSTER, COVERAGE, limits=Limits(stop=LIMIT), new_producer=kafka.producer)
    await held.take_over()
    commit = asyncio.create_task(held.commit(RECORDS))
    await until(lambda: call in kafka.asked)
    commit.cancel()
    with pytest.raises(asyncio.CancelledError):
        await commit
    assert not held.held
    assert kafka.asked[-1] == "producer.stop"


async def test_a_live_producer_is_replaced_after_a_refused_batch(kafka: Kafka) -> None:
    """What is not retried by aiokafka itself poisons a partition: nothing more is sent there."""
    kafka.fails["acknowledge live"] = deque([errors.OutOfOrderSequenceNumber()])
    publisher = LivePublisher(CLUSTER, tick=0.001, new_producer=kafka.producer)
    publisher.start()
    publisher.add("live", 0, b"k", b"1", 1, "a")
    await until(lambda: publisher.failed == 1)
    publisher.add("live", 0, b"k", b"2", 1, "a")
    await until(lambda: publisher.delivered == 1)
    await publisher.close()
    assert len(kafka.producers) == 2
    assert kafka.asked.index("producer.stop") < kafka.asked.index("producer.start", 1)


# --- rule 2: no commit before every record was acknowledged ---------------------------------------


async def test_a_refused_record_among_good_ones_is_not_committed(kafka: Kafka) -> None:
    """One partition's batch is refused, the other's is good: the transaction is void."""
    kafka.fails["acknowledge two"] = deque([errors.MessageSizeTooLargeError()])
    with pytest.raises(RecordRefused, match="refuses a record"):
        await a_life(kafka)
    assert "commit" not in kafka.asked


async def test_a_record_that_is_never_acknowledged_is_not_committed(kafka: Kafka) -> None:
    """Without an answer for one partition nothing is committed, and that is said."""
    kafka.hangs = {"acknowledge two"}
    with pytest.raises(ShardLost, match="nothing is committed"):
        await a_life(kafka)
    assert "commit" not in kafka.asked


@pytest.mark.parametrize(
    "record",
    [
        Record("one", 0, b"k", b"v" * BATCH_BYTES, 1),
        Record("one", 0, b"k", b"v", -1),
        Record("one", 0, b"k", b"v", LATEST_TIMESTAMP + 1),
    ],
    ids=["too large", "too early", "too late"],
)
async def test_what_kafka_would_refuse_is_never_sent(kafka: Kafka, record: Record) -> None:
    """Size and time are looked at before anything is sent; the producer has no exception then."""
    held = shard(kafka)
    await held.take_over()
    before = list(kafka.asked)
    with pytest.raises(RecordRefused, match="the limit"):
        await held.commit([*RECORDS, record])
    assert kafka.asked == before
    assert held.held
    await held.close()


async def test_a_commit_comes_after_every_acknowledgement(kafka: Kafka) -> None:
    """The order of a transaction that went well."""
    await a_life(kafka)
    last = max(kafka.asked.index(f"acknowledge {topic}") for topic in ("one", "two"))
    assert kafka.asked.index("begin") < last < kafka.asked.index("commit")


# --- rule 3: nothing is awaited without a limit ---------------------------------------------------


async def live(kafka: Kafka) -> None:
    """Publish an update, or notice that it cannot be."""
    publisher = LivePublisher(CLUSTER, tick=0.001, stuck=LIMIT, new_producer=kafka.producer)
    publisher.start()
    publisher.add("live", 0, b"k", b"1", 1, "a")
    await until(lambda: publisher.last_error is not None or publisher.delivered == 1)
    await publisher.close()
    if publisher.last_error is not None:
        raise publisher.last_error


async def read(_: Kafka) -> None:
    """Read a topic."""
    async for _record in read_topic(CLUSTER, "t", partitions=[0], stall=LIMIT):
        pass


TOPIC = TopicSpec("t", 1)
CALLS: list[tuple[str, Callable[[Kafka], Awaitable[Any]]]] = [
    *((call, a_life) for call in ("producer.start", "begin", "partitions_for", "send_batch")),
    *((call, a_life) for call in ("acknowledge one", "commit")),
    *((call, live) for call in ("producer.start", "partitions_for", "send_batch")),
    ("acknowledge live", live),
    *((call, read) for call in ("consumer.start", "position", "getmany")),
    *((call, lambda _: watermarks(CLUSTER, "t")) for call in ("end_offsets", "beginning_offsets")),
    ("offsets_for_times", lambda _: offsets_since(CLUSTER, "t", {0: 1})),
    *((call, lambda _: missing(CLUSTER, [TOPIC])) for call in ("admin.start", "describe")),
    ("create_topics", lambda _: ensure(CLUSTER, [TOPIC])),
]
ENDS: list[tuple[str, Callable[[Kafka], Awaitable[Any]]]] = [
    ("producer.stop", a_life),
    ("producer.stop", live),
    ("consumer.stop", read),
    ("admin.close", lambda _: missing(CLUSTER, [TOPIC])),
]


@pytest.mark.parametrize(
    ("call", "work"), CALLS, ids=[f"{n}-{call}" for n, (call, _) in enumerate(CALLS)]
)
async def test_a_call_that_is_never_answered(
    kafka: Kafka, call: str, work: Callable[[Kafka], Awaitable[Any]]
) -> None:
    """Whatever call of aiokafka never returns, there is an error in time, and nothing is left."""
    before = asyncio.all_tasks()
    kafka.hangs = {call}
    began = time.monotonic()
    with pytest.raises((ShardLost, Unreachable, TimeoutError)):
        await asyncio.wait_for(work(kafka), PATIENCE)
    assert call in kafka.asked
    assert time.monotonic() - began < PATIENCE, f"{call} is awaited without a limit"
    kafka.hangs = set()
    await until(lambda: _ours(before) == set())


def _ours(before: set[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    """Tasks that were left; what the pretended Kafka itself still answers does not count."""
    return {
        task
        for task in asyncio.all_tasks() - before
        if getattr(task.get_coro(), "__qualname__", "") != "Kafka.call"
    }


@pytest.mark.parametrize(
    ("call", "work"), ENDS, ids=[f"{n}-{call}" for n, (call, _) in enumerate(ENDS)]
)
async def test_an_end_that_is_never_answered(
    kafka: Kafka, call: str, work: Callable[[Kafka], Awaitable[Any]]
) -> None:
    """A client that does not stop is cut off; what it was there for is done."""
    kafka.hangs = {call}
    await asyncio.wait_for(work(kafka), PATIENCE)
    assert call in kafka.asked


@pytest.mark.parametrize("call", ["create_conn", "send"])
async def test_a_greeting_that_is_never_answered(
    monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Whoever accepts a connection and says no more is told from who lets us in, in time."""

    async def create_conn(*_: Any, **__: Any) -> Any:
        if call == "create_conn":
            await never()
        return SimpleNamespace(send=never, close=lambda: None)

    monkeypatch.setattr(cluster, "create_conn", create_conn)
    with pytest.raises(Unreachable, match=r"did not answer within 0\.1 s"):
        await asyncio.wait_for(cluster.probe(CLUSTER, seconds=0.1), PATIENCE)


# --- rule 5: to the high watermark, taken after initialising --------------------------------------


async def test_the_end_is_the_high_watermark(kafka: Kafka) -> None:
    """Behind somebody's open transaction may lie what is ours: it is waited for, then an error."""
    kafka.stable = 1
    with pytest.raises(ShardLost, match="at position 1, stable offset 1, watermark 3"):
        await shard(kafka).take_over()


async def test_the_watermark_is_asked_for_after_the_producer_was_initialised(
    kafka: Kafka,
) -> None:
    """Until then a predecessor may commit; what it committed is read."""
    held = shard(kafka)
    assert await held.take_over() == [(b"k", VALUES[-1].encode())]
    assert kafka.asked.index("producer.start") < kafka.asked.index("end_offsets")
    await held.close()


async def test_a_leader_that_moves_is_asked_again(kafka: Kafka) -> None:
    """Any error of the question for the end is passed over but a lack of rights."""
    moved = [errors.UnknownError(), errors.NotLeaderForPartitionError(), errors.NodeNotReadyError()]
    kafka.fails["end_offsets"] = deque(moved)
    assert await watermarks(CLUSTER, "t", [0]) == {0: (0, len(VALUES))}
    kafka.fails["end_offsets"] = deque([errors.TopicAuthorizationFailedError("t")])
    with pytest.raises(AccessError):
        await watermarks(CLUSTER, "t")
    assert kafka.asked.count("end_offsets") == 5


# --- rule 6: one writer per coverage partition ----------------------------------------------------


async def test_the_transactional_id_is_the_shards(kafka: Kafka) -> None:
    """Whoever writes this partition of coverage has this id, so that a second one is fenced."""
    for partition in (0, 7):
        held = Shard(CLUSTER, COVERAGE, partition, limits=SHORT, new_producer=kafka.producer)
        await held.take_over()
        await held.close()
    ids = [producer.options["transactional_id"] for producer in kafka.producers]
    assert ids == ["p.coverage.fixed-0", "p.coverage.fixed-7"]


# --- what an exception in start means -------------------------------------------------------------


async def test_behind_a_lost_connection_may_be_a_wrong_password(kafka: Kafka) -> None:
    """aiokafka hides it: who probes finds out, and only else it is a matter of waiting."""
    lost = errors.KafkaConnectionError()
    kafka.fails = {"producer.start": deque([lost]), "probe": deque([AccessError("wrong password")])}
    with pytest.raises(AccessError, match="wrong password"):
        await shard(kafka).take_over()
    kafka.fails = {"producer.start": deque([lost])}
    with pytest.raises(Unreachable, match="no broker lets it in"):
        await shard(kafka).take_over()


# --- what the documents say -----------------------------------------------------------------------


def test_the_documents_name_tests_that_there_are() -> None:
    """The table of rules in docs/how-it-works.md leads to tests, not to what was one once."""
    root = Path(__file__).parents[2]
    rows = (root / "docs" / "how-it-works.md").read_text().split("### Kafka's rules")[1]
    file, found = "", 0
    for path, name in re.findall(r"`(tests/[\w/]+\.py)?::(test_\w+)`", rows):
        file = path or file
        assert f"def {name}(" in (root / file).read_text(), f"{file} has no {name}"
        found += 1
    assert found > 15
