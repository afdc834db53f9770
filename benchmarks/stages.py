"""What each part of the way costs, ours and the floor's, one by one in one process.

Every part gets the same messages, made by the part before it, with nothing else running in its
thread, whose CPU counts. What only ours has is measured alone: ``settle`` (the ledger), ``route``
(what ``Flow.frame`` adds to its parts) and ``close`` (closed candles with their coverage, in real
transactions; a message's share).
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, cast

import orjson

from benchmarks import floor
from benchmarks.contest import Arena
from benchmarks.load import BARS, SYMBOLS
from benchmarks.ours import arguments
from benchmarks.pieces import Deaf, Pieces
from benchmarks.settings import Settings
from connectors.adapter import ExchangeAdapter
from connectors.flow import Lane
from connectors.kafka import LivePublisher
from connectors.model import CandleData
from connectors.websocket import converse

PARTS: Final = ("receive", "decode", "parse", "settle", "encode", "route", "produce", "close")
"""In the order of a message's way."""

FLUSH: Final = 2_000
"""So many messages are published with one flush: about as many as come between two ticks."""
SHORT: Final = 100
"""Bytes: what is shorter is no candle but a confirmation."""
SECONDS: Final = 60.0
"""The longest that a part may take."""

Costs = dict[str, float]
"""Microseconds of CPU a message, by part."""


class Stages:
    """Measures all parts, ours and the floor's, as often as asked."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._frames = [arena.load.frame(seq) for seq in range(arena.load.messages)]

    async def measure(self) -> tuple[Costs, Costs]:
        """What each part costs once: ours, and the floor's."""
        settings = self._arena.settings("stages")
        pieces = Pieces(*arguments(settings))
        pieces.start = self._arena.load.start
        try:
            async with asyncio.timeout(len(PARTS) * SECONDS), pieces:
                await pieces.prepare()
                return await self._ours(pieces, settings), await self._floor(settings)
        finally:
            self._arena.forget(settings)

    async def _ours(self, pieces: Pieces, settings: Settings) -> Costs:
        frames, adapter, now = self._frames, pieces.adapter(), pieces.clock.real()
        parse, lanes = adapter.parse_ws_message, pieces.route(adapter).lanes
        costs = {"receive": await self._receive(pieces, settings)}
        deaf = pieces.session(cast(ExchangeAdapter, Deaf(adapter)))
        costs["decode"] = self._cost(deaf.receive(frame, False, now) for frame in frames)
        costs["parse"] = self._cost_of(parse, map(orjson.loads, frames))
        candles = [cast(list[CandleData], parse(orjson.loads(frame)))[0] for frame in frames]
        states = [(lanes[candle.channel][0], candle) for candle in candles]
        costs["settle"] = self._cost(lane.ledger.settle(candle, now) for lane, candle in states)
        updates = [(lane, candle) for lane, candle in states if not candle.closed]
        costs["encode"] = self._cost(_encoded(updates))
        costs["route"] = self._flow(pieces) - sum(
            costs[part] for part in ("decode", "parse", "settle", "encode")
        )
        costs["produce"] = await self._produce(pieces.live, updates)
        costs["close"] = await self._close(pieces, candles)
        return costs

    async def _floor(self, settings: Settings) -> Costs:
        encode = floor.make_encode(settings.symbols)
        now = int(time.time() * 1000)
        costs = {"receive": await self._receive_floor(settings)}
        costs["decode"] = self._cost_of(orjson.loads, self._frames)
        costs["encode"] = self._cost_of(
            lambda event: encode(event, now), map(orjson.loads, self._frames)
        )
        costs["produce"] = await self._produce_floor(settings)
        return costs

    # --- the clock ---

    def _cost_of(self, function: Callable[[Any], object], items: Iterable[Any]) -> float:
        """Of a function, called for each item."""
        made = list(items)
        return self._cost(map(function, made))

    def _cost(self, steps: Iterable[object]) -> float:
        """Of going through an iterator."""
        began = _now()
        deque(steps, maxlen=0)
        return self._since(began)

    def _since(self, began: float) -> float:
        return (time.thread_time() - began) / len(self._frames) * 1e6

    # --- receive ---

    async def _receive(self, pieces: Pieces, settings: Settings) -> float:
        left, done = len(self._frames), asyncio.Event()

        def count(message: bytes, binary: bool) -> bool:
            nonlocal left
            del binary
            left -= len(message) > SHORT
            if not left:
                done.set()
            return False

        talk = converse(
            f"{settings.stream}/ws",
            pieces.session(pieces.adapter()),
            pieces.clock,
            on_message=count,
            crowded=lambda: False,
            chores=lambda: pieces.clock.real() + SECONDS,
            opened=lambda: None,
        )
        async with _running(talk):
            began = await self._sent()
            await done.wait()
            return self._since(began)

    async def _receive_floor(self, settings: Settings) -> float:
        connection = await floor.subscribed(settings)
        receive, left = connection.recv, len(self._frames)
        began = await self._sent()
        while left:
            left -= len(await receive(decode=False)) > SHORT
        cost = self._since(began)
        await connection.close()
        return cost

    async def _sent(self) -> float:
        """Let the server send everything, once all is subscribed."""
        while self._arena.ask("state")["channels"] < len(SYMBOLS):  # noqa: ASYNC110 - a process
            await asyncio.sleep(0.01)
        self._arena.ask("rewind")
        began = _now()
        self._arena.ask(f"send?count={len(self._frames)}")
        return began

    # --- decode, parse, settle and encode together ---

    def _flow(self, pieces: Pieces) -> float:
        flow, route = pieces.flow(), pieces.route(pieces.adapter())
        return self._cost(flow.frame(route, frame, False) for frame in self._frames)

    # --- produce ---

    async def _produce(
        self, live: LivePublisher, updates: Sequence[tuple[Lane, CandleData]]
    ) -> float:
        values = list(_encoded(updates))
        states = [(*it, value) for it, value in zip(updates, values, strict=True)]
        await _published(live, states[:1])  # looks the topic up
        began = _now()
        for first in range(0, len(states), FLUSH):
            await _published(live, states[first : first + FLUSH])
        return self._since(began)

    async def _produce_floor(self, settings: Settings) -> float:
        encode, now = floor.make_encode(settings.symbols), int(time.time() * 1000)
        places = floor.places(settings.symbols, settings.partitions)
        events = map(orjson.loads, self._frames)
        states = [(*places[it["s"]], encode(it, now), it["E"]) for it in events]
        producer = floor.new_producer(settings.kafka)
        await producer.start()
        await producer.partitions_for(settings.live)
        batches = floor.Batches(producer, settings.live, settings.partitions)
        began = _now()
        for first in range(0, len(states), FLUSH):
            for partition, key, value, at in states[first : first + FLUSH]:
                while not batches.append(partition, key, value, at):
                    await batches.hand_over(partition)
            await batches.flush()
            await batches.settled()
        cost = self._since(began)
        await producer.stop()
        return cost

    # --- close ---

    async def _close(self, pieces: Pieces, candles: Sequence[CandleData]) -> float:
        """The writer's part alone: the ledgers' is in ``settle``."""
        writer, lanes = pieces.writer()
        adapter, now, cost = pieces.adapter(), pieces.clock.real(), 0.0
        ledgers = {adapter.channel(lane.ledger.subscription): lane.ledger for lane in lanes}
        async with _running(writer.run()):
            while not all(it.begun for it in ledgers.values()):  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)
            await writer.settled()
            for first in range(0, len(candles), BARS):
                for candle in candles[first : first + BARS]:
                    if candle.closed:
                        ledgers[str(candle.channel)].settle(candle, now)
                began = _now()
                await writer.settled()
                cost += self._since(began)
        await writer.close()
        return cost


def _now() -> float:
    """The thread's CPU clock, after what was made before is out of the collector's way."""
    gc.collect()
    gc.freeze()
    return time.thread_time()


def _encoded(updates: Sequence[tuple[Lane, CandleData]]) -> Iterable[bytes]:
    now = int(time.time() * 1000)
    return (
        lane.live_encoder.encode(candle, published_at=now)
        for lane, candle in updates
        if lane.live_encoder is not None
    )


async def _published(live: LivePublisher, states: Sequence[tuple[Lane, CandleData, bytes]]) -> None:
    for lane, candle, value in states:
        at = candle.event_time or 0
        live.add(lane.live_topic, lane.partition, lane.key, value, at, lane)
    await live.drain(SECONDS)


@asynccontextmanager
async def _running(work: Coroutine[Any, Any, object]) -> AsyncIterator[None]:
    """The work goes on until the block is left."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
