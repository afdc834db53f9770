"""WhiteBIT: what its recorded frames cannot say to the conformance suite."""

from __future__ import annotations

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
from connectors.exchanges.whitebit import WhiteBitSpot
from connectors.model import Subscription

REQUEST = RestRequest(url="", trading_pair="BTC-USDT", interval="1m", limit=2)
NOW = 1_790_000_000.0
ROW = [1_789_999_980, "5", "6", "9", "4", "0.5", "3", "BTC_USDT"]


def channel(pair: str, interval: str) -> str:
    """The channel of a subscription."""
    return WhiteBitSpot().channel(Subscription("whitebit_spot", pair, interval))


def connected(*channels: str) -> WhiteBitSpot:
    """An adapter that has asked for these channels."""
    adapter = WhiteBitSpot()
    adapter.subscribe_messages(channels or [channel("BTC-USDT", "1m")], 1, NOW)
    return adapter


def frame(*rows: Any) -> dict[str, Any]:
    """A frame of candles (made up)."""
    return {"method": "candles_update", "params": list(rows), "id": None}


def answer(body: Any, status: int = 200) -> Any:
    """What the adapter makes of a reply."""
    return WhiteBitSpot().read_rest_reply(RestReply(status, {}, orjson.dumps(body)), REQUEST)


# --- frames ---


def test_the_interval_is_what_was_asked_for() -> None:
    """The same frame is a minute's on one connection and an hour's on another."""
    for interval in ("1m", "1h"):
        candles = connected(channel("BTC-USDT", interval)).parse_ws_message(frame(ROW))

        assert isinstance(candles, list)
        assert candles[0].channel == channel("BTC-USDT", interval)


def test_intervals_never_share_a_connection() -> None:
    """One group for each interval, whatever the pairs."""
    adapter = WhiteBitSpot()
    groups = {
        (pair, interval): adapter.connection_group(Subscription(adapter.name, pair, interval))
        for pair in ("BTC-USDT", "ETH-USDT")
        for interval in ("1m", "5m")
    }

    assert groups["BTC-USDT", "1m"] == groups["ETH-USDT", "1m"]
    assert groups["BTC-USDT", "1m"] != groups["BTC-USDT", "5m"]


def test_rows_of_several_markets() -> None:
    """Rows run open, close, high, low, the market last; each goes to its own channel."""
    adapter = connected(channel("BTC-USDT", "1m"), channel("ETH-BTC", "1m"))
    other = [str(ROW[0] - 60), 5, 6, 9, 4, 0.5, 3, "ETH_BTC"]

    candles = adapter.parse_ws_message(frame(ROW, other))

    assert isinstance(candles, list)
    told = [(each.timestamp, each.channel) for each in candles]
    assert told == [
        (1_789_999_920, channel("ETH-BTC", "1m")),
        (1_789_999_980, channel("BTC-USDT", "1m")),
    ]
    assert {each.figures()[:6] for each in candles} == {(5.0, 9.0, 4.0, 6.0, 0.5, 3.0)}


@pytest.mark.parametrize(
    "unreadable",
    [
        frame([*ROW[:7], "ETH_USDT"]),
        frame(ROW[:7]),
        frame([None, *ROW[1:]]),
        frame([*ROW[:2], None, *ROW[3:]]),
        frame(ROW, "row"),
        frame(None),
        {"method": "candles_update", "params": None},
        {"method": "candles_update"},
        {"params": [ROW]},
        "pong",
    ],
)
def test_an_unreadable_frame_raises(unreadable: object) -> None:
    """Half a candle, or one that was not asked for, is an exception and never a guess."""
    with pytest.raises((ValueError, LookupError, TypeError, AttributeError)):
        connected().parse_ws_message(unreadable)


@pytest.mark.parametrize(
    "noise",
    [
        {"id": 0, "result": "pong", "error": None},
        {"id": 4, "result": None, "error": None},
        {"method": "depth_update", "params": [], "id": None},
        {},
        [],
    ],
)
def test_noise(noise: object) -> None:
    """Pongs, other methods and frames of no known kind are nothing."""
    assert connected().parse_ws_message(noise) is None


# --- conversation ---


def test_answers_bear_the_id() -> None:
    """An acceptance, with or without an error of null, and a refusal in the exchange's words."""
    adapter = connected()

    accepted = {"id": 7, "result": {"status": "success"}}
    assert adapter.parse_ws_message(accepted) == Confirmed("7")
    assert adapter.parse_ws_message({**accepted, "error": None}) == Confirmed("7")
    refused = adapter.parse_ws_message({"id": 7, "result": None, "error": {"message": "no such"}})
    assert isinstance(refused, Refused)
    assert refused.request_id == "7"
    assert "no such" in refused.reason


def test_one_market_a_message() -> None:
    """Each channel has a message; there is none for leaving it, so the connection is replaced."""
    adapter = WhiteBitSpot()
    channels = [channel("BTC-USDT", "1h"), channel("ETH-BTC", "1h")]

    assert adapter.subscribe_messages(channels, 7, NOW) == [
        {"id": 7, "method": "candles_subscribe", "params": ["BTC_USDT", 3600]},
        {"id": 7, "method": "candles_subscribe", "params": ["ETH_BTC", 3600]},
    ]
    assert adapter.unsubscribe_messages(channels, 8, NOW) == []
    assert adapter.ping_message(9, NOW) == {"id": 0, "method": "ping", "params": []}


# --- REST ---


def test_a_window_fits_whether_start_is_included_or_not() -> None:
    """A second earlier and a row more, within the largest page; words for intervals."""
    adapter = WhiteBitSpot()
    limit = adapter.rest_pages("1m").limit

    request = adapter.rest_request("BTC-USDT", "1m", 1_789_999_980, 1_790_000_100, limit, NOW)

    expected = {
        "market": "BTC_USDT",
        "interval": "1m",
        "start": 1_789_999_979,
        "end": 1_790_000_099,
        "limit": 1440,
    }
    assert request.params == expected
    assert (request.start, request.limit) == (1_789_999_980, 1439)


def test_what_the_socket_lacks_is_polled() -> None:
    """The socket would refuse these intervals, as months, which have no fixed seconds."""
    adapter = WhiteBitSpot()
    polled = [it for it in adapter.get_supported_intervals() if adapter.transport(it) == "rest"]

    assert polled == ["3m", "2h", "6h", "12h", "3d", "1M"]
    assert set(polled) <= set(adapter.get_rest_supported_intervals())


@pytest.mark.parametrize(
    ("status", "expected"),
    [(200, RestUnavailable), (400, RestRefused), (429, RestSlowDown), (503, RestUnavailable)],
)
def test_an_error_is_never_rows(status: int, expected: type) -> None:
    """The body's words are told, whatever the status; with HTTP 200 it is asked again."""
    told = answer({"success": False, "message": "no such market", "result": []}, status)

    assert isinstance(told, expected)
    assert "no such market" in told.reason


def test_rows() -> None:
    """No rows are no error; rows run open, close, high, low here, too."""
    assert answer({"success": True, "message": "", "result": []}) == Rows([])
    (candle,) = answer({"success": True, "result": [ROW[:7]]}).candles
    assert candle.figures()[:6] == (5.0, 9.0, 4.0, 6.0, 0.5, 3.0)


@pytest.mark.parametrize("body", [{}, [], None, {"success": True}, {"result": [ROW[:6]]}])
def test_an_unreadable_reply_raises(body: object) -> None:
    """What is no list of rows is a ValueError, not an empty list."""
    with pytest.raises(ValueError, match="cannot be read"):
        answer(body)
