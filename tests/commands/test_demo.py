"""The demo: the real one, on a real Kafka, and what it says when something is amiss."""

from __future__ import annotations

import asyncio
import io
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner
from rich.console import Console

from connectors.cli import main
from connectors.commands import demo
from connectors.commands.demo import Demo
from connectors.errors import SetupError
from connectors.sandbox.process import Child
from connectors.sandbox.verdict import Verdict
from connectors.sandbox.wishes import DEMO
from connectors.settings import Settings

PATIENCE = 180.0
LAST_LINE = re.compile(r"closed (\d+) · equal (\d+) · lost 0 · doubled 0 · wrong 0")


@pytest.mark.kafka
def test_demo() -> None:
    """The demo brings its own Kafka, ends by itself, and finds everything equal to the truth."""
    program = [sys.executable, "-W", "error", "-m", "connectors.cli", "demo", "--seconds", "20"]
    found = subprocess.run(  # noqa: S603 - our own program
        program, capture_output=True, text=True, timeout=PATIENCE, check=False
    )

    assert (found.returncode, found.stderr) == (0, ""), found.stdout
    lines = found.stdout.splitlines()
    assert lines[0] == "Starting Apache Kafka on this machine."
    assert sum("· closed" in line and " s left" in line for line in lines) >= 4
    last = LAST_LINE.fullmatch(lines[-1])
    assert last, found.stdout
    assert int(last[1]) == int(last[2]) >= 100


@pytest.mark.kafka
async def test_table(kafka: str) -> None:
    """In a terminal there is a table with a row for each subscription, and its newest states."""
    shown = io.StringIO()
    screen = Console(file=shown, force_terminal=True, width=80, color_system=None)

    verdict = await Demo(Settings(kafka=kafka), 7.0, 60.0, 1, screen).run()

    assert verdict.passed, [str(verdict), *verdict.notes()]
    last = shown.getvalue().rpartition("subscription")[2]
    for wish in DEMO:
        assert re.search(rf"^{wish[:30]}", last, re.MULTILINE), f"{wish} is not in {last}"
    row = r"\d\d:\d\d +[\d.]+ +[1-9]\d* +\d\d:\d\d +[\d.]+"
    assert re.search(rf"^{DEMO[0]} +{row} *$", last, re.MULTILINE), last
    assert re.search(r"market time \d{4}-\d\d-\d\d .* · closed [1-9]\d* · updates [1-9]", last)


@pytest.mark.kafka
async def test_connector_fails(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connector that ends by itself ends the demo, with the connector's own sentence."""
    monkeypatch.setattr(demo, "DEMO", ["binance_spot:NOPE-USDT:1m"])
    screen = Console(file=io.StringIO())

    with pytest.raises(SetupError) as failed:
        await Demo(Settings(kafka=kafka), 60.0, 60.0, 1, screen).run()

    assert str(failed.value).startswith(
        "the connector has ended by itself: binance_spot:NOPE-USDT:1m: binance_spot lists no"
    )


@pytest.mark.kafka
async def test_connector_dies(kafka: str) -> None:
    """A connector that is killed half-way is noticed."""
    screen = Console(file=io.StringIO())
    playing = Demo(Settings(kafka=kafka), 60.0, 60.0, 1, screen)
    show = playing._show

    async def shown(child: Child) -> None:
        showing = asyncio.create_task(show(child))
        child.kill()
        await showing

    playing._show = shown  # type: ignore[method-assign]  # to know the child
    with pytest.raises(SetupError, match=r"^the connector has ended by itself: "):
        await playing.run()


GOOD = Verdict(closed=9, equal=9)


@pytest.mark.parametrize(
    ("verdict", "status", "printed"),
    [
        (GOOD, 0, "closed 9 · equal 9 · lost 0 · doubled 0 · wrong 0\n"),
        (Verdict(), 1, "closed 0 · equal 0 · lost 0 · doubled 0 · wrong 0\n"),
        (
            Verdict(closed=9, equal=8, lost=1, reasons=["lost: x"]),
            1,
            "lost: x\nclosed 9 · equal 8 · lost 1 · doubled 0 · wrong 0\n",
        ),
        (
            Verdict(closed=9, equal=9, doubled=1, late=2),
            1,
            "late 2\nclosed 9 · equal 9 · lost 0 · doubled 1 · wrong 0\n",
        ),
        (
            Verdict(closed=9, equal=9, wrong=1),
            1,
            "closed 9 · equal 9 · lost 0 · doubled 0 · wrong 1\n",
        ),
        (
            Verdict(closed=9, equal=9, unordered=1),
            1,
            "out of order 1\nclosed 9 · equal 9 · lost 0 · doubled 0 · wrong 0\n",
        ),
    ],
)
def test_verdict(
    verdict: Verdict, status: int, printed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verdict is the last line; only a good one is exit status 0."""

    async def judged(_: Demo) -> Verdict:
        return verdict

    monkeypatch.setattr(Demo, "run", judged)

    found = CliRunner().invoke(main, ["demo"])

    assert (found.exit_code, found.stdout, found.stderr) == (status, printed, "")
