"""Upbit: what its recorded frames cannot say to the conformance suite."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from connectors.adapter import (
    Refused,
    RestRefused,
    RestReply,
    RestRequest,
    RestSlowDown,
    RestUnavailable,
    Rows,
)
from connectors.exchanges.upbit import UpbitSpot
from connectors.model import Subscription

REQUEST = RestRequest(url="", trading_pair="BTC-KRW", interval="1m", limit=2)
NOW = 1_790_000_000.0
FAILED = {"error": {"name": "WRONG_FORMAT", "message": "made up"}}


def bar(code: str = "KRW-BTC", **changed: Any) -> dict[str, Any]:
    """A frame (made up)."""
    return {"type": "candle.1s", "code": code, "candle_date_time_utc": "2026-09-21T14:13:20",
            "candle_date_time_kst": "2026-09-21T23:13:20", "opening_price": 5, "high_price": 9,
            "low_price": 4, "trade_price": 6, "candle_acc_trade_volume": 0.5,
            "candle_acc_trade_price": 3, "timestamp": 1_790_000_000_125,
            "stream_type": "SNAPSHOT", **changed}  # fmt: skip


def channel(*pairs: str) -> list[str]:
    """The channels of these pairs."""
    return [UpbitSpot().channel(Subscription("upbit_spot", pair, "1s")) for pair in pairs]


def codes_in(messages: Any) -> list[str]:
    """The codes that the one message names."""
    [[_, asked]] = messages
    assert asked["type"] == "candle.1s"
    codes: list[str] = asked["codes"]
    return codes


def answer(body: Any, status: int = 200) -> Any:
    """What the adapter makes of a reply."""
    return UpbitSpot().read_rest_reply(RestReply(status, {}, orjson.dumps(body)), REQUEST)


# --- subscribing ---


def test_a_message_names_all_codes_of_the_connection() -> None:
    """A message replaces what was subscribed: each names what is to be had from now on."""
    adapter = UpbitSpot()

    assert codes_in(adapter.subscribe_messages(channel("BTC-KRW"), 1, NOW)) == ["KRW-BTC"]
    both = adapter.subscribe_messages(channel("ETH-BTC"), 2, NOW)
    assert codes_in(both) == ["KRW-BTC", "BTC-ETH"]
    assert codes_in(adapter.unsubscribe_messages(channel("BTC-KRW"), 3, NOW)) == ["BTC-ETH"]
    assert adapter.unsubscribe_messages(channel("ETH-BTC"), 4, NOW) == []
    assert codes_in(UpbitSpot().subscribe_messages(channel("XRP-KRW"), 1, NOW)) == ["KRW-XRP"]


def test_each_message_has_a_ticket_of_its_own() -> None:
    """Messages of two requests, and of two connections at other times, differ in their tickets."""
    tickets = [
        UpbitSpot().subscribe_messages(channel("BTC-KRW"), request_id, now)[0][0]["ticket"]
        for request_id, now in ((1, NOW), (2, NOW), (1, NOW + 0.01))
    ]

    assert len(set(tickets)) == 3


def test_a_bad_code_does_not_sink_the_next_messages() -> None:
    """After an error, codes that never delivered are left out until they are asked for again."""
    adapter = UpbitSpot()
    adapter.subscribe_messages(channel("BTC-KRW", "NOPE-KRW", "XRP-KRW"), 1, NOW)
    adapter.parse_ws_message(bar())

    refused = adapter.parse_ws_message(FAILED)

    assert refused == Refused("WRONG_FORMAT: made up")
    retried = adapter.subscribe_messages(channel("XRP-KRW"), 2, NOW)
    assert codes_in(retried) == ["KRW-BTC", "KRW-XRP"]


# --- frames ---


def test_frames_are_binary() -> None:
    """A binary frame is JSON as it stands; the last trade's time is not when it was sent."""
    adapter = UpbitSpot()
    frame = orjson.loads(adapter.unpack_frame(orjson.dumps(bar(opening_price="5.5"))))

    candles = adapter.parse_ws_message(frame)

    assert isinstance(candles, list)
    assert candles[0].timestamp == 1_790_000_000
    assert candles[0].event_time is None
    assert candles[0].channel == "candle.1s:KRW-BTC"
    assert candles[0].figures() == (5.5, 9.0, 4.0, 6.0, 0.5, 3.0, None, None, None)
    assert candles[0].closed is None


@pytest.mark.parametrize(
    "unreadable",
    [
        bar(trade_price=None),
        bar(candle_date_time_utc="soon"),
        bar(candle_date_time_utc=None),
        {key: value for key, value in bar().items() if key != "candle_acc_trade_volume"},
        {key: value for key, value in bar().items() if key != "code"},
        {key: value for key, value in bar().items() if key != "type"},
        {"error": None},
        "UP",
    ],
)
def test_an_unreadable_frame_raises(unreadable: object) -> None:
    """Half a candle is an exception, never an invented candle and never silence."""
    adapter = UpbitSpot()
    with pytest.raises((ValueError, LookupError, TypeError, AttributeError)):
        adapter.parse_ws_message(unreadable)


@pytest.mark.parametrize(
    "noise", [{"status": "UP"}, {"type": "ticker", "code": "KRW-BTC"}, {}, [], None, 7]
)
def test_noise(noise: object) -> None:
    """Other types and frames of no known kind are nothing."""
    assert UpbitSpot().parse_ws_message(noise) is None


# --- REST ---


@pytest.mark.parametrize(
    ("interval", "path", "step"),
    [("1s", "seconds", 1), ("1h", "minutes/60", 3600), ("1d", "days", 86_400)],
)
def test_a_window_has_an_upper_bound_alone(interval: str, path: str, step: int) -> None:
    """``to`` excludes, so it is the end itself, even of the shortest bars; count is the window."""
    end = 1_790_035_200

    request = UpbitSpot().rest_request("BTC-KRW", interval, end - 2 * step, end, 2, NOW)

    assert request.url == f"https://api.upbit.com/v1/candles/{path}"
    assert request.params == {"market": "KRW-BTC", "to": "2026-09-22T00:00:00Z", "count": 2}


def test_rows_before_the_window_are_dropped() -> None:
    """A page without trades brings older rows only: it is an answer, and one of no rows."""
    asked = UpbitSpot().rest_request("BTC-KRW", "1m", 1_789_999_980, 1_790_000_100, 2, NOW)
    rows = [bar(candle_date_time_utc=f"2026-09-21T14:{it}:00") for it in ("13", "12", "10")]

    def read(*replied: object) -> list[int]:
        answer = UpbitSpot().read_rest_reply(RestReply(200, {}, orjson.dumps(replied)), asked)
        assert isinstance(answer, Rows)
        return [candle.timestamp for candle in answer.candles]

    assert read(*rows) == [1_789_999_980]
    assert read(*rows[1:]) == []


def test_only_seconds_are_streamed() -> None:
    """Minutes are polled, weeks are learned, days are known."""
    adapter = UpbitSpot()

    assert adapter.get_ws_supported_intervals() == ["1s"]
    assert adapter.transport("1m") == "rest"
    assert not adapter.grid("1w").known
    assert adapter.grid("1d").known


@pytest.mark.parametrize(
    ("status", "expected"),
    [(200, RestUnavailable), (404, RestRefused), (429, RestSlowDown), (500, RestUnavailable)],
)
def test_an_error_is_never_rows(status: int, expected: type) -> None:
    """The body's words are told; the status says what they mean, HTTP 200 that it may pass."""
    told = answer(FAILED, status)

    assert isinstance(told, expected)
    assert "made up" in told.reason


def test_no_rows() -> None:
    """An empty list is no error, and neither is a status without our kind of body."""
    assert answer([]) == Rows([])
    assert isinstance(answer("<html>", 502), RestUnavailable)


@pytest.mark.parametrize("body", [{}, None, [None], [bar(trade_price=None)], [[1, 2]]])
def test_an_unreadable_reply_raises(body: object) -> None:
    """What is no list of candles is a ValueError, not an empty list."""
    with pytest.raises(ValueError, match="cannot be read"):
        answer(body)
