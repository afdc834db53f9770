"""What is written down when something happens, and how often."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import structlog

from connectors import telemetry
from connectors.telemetry import (
    QUIET,
    CandlesCompared,
    ConnectionLost,
    Event,
    FrameUnreadable,
    SubscriptionsAccepted,
)

EVENTS = Event.__subclasses__()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Log:
    """What was written, and the time by which it is written."""

    def __init__(self) -> None:
        self.out = io.StringIO()
        self.now = 0.0
        telemetry.configure("json", stream=self.out, now=lambda: self.now)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.getvalue().splitlines()]


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    counts = telemetry.counts.copy()
    telemetry.counts.clear()
    yield
    telemetry.counts.clear()
    telemetry.counts.update(counts)
    structlog.reset_defaults()


def lost(exchange: str = "plain") -> ConnectionLost:
    """What happens seldom."""
    return ConnectionLost(exchange=exchange, reason="closed by the other side: 1001", again_in=0.4)


def unreadable(exchange: str = "plain") -> FrameUnreadable:
    """What may happen often."""
    return FrameUnreadable(exchange=exchange, reason="no JSON")


def test_an_event_is_one_line_of_json_with_its_values_as_fields() -> None:
    """A dotted name, a level, a time in UTC, and every value of the event under its own name."""
    log = Log()
    lost().tell()
    (line,) = log.lines()
    assert datetime.fromisoformat(line.pop("timestamp")).utcoffset() is not None
    assert line == {
        "event": "connection.lost",
        "level": "warning",
        "exchange": "plain",
        "reason": "closed by the other side: 1001",
        "again_in": 0.4,
    }


@pytest.mark.parametrize("style", ["human", "auto"])
def test_a_terminal_gets_lines_for_people(style: Any) -> None:
    """On a terminal the same is written for the eye: no JSON, the name and values to be seen."""
    out = Terminal()
    telemetry.configure(style, stream=out)
    lost().tell()
    seen = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())
    assert "connection.lost" in seen
    assert "exchange=plain" in seen
    assert not seen.startswith("{")


def test_no_terminal_gets_json() -> None:
    """Where nobody looks on, a log is for machines."""
    out = io.StringIO()
    telemetry.configure("auto", stream=out)
    lost().tell()
    assert json.loads(out.getvalue())["event"] == "connection.lost"


def test_a_file_never_gets_colours() -> None:
    """Human lines that do not go to a terminal are plain text."""
    out = io.StringIO()
    telemetry.configure("human", stream=out)
    lost().tell()
    assert "\x1b" not in out.getvalue()


def test_what_lies_below_the_level_is_counted_but_not_written() -> None:
    """With level warning an info event leaves no line, and its count all the same."""
    out = io.StringIO()
    telemetry.configure("json", "warning", out)
    SubscriptionsAccepted(subscriptions=3, market=0.0).tell()
    lost().tell()
    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == [
        "connection.lost"
    ]
    assert telemetry.counts == {("subscriptions.accepted", ""): 1, ("connection.lost", "plain"): 1}


def test_what_happens_often_writes_one_line_in_a_while_and_counts_always() -> None:
    """A thousand unreadable frames in ten seconds are one line; the next one says how many."""
    log = Log()
    for _ in range(1_000):
        unreadable().tell()
        log.now += QUIET / 1_000
    log.now = QUIET
    unreadable().tell()
    assert [line["so_far"] for line in log.lines()] == [1, 1_001]
    assert telemetry.counts["frame.unreadable", "plain"] == 1_001


def test_candles_that_differ_are_counted_singly_and_those_that_agree_are_not_told() -> None:
    """The agreement rate of an exchange is reckoned in candles, not in replies."""
    log = Log()
    for agreed, differed in ((9, 0), (7, 3), (1, 1)):
        CandlesCompared(exchange="plain", agreed=agreed, differed=differed).tell()
    assert [(line["event"], line["so_far"]) for line in log.lines()] == [("candles.differed", 3)]
    assert telemetry.counts["candles.agreed", "plain"] == 17
    assert telemetry.counts["candles.differed", "plain"] == 4


def test_one_exchange_does_not_silence_another() -> None:
    """The pause between lines is counted for each exchange alone."""
    log = Log()
    unreadable("one").tell()
    unreadable("other").tell()
    assert [line["exchange"] for line in log.lines()] == ["one", "other"]


def test_what_happens_seldom_is_always_written() -> None:
    """Two lost connections in the same second are two lines, without a count."""
    log = Log()
    lost().tell()
    lost().tell()
    assert ["so_far" in line for line in log.lines()] == [False, False]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_every_event_has_a_dotted_name_a_sentence_and_a_level(event: type[Event]) -> None:
    """Names are ``what.happened``; the docstring says what it means for the reader of a log."""
    assert re.fullmatch(r"[a-z_]+\.[a-z_]+", event.event)
    assert event.__doc__ is not None
    assert event.__doc__.endswith(".")
    assert not event.__doc__.startswith(event.__name__), "write a docstring: what does it mean?"
    assert event.level in {"info", "warning", "error"}


def test_no_two_events_share_a_name() -> None:
    """A name in the log leads to one class."""
    names = [event.event for event in EVENTS]
    assert sorted(set(names)) == sorted(names)
