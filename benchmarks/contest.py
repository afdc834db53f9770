"""One run of a contender: start, warm up, go, CPU until the last record is visible, end."""

from __future__ import annotations

import asyncio
import json
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.load import INTERVAL, SYMBOLS, Load
from benchmarks.reader import Count, Offsets, Reader
from benchmarks.settings import Settings
from connectors.errors import SetupError
from connectors.sandbox import process
from connectors.sandbox.process import HOST, Child

WARM_UP: Final = 2000
"""Messages before go: none of them closes a bar."""
PARTITIONS: Final = 12
ROOT: Final = Path(__file__).parents[1]

START_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.04
QUIET_SECONDS: Final = 1.5
"""All is visible when for so long no topic of the run has grown, coverage included."""
SILENT_SECONDS: Final = 15.0
"""The same where records are lacking."""
STOP_SECONDS: Final = 15.0


@dataclass(frozen=True)
class Outcome:
    """What one run came to. CPU (user and system) and wall clock in seconds, since go."""

    messages: int
    cpu: float
    seconds: float
    count: Count

    @property
    def cost(self) -> float:
        """Microseconds of CPU a message."""
        return self.cpu / self.messages * 1e6


class Arena:
    """A Kafka, a load, and the server that writes it."""

    def __init__(self, kafka: str, load: Load, folder: Path) -> None:
        self.load = load
        self._kafka = kafka
        self._folder = folder
        self._reader = Reader(kafka)
        self._port = process.free_ports(1)[0]
        self._turn = 0

    @contextmanager
    def _child(
        self, module: str, *args: object, settings: Settings | None = None
    ) -> Iterator[Child]:
        log = self._folder / f"{module}.log"
        command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, args)]
        child = Child(command, log, ROOT, None if settings is None else settings.environment())
        try:
            yield child
        finally:
            child.kill()

    @contextmanager
    def server(self) -> Iterator[Child]:
        """The server, for as long as it is needed."""
        with self._child("server", self._port, self.load.messages, self.load.start) as child:
            yield child

    async def serving(self, server: Child) -> None:
        """Wait until the server has made its frames and answers."""

        async def answers() -> bool:
            return self._try("state") is not None

        await process.ready(server, "the load server", answers, START_SECONDS)

    def settings(self, name: str) -> Settings:
        """For one more run."""
        self._turn += 1
        run = f"{name}-{self._turn}-{time.time_ns()}"
        return Settings(
            kafka=self._kafka,
            stream=f"ws://{HOST}:{self._port}",
            rest=f"http://{HOST}:{self._port}",
            closed=f"{run}.closed",
            live=f"{run}.live",
            partitions=PARTITIONS,
            symbols=tuple(SYMBOLS),
            interval=INTERVAL,
            run=run,
        )

    async def contest(self, name: str) -> Outcome:
        """Let the module ``name`` carry the load once."""
        settings = self.settings(name)
        self._reader.create((settings.closed, settings.live), PARTITIONS)
        self.ask("rewind")
        with self._child(name, settings=settings) as child:
            outcome = await self._carried(child, name, settings)
        self.forget(settings)
        return outcome

    def forget(self, settings: Settings) -> None:
        """Remove the topics of a run."""
        self._reader.delete(settings.run)

    async def _carried(self, child: Child, name: str, settings: Settings) -> Outcome:
        async def subscribed() -> bool:
            return bool(self.ask("state")["channels"] == len(SYMBOLS))

        await process.ready(child, name, subscribed, START_SECONDS)
        self.ask(f"send?count={WARM_UP}")
        await self._visible(child, settings)
        began, spent = time.monotonic(), cpu_seconds(child.pid)
        self.ask(f"send?count={self.load.messages - WARM_UP}")
        ended, burnt = await self._visible(child, settings)
        child.terminate()
        await child.ended(STOP_SECONDS)
        count = self._reader.count((settings.closed, settings.live), self.load, WARM_UP)
        return Outcome(self.load.messages - WARM_UP, burnt - spent, ended - began, count)

    async def _visible(self, child: Child, settings: Settings) -> tuple[float, float]:
        """Wait until no topic of the run grows any more; when, and the CPU spent until then."""
        ends: Offsets = {}
        grown = time.monotonic(), cpu_seconds(child.pid)
        sent = self.ask("state")["sent"]
        while time.monotonic() - grown[0] < (
            QUIET_SECONDS if _records(ends, settings) >= sent else SILENT_SECONDS
        ):
            await asyncio.sleep(LOOK_SECONDS)
            if not child.running():
                raise SetupError(f"{child.log.stem} has ended by itself: {child.last_words()}")
            look = time.monotonic(), cpu_seconds(child.pid)
            now = self._reader.ends(settings.run)
            if now != ends:
                ends, grown = now, look
        return grown

    def ask(self, what: str) -> dict[str, Any]:
        """Control the server."""
        url = f"http://{HOST}:{self._port}/bench/{what}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            return dict(json.load(answer))

    def _try(self, what: str) -> dict[str, Any] | None:
        try:
            return self.ask(what)
        except OSError:
            return None


def _records(ends: Offsets, settings: Settings) -> int:
    """How many the topics of candles hold at most: markers of transactions count as well."""
    topics = settings.closed, settings.live
    return sum(end for (topic, _), end in ends.items() if topic in topics)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, by the CPU clock that Linux has for each."""
    return time.clock_gettime((~pid << 3) | 2)  # CPUCLOCK_SCHED of the whole process
