"""What was seen of an exchange, held against its adapter: every verdict."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from connectors.adapter import Heartbeat, QuietBars
from connectors.commands.check import (
    Conversation,
    Fact,
    Reading,
    Seen,
    Stream,
    Verdict,
    facts,
    lags,
    merged,
    totals,
)
from connectors.model import CandleData, Grid, Instrument
from tests.plain import START, Plain

END = START + 300
"""When the streams ended: four bars of a minute are over for sure."""


def candle(slot: int, close: float = 2.0, volume: float = 1.0, **more: Any) -> CandleData:
    """A bar that opens so many minutes after START."""
    return CandleData(START + 60 * slot, 1, 3, 1, close, volume, **more)


def heard(*candles: CandleData, late: float = 0.5, **facts_: Any) -> Stream:
    """A minute's stream that told of these, each so many seconds after its bar's end."""
    stream = Stream("1m", confirmed=True, waited=60.0, **facts_)
    for each in candles:
        stream.hear(each, each.timestamp + 60 + late)
    return stream


def adapter(**said: Any) -> Plain:
    """Of an exchange that is as ``said``, else one that flags, within two seconds."""
    return type("Said", (Plain,), {"close_flag": True, "close_grace": 2.0, **said})()


CLOSED = [candle(slot, closed=True) for slot in range(4)]


def seen(**more: Any) -> Seen:
    """All is well, but for what is given."""
    rows = [candle(slot) for slot in range(5)]
    reading = Reading(START, END, rows)
    usual: dict[str, Any] = {
        "adapter": adapter(),
        "trading_pair": "BTC-USDT",
        "stranger": "NOSUCH-USDT",
        "until": float(END),
        "instruments": [Instrument("BTC-USDT", "BTCUSDT")],
        "conversations": [Conversation(lasted=300.0, controls=3)],
        "streams": {"1m": heard(*CLOSED)},
        "readings": {"1m": reading},
        "later": {"1m": reading},
        "stranger_streamed": Stream("1m", refused="no such channel"),
        "stranger_read": Reading(START, END, refused="no such symbol"),
    }
    return Seen(**usual | more)


def fact(name: str, found: Seen) -> Fact:
    """The one fact of this name."""
    (only,) = [each for each in facts(found) if each.name == name]
    return only


def test_all_is_well() -> None:
    """Where all is as the adapter says, nothing differs, and only quiet bars are not seen."""
    found = facts(seen())

    assert {each.name for each in found if each.verdict != "agrees"} == {
        "quiet bars, stream",
        "quiet bars, REST",
    }
    assert totals(found) == f"agrees {len(found) - 2} · differs 0 · not seen 2"


def test_an_exchange_without_streams_has_no_facts_of_streams() -> None:
    """What is polled is held against REST alone."""
    names = {each.name for each in facts(seen(streams={}, later={}, stranger_streamed=None))}

    assert names == {
        *("instruments", "REST", "unknown pair, REST", "grid", "quiet bars, REST", "limits")
    }


BARE = [candle(slot, closed=False) for slot in range(4)]
READ = Reading(START, END, [candle(slot) for slot in range(5)])
HOLE = Reading(START, END, [candle(0), candle(1), candle(3), candle(4)])
QUIET = Reading(START, END, [candle(0), candle(1, volume=0.0), candle(2), candle(3)])
ASTRAY = Reading(START, END, [CandleData(START + 7, 1, 3, 1, 2, 1)])

CASES: dict[str, tuple[str, dict[str, Any], Verdict, str]] = {
    "no list is readable": ("instruments", {"instruments": "no JSON"}, "differs", "no JSON"),
    "no list at all": ("instruments", {"instruments": []}, "not seen", "no list"),
    "another list": (
        "instruments",
        {"instruments": [Instrument("A-B", "AB")]},
        "differs",
        "1 pairs, BTC-USDT not among them",
    ),
    "a connection ends": (
        "connections",
        {"conversations": [Conversation(ended="closed by the other side: 1006")]},
        "differs",
        "1006",
    ),
    "a frame is unreadable": ("frames", {"unreadable": ["KeyError: 'k'"]}, "differs", "'k'"),
    "no ping": ("heartbeat", {"conversations": [Conversation()]}, "not seen", "no ping"),
    "a ping by message unanswered": (
        "heartbeat",
        {
            "adapter": adapter(heartbeat=Heartbeat("message", 20, 60)),
            "conversations": [Conversation(pings=2, controls=4)],
        },
        "not seen",
        "2 pings of ours, 0 answered",
    ),
    "a ping by message answered": (
        "heartbeat",
        {
            "adapter": adapter(heartbeat=Heartbeat("message", 20, 60)),
            "conversations": [Conversation(pings=2, pongs=2)],
        },
        "agrees",
        "2 pings of ours, 2 answered",
    ),
    "an unknown subscription": (
        "WebSocket",
        {"streams": {"1m": heard(refused="no such interval")}},
        "differs",
        "refused: no such interval",
    ),
    "silence after a confirmation": (
        "WebSocket",
        {"streams": {"1m": heard()}},
        "not seen",
        "confirmed, 0 candles in 60 s",
    ),
    "no answer": (
        "WebSocket",
        {"streams": {"1m": Stream("1m", waited=60.0)}},
        "differs",
        "not confirmed, 0 candles in 60 s",
    ),
    "no answer yet": (
        "WebSocket",
        {"streams": {"1m": Stream("1m", waited=5.0)}},
        "not seen",
        "5 s",
    ),
    "candles without a confirmation": (
        "WebSocket",
        {"streams": {"1m": replace(heard(*CLOSED), confirmed=False)}},
        "agrees",
        "not confirmed, 4 candles",
    ),
    "REST refuses": (
        "REST",
        {"readings": {"1m": Reading(START, END, refused="no such period")}},
        "differs",
        "no such period",
    ),
    "REST has no row": ("REST", {"readings": {"1m": Reading(START, END)}}, "differs", "0 rows"),
    "REST is newest first": (
        "REST",
        {"readings": {"1m": Reading(START, END, READ.rows[::-1])}},
        "differs",
        "not oldest first",
    ),
    "REST gives other rows": (
        "REST",
        {"readings": {"1m": Reading(END, END + 300, READ.rows)}},
        "differs",
        "0 rows",
    ),
    "an unknown pair is accepted": (
        "unknown pair, WebSocket",
        {"stranger_streamed": Stream("1m", confirmed=True)},
        "agrees",
        "NOSUCH-USDT: confirmed, nothing came",
    ),
    "an unknown pair ends the connection": (
        "unknown pair, WebSocket",
        {"stranger_streamed": Stream("1m"), "stranger_ended": "closed: 1008"},
        "agrees",
        "NOSUCH-USDT: closed: 1008",
    ),
    "an unknown pair delivers": (
        "unknown pair, WebSocket",
        {"stranger_streamed": heard(*CLOSED)},
        "differs",
        "NOSUCH-USDT: 4 candles",
    ),
    "an unknown pair has rows": (
        "unknown pair, REST",
        {"stranger_read": READ},
        "differs",
        "5 rows",
    ),
    "a bar opens elsewhere": (
        "grid",
        {"readings": {"1m": ASTRAY}},
        "differs",
        f"1 of 5 do not, like {START + 7}",
    ),
    "no bar at all": ("grid", {"streams": {"1m": heard()}, "readings": {}}, "not seen", "no bar"),
    "a grid is learned": (
        "grid",
        {"adapter": adapter(grid=lambda _, __: Grid(60, None))},
        "agrees",
        "5",
    ),
    "a grid is learned, and not kept": (
        "grid",
        {"adapter": adapter(grid=lambda _, __: Grid(60, None)), "readings": {"1m": ASTRAY}},
        "differs",
        f"1 of 5 do not, like {START + 7}",
    ),
    "no flag comes": (
        "close",
        {"streams": {"1m": heard(*BARE)}},
        "differs",
        "0 bars were flagged closed, 4 ended, 4 of them without a flag",
    ),
    "no flag comes, but the connection broke": (
        "close",
        {"streams": {"1m": heard(*BARE)}, "conversations": [Conversation(ended="lost")]},
        "not seen",
        "0 bars were flagged closed, 4 ended",
    ),
    "a flag comes that is not said to": (
        "close",
        {"adapter": adapter(close_flag=False)},
        "differs",
        "4 bars were flagged closed",
    ),
    "no flag is said to come": (
        "close",
        {"adapter": adapter(close_flag=False), "streams": {"1m": heard(*BARE)}},
        "agrees",
        "0 bars were flagged closed, 4 ended",
    ),
    "no bar ended": ("close", {"until": START + 61.0}, "agrees", "4 bars were flagged"),
    "no bar ended nor was flagged": (
        "close",
        {"until": START + 61.0, "streams": {"1m": heard(*BARE[:1])}},
        "not seen",
        "0 bars were flagged closed, 0 ended",
    ),
    "frames come late": (
        "close grace",
        {"streams": {"1m": heard(*CLOSED, late=3.0)}},
        "differs",
        "within 3.0 s",
    ),
    "frames come in time": ("close grace", {}, "agrees", "within 0.5 s"),
    "nothing closed": ("close grace", {"until": float(START)}, "not seen", "no bar ended"),
    "time is scaled": ("close grace", {"speed": 60.0}, "not seen", "market time is scaled"),
    "the stream differs": (
        "equal",
        {"streams": {"1m": heard(*CLOSED[:3], candle(3, close=2.5, closed=True))}},
        "differs",
        f"3 equal, 1 differ ({START + 180}: close 2.5 but 2.0 on REST)",
    ),
    "REST lacks a bar": (
        "equal",
        {"later": {"1m": HOLE}},
        "differs",
        f"3 equal, 1 differ ({START + 120}: not on REST)",
    ),
    "REST lacks a bar without trades": (
        "equal",
        {
            "later": {"1m": HOLE},
            "streams": {"1m": heard(*CLOSED[:2], candle(2, volume=0.0, closed=True), CLOSED[3])},
        },
        "agrees",
        "4 equal",
    ),
    "an unflagged state lacks the last trades": (
        "equal",
        {
            "adapter": adapter(close_flag=False),
            "streams": {"1m": heard(*BARE[:3], candle(3, close=2.5, volume=0.5))},
        },
        "agrees",
        "3 equal, 1 lacked trades",
    ),
    "an unflagged state says otherwise": (
        "equal",
        {
            "adapter": adapter(close_flag=False),
            "streams": {"1m": heard(*BARE[:3], candle(3, close=2.5))},
        },
        "differs",
        "close 2.5 but 2.0 on REST",
    ),
    "REST does not answer again": (
        "equal",
        {"later": {"1m": Reading(START, END, refused="HTTP 500")}},
        "not seen",
        "HTTP 500",
    ),
    "rows are skipped, as is said": (
        "quiet bars, REST",
        {"adapter": adapter(quiet_bars=QuietBars(rest="skipped")), "readings": {"1m": HOLE}},
        "agrees",
        "0 were sent, 1 skipped",
    ),
    "rows are skipped that are said to be sent": (
        "quiet bars, REST",
        {"adapter": adapter(quiet_bars=QuietBars(rest="sent")), "readings": {"1m": HOLE}},
        "differs",
        "0 were sent, 1 skipped",
    ),
    "rows are sent, as is said": (
        "quiet bars, REST",
        {"adapter": adapter(quiet_bars=QuietBars(rest="sent")), "readings": {"1m": QUIET}},
        "agrees",
        "1 were sent, 0 skipped",
    ),
    "rows are sent that are said to be skipped": (
        "quiet bars, REST",
        {"adapter": adapter(quiet_bars=QuietBars(rest="skipped")), "readings": {"1m": QUIET}},
        "differs",
        "1 were sent, 0 skipped",
    ),
    "bars are skipped on the stream": (
        "quiet bars, stream",
        {
            "adapter": adapter(quiet_bars=QuietBars(stream="sent")),
            "streams": {"1m": heard(CLOSED[0], CLOSED[1], CLOSED[3])},
        },
        "differs",
        "0 were sent, 1 skipped",
    ),
    "bars are missing where a connection broke": (
        "quiet bars, stream",
        {
            "adapter": adapter(quiet_bars=QuietBars(stream="sent")),
            "streams": {"1m": heard(CLOSED[0], CLOSED[1], CLOSED[3])},
            "conversations": [Conversation(ended="lost")],
        },
        "not seen",
        "none",
    ),
    "the exchange asks to slow down": ("limits", {"slowed": ["HTTP 429"]}, "differs", "HTTP 429"),
}


@pytest.mark.parametrize(("name", "more", "verdict", "text"), CASES.values(), ids=CASES)
def test_verdict(name: str, more: dict[str, Any], verdict: Verdict, text: str) -> None:
    """One thing is otherwise: that fact's verdict, and what was seen."""
    found = fact(name, seen(**more))

    assert found.verdict == verdict, found
    assert text in found.seen


def test_silence_where_others_trade_differs() -> None:
    """A confirmed subscription that delivers nothing while there are trades is never served."""
    streams = {"1m": heard(*CLOSED), "3m": replace(heard(), interval="3m")}
    found = [each for each in facts(seen(streams=streams)) if each.name == "WebSocket"]

    assert [(each.interval, each.verdict) for each in found] == [
        ("1m", "agrees"),
        ("3m", "differs"),
    ]


def test_an_empty_short_interval_may_be_quiet() -> None:
    """No row of one interval says nothing where others have rows, and bars may be skipped."""
    readings = {"1s": Reading(END - 10, END), "1m": READ}
    found = [each for each in facts(seen(readings=readings)) if each.name == "REST"]

    assert [each.verdict for each in found] == ["not seen", "agrees"]


@pytest.mark.parametrize(
    ("rows", "behind"),
    [
        ([candle(slot) for slot in range(4)], False),
        ([candle(slot) for slot in range(3)], True),
        ([*(candle(slot) for slot in range(3)), candle(3, volume=0.5)], True),
    ],
)
def test_rest_lags(rows: list[CandleData], behind: bool) -> None:
    """A row that is missing or lacks trades is looked at again."""
    found = seen()

    assert lags(found, found.streams["1m"], Reading(START, END, rows)) is behind


def test_what_agrees_is_one_row() -> None:
    """For people, intervals that agree stand together, and what differs stands alone."""
    good = [Fact("REST", interval, "it has", "100 rows", "agrees") for interval in ("1m", "5m")]
    bad = [Fact("REST", interval, "it has", "0 rows", "differs") for interval in ("1h", "1d")]

    assert [(each.interval, each.seen) for each in merged([*good, *bad])] == [
        ("1m 5m", "100 rows"),
        ("1h", "0 rows"),
        ("1d", "0 rows"),
    ]
