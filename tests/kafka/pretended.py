"""A Kafka that exists only as far as a test says: for rules that need no broker to be broken."""

from __future__ import annotations

import asyncio
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from connectors.kafka import Cluster, bounded, live, reader, shard, topics

CLUSTER = Cluster("localhost:1")
PARTITIONS = 8
LIMIT = 0.5
"""Real seconds that a call may take: a busy machine answers what is answered at all in less."""
VALUES = ["first", "second", "third"]
"""What each partition holds."""


class Kafka:
    """What its clients are told, and what they ask, in order.

    ``hangs`` are the calls that are never answered, ``fails`` what a call raises, one by one.
    A partition holds ``values``; those from ``stable`` on are hidden from who reads committed.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.hangs: set[str] = set()
        self.fails: dict[str, deque[Exception]] = {}
        self.values = list(VALUES)
        self.stable = len(self.values)
        self.asked: list[str] = []
        self.producers: list[Any] = []
        for module in (reader, shard, topics):
            patch.setattr(module, "partition_counts", self._partition_counts)
            patch.setattr(module, "probe", self._probe)
        patch.setattr(reader, "AIOKafkaConsumer", self._consumer)
        patch.setattr(topics, "AIOKafkaAdminClient", lambda **_: _Admin(self))
        for module, name in (
            (reader, "START_SECONDS"),
            (reader, "ASK_SECONDS"),
            (topics, "ASK_SECONDS"),
            (live, "START_SECONDS"),
            (live, "SEND_SECONDS"),
        ):
            patch.setattr(module, name, LIMIT)
        patch.setattr(reader, "AGAIN_SECONDS", 0.001)
        for limited in (bounded.end_client, bounded.end_producer, reader._insist):
            patch.setattr(limited, "__defaults__", (LIMIT,))

    async def call(self, name: str) -> None:
        """Somebody asks for something."""
        self.asked.append(name)
        if name in self.hangs:
            await asyncio.Event().wait()
        if self.fails.get(name):
            raise self.fails[name].popleft()

    def producer(self, **options: Any) -> Any:
        """What ``new_producer`` makes."""
        self.producers.append(_Producer(self, **options))
        return self.producers[-1]

    def _consumer(self, **options: Any) -> Any:
        return _Consumer(self, options["isolation_level"])

    async def _partition_counts(self, _: Cluster, names: list[str]) -> dict[str, int]:
        return dict.fromkeys(names, PARTITIONS)

    async def _probe(self, _: Cluster) -> None:
        await self.call("probe")


class _Producer(AIOKafkaProducer):  # type: ignore[misc]  # aiokafka has no types
    """``send`` is what becomes of a batch; ``options`` are those that it was made with."""

    def __init__(self, kafka: Kafka, **options: Any) -> None:
        super().__init__(**options)
        self.options = options
        self._kafka = kafka

    async def start(self) -> None:
        await self._kafka.call("producer.start")

    async def begin_transaction(self) -> None:
        await self._kafka.call("begin")

    async def partitions_for(self, _: str) -> set[int]:
        await self._kafka.call("partitions_for")
        return {0}

    async def send_batch(self, _: Any, topic: str, **__: int) -> Any:
        await self._kafka.call("send_batch")
        future = asyncio.get_running_loop().create_future()
        task = asyncio.ensure_future(self._kafka.call(f"acknowledge {topic}"))
        task.add_done_callback(lambda done: _acknowledge(done, future))
        return future

    async def commit_transaction(self) -> None:
        await self._kafka.call("commit")

    async def abort_transaction(self) -> None:
        await self._kafka.call("abort")

    async def stop(self) -> None:
        await self._kafka.call("producer.stop")


def _acknowledge(done: asyncio.Future[None], future: asyncio.Future[Any]) -> None:
    if done.cancelled() or future.done():
        return
    if error := done.exception():
        future.set_exception(error)
    else:
        future.set_result(SimpleNamespace(offset=0))


class _Client:
    """What of a client is private to aiokafka, and cut off by us."""

    _sync_task = None

    def __init__(self) -> None:
        self._conns: dict[Any, Any] = {}


class _Consumer:
    def __init__(self, kafka: Kafka, isolation: str) -> None:
        self._kafka = kafka
        self._client = _Client()
        self._end = kafka.stable if isolation == "read_committed" else len(kafka.values)
        self._position = 0

    async def start(self) -> None:
        await self._kafka.call("consumer.start")

    async def stop(self) -> None:
        await self._kafka.call("consumer.stop")

    async def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        await self._kafka.call("end_offsets")
        return dict.fromkeys(places, self._end)

    async def beginning_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        await self._kafka.call("beginning_offsets")
        return dict.fromkeys(places, 0)

    async def offsets_for_times(self, times: dict[TopicPartition, int]) -> dict[Any, Any]:
        await self._kafka.call("offsets_for_times")
        return dict.fromkeys(times)

    def assign(self, places: list[TopicPartition]) -> None:
        self._place = places[0]

    def seek(self, _: TopicPartition, offset: int) -> None:
        self._position = offset

    async def position(self, _: TopicPartition) -> int:
        await self._kafka.call("position")
        return self._position

    def last_stable_offset(self, _: TopicPartition) -> int:
        return self._kafka.stable

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        await self._kafka.call("getmany")
        await asyncio.sleep(0.001)
        start, self._position = self._position, self._end
        found = [self._record(offset) for offset in range(start, self._end)]
        return {self._place: found} if found else {}

    def _record(self, offset: int) -> Any:
        value = self._kafka.values[offset].encode()
        topic, partition = self._place
        return SimpleNamespace(
            topic=topic, partition=partition, offset=offset, key=b"k", value=value, timestamp=1
        )


class _Admin:
    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._client = _Client()

    async def start(self) -> None:
        await self._kafka.call("admin.start")

    async def close(self) -> None:
        await self._kafka.call("admin.close")

    async def _send_request(self, _: Any) -> Any:
        await self._kafka.call("describe")
        return SimpleNamespace(topics=[])

    async def create_topics(self, _: Any) -> Any:
        await self._kafka.call("create_topics")
        return SimpleNamespace(topic_errors=[])
