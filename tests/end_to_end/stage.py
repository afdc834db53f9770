"""A stage for one run: a sandbox, a prefix in a Kafka, the connector, and the way to judge it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import aiohttp

from connectors.clock import Clock
from connectors.endpoints import Endpoints
from connectors.flow import Tally
from connectors.kafka import Cluster
from connectors.model import Subscription
from connectors.registry import SchemaRegistry
from connectors.sandbox.server import Sandbox
from connectors.worker import Options, Worker
from tests.end_to_end.truth import Candle, Findings, compare, fetch, single_object
from tests.oracle import Record, read_topics

SPEED = 60.0
"""A minute of market time in a second."""
SOON = 20.0
"""Real seconds within which whatever a test waits for has to come true."""
MARKETS = {
    "binance_spot": "USDT",
    "binance_us": "USDT",
    "binance_perpetual": "USDT",
    "coinbase_advanced_trade": "USD",
    "coinbase_exchange": "USD",
    "okx_spot": "USDT",
    "okx_perpetual": "USDT",
    "kucoin_spot": "USDT",
    "kucoin_perpetual": "USDT",
}
"""Every market, and the quote asset of its pairs."""
QUIET = "ATOM"
"""Traded so seldom that most of its minutes are without trades."""


def everywhere() -> list[str]:
    """Wishes on all markets: streamed and polled, busy and quiet."""
    return [
        f"{market}:{pair}-{quote}:{interval}"
        for market, quote in MARKETS.items()
        for pair, interval in (("BTC", "1m"), ("ETH", "1m"), (QUIET, "1m"), ("BTC", "5m"))
    ]


class Stage:
    """Where one test plays. ``wishes`` are the subscriptions, and when each was accepted.

    ``luck`` follows from the seed. The connector's clock is wrong by ``skew`` market seconds.
    """

    def __init__(
        self, sandbox: Sandbox, kafka: str, prefix: str, luck: Random, skew: float = 0.0
    ) -> None:
        self.skew = skew
        self.luck = luck
        self.sandbox = sandbox
        self.kafka = kafka
        self.prefix = prefix
        self.wishes: dict[str, float] = {}

    # --- the sandbox

    @property
    def market(self) -> float:
        """Market time now, in UNIX seconds."""
        return self.sandbox.clock.now().market

    async def reach(self, market: float) -> None:
        """Wait until it is ``market``."""
        await asyncio.sleep(max(0.0, market - self.market) / SPEED)

    async def misbehave(self, kind: str, **order: Any) -> str:
        """Order a fault, as anybody does; its id."""
        told = await self._control("POST", "/-/faults", {"kind": kind, **order})
        return str(told["id"])

    async def forgive(self, fault: str) -> None:
        """End one fault."""
        await self._control("DELETE", f"/-/faults/{fault}")

    async def behave(self) -> None:
        """End all faults."""
        for fault in (await self._control("GET", "/-/faults"))["active"]:
            await self.forgive(fault["id"])

    async def journal(self, market: str | None = None) -> dict[str, Any]:
        """What the sandbox has seen."""
        return await self._control("GET", "/-/journal" + (f"?market={market}" if market else ""))

    async def _control(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        async with (
            aiohttp.ClientSession() as http,
            http.request(method, self.sandbox.url + path, json=body) as reply,
        ):
            told: dict[str, Any] = await reply.json()
        assert reply.status == 200, f"the sandbox refuses {method} {path} {body}: {told}"
        return told

    # --- the connector, in this process

    @asynccontextmanager
    async def running(self, wishes: Iterable[str], **options: Any) -> AsyncIterator[Running]:
        """A worker that carries ``wishes`` while the block runs, and is drained at its end."""
        worker = self.worker(wishes, **options)
        async with worker:
            await worker.prepare()
            self.accept(wishes)
            running = Running(worker)
            try:
                yield running
            finally:
                await running.stop()

    def worker(
        self, wishes: Iterable[str], registry: SchemaRegistry | None = None, **options: Any
    ) -> Worker:
        """A worker that is not prepared yet."""
        clock = Clock(SPEED, time.monotonic(), self.market + self.skew)
        return Worker(
            Cluster(self.kafka),
            [Subscription.parse(wish) for wish in wishes],
            clock,
            Endpoints(self.sandbox.url),
            Options(prefix=self.prefix, partitions=3, registry=registry, **options),
            seed=1,
        )

    def accept(self, wishes: Iterable[str]) -> None:
        """From now on these are expected, unless they are already."""
        now = self.market
        for wish in wishes:
            self.wishes.setdefault(wish, now)

    # --- what came of it

    async def records(self, kind: str) -> list[Record]:
        """Everything in the topics of one ``kind`` (closed, live) of the wishes' markets."""
        markets = {wish.partition(":")[0] for wish in self.wishes}
        return await self.read(*(f"{market}.{kind}" for market in sorted(markets)))

    async def read(self, *names: str) -> list[Record]:
        """Everything in the topics that have these names behind the prefix."""
        topics = [f"{self.prefix}.{name}" for name in names]
        return await asyncio.to_thread(read_topics, self.kafka, *topics)

    async def judge(
        self, until: float, decode: Callable[[Record], Candle] = single_object
    ) -> Findings:
        """What lies in the closed topics, compared with the truth."""
        candles = [decode(record) for record in await self.records("closed")]
        since = dict(self.wishes)
        for candle in candles:
            name = f"{candle['exchange']}:{candle['trading_pair']}:{candle['interval']}"
            since[name] = min(since[name], candle["open_time"] / 1000)
        return compare(self.wishes, await fetch(self.sandbox.url, since), candles, until)

    async def complete(
        self,
        until: float,
        seconds: float = SOON,
        decode: Callable[[Record], Candle] = single_object,
    ) -> Findings:
        """The comparison, made as soon as nothing is lost of what closed before ``until``."""
        found: list[Findings] = []

        async def nothing_lost() -> bool:
            found.append(await self.judge(until, decode))
            return not found[-1].lost

        await self.reach(until)
        await eventually(nothing_lost, lambda: f"candles are missing: {found[-1:]}", seconds)
        return found[-1]


def report(*said: object) -> None:
    """What pytest shows of a test that fails, and with ``-s`` of every one."""
    print(*said)  # noqa: T201 - see above


class Running:
    """A worker that runs."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.task = asyncio.create_task(worker.run(), name="the worker")

    async def stop(self) -> Tally:
        """Drain it; what became of what it received. Raises what it ended with."""
        self.worker.stop()
        return await self.task


async def eventually(
    holds: Callable[[], Awaitable[bool]],
    otherwise: Callable[[], str],
    seconds: float = SOON,
    every: float = 0.2,
) -> None:
    """Wait until ``holds()``; fail with ``otherwise()`` after ``seconds``."""
    end = time.monotonic() + seconds
    while not await holds():
        assert time.monotonic() < end, f"not within {seconds:g} s: {otherwise()}"
        await asyncio.sleep(every)
