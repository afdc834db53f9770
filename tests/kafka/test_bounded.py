"""Nothing is awaited without a limit."""

from __future__ import annotations

import asyncio
import time
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import AIOKafkaConnection

from connectors.errors import ShardLost, Unreachable
from connectors.kafka import Limits, Record, Shard
from connectors.kafka.bounded import end_client, end_producer, within
from tests.kafka.guarded import Guarded, frozen
from tests.kafka.world import Script, World, never, until

pytestmark = pytest.mark.kafka


async def test_a_limit_holds_against_work_that_resists() -> None:
    """Work that swallows its cancellation cannot hold up whoever waits for it."""
    may = asyncio.Event()
    asyncio.get_running_loop().call_later(3, may.set)

    async def stubborn() -> None:
        while not may.is_set():
            try:
                await may.wait()
            except asyncio.CancelledError:
                continue

    started = time.monotonic()
    with pytest.raises(TimeoutError):
        await within(0.1, stubborn())
    assert time.monotonic() - started < 1
    may.set()


async def test_the_private_parts_of_aiokafka_are_those_of_the_version_that_is_pinned() -> None:
    """Ended clients are cut off by private parts: another minor version may have none of them."""
    major, minor = version("aiokafka").split(".")[:2]
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    pinned = [each for each in project["project"]["dependencies"] if "aiokafka" in each]
    assert pinned == [f"aiokafka>={major}.{minor},<{major}.{int(minor) + 1}"]
    producer, consumer = AIOKafkaProducer(transactional_id="t"), AIOKafkaConsumer()
    for owner, names in (
        (producer, "_closed _sender _message_accumulator _txn_manager client"),
        (producer._message_accumulator, "_closed _batches _pending_batches"),
        (producer._txn_manager, "_transaction_waiter"),
        (producer.client, "_sync_task _conns"),
        (consumer, "_closed _client"),
        (AIOKafkaAdminClient(), "_client"),
        (AIOKafkaConnection("localhost", 1), "_writer"),
    ):
        assert [name for name in names.split() if not hasattr(owner, name)] == []
    await end_producer(producer)
    await end_client(consumer)


async def test_a_frozen_kafka_holds_nobody_up(own: Guarded, own_world: World) -> None:
    """With a frozen broker commit, take-over and close end within their limits, leaving no task."""
    before = asyncio.all_tasks()
    limits = Limits(start=1.0, read=1.0, send=1.0, commit=1.0, stop=0.3)
    shard, idle = own_world.shard(limits=limits), own_world.shard(limits=limits)
    await shard.take_over()
    await shard.commit([own_world.candle(1), own_world.covered("one")])
    with frozen(own):
        started = time.monotonic()
        with pytest.raises(ShardLost, match="nothing is committed"):
            await shard.commit([own_world.candle(2), own_world.covered("two")])
        with pytest.raises(Unreachable):
            await idle.take_over()
        await idle.close()
        assert time.monotonic() - started < 5
    later = own_world.shard()
    assert await later.take_over() == [(b"x:A-B:1m", b"one")]
    await later.close()
    await until(lambda: asyncio.all_tasks() == before)


@pytest.mark.parametrize("stage", ["start", "begin", "send", "commit"])
async def test_a_producer_that_never_answers(world: World, stage: str) -> None:
    """Whatever call of a producer never returns, the shard says so within its limit."""

    limits = Limits(start=2.0 if stage != "start" else 0.2, send=0.2, commit=0.2, stop=0.2)
    shard = world.shard(limits=limits, new_producer=Script(**{stage: never}))
    started = time.monotonic()
    with pytest.raises((ShardLost, Unreachable), match="did not answer in time"):
        await _a_life(shard, world.candle(1))
    assert time.monotonic() - started < 5


async def _a_life(shard: Shard, record: Record) -> None:
    await shard.take_over()
    await shard.commit([record])
