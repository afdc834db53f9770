"""The benchmark, small, through the real thing."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.contest import Outcome
from benchmarks.load import BARS, SYMBOLS, Load
from benchmarks.reader import Count
from benchmarks.report import FAULTS, Report
from benchmarks.stages import PARTS
from connectors import exchanges

ROOT = Path(__file__).parents[2]
FLOOR = {"receive", "decode", "encode", "produce"}


def _bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)  # noqa: S603 - our own


@pytest.fixture(scope="module")
def measured(kafka: str) -> dict[str, Any]:
    """One round of a few thousand messages, as JSON."""
    done = _bench("--json", "--rounds", "1", "--messages", "6000", "--kafka", kafka)
    assert done.returncode == 0, done.stderr + done.stdout
    return dict(json.loads(done.stdout))


@pytest.mark.kafka
def test_every_record_is_read_back(measured: dict[str, Any]) -> None:
    """Of both contenders an independent reader finds every record once, and closed ones are."""
    assert measured["faults"] == dict.fromkeys(FAULTS, 0)
    for name in ("ours", "floor"):
        (one,) = measured["whole"][name]
        assert (one["count"]["records"], one["count"]["closed"]) == (6000, 400)
        assert one["cost"] > 0


@pytest.mark.kafka
def test_every_part_is_measured(measured: dict[str, Any]) -> None:
    """Each part of ours has its cost, and those that the floor has, too."""
    (ours,), (floor,) = measured["parts"]["ours"], measured["parts"]["floor"]
    assert set(ours) == set(PARTS)
    assert set(floor) == FLOOR
    assert min(cost for part, cost in {**ours, **floor}.items() if part != "route") > 0


def _report(**faults: int) -> Report:
    one = Outcome(1000, 0.02, 0.1, Count(records=1000, closed=50))
    bad = replace(one, cpu=0.03, count=Count(records=1000, **faults))
    parts = dict.fromkeys(PARTS, 1.0)
    return Report([one, bad], [one, one], [parts, parts], [dict.fromkeys(FLOOR, 2.0)])


def test_the_table_shows_every_part() -> None:
    """The table has a line for each part and for the whole, and a dash where the floor has none."""
    text = _report().as_text()
    lines = {line.split()[1]: line for line in text.splitlines() if line.startswith("| ")}
    assert set(lines) == {"part", *PARTS, "sum", "whole"}
    assert [part for part in PARTS if lines[part].endswith("– |")] == [
        part for part in PARTS if part not in FLOOR
    ]
    assert "20.00 / 25.00 / 30.00" in lines["whole"]
    assert "ours 40,000 · the same libraries 50,000 · ratio of costs 1.25" in text


@pytest.mark.parametrize("fault", FAULTS)
def test_a_single_bad_record_is_a_fault(fault: str) -> None:
    """One lost, doubled, wrong or disordered record in any round counts, and is told."""
    report = _report(**{fault: 1})
    assert report.faults == {**dict.fromkeys(FAULTS, 0), fault: 1}
    assert f"{fault} 1" in report.as_text()


def test_the_load_is_what_the_exchange_would_send() -> None:
    """The adapter reads every frame of the load as the candle that the reader expects."""
    load = Load.until_now(BARS + 400)
    adapter = exchanges.get("binance_spot")()
    for seq in (0, 1, 399, BARS - 200, BARS - 1, BARS, BARS + 399):
        (candle,) = adapter.parse_ws_message(json.loads(load.frame(seq)))  # type: ignore[misc]  # the one candle
        state = load.state(seq)
        told = candle.timestamp, candle.close, candle.volume, candle.closed
        assert (state.open_time, state.close, state.volume, state.closed) == told
        assert candle.channel == f"{SYMBOLS[seq % len(SYMBOLS)].lower()}@kline_1m"
        assert candle.event_time is not None
        assert candle.timestamp * 1000 <= candle.event_time <= (candle.timestamp + 60) * 1000


def test_it_says_in_a_sentence_why_it_cannot_run() -> None:
    """An impossible number of messages is wrong use, and nothing is started."""
    done = _bench("--messages", "1")
    assert done.returncode == 2
    assert "measure 1000 to 200000 messages" in done.stderr
