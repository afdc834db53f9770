"""What the tests of Kafka share: the topics of one test, and producers that follow a script."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

from aiokafka import AIOKafkaProducer

from connectors.kafka import Cluster, Limits, LivePublisher, Record, Shard, TopicPlan, ensure
from connectors.kafka.bounded import end_producer
from tests.oracle import read_topics

SHORT = Limits(start=8.0, read=2.0, send=2.0, commit=2.0, stop=0.5)


class World:
    """Topics of one test, and what is to be closed at its end."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.bootstrap = bootstrap
        self.cluster = Cluster(bootstrap)
        self.plan = TopicPlan(prefix, partitions=3)
        self.closed = self.plan.closed("x").name
        self.live = self.plan.live("x").name
        self.coverage = self.plan.fixed_coverage().name
        self._ends: list[Callable[[], Awaitable[None]]] = []

    async def create(self) -> None:
        specs = [self.plan.closed("x"), self.plan.live("x"), self.plan.fixed_coverage()]
        await ensure(self.cluster, specs)

    def shard(self, **options: Any) -> Shard:
        shard = Shard(self.cluster, self.coverage, **options)
        self._ends.append(shard.close)
        return shard

    def publisher(self, **options: Any) -> LivePublisher:
        publisher = LivePublisher(self.cluster, **options)
        self._ends.append(publisher.close)
        publisher.start()
        return publisher

    async def foreigner(self, name: str) -> Any:
        """A transactional producer of somebody else's."""
        producer = AIOKafkaProducer(**self.cluster.options, transactional_id=name)
        self._ends.append(lambda: end_producer(producer))
        await producer.start()
        return producer

    def candle(self, number: int, partition: int = 0) -> Record:
        return Record(self.closed, partition, b"pair", b"candle %d" % number, 1_000 + number)

    def covered(self, text: str, key: str = "x:A-B:1m") -> Record:
        return Record(self.coverage, 0, key.encode(), text.encode(), 1_000)

    async def visible(self, *topics: str) -> list[bytes | None]:
        """The values that an independent read-committed reader finds, topic by topic."""
        topics = topics or (self.closed, self.coverage)
        found = await asyncio.to_thread(read_topics, self.bootstrap, *topics)
        return [each.value for topic in topics for each in found if each.topic == topic]

    async def end(self) -> None:
        for end in self._ends:
            await end()


class Script:
    """Makes producers of which some methods do what the test says; keeps what they were asked.

    ``start``, ``begin`` and ``commit`` are called with the producer, ``send`` with the arguments of
    ``send_batch`` too. A call is noted in ``asked`` before it is answered.
    """

    def __init__(self, **replaced: Callable[..., Awaitable[Any]]) -> None:
        self.replaced = replaced
        self.made: list[Any] = []
        self.asked: list[str] = []

    def __call__(self, **options: Any) -> Any:
        self.made.append(_Scripted(self, **options))
        return self.made[-1]

    def play(self, name: str, producer: Any, *given: Any, **named: Any) -> Awaitable[Any]:
        self.asked.append(name)
        return self.replaced.get(name, getattr(REAL, METHODS[name]))(producer, *given, **named)


REAL = AIOKafkaProducer
METHODS = {
    "start": "start",
    "begin": "begin_transaction",
    "send": "send_batch",
    "commit": "commit_transaction",
    "abort": "abort_transaction",
}


class _Scripted(AIOKafkaProducer):  # type: ignore[misc]  # aiokafka has no types
    def __init__(self, script: Script, **options: Any) -> None:
        super().__init__(**options)
        self._script = script

    async def start(self) -> None:
        await self._script.play("start", self)

    async def begin_transaction(self) -> None:
        await self._script.play("begin", self)

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> Any:
        return await self._script.play("send", self, batch, topic, partition=partition)

    async def commit_transaction(self) -> None:
        await self._script.play("commit", self)

    async def abort_transaction(self) -> None:
        await self._script.play("abort", self)

    async def partitions_for(self, topic: str) -> Any:
        faked = "start" in self._script.replaced  # then it knows no Kafka
        return {0} if faked else await super().partitions_for(topic)


async def never(*_: Any, **__: Any) -> None:
    """Answer nothing, ever."""
    await asyncio.Event().wait()


async def nothing(*_: Any, **__: Any) -> None:
    """Do nothing, well."""


def failing(error: Exception) -> Callable[..., Awaitable[None]]:
    """What raises ``error`` whatever it is asked."""

    async def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


def answering(error: Exception | None = None) -> Callable[..., Awaitable[Any]]:
    """A ``send_batch`` whose future holds ``error``, or is good."""

    async def send(*_: Any, **__: Any) -> Any:
        future = asyncio.get_running_loop().create_future()
        if error is None:
            future.set_result(SimpleNamespace(offset=0))
        else:
            future.set_exception(error)
        return future

    return send


async def until(done: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until ``done()``; TimeoutError after ``seconds``."""
    async with asyncio.timeout(seconds):
        while not done():  # noqa: ASYNC110 - a state of aiokafka or of Kafka, without an event
            await asyncio.sleep(0.01)
