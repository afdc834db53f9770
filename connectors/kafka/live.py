"""Open updates: in batches, on a common tick, never in the caller's way.

Per partition at most one batch is unacknowledged, so nothing can be overtaken, and a slow Kafka
makes batches larger, then the outbox conflate. Any failure that aiokafka does not retry by itself
poisons that partition for its producer: a new one is made. Without transactions: an update may be
doubled or lost when that happens, and what may be lost is counted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

from aiokafka import AIOKafkaProducer

from connectors.kafka.batches import BATCH_BYTES, LATEST_TIMESTAMP, RECORD_BYTES, Place
from connectors.kafka.bounded import STOP_SECONDS, end_producer, seen, within
from connectors.kafka.cluster import Cluster
from connectors.kafka.outbox import CAPACITY, Outbox, State

IDEMPOTENT: Final[Mapping[str, Any]] = {
    "acks": "all",
    "enable_idempotence": True,
    "request_timeout_ms": 10_000,
    "retry_backoff_ms": 50,
    "metadata_max_age_ms": 30_000,
    "linger_ms": 0,
    "compression_type": "lz4",
    "max_batch_size": BATCH_BYTES,
}
"""Settings of the producer."""

TICK_SECONDS: Final = 0.025
START_SECONDS: Final = 30.0
SEND_SECONDS: Final = 15.0
STUCK_SECONDS: Final = 60.0
_BACK_OFF: Final = (0.1, 5.0)  # seconds: first, longest
_LOOK_SECONDS: Final = 1.0  # between two looks whether batches are stuck


class LivePublisher:
    """Publishes open updates as well as Kafka allows; ``add`` never waits.

    ``delivered``, ``conflated`` and ``failed`` count states; ``failed`` ones may or may not have
    arrived. ``pending`` ones wait or are on their way. ``last_error`` is why the last producer was
    replaced, or could not be started. A batch that is not acknowledged within ``stuck`` seconds
    fails with its producer.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        tick: float = TICK_SECONDS,
        capacity: int = CAPACITY,
        stuck: float = STUCK_SECONDS,
        settings: Mapping[str, Any] | None = None,
        new_producer: Callable[..., Any] = AIOKafkaProducer,
    ) -> None:
        self.delivered = 0
        self.failed = 0
        self.last_error: BaseException | None = None
        self._cluster = cluster
        self._tick = tick
        self._stuck = stuck
        self._settings = {**IDEMPOTENT, **(settings or {})}
        self._new_producer = new_producer
        self._outbox = Outbox(capacity)
        self._producer: Any = None
        self._broken = False
        self._flying: dict[Place, tuple[int, float]] = {}  # how many states, since when
        self._partitions: dict[str, set[int]] = {}  # of topics that are known to the producer
        self._asking: dict[str, asyncio.Task[None]] = {}  # for the partitions of a topic
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._flusher: asyncio.Task[None] | None = None

    @property
    def conflated(self) -> int:
        """How many states were replaced by newer ones before they could be sent."""
        return self._outbox.conflated

    @property
    def full(self) -> bool:
        """Whether the next state may replace another: time to read more slowly."""
        return self._outbox.full

    @property
    def pending(self) -> int:
        """How many states wait or are on their way."""
        return self._outbox.size + sum(count for count, _ in self._flying.values())

    def start(self) -> None:
        """Connect and begin to send; Kafka need not be there yet."""
        self._wake.set()
        self._flusher = asyncio.get_running_loop().create_task(self._run(), name="live publisher")

    def add(
        self,
        topic: str,
        partition: int,
        key: bytes,
        value: bytes,
        timestamp: int,
        token: Hashable,
    ) -> None:
        """Publish this state with the next tick; ``timestamp`` in milliseconds.

        ``token`` stands for the subscription: a newer state of it may replace this one.
        """
        self._outbox.add((topic, partition), (key, value, timestamp, token))
        self._wake.set()

    async def drain(self, seconds: float) -> bool:
        """Wait until nothing is pending; whether that came true within ``seconds``."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.pending:
                    self._settled.clear()
                    await self._settled.wait()
        return not self.pending

    async def close(self) -> None:
        """Stop at once, in bounded time; what is pending is given up (``drain`` first)."""
        if self._flusher is not None:
            self._flusher.cancel()
            await asyncio.wait({self._flusher}, timeout=STOP_SECONDS)
            self._flusher = None
        await self._discard()

    async def _run(self) -> None:
        pause, longest = _BACK_OFF
        while True:
            await self._due()
            try:
                await self._flush()
                pause = _BACK_OFF[0]
            except Exception as error:  # noqa: BLE001 - whatever it was: a new producer, later
                self._break(error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, longest)

    async def _due(self) -> None:
        """Wait for the tick after something was added or acknowledged, or for a look around."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_SECONDS if self._flying or self._broken else None):
                await self._wake.wait()
        await asyncio.sleep(self._tick)
        self._wake.clear()

    async def _flush(self) -> None:
        if any(time.monotonic() - since > self._stuck for _, since in self._flying.values()):
            self._break(TimeoutError(f"no acknowledgement within {self._stuck:g} s"))
        if self._broken:
            await self._discard()
        if self._producer is None:
            await self._start()
        await within(SEND_SECONDS, self._send_waiting())

    async def _start(self) -> None:
        self._producer = self._new_producer(**self._cluster.options, **self._settings)
        await within(START_SECONDS, self._producer.start())

    async def _send_waiting(self) -> None:
        """One batch for each partition that has none on its way. Nothing here really waits."""
        for place in self._outbox.waiting():
            topic, partition = place
            if place in self._flying:
                continue  # its acknowledgement wakes the flusher
            if topic not in self._partitions:
                self._ask(topic)
            elif partition not in self._partitions[topic]:
                self.failed += self._outbox.take(place, lambda _: True)
                self.last_error = ValueError(f"topic {topic} has no partition {partition}")
            else:
                await self._send(place)

    async def _send(self, place: Place) -> None:
        topic, partition = place
        batch = self._producer.create_batch()
        taken = self._outbox.take(place, partial(self._append, batch))
        count = batch.record_count()
        self.failed += taken - count
        if not count:
            return
        self._flying[place] = (count, time.monotonic())
        try:
            future = await self._producer.send_batch(batch, topic, partition=partition)
        except BaseException:
            self._landed(place)
            self.failed += count
            raise
        future.add_done_callback(partial(self._answered, self._producer, place))

    def _append(self, batch: Any, state: State) -> bool:
        key, value, timestamp, _ = state
        if len(key) + len(value) > RECORD_BYTES or not 0 <= timestamp <= LATEST_TIMESTAMP:
            return True  # Kafka would refuse the whole batch: taken, but not sent
        return batch.append(timestamp=timestamp, key=key, value=value) is not None

    def _answered(self, producer: Any, place: Place, future: asyncio.Future[Any]) -> None:
        if producer is not self._producer:
            seen(future)
            return  # counted when that producer was discarded
        count = self._landed(place)
        error = asyncio.CancelledError() if future.cancelled() else future.exception()
        if error is None:
            self.delivered += count
        else:
            self.failed += count
            self._break(error)

    def _landed(self, place: Place) -> int:
        count, _ = self._flying.pop(place)
        self._settled.set()
        if self._outbox.size:
            self._wake.set()
        return count

    def _break(self, error: BaseException) -> None:
        self._broken = True
        self.last_error = error
        self._wake.set()

    async def _discard(self) -> None:
        producer, self._producer = self._producer, None
        self._broken = False
        self._partitions.clear()
        for task in self._asking.values():
            task.cancel()
        self._asking.clear()
        self.failed += sum(count for count, _ in self._flying.values())
        self._flying.clear()
        self._settled.set()
        if producer is not None:
            await end_producer(producer)

    def _ask(self, topic: str) -> None:
        """Look the partitions of a topic up aside: one that is missing holds nobody up."""
        if topic not in self._asking:
            self._asking[topic] = asyncio.get_running_loop().create_task(self._look_up(topic))

    async def _look_up(self, topic: str) -> None:
        try:
            self._partitions[topic] = await within(
                START_SECONDS, self._producer.partitions_for(topic)
            )
        except Exception as error:  # noqa: BLE001 - asked again as long as something waits
            self.last_error = error
            await asyncio.sleep(_LOOK_SECONDS)
        finally:
            if self._asking.get(topic) is asyncio.current_task():
                del self._asking[topic]
        self._wake.set()
