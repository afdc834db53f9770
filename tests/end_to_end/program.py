"""The program ``candles run`` as a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.end_to_end.stage import SOON, Stage, eventually

BOUND = 15.0
"""Real seconds within which a run that is told to stop has ended, where Kafka answers."""


class Program:
    """One run. Its log is JSON; ``folder`` keeps what it wrote."""

    def __init__(self, folder: Path, arguments: Iterable[str]) -> None:
        number = len(list(folder.glob("run-*.log")))
        self._said = folder / f"run-{number}.out"
        self._log = folder / f"run-{number}.log"
        with self._said.open("wb") as out, self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", "connectors.cli", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                env={name: value for name, value in os.environ.items() if "CANDLES_" not in name},
            )

    @property
    def said(self) -> str:
        """What it printed."""
        return self._said.read_text()

    @property
    def wrote(self) -> str:
        """What it wrote to stderr: its log, and the sentence it failed with."""
        return self._log.read_text()

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    def events(self, name: str) -> list[dict[str, Any]]:
        """What its log has of one kind."""
        lines = [json.loads(line) for line in self.wrote.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    async def event(self, name: str, count: int = 1, seconds: float = SOON) -> dict[str, Any]:
        """The event of this name, the ``count``-th, as soon as it has happened."""

        async def happened() -> bool:
            assert self.status is None, f"it ended with {self.status}: {self.wrote[-1500:]}"
            return len(self.events(name)) >= count

        await eventually(happened, lambda: f"no {name} in {self.wrote[-1500:]}", seconds, 0.05)
        return self.events(name)[count - 1]

    def kill(self) -> None:
        """End it as a crash does (SIGKILL)."""
        self._process.kill()
        self._process.wait()

    def terminate(self) -> None:
        """Ask it to end (SIGTERM)."""
        self._process.send_signal(signal.SIGTERM)

    async def ended(self, seconds: float = BOUND) -> float:
        """Wait until it has ended by itself; how many real seconds that took."""
        began = time.monotonic()

        async def over() -> bool:
            return self.status is not None

        await eventually(over, lambda: f"it still runs: {self.wrote[-1500:]}", seconds, 0.02)
        return time.monotonic() - began


@asynccontextmanager
async def carrying(
    stage: Stage, folder: Path, wishes: Iterable[str], *more: str
) -> AsyncIterator[Program]:
    """``candles run`` with these wishes, once it has accepted them; killed if it still runs."""
    program = Program(folder, ["run", *wishes, *flags(stage), *more])
    try:
        accepted = (await program.event("subscriptions.accepted"))["market"]
        for wish in wishes:
            stage.wishes.setdefault(wish, accepted)
        yield program
    finally:
        program.kill()


def flags(stage: Stage) -> list[str]:
    """What points a run at a stage."""
    return [
        *("--kafka", stage.kafka, "--sandbox", stage.sandbox.url, "--prefix", stage.prefix),
        *("--partitions", "3", "--log-format", "json"),
    ]


def summed(said: str) -> dict[str, int]:
    """The figures of the line that a drained run ends with; they must add up."""
    line = said.strip().splitlines()[-1]
    figures = {name: int(number) for name, number in re.findall(r"([a-z]+) (\d+)", line)}
    sum_of = ("published", "conflated", "failed", "settled", "unwanted")
    total = sum(figures[name] for name in sum_of)
    assert figures["received"] == total, f"the line does not add up to {total}: {line}"
    figures["closed"] = int(re.findall(r"closed candles written (\d+)", line)[0])
    return figures
