"""A shard: all or nothing, exactly once, with a real Kafka."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest
from aiokafka import errors

from connectors.errors import Fenced, RecordRefused, ShardLost
from connectors.kafka import Limits, Record, TopicSpec, ensure, refusal, watermarks
from connectors.kafka.batches import BATCH_BYTES, LATEST_TIMESTAMP
from tests.kafka.world import REAL, SHORT, Script, World, answering, never
from tests.oracle import read_topics

pytestmark = pytest.mark.kafka


async def test_a_commit_is_seen_once_and_in_order(world: World) -> None:
    """What was committed is found by an independent reader, each record once, in order."""
    shard = world.shard()
    assert await shard.take_over() == []
    for start in (0, 10):
        await shard.commit([world.candle(n) for n in range(start, start + 10)])
    expected = [b"candle %d" % n for n in range(20)]
    assert await world.visible(world.closed) == expected


async def test_many_batches_for_one_partition_keep_their_order(world: World) -> None:
    """A transaction larger than a batch arrives in the order in which it was given."""
    shard = world.shard()
    await shard.take_over()
    values = [b"%06d" % n + b"x" * 1_000 for n in range(600)]
    records = [
        Record(world.closed, n % 2, b"pair", value, 1_000 + n) for n, value in enumerate(values)
    ]
    offsets = await shard.commit(records)
    assert await world.visible(world.closed) == values[0::2] + values[1::2]
    assert offsets == {(world.closed, 0): 299, (world.closed, 1): 299}


async def test_nothing_is_visible_before_commit_returns(world: World) -> None:
    """While a commit has not been sent, an independent reader sees none of its records."""
    asked, may = asyncio.Event(), asyncio.Event()

    async def slow(producer: Any) -> None:
        asked.set()
        await may.wait()
        await REAL.commit_transaction(producer)

    shard = world.shard(new_producer=Script(commit=slow))
    await shard.take_over()
    commit = asyncio.create_task(shard.commit([world.candle(1), world.covered("one")]))
    await asked.wait()
    assert (await watermarks(world.cluster, world.closed))[0] == (0, 1)
    with pytest.raises(AssertionError, match="an open transaction"):
        await asyncio.to_thread(read_topics, world.bootstrap, world.closed, seconds=1.0)
    may.set()
    await commit
    assert await world.visible() == [b"candle 1", b"one"]


async def test_coverage_is_the_newest_of_each_key_in_the_order_of_the_log(world: World) -> None:
    """Taking over returns the newest value of each key, tombstones included, in log order."""
    shard = world.shard()
    await shard.take_over()
    await shard.commit([world.covered("a1", "a"), world.covered("b1", "b")])
    await shard.commit([world.covered("c1", "c"), world.covered("a2", "a")])
    await shard.commit([Record(world.coverage, 0, b"b", None, 1_000)])
    assert await world.shard().take_over() == [(b"c", b"c1"), (b"a", b"a2"), (b"b", None)]


async def test_a_successor_fences(world: World) -> None:
    """Who takes a shard over fences its holder, whose records never become visible."""
    first, second = world.shard(), world.shard()
    await first.take_over()
    await first.commit([world.candle(1), world.covered("first")])
    assert await second.take_over() == [(b"x:A-B:1m", b"first")]
    with pytest.raises(Fenced, match="successor"):
        await first.commit([world.candle(2), world.covered("zombie")])
    await second.commit([world.candle(3), world.covered("second")])
    assert await world.visible() == [b"candle 1", b"candle 3", b"first", b"second"]


async def test_a_zombie_that_has_sent_but_not_committed_is_fenced(world: World) -> None:
    """A holder that stood still just before its commit is fenced there; nothing of it is seen."""
    asked, may = asyncio.Event(), asyncio.Event()

    async def slow(producer: Any) -> None:
        asked.set()
        await may.wait()
        await REAL.commit_transaction(producer)

    zombie, successor = world.shard(new_producer=Script(commit=slow)), world.shard()
    await zombie.take_over()
    commit = asyncio.create_task(zombie.commit([world.candle(1), world.covered("zombie")]))
    await asked.wait()
    assert await successor.take_over() == []
    may.set()
    with pytest.raises(Fenced):
        await commit
    await successor.commit([world.candle(2), world.covered("successor")])
    assert await world.visible() == [b"candle 2", b"successor"]


async def test_nothing_to_commit_is_fine(world: World) -> None:
    """An empty commit returns at once and leaves the shard held."""
    shard = world.shard()
    await shard.take_over()
    assert await shard.commit([]) == {}
    assert shard.held


# rule 1


async def test_after_any_exception_the_producer_is_thrown_away(world: World) -> None:
    """After an exception nothing more is asked of a producer; the next life has a new one."""
    make = Script(send=answering(errors.OutOfOrderSequenceNumber()))
    shard = world.shard(new_producer=make)
    await shard.take_over()
    with pytest.raises(ShardLost):
        await shard.commit([world.candle(1)])
    assert not shard.held
    with pytest.raises(ShardLost, match="take it over first"):
        await shard.commit([world.candle(1)])
    assert make.asked == ["start", "begin", "send"]  # no abort, no commit, no more
    del make.replaced["send"]
    await shard.take_over()
    await shard.commit([world.candle(2), world.covered("two")])
    assert len(make.made) == 2
    assert await world.visible() == [b"candle 2", b"two"]


async def test_a_cancelled_commit_ends_the_life_too(world: World) -> None:
    """A commit that is cancelled half-way leaves no producer to go on with."""
    asked = asyncio.Event()

    async def hang(producer: Any) -> None:
        asked.set()
        await never()

    shard = world.shard(new_producer=Script(commit=hang))
    await shard.take_over()
    commit = asyncio.create_task(shard.commit([world.candle(1)]))
    await asked.wait()
    commit.cancel()
    with pytest.raises(asyncio.CancelledError):
        await commit
    assert not shard.held


# rule 2


async def test_no_commit_after_a_refused_record(world: World) -> None:
    """When Kafka refuses the candle, its coverage does not become visible either."""
    small = TopicSpec(f"{world.plan.prefix}.small", 1, {"max.message.bytes": "1000"})
    await ensure(world.cluster, [small])
    shard = world.shard()
    await shard.take_over()
    large = Record(small.name, 0, b"pair", random.Random(1).randbytes(5_000), 1_000)
    with pytest.raises(RecordRefused, match="refuses a record"):
        await shard.commit([world.covered("lie"), large])
    assert await shard.take_over() == []
    assert await world.visible(small.name, world.coverage) == []


async def test_a_timestamp_that_the_topic_refuses(world: World) -> None:
    """A record too far ahead for its topic is refused, and nothing of its transaction is seen."""
    strict = TopicSpec(
        f"{world.plan.prefix}.strict", 1, {"message.timestamp.after.max.ms": "3600000"}
    )
    await ensure(world.cluster, [strict])
    shard = world.shard()
    await shard.take_over()
    ahead = Record(strict.name, 0, b"pair", b"candle", int(time.time() * 1000) + 7_200_000)
    with pytest.raises(RecordRefused):
        await shard.commit([world.covered("lie"), ahead])
    assert await shard.take_over() == []
    assert await world.visible(strict.name, world.coverage) == []


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        (
            Record("t", 0, b"k", b"x" * BATCH_BYTES, 1_000),
            f"the record b'k' for topic t has {BATCH_BYTES + 1} bytes, the limit is {BATCH_BYTES}",
        ),
        (Record("t", 0, b"k", b"v", -1), "the record b'k' for topic t has the timestamp -1, "),
        (Record("t", 0, b"k", None, LATEST_TIMESTAMP + 1), "the record b'k' for topic t has the t"),
    ],
)
async def test_what_kafka_would_refuse_is_not_sent(
    world: World, record: Record, sentence: str
) -> None:
    """A record too large or out of time is found before anything is sent; the shard lives on."""
    make = Script()
    shard = world.shard(new_producer=make)
    await shard.take_over()
    with pytest.raises(RecordRefused) as refused:
        await shard.commit([world.candle(1), record])
    assert str(refused.value).startswith(sentence)
    assert shard.held
    assert make.asked == ["start"]
    assert refusal(world.candle(1)) is None


# rule 4


async def test_a_commit_whose_answer_is_lost(world: World) -> None:
    """A commit that succeeded without our knowing is reported as lost, and found in coverage."""

    async def hidden(producer: Any) -> None:
        await REAL.commit_transaction(producer)
        await never()

    shard = world.shard(limits=SHORT, new_producer=Script(commit=hidden))
    await shard.take_over()
    with pytest.raises(ShardLost, match="coverage says whether"):
        await shard.commit([world.candle(1), world.covered("one")])
    assert await world.shard().take_over() == [(b"x:A-B:1m", b"one")]
    assert await world.visible() == [b"candle 1", b"one"]


async def test_a_commit_that_never_arrives(world: World) -> None:
    """A commit that Kafka never got is reported the same way, and is not in coverage."""

    shard = world.shard(limits=SHORT, new_producer=Script(commit=never))
    await shard.take_over()
    with pytest.raises(ShardLost, match="coverage says whether"):
        await shard.commit([world.candle(1), world.covered("one")])
    assert await world.shard().take_over() == []
    assert await world.visible() == []


# rule 5


async def test_coverage_behind_an_open_transaction_is_not_overlooked(world: World) -> None:
    """With a foreign transaction open in the partition, taking over waits and then tells all."""
    shard = world.shard()
    await shard.take_over()
    foreigner = await world.foreigner(f"{world.plan.prefix}.foreign")
    await foreigner.begin_transaction()
    await foreigner.send_and_wait(world.coverage, b"foreign", b"f", partition=0)
    await shard.commit([world.covered("behind")])
    takes = asyncio.create_task(world.shard().take_over())
    done, _ = await asyncio.wait({takes}, timeout=1.5)
    assert not done, "it returned although it had not reached the high watermark"
    await foreigner.abort_transaction()
    assert await takes == [(b"x:A-B:1m", b"behind")]


async def test_a_transaction_that_stays_open_is_named(world: World) -> None:
    """Coverage that cannot be read to its end is an error that tells position and watermark."""
    foreigner = await world.foreigner(f"{world.plan.prefix}.foreign")
    await foreigner.begin_transaction()
    await foreigner.send_and_wait(world.coverage, b"foreign", b"f", partition=0)
    shard = world.shard(limits=Limits(read=0.5))
    with pytest.raises(ShardLost, match="at position 0, stable offset 0, watermark 1"):
        await shard.take_over()
    assert not shard.held


async def test_the_watermark_is_taken_after_initialising(world: World) -> None:
    """What a predecessor commits until the very moment of its fencing is read."""
    predecessor = world.shard()
    await predecessor.take_over()

    async def late(producer: Any) -> None:
        await predecessor.commit([world.covered("last moment")])
        await REAL.start(producer)

    assert await world.shard(new_producer=Script(start=late)).take_over() == [
        (b"x:A-B:1m", b"last moment")
    ]


async def test_a_predecessors_open_transaction_is_settled(world: World) -> None:
    """What a dead holder had sent but not committed does not hold the successor up."""
    dead = await world.foreigner(f"{world.coverage}-0")
    await dead.begin_transaction()
    await dead.send_and_wait(world.coverage, b"half", b"k", partition=0)
    shard = world.shard(limits=Limits(read=5.0))
    assert await shard.take_over() == []
