"""The shell around every command: what happens beside its own work is told in the log."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import structlog
from click.testing import CliRunner

from connectors import cli, telemetry
from connectors.commands import program
from connectors.commands.program import Signals
from connectors.kafka.quiet import RateLimit


class Log:
    """What the program writes on stderr."""

    def __init__(self) -> None:
        self.out = io.StringIO()
        telemetry.configure("json", "info", self.out)
        program._listen_to_libraries("info")

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.getvalue().splitlines()]


def _unlimited() -> None:
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("aiokafka")]:
        logging.getLogger(name).filters.clear()


@pytest.fixture
def log() -> Iterator[Log]:
    """The log of one test; afterwards the process's own is as it was."""
    handlers, level = logging.root.handlers[:], logging.root.level
    counts = telemetry.counts.copy()
    telemetry.counts.clear()
    yield Log()
    _unlimited()
    telemetry.counts.clear()
    telemetry.counts.update(counts)
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def after(begin: Callable[[], object]) -> None:
    """Run a command's loop, in which this begins something, to its end."""

    async def work() -> None:
        begin()
        for _ in range(3):
            await asyncio.sleep(0)
        gc.collect()  # a task that nobody holds is complained of when it goes

    asyncio.run(Signals().over(work()))


def fail() -> None:
    """What a library's callback does."""
    raise ValueError("a defect of a library")


async def failing() -> None:
    """What a forgotten task does."""
    fail()


@pytest.mark.parametrize(
    ("begin", "where"),
    [
        (lambda: asyncio.ensure_future(failing()), "Task exception was never retrieved"),
        (lambda: asyncio.get_running_loop().call_soon(fail), "Exception in callback fail"),
    ],
    ids=["a forgotten task", "a callback"],
)
def test_what_nobody_waits_for_is_one_line_of_the_log(
    log: Log, capfd: pytest.CaptureFixture[str], begin: Callable[[], object], where: str
) -> None:
    """The exception of a forgotten task or of a callback is an event, never a bare traceback."""
    after(begin)
    (line,) = log.lines()
    assert (line["event"], line["level"]) == ("loop.failed", "error")
    assert line["where"].startswith(where)
    assert line["reason"] == "ValueError('a defect of a library')"
    assert capfd.readouterr() == ("", "")


def test_a_storm_of_exceptions_is_one_line(log: Log) -> None:
    """A callback that fails a thousand times is counted each time, and written once."""

    def storm() -> None:
        for _ in range(1_000):
            asyncio.get_running_loop().call_soon(fail)

    after(storm)
    assert [line["event"] for line in log.lines()] == ["loop.failed"]
    assert telemetry.counts["loop.failed", ""] == 1_000


WITH_A_LOOP = [
    "run binance_spot:BTC-USDT:1m --kafka localhost:1",
    "tail --kafka localhost:1",
    "coverage --kafka localhost:1",
    "audit binance_spot:BTC-USDT:1m --kafka localhost:1",
    "check binance_spot --sandbox http://localhost:1",
    "sandbox --port 0",
    "kafka --port 0",
    "demo",
]


def test_no_command_is_forgotten() -> None:
    """The list above has every command but those that only print."""
    printing = {"exchanges", "plan", "conformance"}
    assert {words.split()[0] for words in WITH_A_LOOP} == set(cli.main.commands) - printing


@pytest.mark.parametrize("words", WITH_A_LOOP)
def test_every_command_that_runs_a_loop_listens(
    monkeypatch: pytest.MonkeyPatch, log: Log, words: str
) -> None:
    """Each of them does its work under the same signals, exceptions and limits of the log."""
    seen: list[bool] = []

    class Seen(BaseException):
        pass

    async def over(_: Signals, work: Coroutine[Any, Any, object]) -> None:
        work.close()
        filters = logging.getLogger("aiokafka.conn").filters
        seen.append(any(isinstance(each, RateLimit) for each in filters))
        raise Seen

    monkeypatch.setattr(Signals, "over", over)
    _unlimited()
    with pytest.raises(Seen):
        cli.main(words.split())
    assert seen == [True]


class Pretended:
    """A worker that runs until it is told to stop, or is cancelled."""

    def __init__(self, *_: object) -> None:
        self._stop = asyncio.Event()
        self.done: list[str] = []

    async def __aenter__(self) -> Pretended:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.done.append("closed")

    def stop(self) -> None:
        self.done.append("stop")
        self._stop.set()

    async def prepare(self) -> None:
        return

    async def run(self) -> str:
        os.kill(os.getpid(), signal.SIGTERM)
        await self._stop.wait()
        self.done.append("drained")
        return "the last line"


class Deaf(Pretended):
    """A worker whose draining takes for ever: only a second signal ends it."""

    async def run(self) -> str:
        os.kill(os.getpid(), signal.SIGTERM)
        await self._stop.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()
        raise AssertionError("it was not cancelled")


@pytest.mark.parametrize(
    ("kind", "done", "status", "said"),
    [
        (Pretended, ["stop", "drained", "closed"], 0, "the last line"),
        (Deaf, ["stop", "closed"], 1, "candles: stopped at once: the next run fetches what"),
    ],
)
def test_sigterm_asks_a_run_to_drain_and_the_second_one_ends_it(
    monkeypatch: pytest.MonkeyPatch,
    log: Log,
    kind: type[Pretended],
    done: list[str],
    status: int,
    said: str,
) -> None:
    """The first signal is no cancellation, so that what is under way is finished."""
    made = kind()
    monkeypatch.setattr(cli, "Worker", lambda *_: made)
    words = ["run", "binance_spot:BTC-USDT:1m", "--kafka", "localhost:1"]
    result = CliRunner().invoke(cli.main, words)
    assert (made.done, result.exit_code) == (done, status)
    assert said in result.output
