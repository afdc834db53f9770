"""Crypto.com: what its recorded frames cannot say to the conformance suite."""

from __future__ import annotations

from datetime import UTC, datetime
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
    WSJSONRequest,
)
from connectors.exchanges.cryptocom import CryptoComSpot
from connectors.model import Instrument

REQUEST = RestRequest(url="", trading_pair="BTC-USDT", interval="1m", limit=2)
NOW = 1_790_000_000.0
OPENED = 1_789_999_980_000
CHANNEL = "candlestick.1m.BTC_USDT"


def bar(**changed: Any) -> dict[str, Any]:
    """A row (made up)."""
    return {"o": "5", "h": "9", "l": "4", "c": "6", "v": "0.5", "t": OPENED, **changed}


def frame(*rows: Any, result: dict[str, Any] | None = None, **changed: Any) -> dict[str, Any]:
    """A frame of candles (made up)."""
    told = {"instrument_name": "BTC_USDT", "subscription": CHANNEL, "channel": "candlestick",
            "interval": "1m", "data": list(rows), **(result or {})}  # fmt: skip
    return {"id": -1, "method": "subscribe", "code": 0, "result": told, **changed}


def refusal(code: Any, request_id: Any = 7, **more: Any) -> dict[str, Any]:
    """A refused subscribe request."""
    return {"id": request_id, "method": "subscribe", "code": code, "message": "why", **more}


def reply(body: Any, status: int = 200) -> RestReply:
    """An HTTP reply with this body."""
    return RestReply(status, {}, orjson.dumps(body))


def without(row: dict[str, Any], key: str) -> dict[str, Any]:
    """The same without a key."""
    return {name: value for name, value in row.items() if name != key}


# --- frames ---


@pytest.mark.parametrize("request_id", [-1, 7, "7", None])
@pytest.mark.parametrize("code", [0, "0"])
def test_history_and_updates_are_alike(request_id: Any, code: Any) -> None:
    """Whatever id and code a frame bears, its rows are candles, oldest first."""
    rows = (bar(t=OPENED + 60_000, ut=OPENED + 61_000), bar(v=2))

    candles = CryptoComSpot().parse_ws_message(frame(*rows, id=request_id, code=code))

    assert isinstance(candles, list)
    told = [(each.timestamp, each.volume, each.event_time) for each in candles]
    assert told == [(OPENED // 1000, 2.0, None), (OPENED // 1000 + 60, 0.5, OPENED + 61_000)]
    assert {each.channel for each in candles} == {CHANNEL}
    assert {each.closed for each in candles} == {None}


def test_a_frame_of_the_older_stream() -> None:
    """Neither id nor code, and a depth: the rows count."""
    older = without(without(frame(bar(), result={"depth": 300}), "id"), "code")

    candles = CryptoComSpot().parse_ws_message(older)

    assert isinstance(candles, list)
    assert candles[0].figures()[:5] == (5.0, 9.0, 4.0, 6.0, 0.5)


def test_codes_come_back_as_asked() -> None:
    """A legacy code keeps its name: it is the channel of nobody who asked for the new one."""
    legacy = frame(bar(), result={"subscription": "candlestick.M1.BTC_USDT", "interval": "M1"})

    candles = CryptoComSpot().parse_ws_message(legacy)

    assert isinstance(candles, list)
    assert candles[0].channel == "candlestick.M1.BTC_USDT"


@pytest.mark.parametrize(
    "unreadable",
    [
        frame(bar(o=None)),
        frame(bar(t="soon")),
        frame(without(bar(), "v")),
        frame(bar(), None),
        frame(result={"data": None}),
        {**frame(), "result": without(frame(bar())["result"], "data")},
        {**frame(), "result": without(frame(bar())["result"], "subscription")},
        {**frame(), "result": without(frame(bar())["result"], "channel")},
        frame(bar(), result={"subscription": None}),
        frame(bar(), result={"subscription": "BTC_USDT"}),
        {**frame(), "result": "text"},
        "text",
    ],
)
def test_an_unreadable_frame_raises(unreadable: object) -> None:
    """Half a candle is an exception, never an invented candle and never silence."""
    adapter = CryptoComSpot()
    with pytest.raises((ValueError, LookupError, TypeError, AttributeError)):
        adapter.parse_ws_message(unreadable)


@pytest.mark.parametrize(
    "noise",
    [
        frame({"p": "1"}, result={"channel": "trade", "subscription": "trade.BTC_USDT"}),
        {"id": -1, "method": "subscribe", "code": 0},
        {"id": 7, "method": "public/auth", "code": 0},
        {"method": "subscribe", "result": None},
        {},
        [],
        None,
    ],
)
def test_noise(noise: object) -> None:
    """Other channels and frames of no known kind are nothing."""
    assert CryptoComSpot().parse_ws_message(noise) is None


def test_a_heartbeat_is_answered_with_its_id() -> None:
    """The answer bears the heartbeat's own id."""
    answer = CryptoComSpot().parse_ws_message({"id": 12, "method": "public/heartbeat", "code": 0})

    assert answer == WSJSONRequest({"id": 12, "method": "public/respond-heartbeat"})


# --- answers ---


def test_a_bare_confirmation_is_one_channel_s() -> None:
    """It comes channel by channel: the others of the request stay open."""
    adapter = CryptoComSpot()
    bare = {"id": 7, "method": "subscribe", "code": 0}

    assert adapter.parse_ws_message({**bare, "channel": CHANNEL}) == Confirmed("7", (CHANNEL,))
    assert adapter.parse_ws_message(bare) == Confirmed("7")
    assert adapter.parse_ws_message({**bare, "method": "unsubscribe"}) == Confirmed("7")


def test_a_refusal_names_its_channel() -> None:
    """The channel is refused, the rest of its request is not; a refused candle frame is none."""
    adapter = CryptoComSpot()
    refused = Refused("why (code 40003)", "7", (CHANNEL,))

    assert adapter.parse_ws_message(refusal(40003, channel=CHANNEL)) == refused
    told = {**frame(bar()), **refusal(40003)}
    assert adapter.parse_ws_message(told) == refused


def test_too_many_subscriptions() -> None:
    """Not the channels are at fault but their number: they are placed elsewhere."""
    told = CryptoComSpot().parse_ws_message(refusal(40107))

    assert told == Refused("why (code 40107)", "7", limit=True)


@pytest.mark.parametrize(("request_id", "tied"), [(7, "7"), (0, "0"), (-1, None), (None, None)])
def test_a_refusal_without_a_channel(request_id: Any, tied: str | None) -> None:
    """The id ties it, and without one it is the oldest open request's."""
    refused = Refused("why (code 10004)", tied)

    assert CryptoComSpot().parse_ws_message(refusal(10004, request_id)) == refused


def test_a_message_bears_a_hundred_channels() -> None:
    """More of them are spread over messages with the one id."""
    channels = [f"candlestick.1m.COIN{number}_USDT" for number in range(101)]

    messages: list[Any] = CryptoComSpot().subscribe_messages(channels, 7, NOW)

    assert [len(message["params"]["channels"]) for message in messages] == [100, 1]
    assert {message["id"] for message in messages} == {7}


# --- grids ---


def test_weeks_and_fortnights() -> None:
    """Weeks open on Monday, fortnights from 2019-10-28 on; there is no 6h."""
    adapter = CryptoComSpot()
    monday = int(datetime(2019, 10, 28, tzinfo=UTC).timestamp())

    assert adapter.grid("2w").holds(monday)
    assert not adapter.grid("2w").holds(monday + 7 * 86_400)
    assert adapter.grid("1w").holds(monday)
    assert "6h" not in adapter.get_supported_intervals()


# --- REST ---


def test_a_window_fits_whether_bounds_include_or_not() -> None:
    """A second earlier and a row more, within the largest page."""
    adapter = CryptoComSpot()
    limit = adapter.rest_pages("1d").limit

    request = adapter.rest_request("BTC-USDT", "1d", 1_789_948_800, 1_790_035_200, limit, NOW)

    expected = {
        "instrument_name": "BTC_USDT",
        "timeframe": "1D",
        "start_ts": 1_789_948_799_000,
        "end_ts": 1_790_035_199_000,
        "count": 300,
    }
    assert request.params == expected
    assert (request.start, request.limit) == (1_789_948_800, 299)


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        (40003, 200, RestRefused),
        (30002, 400, RestRefused),
        (42901, 200, RestSlowDown),
        (42901, 429, RestSlowDown),
        (50001, 200, RestUnavailable),
        (50001, 500, RestUnavailable),
    ],
)
def test_codes_decide_whatever_the_status(code: int, status: int, expected: type) -> None:
    """Refusals and limits are told by their code; an unknown code is asked again."""
    body = {"id": -1, "code": code, "message": "why", "result": {}}

    assert isinstance(CryptoComSpot().read_rest_reply(reply(body, status), REQUEST), expected)


def test_rows() -> None:
    """Rows may come in any order; no rows are no error."""
    adapter = CryptoComSpot()
    body = {"code": "0", "result": {"data": [bar(t=OPENED + 60_000), bar()]}}

    answer = adapter.read_rest_reply(reply(body), REQUEST)

    assert isinstance(answer, Rows)
    assert [each.timestamp for each in answer.candles] == [OPENED // 1000, OPENED // 1000 + 60]
    empty = {"code": 0, "result": {"data": []}}
    assert adapter.read_rest_reply(reply(empty), REQUEST) == Rows([])


@pytest.mark.parametrize(
    "body",
    [{}, [], None, {"code": 0, "result": {}}, {"code": 0, "result": {"data": [bar(c=None)]}}],
)
def test_an_unreadable_reply_raises(body: object) -> None:
    """What is no list of rows is a ValueError, not an empty list."""
    adapter = CryptoComSpot()
    with pytest.raises(ValueError, match="cannot be read"):
        adapter.read_rest_reply(reply(body), REQUEST)


def test_instruments() -> None:
    """Pairs of currencies are listed, perpetuals left out, closed ones told as such."""
    pair = {"symbol": "BTC_USDT", "inst_type": "CCY_PAIR", "base_ccy": "BTC", "quote_ccy": "USDT",
            "tradable": True}  # fmt: skip
    swap = {**pair, "symbol": "BTCUSD-PERP", "inst_type": "PERPETUAL_SWAP"}
    closed = {**pair, "symbol": "OLD_USDT", "base_ccy": "OLD", "tradable": False}
    dialogue = CryptoComSpot().instruments()
    request = next(dialogue)
    with pytest.raises(StopIteration) as end:
        dialogue.send(reply({"code": 0, "result": {"data": [pair, swap, closed]}}))

    assert request.url == "https://api.crypto.com/exchange/v1/public/get-instruments"
    assert end.value.value == [
        Instrument("BTC-USDT", "BTC_USDT"),
        Instrument("OLD-USDT", "OLD_USDT", tradable=False),
    ]
