"""Bitstamp: what its recorded reply cannot say to the conformance suite."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from connectors.adapter import (
    RestRefused,
    RestReply,
    RestRequest,
    RestSlowDown,
    RestUnavailable,
)
from connectors.exchanges.bitstamp import BitstampSpot
from connectors.model import Instrument

REQUEST = RestRequest(url="", trading_pair="BTC-USD", interval="1m", limit=2)
NOW = 1_790_000_000.0


def reply(body: Any, status: int = 200) -> RestReply:
    """An HTTP reply with this body."""
    return RestReply(status, {}, orjson.dumps(body))


def row(opened: object = "1789999980", **changed: object) -> dict[str, Any]:
    """A row (made up)."""
    return {"timestamp": opened, "open": "5", "high": "9", "low": "4", "close": "6",
            "volume": "0.5", **changed}  # fmt: skip


def body(*rows: object) -> dict[str, Any]:
    """A good body with these rows."""
    return {"data": {"pair": "BTC/USD", "ohlc": list(rows)}}


def test_every_interval_is_polled() -> None:
    """There are no candles over WebSocket, and 259200 seconds are three days, not a week."""
    adapter = BitstampSpot()

    assert adapter.get_ws_supported_intervals() == []
    assert "1w" not in adapter.get_supported_intervals()
    assert not adapter.grid("3d").known
    assert adapter.grid("1d").known


def test_a_window() -> None:
    """Seconds in the query, the pair in the path; no bar of ours opens at the end that is sent."""
    request = BitstampSpot().rest_request("ETH-EUR", "1h", 1_790_002_800, 1_790_010_000, 2, NOW)

    assert request.url == "https://www.bitstamp.net/api/v2/ohlc/etheur/"
    expected = {"step": 3600, "start": 1_790_002_800, "end": 1_790_009_999, "limit": 2}
    assert request.params == expected


def test_text_or_numbers() -> None:
    """Figures and times are read as text and as numbers, in whatever order rows come."""
    candles = BitstampSpot().parse_rest_response(body(row(1_790_000_040, volume=2), row()), REQUEST)

    told = [(candle.timestamp, candle.volume, candle.closed) for candle in candles]
    assert told == [(1_789_999_980, 0.5, None), (1_790_000_040, 2.0, None)]


@pytest.mark.parametrize(
    "unreadable",
    [
        {},
        [],
        None,
        {"code": 404, "errors": []},
        {"data": {"pair": "BTC/USD"}},
        {"data": {"ohlc": None}},
        body(None),
        body(row(None)),
        body(row(open=None)),
        body({key: value for key, value in row().items() if key != "close"}),
        body(row(), row(volume="much")),
    ],
)
def test_an_unreadable_reply_raises(unreadable: object) -> None:
    """Half a row is a ValueError, never a candle and never an empty list."""
    with pytest.raises(ValueError, match=r"cannot be read|could not convert"):
        BitstampSpot().read_rest_reply(reply(unreadable), REQUEST)


@pytest.mark.parametrize(
    ("status", "expected"),
    [(404, RestRefused), (400, RestRefused), (429, RestSlowDown), (503, RestUnavailable)],
)
def test_statuses_are_believed(status: int, expected: type) -> None:
    """How errors look is not known: the HTTP status says what they mean, whatever the body."""
    assert isinstance(BitstampSpot().read_rest_reply(reply(body(row()), status), REQUEST), expected)


def test_instruments() -> None:
    """A pair is told by its name, its symbol by its address; all that are listed are traded.

    What is no pair of two currencies is left out.
    """
    adapter = BitstampSpot()
    dialogue = adapter.instruments()
    request = next(dialogue)
    listed = [
        {"name": "BTC/USD", "url_symbol": "btcusd", "trading": "Enabled", "base_decimals": 8},
        {"name": "1INCH/EUR", "url_symbol": "1incheur", "trading": "Other"},
        {"name": "BTC/USD-X", "url_symbol": "btcusd-x", "trading": "Enabled"},
        {"name": "BTCUSD", "url_symbol": "btcusd", "trading": "Enabled"},
    ]
    with pytest.raises(StopIteration) as end:
        dialogue.send(reply(listed))

    assert request.url == "https://www.bitstamp.net/api/v2/trading-pairs-info/"
    assert end.value.value == [
        Instrument("BTC-USD", "btcusd", status="Enabled"),
        Instrument("1INCH-EUR", "1incheur", status="Other"),
    ]
