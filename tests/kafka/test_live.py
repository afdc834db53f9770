"""Live updates: all while Kafka keeps up, else the newest; and nobody waits."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest
from aiokafka import errors

from connectors.kafka import Cluster, LivePublisher, TopicSpec, ensure
from connectors.sandbox.process import free_ports
from tests.kafka.guarded import Guarded, frozen
from tests.kafka.world import Script, World, until
from tests.oracle import read_topics

pytestmark = pytest.mark.kafka


def _update(publisher: LivePublisher, world: World, number: int, token: int) -> None:
    value = b"%d %d" % (token, number)
    publisher.add(world.live, token % 3, b"k%d" % token, value, 1_000, token)


def _numbers(values: list[bytes | None]) -> dict[int, list[int]]:
    """The numbers of each token, in the order in which they were found."""
    found: dict[int, list[int]] = {}
    for value in values:
        token, number = (value or b"").split()
        found.setdefault(int(token), []).append(int(number))
    return found


async def test_live_updates_arrive_all_and_in_order(world: World) -> None:
    """While Kafka keeps up every update arrives, and no partition is out of order."""
    publisher = world.publisher(tick=0.005)
    for number in range(30_000):
        _update(publisher, world, number, number % 30)
        if number % 300 == 0:
            await asyncio.sleep(0.002)
    assert await publisher.drain(20), publisher.last_error
    values = await world.visible(world.live)
    found = await asyncio.to_thread(read_topics, world.bootstrap, world.live)
    for partition in range(3):
        row = [int((r.value or b"").split()[1]) for r in found if r.partition == partition]
        assert row == sorted(row)
    assert len(values) == 30_000
    assert (publisher.delivered, publisher.conflated, publisher.failed) == (30_000, 0, 0)


async def test_live_updates_are_conflated_while_kafka_is_away(
    own: Guarded, own_world: World
) -> None:
    """While Kafka is frozen the buffer stays bounded and nobody waits; then the newest arrive."""
    publisher = own_world.publisher(capacity=500, settings={"request_timeout_ms": 1_000})
    for token in range(30):
        _update(publisher, own_world, 0, token)
    assert await publisher.drain(10)
    with frozen(own):
        started = time.monotonic()
        for number in range(1, 2_001):
            for token in range(30):
                _update(publisher, own_world, number, token)
            if number % 100 == 0:
                await asyncio.sleep(0.01)
        assert time.monotonic() - started < 3
        assert publisher.full or publisher.pending < 500
        assert publisher.pending <= 3 * 500 + 30
        assert publisher.conflated > 50_000
    assert await publisher.drain(20), publisher.last_error
    numbers = _numbers(await own_world.visible(own_world.live))
    assert {token: row[-1] for token, row in numbers.items()} == dict.fromkeys(range(30), 2_000)
    assert all(row == sorted(row) for row in numbers.values())
    assert publisher.delivered + publisher.conflated + publisher.failed == 30 * 2_001


async def test_a_poisoned_live_producer_is_replaced(world: World) -> None:
    """After a refused batch a new producer goes on: the old one would fail for ever."""
    small = TopicSpec(f"{world.plan.prefix}.small", 1, {"max.message.bytes": "1000"})
    await ensure(world.cluster, [small])
    make = Script()
    publisher = world.publisher(new_producer=make)
    noise = random.Random(1).randbytes(5_000)
    publisher.add(small.name, 0, b"k", noise, 1_000, "large")
    await until(lambda: publisher.failed == 1)
    publisher.add(small.name, 0, b"k", b"after", 1_000, "small")
    assert await publisher.drain(10), publisher.last_error
    assert await world.visible(small.name) == [b"after"]
    assert len(make.made) == 2
    assert isinstance(publisher.last_error, errors.MessageSizeTooLargeError)


async def test_a_live_record_that_can_never_be_sent_harms_no_other(world: World) -> None:
    """A record too large or out of time is left out and counted; the rest of its batch is sent."""
    make = Script()
    publisher = world.publisher(new_producer=make)
    publisher.add(world.live, 0, b"k", b"before", 1_000, 1)
    publisher.add(world.live, 0, b"k", b"x" * 600_000, 1_000, 2)
    publisher.add(world.live, 0, b"k", b"timeless", -5, 3)
    publisher.add(world.live, 99, b"k", b"nowhere", 1_000, 4)
    publisher.add(world.live, 0, b"k", b"y" * 300_000, 1_000, 5)
    publisher.add(world.live, 0, b"k", b"after", 1_000, 6)
    assert await publisher.drain(10), publisher.last_error
    assert await world.visible(world.live) == [b"before", b"y" * 300_000, b"after"]
    assert (publisher.delivered, publisher.failed) == (3, 3)
    assert len(make.made) == 1


async def test_a_missing_live_topic_holds_nobody_up(world: World) -> None:
    """Updates for a topic that does not exist wait aside while all others are sent."""
    publisher = world.publisher()
    publisher.add(f"{world.plan.prefix}.nowhere", 0, b"k", b"lost", 1_000, 1)
    publisher.add(world.live, 0, b"k", b"found", 1_000, 2)
    await until(lambda: publisher.delivered == 1, seconds=5)
    assert await world.visible(world.live) == [b"found"]


async def test_live_updates_wait_for_a_kafka_that_comes_later(prefix: str) -> None:
    """Without Kafka updates are conflated, ``add`` returns at once, and closing is bounded."""
    publisher = LivePublisher(Cluster(f"127.0.0.1:{free_ports(1)[0]}"), capacity=100)
    publisher.start()
    for number in range(1_000):
        publisher.add(f"{prefix}.x.live", 0, b"k", b"v", 1_000, number % 10)
    await until(lambda: publisher.last_error is not None)
    assert isinstance(publisher.last_error, errors.KafkaConnectionError)
    assert (publisher.pending, publisher.conflated) == (10, 990)
    assert not await publisher.drain(0.1)
    started = time.monotonic()
    await publisher.close()
    assert time.monotonic() - started < 5


async def test_a_batch_that_is_never_acknowledged(world: World) -> None:
    """A batch without an answer is given up after its limit, and a new producer goes on."""

    async def unanswered(*_: Any, **__: Any) -> Any:
        del make.replaced["send"]  # the next is sent
        return asyncio.get_running_loop().create_future()

    make = Script(send=unanswered)
    publisher = world.publisher(new_producer=make, stuck=0.5)
    _update(publisher, world, 1, 0)
    await until(lambda: publisher.failed == 1)
    _update(publisher, world, 2, 0)
    assert await publisher.drain(10), publisher.last_error
    assert _numbers(await world.visible(world.live)) == {0: [2]}
