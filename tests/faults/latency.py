"""How late open updates become visible: the independent reader follows the live topics."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from confluent_kafka import OFFSET_END, TopicPartition

from connectors.kafka.live import TICK_SECONDS
from tests.end_to_end.truth import single_object
from tests.oracle import _consumer, _partitions, _record

BUSY_SECONDS = 1.0
"""What a busy machine adds: threads and brokers that wait for a processor."""


def bound(delay: float) -> float:
    """Real seconds from receipt to visibility where every byte to and from Kafka takes ``delay``.

    Of one partition one batch is under way at a time, and to one broker one request. So at worst
    an update comes when its partition's last batch still waits for somebody else's request (2
    delays) and then flies (2), waits for the next tick, and for somebody else's request again
    (2), and flies to the broker (1).
    """
    return 7 * delay + TICK_SECONDS + BUSY_SECONDS


@dataclass
class Latencies:
    """Real seconds from when each update was received (its ``published_at``) until it was read."""

    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Of all updates."""
        assert self.seconds, "no open update was read: does the connector run, with live updates?"
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        return (
            f"{len(self.seconds)} live updates, median {self.median:.2f} s, "
            f"longest {max(self.seconds):.2f} s"
        )


@asynccontextmanager
async def followed(bootstrap: str, topics: Sequence[str]) -> AsyncIterator[Latencies]:
    """The latencies of what comes into these topics while the block runs."""
    heard, over = Latencies(), threading.Event()
    reading = asyncio.create_task(asyncio.to_thread(_follow, bootstrap, topics, heard, over))
    try:
        yield heard
    finally:
        over.set()
        await reading


def _follow(bootstrap: str, topics: Sequence[str], heard: Latencies, over: threading.Event) -> None:
    consumer = _consumer(bootstrap, "read_committed")
    try:
        consumer.assign(
            [
                TopicPartition(topic, partition, OFFSET_END)
                for topic in topics
                for partition in _partitions(consumer, topic)
            ]
        )
        while not over.is_set():
            messages = consumer.consume(100, timeout=0.02)
            now = time.time()
            for message in messages:
                if message.error() is None:
                    published = single_object(_record(message))["published_at"] / 1000
                    heard.seconds.append(now - published)
    finally:
        consumer.close()
