"""Gemini: what its recorded frames cannot say to the conformance suite."""

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
from connectors.exchanges.gemini import GeminiSpot
from connectors.model import Subscription

REQUEST = RestRequest(url="", trading_pair="BTC-USD", interval="1m", limit=2)
NOW = 1_790_000_000.0
ROW = [1_789_999_980_000, 5, 9, 4, 6, 0.5]


def frame(*rows: Any, **changed: Any) -> dict[str, Any]:
    """A frame of candles (made up)."""
    usual = {"type": "candles_1m_updates", "symbol": "BTCUSD", "changes": list(rows)}
    return {**usual, **changed}


def channel(pair: str, interval: str) -> str:
    """The channel of a subscription."""
    return GeminiSpot().channel(Subscription("gemini_spot", pair, interval))


def answer(body: Any, status: int = 200) -> Any:
    """What the adapter makes of a reply."""
    return GeminiSpot().read_rest_reply(RestReply(status, {}, orjson.dumps(body)), REQUEST)


# --- frames ---


def test_one_bar_or_many() -> None:
    """Rows come newest first and are turned round; one row is an update, none is no candle."""
    adapter = GeminiSpot()
    newer = [str(ROW[0] + 60_000), "6", "6", "6", "6", 0]

    candles = adapter.parse_ws_message(frame(newer, ROW))

    assert isinstance(candles, list)
    assert [each.timestamp for each in candles] == [1_789_999_980, 1_790_000_040]
    assert {each.channel for each in candles} == {channel("BTC-USD", "1m")}
    assert candles[0].figures() == (5.0, 9.0, 4.0, 6.0, 0.5, None, None, None, None)
    assert [each.closed for each in candles] == [None, None]
    assert adapter.parse_ws_message(frame()) == []


@pytest.mark.parametrize(
    "unreadable",
    [
        frame(ROW[:5]),
        frame([None, *ROW[1:]]),
        frame([ROW[0], None, *ROW[2:]]),
        frame(ROW, None),
        frame(changes=None),
        {"type": "candles_1m_updates", "symbol": "BTCUSD"},
        {"type": "candles_1m_updates", "changes": [ROW]},
        {"symbol": "BTCUSD", "changes": [ROW]},
        "hello",
    ],
)
def test_an_unreadable_frame_raises(unreadable: object) -> None:
    """Half a candle is an exception, never an invented candle and never silence."""
    adapter = GeminiSpot()
    with pytest.raises((ValueError, LookupError, TypeError, AttributeError)):
        adapter.parse_ws_message(unreadable)


@pytest.mark.parametrize(
    "noise",
    [
        {"type": "l2_updates", "symbol": "BTCUSD", "changes": [["buy", "5", "1"]]},
        {"type": "candles_1m"},
        {"type": "heartbeat", "timestamp": 1},
        {"result": "ok"},
        {},
        [],
        None,
    ],
)
def test_noise(noise: object) -> None:
    """Books and frames of no known kind are nothing."""
    assert GeminiSpot().parse_ws_message(noise) is None


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"reason": "InvalidJson"}, "InvalidJson"),
        ({"reason": "Bad", "message": "no such symbol"}, "Bad: no such symbol"),
        ({}, "no reason was given"),
    ],
)
def test_an_error_names_nothing(told: dict[str, str], reason: str) -> None:
    """It has neither id nor channel: it is the oldest open request's."""
    assert GeminiSpot().parse_ws_message({"result": "error", **told}) == Refused(reason)


# --- subscribing ---


def test_symbols_are_gathered_by_channel() -> None:
    """A message has one entry for each interval, with its symbols; there is no unsubscribing."""
    adapter = GeminiSpot()
    channels = [channel("BTC-USD", "1m"), channel("ETH-USD", "5m"), channel("ETH-BTC", "1m")]

    [message] = adapter.subscribe_messages(channels, 7, NOW)

    assert message == {
        "type": "subscribe",
        "subscriptions": [
            {"name": "candles_1m", "symbols": ["BTCUSD", "ETHBTC"]},
            {"name": "candles_5m", "symbols": ["ETHUSD"]},
        ],
    }
    assert adapter.unsubscribe_messages(channels, 8, NOW) == []


def test_disputed_channels_are_polled() -> None:
    """Only names that both sources tell are subscribed to."""
    adapter = GeminiSpot()

    assert adapter.get_ws_supported_intervals() == ["1m", "5m", "15m"]
    polled = [it for it in adapter.get_supported_intervals() if adapter.transport(it) == "rest"]
    assert polled == ["30m", "1h", "6h", "1d"]
    assert not adapter.grid("1d").known


# --- REST ---


def test_the_window_has_no_bounds() -> None:
    """The path is in lower case and says all; a page is the whole window, which is the reach."""
    adapter = GeminiSpot()

    request = adapter.rest_request("BTC-USD", "1d", 1_789_948_800, 1_790_035_200, 1, NOW)

    assert request.url == "https://api.gemini.com/v2/candles/btcusd/1day"
    assert request.params == {}
    for interval in adapter.get_rest_supported_intervals():
        pages = adapter.rest_pages(interval)
        assert pages.rows == pages.limit


def test_rows() -> None:
    """Rows are newest first, quiet ones among them; no rows are no error."""
    quiet = [ROW[0] + 60_000, 6, 6, 6, 6, 0]

    candles = answer([quiet, ROW]).candles

    assert [each.volume for each in candles] == [0.5, 0.0]
    assert answer([]) == Rows([])


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, RestUnavailable),
        (400, RestRefused),
        (404, RestRefused),
        (429, RestSlowDown),
        (503, RestUnavailable),
    ],
)
def test_an_error_is_never_rows(status: int, expected: type) -> None:
    """The reason is told; the HTTP status says what it means, and 200 that it may pass."""
    told = answer({"result": "error", "reason": "made up"}, status)

    assert isinstance(told, expected)
    assert "made up" in told.reason


@pytest.mark.parametrize("body", [{}, None, "x", [None], [ROW[:5]]])
def test_an_unreadable_reply_raises(body: object) -> None:
    """What is no list of rows is a ValueError, not an empty list."""
    with pytest.raises(ValueError, match="cannot be read"):
        answer(body)
