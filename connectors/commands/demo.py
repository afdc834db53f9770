"""The demo: pretend exchanges, a real Kafka, and the real connector, compared with the truth.

Everything that is shown and judged is read from Kafka's topics, as any consumer would. The
connector is a child process that ends by SIGTERM, as in production.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import orjson
from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from connectors.codec import candle_of
from connectors.commands.tail import Candles, moment, plain, subscription_of, watch
from connectors.errors import SetupError
from connectors.kafka import Stored, probe
from connectors.model import Subscription
from connectors.records import CandleRecord
from connectors.sandbox.kafka import LocalKafka
from connectors.sandbox.process import Child, until
from connectors.sandbox.server import Sandbox
from connectors.sandbox.verdict import Verdict, grace, judge
from connectors.sandbox.wishes import DEMO
from connectors.settings import Settings
from connectors.telemetry import SubscriptionsAccepted

START_SECONDS: Final = 60.0
DRAIN_SECONDS: Final = 60.0
FRAME_SECONDS: Final = 0.25  # between two pictures of the table
LINE_SECONDS: Final = 5.0  # between two lines, where there is no terminal


@dataclass
class Row:
    """What was seen of one subscription."""

    live: dict[str, Any] | None = None
    last: dict[str, Any] | None = None
    closed: int = 0


class Demo:
    """One demo; ``run`` it once. Without ``settings.kafka`` it starts a Kafka of its own."""

    def __init__(
        self, settings: Settings, seconds: float, speed: float, seed: int, console: Console
    ) -> None:
        self._settings = replace(settings, prefix=f"demo-{time.time_ns() // 1_000_000}")
        self._seconds = seconds
        self._sandbox = Sandbox(0, speed, seed)
        self._console = console
        self._wishes = [Subscription.parse(text) for text in DEMO]
        self._rows = {subscription: Row() for subscription in self._wishes}
        self._left = seconds
        self._updates = 0

    async def run(self) -> Verdict:
        """The comparison at the end. What is missing for the demo is a ConnectorError."""
        async with self._kafka(), self._sandbox:
            self._settings = replace(self._settings, sandbox=self._sandbox.url)
            async with self._connector() as child:
                accepted = await self._accepted(child)
                self._tell(self._introduction())
                await self._show(child)
                stopped = self._market()
                await self._drained(child)
            found = await self._found()
            wishes = dict.fromkeys(self._wishes, accepted)
            end = stopped - grace(self._sandbox.clock.speed)
            return await judge(self._sandbox.url, wishes, found, end)

    def _market(self) -> float:
        return self._sandbox.clock.now().market

    def _tell(self, sentence: str) -> None:
        self._console.print(sentence, highlight=False, soft_wrap=True)

    # --- Kafka and the connector ---

    @asynccontextmanager
    async def _kafka(self) -> AsyncIterator[None]:
        if self._settings.kafka is not None:
            await probe(self._settings.cluster())
            yield
            return
        self._tell("Starting Apache Kafka on this machine.")
        async with LocalKafka() as kafka:
            self._settings = replace(self._settings, kafka=kafka.bootstrap)
            yield

    @asynccontextmanager
    async def _connector(self) -> AsyncIterator[Child]:
        """A ``candles run`` of its own process; its log is kept only when something fails."""
        with tempfile.TemporaryDirectory(prefix="candles-demo-") as folder:
            command = [sys.executable, "-m", "connectors.cli", "run", *map(str, self._wishes)]
            settings = replace(self._settings, log_format="json", log_level="info")
            child = Child(command, Path(folder) / "connector.log", env=settings.environment())
            try:
                yield child
            finally:
                child.kill()

    async def _accepted(self, child: Child) -> float:
        """The market time at which the connector accepted the wishes."""
        await until(lambda: bool(_told(child)) or not child.running(), START_SECONDS)
        self._check(child)
        told = _told(child)
        if told is None:
            raise SetupError(
                f"the connector has not begun within {START_SECONDS:g} s: {_last_line(child)}"
            )
        return min(told, self._market())

    async def _drained(self, child: Child) -> None:
        child.terminate()
        if not await child.ended(DRAIN_SECONDS):
            raise SetupError(f"the connector did not end within {DRAIN_SECONDS:g} s of SIGTERM")
        if child.status:
            raise SetupError(f"the connector failed: {_last_line(child)}")
        self._tell(_last_line(child))

    def _check(self, child: Child) -> None:
        if not child.running():
            raise SetupError(f"the connector has ended by itself: {_last_line(child)}")

    # --- what Kafka has ---

    def _topics(self, *kinds: str) -> list[str]:
        exchanges = sorted({subscription.exchange for subscription in self._wishes})
        plan = self._settings.topics()
        return [getattr(plan, kind)(exchange).name for exchange in exchanges for kind in kinds]

    async def _found(self) -> list[CandleRecord]:
        cluster = self._settings.cluster()
        candles = Candles(cluster, self._settings.topics())
        found: list[CandleRecord] = []

        async def heed(stored: Stored) -> None:
            found.append(candle_of(await candles.read(stored)))

        await watch(cluster, self._topics("closed"), heed, beginning=True, follow=False)
        return found

    async def _show(self, child: Child) -> None:
        """The live table until the seconds have passed; plain lines without a terminal."""
        cluster = self._settings.cluster()
        candles = Candles(cluster, self._settings.topics())

        async def heed(stored: Stored) -> None:
            self._see(await candles.read(stored))

        topics = self._topics("closed", "live")
        watching = asyncio.create_task(watch(cluster, topics, heed, beginning=True))
        try:
            await (self._draw if self._console.is_terminal else self._lines)(child, watching)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    def _see(self, candle: dict[str, Any]) -> None:
        row = self._rows.setdefault(subscription_of(candle), Row())
        if candle["closed"]:
            row.closed += 1
            row.last = candle
        else:
            self._updates += 1
            row.live = candle

    async def _passing(
        self, child: Child, watching: asyncio.Task[None], step: float
    ) -> AsyncIterator[None]:
        """A turn every ``step`` seconds until the demo's seconds have passed."""
        end = time.monotonic() + self._seconds
        while (left := end - time.monotonic()) > 0:
            self._check(child)
            with suppress(TimeoutError):
                async with asyncio.timeout(min(step, left)):
                    await asyncio.shield(watching)
            self._left = max(0.0, end - time.monotonic())
            yield

    async def _lines(self, child: Child, watching: asyncio.Task[None]) -> None:
        async for _ in self._passing(child, watching, LINE_SECONDS):
            self._tell(self._overall())

    async def _draw(self, child: Child, watching: asyncio.Task[None]) -> None:
        with Live(console=self._console, auto_refresh=False) as live:
            async for _ in self._passing(child, watching, FRAME_SECONDS):
                live.update(Group(self._table(), Text(self._overall())), refresh=True)

    # --- pictures ---

    def _introduction(self) -> str:
        settings = self._settings
        return (
            f"The connector carries {len(self._wishes)} subscriptions. To look into Kafka: "
            f"candles tail --kafka {settings.kafka} --prefix {settings.prefix}"
        )

    def _overall(self) -> str:
        closed = sum(row.closed for row in self._rows.values())
        return (
            f"market time {moment(self._market())} · closed {closed} · "
            f"updates {self._updates} · {self._left:.0f} s left"
        )

    def _table(self) -> Table:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
        table.add_column("subscription", no_wrap=True)
        for heading in ("open", "price", "closed", "last", "close"):
            table.add_column(heading, justify="right", no_wrap=True)
        for subscription, row in self._rows.items():
            table.add_row(
                str(subscription),
                _time(row.live),
                _price(row.live),
                str(row.closed or "–"),
                _time(row.last),
                _price(row.last),
            )
        return table


def _time(candle: dict[str, Any] | None) -> str:
    return moment(candle["open_time"] / 1000)[11:16] if candle else "–"


def _price(candle: dict[str, Any] | None) -> str:
    return plain(candle["close"]) if candle else "–"


def _told(child: Child) -> float | None:
    """When, in market time, the connector's log says that it has accepted the wishes."""
    for text in child.output().splitlines():
        with suppress(ValueError, TypeError, KeyError):  # no line of the log
            line = orjson.loads(text)
            if line["event"] == SubscriptionsAccepted.event:
                return float(line["market"])
    return None


def _last_line(child: Child) -> str:
    """The connector's last words: the tally, or the sentence of its failure."""
    lines = [text.strip() for text in child.output().splitlines() if text.strip()]
    return lines[-1].removeprefix("candles: ") if lines else "it wrote nothing"
