"""What the conformance suite cannot know of BitMEX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors.adapter import (
    Confirmed,
    Refused,
    RestRefused,
    RestReply,
    RestRequest,
    RestSlowDown,
    RestUnavailable,
    Rows,
)
from connectors.exchanges.bitmex import BitmexPerpetual
from connectors.model import Instrument

WIRE = Path(__file__).parent.parent / "wire" / "bitmex_perpetual"
NOW = 1_790_000_000.0


def frame(name: str) -> Any:
    """The frame of a recorded item."""
    return orjson.loads((WIRE / f"{name}.json").read_bytes())["frame"]


def request(interval: str) -> RestRequest:
    """A request for two bars."""
    step = BitmexPerpetual().step(interval)
    return BitmexPerpetual().rest_request("BTC-USD", interval, 10 * step, 12 * step, 2, NOW)


# --- WebSocket ---


@pytest.mark.parametrize(
    ("table", "closes", "opens"),
    [
        ("tradeBin1m", "2026-09-01T00:01:00.000Z", 1788220800),
        ("tradeBin5m", "2026-09-01T00:05:00.000Z", 1788220800),
        ("tradeBin1h", "2026-09-01T01:00:00.000Z", 1788220800),
        ("tradeBin1d", "2026-09-02T00:00:00.000Z", 1788220800),
    ],
)
def test_a_bin_opens_an_interval_before_its_timestamp(table: str, closes: str, opens: int) -> None:
    """The table's name says how long the bin is; each is closed when it comes."""
    told = frame("07-ws-candle-doc") | {"table": table}
    told["data"][0]["timestamp"] = closes

    (candle,) = BitmexPerpetual().parse_ws_message(told)  # type: ignore[misc]  # candles

    assert (opens, True, f"{table}:XBTUSD") == (candle.timestamp, candle.closed, candle.channel)


def test_an_open_outside_of_the_range_is_published_as_sent() -> None:
    """It is the close of the bin before."""
    parsed = BitmexPerpetual().parse_ws_message(frame("02-ws-candle-open-outside-range"))

    (candle,) = parsed  # type: ignore[misc]  # candles
    assert (candle.open, candle.high, candle.low) == (23200, 23250, 23215.5)


def test_a_bin_without_trades() -> None:
    """Its average price and last size are null; the rest is there."""
    told = frame("07-ws-candle-doc")
    told["data"] = frame("13-rest-candles-no-trades")[:1]

    (candle,) = BitmexPerpetual().parse_ws_message(told)  # type: ignore[misc]  # candles

    assert candle.figures() == (237.45, 237.45, 237.45, 237.45, 0, 0, 0, None, None)


def test_one_frame_tells_of_several_symbols() -> None:
    """Rows come oldest first, each with the channel of its symbol."""
    told = frame("07-ws-candle-doc")
    older = told["data"][0] | {"symbol": "ETHUSD", "timestamp": "2020-02-03T18:27:00.000Z"}
    told["data"].append(older)

    parsed = BitmexPerpetual().parse_ws_message(told)

    assert isinstance(parsed, list)
    assert [it.channel for it in parsed] == ["tradeBin1m:ETHUSD", "tradeBin1m:XBTUSD"]
    assert BitmexPerpetual().parse_ws_message(told | {"data": []}) == []
    assert BitmexPerpetual().parse_ws_message(told | {"action": "delete"}) is None


def test_contracts_are_never_given_as_volume() -> None:
    """Without ``homeNotional`` nothing tells the base volume: no candle."""
    told = frame("01-ws-candle-inverse")
    for change in ({"homeNotional": None}, {"homeNotional": "x"}):
        changed = told | {"data": [told["data"][0] | change]}
        with pytest.raises((ValueError, TypeError)):
            BitmexPerpetual().parse_ws_message(changed)
    del told["data"][0]["homeNotional"]
    with pytest.raises(KeyError):
        BitmexPerpetual().parse_ws_message(told)


@pytest.mark.parametrize(
    "change",
    [
        {"timestamp": None},
        {"timestamp": "soon"},
        {"open": None},
        {"close": "x"},
        {"high": []},
    ],
)
def test_an_unreadable_candle_raises(change: dict[str, Any]) -> None:
    """Half a candle is an exception, never an invented candle and never silence."""
    told = frame("07-ws-candle-doc")
    told["data"][0] |= change

    with pytest.raises((ValueError, LookupError, TypeError)):
        BitmexPerpetual().parse_ws_message(told)


@pytest.mark.parametrize(
    "data",
    [
        {"table": "tradeBin1m"},
        {"table": "tradeBin1m", "action": "insert", "data": None},
        {"table": "tradeBin3m", "action": "insert", "data": []},
        "pin",
    ],
)
def test_a_broken_frame_raises(data: Any) -> None:
    """A frame that lacks what its kind needs, and a bin of unknown length."""
    with pytest.raises((ValueError, LookupError, TypeError)):
        BitmexPerpetual().parse_ws_message(data)


@pytest.mark.parametrize(
    "data", [{}, [], "pong", {"info": "Welcome"}, {"success": False, "subscribe": "x"}, 7]
)
def test_unknown_frames_are_noise(data: Any) -> None:
    """What is not our business is nothing."""
    assert BitmexPerpetual().parse_ws_message(data) is None


def test_confirmations_come_by_topic() -> None:
    """What was unsubscribed must not count as accepted."""
    adapter = BitmexPerpetual()
    told = {"success": True, "subscribe": "tradeBin5m:ETHUSD", "request": {"op": "subscribe"}}

    assert Confirmed(channels=("tradeBin5m:ETHUSD",)) == adapter.parse_ws_message(told)
    gone = {"success": True, "unsubscribe": "tradeBin5m:ETHUSD"}
    assert adapter.parse_ws_message(gone) is None


@pytest.mark.parametrize(
    ("error", "status", "args", "channels"),
    [
        ("Unknown table: tradeBin5dm", 400, ["tradeBin1m:A", "tradeBin5dm:A"], ["tradeBin5dm:A"]),
        ("Unknown symbol XY", 400, ["tradeBin1m:A", "tradeBin1m:XY"], ["tradeBin1m:XY"]),
        ("Unknown table: tradeBin1m", 400, ["tradeBin1m:A", "tradeBin1m:B", "tradeBin5m:A"], []),
        ("tradeBin1m:B is wrong", 400, ["tradeBin1m:A", "tradeBin1m:B"], ["tradeBin1m:B"]),
        ("No.", 400, ["tradeBin1m:A"], ["tradeBin1m:A"]),
        ("No.", 400, "tradeBin1m:A", ["tradeBin1m:A"]),
        ("No.", 400, ["tradeBin1m:A", "tradeBin1m:B"], []),
        ("Rate limit exceeded", 429, ["a:A", "b:B"], ["a:A", "b:B"]),
        ("No.", 400, None, []),
    ],
)
def test_the_topic_of_a_refusal(error: str, status: int, args: Any, channels: list[str]) -> None:
    """An error names one topic in words, or it is the only one, or it concerns all; else none."""
    told = {"status": status, "error": error, "meta": {}, "request": {"args": args}}

    expected = Refused(error, channels=tuple(channels))
    assert expected == BitmexPerpetual().parse_ws_message(told)
    assert Refused(error) == BitmexPerpetual().parse_ws_message({"error": error})


# --- REST ---


def test_bounds_are_those_of_the_close() -> None:
    """The last bar closes an interval later; the earliest rows win, so the count is whole."""
    expected = {
        "symbol": "XBTUSD",
        "binSize": "1h",
        "count": 1000,
        "reverse": "false",
        "partial": "false",
        "startTime": "1970-01-01T10:00:00Z",
        "endTime": "1970-01-01T12:59:59Z",
    }
    assert expected == request("1h").params
    assert BitmexPerpetual().rest_pages("1h").limit + 1 == expected["count"]


@pytest.mark.parametrize(("interval", "opens"), [("1m", 1443188220), ("1h", 1443184680)])
def test_rows_are_read_by_the_interval_that_was_asked(interval: str, opens: int) -> None:
    """Rows do not name their interval."""
    reply = RestReply(200, {}, orjson.dumps(frame("13-rest-candles-no-trades")))

    rows = BitmexPerpetual().read_rest_reply(reply, request(interval))

    assert isinstance(rows, Rows)
    assert opens == rows.candles[0].timestamp
    with pytest.raises(ValueError, match="give the request"):
        BitmexPerpetual().parse_rest_response(reply.json())


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, RestRefused),
        (404, RestRefused),
        (401, RestRefused),
        (429, RestSlowDown),
        (503, RestUnavailable),
        (403, RestUnavailable),
    ],
)
def test_the_status_says_what_an_error_is(status: int, expected: type) -> None:
    """503 is overload, 429 says how many seconds to wait."""
    body = orjson.dumps({"error": {"message": "why", "name": "HTTPError"}})
    told = BitmexPerpetual().read_rest_reply(
        RestReply(status, {"retry-after": "7"}, body), request("1m")
    )

    assert type(told) is expected
    assert "why" in str(told)
    assert not isinstance(told, RestSlowDown) or told.seconds == 7


@pytest.mark.parametrize("body", [{"error": {"message": "x"}}, {}, None, [None], [[]], [{}]])
def test_a_body_that_is_no_list_of_rows_raises(body: Any) -> None:
    """A reply that cannot be read is a ValueError, not an empty list."""
    with pytest.raises(ValueError, match="cannot be read"):
        BitmexPerpetual().parse_rest_response(body, request("1m"))


def listed(symbol: str, underlying: str, quote: str, **more: Any) -> dict[str, Any]:
    """A row of the list of instruments (made up after the documentation)."""
    row = {"symbol": symbol, "underlying": underlying, "quoteCurrency": quote}
    return row | {"typ": "FFWCSX", "state": "Open"} | more


def test_instruments() -> None:
    """The pair stands in the symbol; what ends otherwise is a second contract of a pair."""
    dialogue = BitmexPerpetual().instruments()
    asked = next(dialogue)
    rows = [
        listed("XBTUSD", "XBT", "USD", isInverse=True),
        listed("XBTUSDT", "XBT", "USDT"),
        listed("ETHUSD", "ETH", "USD", isQuanto=True, state="Unlisted"),
        listed("ETHUSD_ETH", "ETH", "USD"),
        listed("1000PEPEUSDT", "PEPE", "USDT"),
        listed("XBTH26", "XBT", "USD", typ="FFCCSX"),
        listed("XBT_USDT", "XBT", "USDT", typ="IFXXXP"),
    ]
    with pytest.raises(StopIteration) as end:
        dialogue.send(RestReply(200, {}, orjson.dumps(rows)))

    assert asked.url == "https://www.bitmex.com/api/v1/instrument/active"
    assert [
        Instrument("BTC-USD", "XBTUSD", status="Open"),
        Instrument("BTC-USDT", "XBTUSDT", status="Open"),
        Instrument("ETH-USD", "ETHUSD", tradable=False, status="Unlisted"),
        Instrument("1000PEPE-USDT", "1000PEPEUSDT", status="Open"),
    ] == end.value.value
