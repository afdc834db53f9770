"""Reading committed records to the end, and on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from connectors.errors import AccessError, SetupError, Unreachable
from connectors.kafka import Cluster, offsets_since, read_topic, reader, watermarks
from tests.kafka.world import World

pytestmark = pytest.mark.kafka


async def test_a_topic_is_read_to_its_end_and_on(world: World) -> None:
    """A reader gets every committed record from its offsets on, then what is committed later."""
    shard = world.shard()
    await shard.take_over()
    await shard.commit([world.candle(n, partition=n % 3) for n in range(9)])
    all_of_it = [record.value async for record in read_topic(world.cluster, world.closed)]
    assert sorted(all_of_it) == [b"candle %d" % n for n in range(9)]

    follower = read_topic(world.cluster, world.closed, {0: 2, 1: 3, 2: 3}, follow=True)
    first = await anext(follower)
    assert (first.partition, first.offset, first.value) == (0, 2, b"candle 6")
    await shard.commit([world.candle(9)])
    async with asyncio.timeout(10):
        assert (await anext(follower)).value == b"candle 9"
    await follower.aclose()


async def test_an_empty_topic_is_read_at_once(world: World) -> None:
    """Reading a topic without records ends by itself."""
    assert [record async for record in read_topic(world.cluster, world.closed)] == []


async def test_reading_a_topic_that_is_not_there(kafka: str, prefix: str) -> None:
    """A topic that does not exist is a sentence."""
    with pytest.raises(SetupError, match="does not exist"):
        await watermarks(Cluster(kafka), f"{prefix}.nowhere")


async def test_offsets_since_a_time(world: World) -> None:
    """Before the offset of a time there is no record of that time or later."""
    shard = world.shard()
    await shard.take_over()
    await shard.commit([world.candle(n, partition=n % 2) for n in (4, 6, 1, 5, 8, 9)])

    async def since(number: int) -> dict[int, int]:
        timestamp = world.candle(number).timestamp
        return await offsets_since(world.cluster, world.closed, dict.fromkeys(range(3), timestamp))

    assert await since(0) == {0: 0, 1: 0, 2: 0}
    assert await since(5) == {0: 1, 1: 1, 2: 0}
    rest = read_topic(world.cluster, world.closed, await since(99))
    assert [record async for record in rest] == []
    assert await offsets_since(world.cluster, world.closed, {1: -1}) == {1: 0}


class Failing:
    """Stands for a consumer of aiokafka that cannot read."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self._client = SimpleNamespace(_sync_task=None, _conns={})

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def assign(self, places: Sequence[TopicPartition]) -> None: ...

    def seek(self, place: TopicPartition, offset: int) -> None: ...

    async def beginning_offsets(self, places: Sequence[TopicPartition]) -> dict[Any, int]:
        return dict.fromkeys(places, 0)

    async def end_offsets(self, places: Sequence[TopicPartition]) -> dict[Any, int]:
        return dict.fromkeys(places, 1)

    async def position(self, place: TopicPartition) -> int:
        del place
        return 0

    async def getmany(self, **_: Any) -> Any:
        raise self._error


@pytest.mark.parametrize(
    ("error", "told", "sentence"),
    [
        (
            TopicAuthorizationFailedError("t"),
            AccessError,
            r"this user may not read topic .*t: grant it Read there",
        ),
        (KafkaError("a defect"), Unreachable, r"Kafka at localhost:1 answers no reader \(.*defect"),
        (TimeoutError(), Unreachable, r"Kafka at localhost:1 answers no reader \(TimeoutError"),
    ],
    ids=lambda case: type(case).__name__,
)
async def test_no_error_of_aiokafka_comes_out(
    monkeypatch: pytest.MonkeyPatch, error: Exception, told: type[Exception], sentence: str
) -> None:
    """Whatever goes wrong while reading, the error says what to do next."""

    async def counts(*_: Any) -> dict[str, int]:
        return {"t": 1}

    monkeypatch.setattr(reader, "partition_counts", counts)
    monkeypatch.setattr(reader, "AIOKafkaConsumer", lambda **_: Failing(error))
    with pytest.raises(told, match=sentence):
        await anext(read_topic(Cluster("localhost:1"), "t"))
