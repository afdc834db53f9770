"""Bybit: what its recorded frames cannot say to the conformance suite."""

from __future__ import annotations

from collections.abc import Generator
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
from connectors.exchanges.bybit import BybitInverse, BybitPerpetual, BybitSpot
from connectors.model import Instrument, Subscription

REQUEST = RestRequest(url="", trading_pair="BTC-USDT", interval="1m", limit=2)
OPENED = 1_786_820_400_000
NOW = 1_790_000_000.0


def bar(**changed: Any) -> dict[str, Any]:
    """One element of a frame's data (made up)."""
    usual = {"start": OPENED, "end": OPENED + 59_999, "interval": "1", "open": "5", "high": "9",
             "low": "4", "close": "6", "volume": "70", "turnover": "8", "confirm": False,
             "timestamp": OPENED + 30_000}  # fmt: skip
    return {**usual, **changed}


def frame(*bars: Any, topic: str = "kline.1.BTCUSDT") -> dict[str, Any]:
    """A frame of candles (made up)."""
    return {"topic": topic, "type": "snapshot", "ts": OPENED + 30_001, "data": list(bars)}


def answer(said: str, req_id: str | None = "7", **more: Any) -> dict[str, Any]:
    """A refusal of a subscribe request."""
    sent = {} if req_id is None else {"req_id": req_id}
    return {"success": False, "ret_msg": said, "conn_id": "c", "op": "subscribe", **sent, **more}


def reply(body: Any, status: int = 200, **headers: str) -> RestReply:
    """An HTTP reply; ``x_y`` is the header ``x-y``."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return RestReply(status, {key.replace("_", "-"): headers[key] for key in headers}, raw)


def ended(dialogue: Generator[RestRequest, RestReply, Any], *replies: RestReply) -> Any:
    """What a dialogue returns after these replies."""
    try:
        next(dialogue)
        for each in replies:
            dialogue.send(each)
    except StopIteration as end:
        return end.value
    raise AssertionError("the dialogue asks for more")


# --- frames ---


def test_both_bars_of_a_frame() -> None:
    """The closing bar and the new one in one frame are both read, oldest first."""
    new, closing = bar(start=OPENED + 60_000), bar(confirm=True)

    candles = BybitSpot().parse_ws_message(frame(new, closing))

    assert isinstance(candles, list)
    expected = [(OPENED // 1000, True), (OPENED // 1000 + 60, False)]
    assert expected == [(candle.timestamp, candle.closed) for candle in candles]
    assert {candle.channel for candle in candles} == {"kline.1.BTCUSDT"}


def test_inverse_volumes_are_exchanged() -> None:
    """On inverse contracts the turnover is the base volume, over both transports."""
    row = [str(OPENED), "5", "9", "4", "6", "70", "8"]
    body = {"retCode": 0, "result": {"list": [row]}}
    candles = BybitInverse().parse_ws_message(frame(bar(), topic="kline.1.BTCUSD"))
    rows = BybitInverse().parse_rest_response(body, REQUEST)

    assert isinstance(candles, list)
    told = [(each.volume, each.quote_asset_volume) for each in (*candles, *rows)]
    assert told == [(8.0, 70.0), (8.0, 70.0)]
    assert BybitPerpetual().parse_rest_response(body, REQUEST)[0].volume == 70.0


def test_a_frame_that_does_not_say_closed() -> None:
    """Without ``confirm`` a bar is neither open nor closed; figures may be numbers or text."""
    told = bar(start=str(OPENED), open=5, volume=70.5)
    del told["confirm"], told["turnover"]

    candles = BybitSpot().parse_ws_message(frame(told))

    assert isinstance(candles, list)
    assert (candles[0].timestamp, candles[0].closed) == (OPENED // 1000, None)
    assert candles[0].figures()[:6] == (5.0, 9.0, 4.0, 6.0, 70.5, None)


@pytest.mark.parametrize(
    "unreadable",
    [
        frame(bar(confirm="false")),
        frame(bar(open=None)),
        frame(bar(start="soon")),
        frame({key: value for key, value in bar().items() if key != "volume"}),
        frame(None),
        {**frame(), "data": None},
        {**frame(), "data": bar()},
        {"topic": None, "data": [bar()]},
        {"data": [bar()]},
        {"topic": "kline.1.BTCUSDT"},
        "pon",
    ],
)
def test_an_unreadable_candle_raises(unreadable: object) -> None:
    """Half a candle is an exception, never an invented candle and never silence."""
    with pytest.raises((ValueError, LookupError, TypeError, AttributeError)):
        BybitPerpetual().parse_ws_message(unreadable)


@pytest.mark.parametrize(
    "noise",
    [
        {"topic": "publicTrade.BTCUSDT", "data": [{}]},
        {"topic": "kline_lt.1.BTC3LUSDT", "data": [bar()]},
        {"op": "pong", "success": True, "ret_msg": "", "req_id": "3"},
        {"op": "ping", "success": True, "ret_msg": "pong", "req_id": "3"},
        {"op": "auth", "success": False},
        {},
        [],
        7,
    ],
)
def test_noise(noise: object) -> None:
    """Other topics, pongs in both forms and frames of no known kind are nothing."""
    assert BybitSpot().parse_ws_message(noise) is None


# --- answers ---


def test_a_refusal_is_the_whole_request_s() -> None:
    """The named topic is only the first bad one: the request is refused, to be split."""
    said = "error:handler not found,topic:kline.1.NOPEUSDT"

    refused = BybitSpot().parse_ws_message(answer(said))

    assert refused == Refused(said, "7")
    assert BybitSpot().parse_ws_message(answer(said, "")) == Refused(
        said, channels=("kline.1.NOPEUSDT",)
    )


@pytest.mark.parametrize("said", ["Invalid symbol :[kline.1.X]", "Invalid topic: kline.1.X"])
def test_other_words_name_the_topic_too(said: str) -> None:
    """Clients have seen other texts: without an id the topic ties them."""
    assert BybitSpot().parse_ws_message(answer(said, None)) == Refused(
        said, channels=("kline.1.X",)
    )


def test_already_subscribed_is_no_refusal() -> None:
    """The named topic lives; the rest of its request stays open and is asked for again."""
    said = "error:already subscribed,topic:kline.1.BTCUSDT"

    assert BybitSpot().parse_ws_message(answer(said)) == Confirmed("7", ("kline.1.BTCUSDT",))
    assert BybitSpot().parse_ws_message(answer("error:already subscribed,topic:tickers.X")) is None


def test_a_message_bears_ten_topics() -> None:
    """Spot takes no more, so none gets more."""
    adapter = BybitSpot()
    pairs = [f"COIN{number}-USDT" for number in range(11)]
    channels = [adapter.channel(Subscription(adapter.name, pair, "1m")) for pair in pairs]

    messages = adapter.subscribe_messages(channels, 7, NOW)

    assert [len(message["args"]) for message in messages] == [10, 1]
    assert adapter.limits.message_channels == 10


def test_topics_of_a_full_connection_fit() -> None:
    """All topics of a connection together stay below 21,000 characters, long names included."""
    adapter = BybitPerpetual()
    longest = adapter.channel(Subscription(adapter.name, "1000000BABYDOGEVERYLONG-USDT", "12h"))

    assert len(longest) * adapter.limits.subscriptions < 21_000


# --- REST ---


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        (10001, 200, RestRefused),
        (10006, 200, RestSlowDown),
        (10006, 429, RestSlowDown),
        (10016, 200, RestUnavailable),
        (10016, 503, RestUnavailable),
    ],
)
def test_codes_decide_whatever_the_status(code: int, status: int, expected: type) -> None:
    """Refusals and limits come with HTTP 200, too; an unknown code is asked again."""
    body = {"retCode": code, "retMsg": "why", "result": {}}

    assert isinstance(BybitSpot().read_rest_reply(reply(body, status), REQUEST), expected)


def test_the_reset_is_a_time() -> None:
    """Until the limit's reset is counted from the reply's own date, never below zero."""
    body, date = {"retCode": 10006, "retMsg": "Too many visits!"}, "Tue, 15 Sep 2026 12:00:00 GMT"
    reset = {"x_bapi_limit_reset_timestamp": "1789473603500"}

    def wait(**headers: str) -> Any:
        return BybitSpot().read_rest_reply(reply(body, **headers), REQUEST).seconds

    assert wait(**reset, date=date) == 3.5
    assert wait(**reset, date="Tue, 15 Sep 2026 13:00:00 GMT") == 0.0
    assert wait(**reset, date="today", retry_after="2") == 2.0
    assert wait(**reset) is None


def test_two_kinds_of_403() -> None:
    """Too frequent access waits ten minutes; a barred country is barred; else it is tried again."""
    adapter = BybitSpot()

    slow = adapter.read_rest_reply(reply(b"access too frequent", 403), REQUEST)
    barred = adapter.read_rest_reply(reply(b"blocked in your country", 403), REQUEST)

    assert slow == RestSlowDown("access too frequent", 600)
    assert isinstance(barred, RestUnavailable)
    assert barred.blocked
    assert isinstance(adapter.read_rest_reply(reply(b"", 403), REQUEST), RestUnavailable)


@pytest.mark.parametrize(
    ("market", "pair", "symbol", "category"),
    [
        (BybitSpot, "ETH-USDC", "ETHUSDC", "spot"),
        (BybitPerpetual, "BTC-USDC", "BTCPERP", "linear"),
        (BybitPerpetual, "USDC-USDT", "USDCUSDT", "linear"),
        (BybitInverse, "BTC-USD", "BTCUSD", "inverse"),
    ],
)
def test_a_window(market: type[BybitSpot], pair: str, symbol: str, category: str) -> None:
    """The category is always sent; both bounds are in milliseconds and include."""
    request = market().rest_request(pair, "1h", 1_790_002_800, 1_790_010_000, 2, NOW)

    expected = {
        "category": category,
        "symbol": symbol,
        "interval": "60",
        "start": 1_790_002_800_000,
        "end": 1_790_009_999_000,
        "limit": 2,
    }
    assert request.params == expected


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"retCode": 0, "result": {}},
        {"result": {"list": [[]]}},
        {"result": {"list": [[str(OPENED), "5", "9", "4", "6", "70"]]}},
    ],
)
def test_a_body_that_is_no_list_of_rows_raises(body: object) -> None:
    """A reply that cannot be read is a ValueError, not an empty list."""
    with pytest.raises(ValueError, match="cannot be read"):
        BybitSpot().read_rest_reply(reply(body), REQUEST)


def test_an_empty_range() -> None:
    """No rows are no error."""
    body = {"retCode": 0, "retMsg": "OK", "result": {"list": []}}

    assert BybitSpot().read_rest_reply(reply(body), REQUEST) == Rows([])


# --- instruments ---


def contract(symbol: str, base: str, quoted: str, kind: str = "LinearPerpetual") -> dict[str, str]:
    """A row of the list (made up)."""
    return {"symbol": symbol, "baseCoin": base, "quoteCoin": quoted, "status": "Trading",
            "contractType": kind}  # fmt: skip


def test_instruments_come_in_pages() -> None:
    """The cursor of a page asks for the next; dated contracts are left out."""
    pages = [
        [contract("BTCPERP", "BTC", "USDC"), contract("PERPUSDT", "PERP", "USDT")],
        [contract("BTCUSDT-21FEB25", "BTC", "USDT", "LinearFutures")],
    ]
    bodies = [
        {"retCode": 0, "result": {"list": pages[0], "nextPageCursor": "more%3D"}},
        {"retCode": 0, "result": {"list": pages[1], "nextPageCursor": ""}},
    ]
    adapter = BybitPerpetual()
    dialogue = adapter.instruments()
    next(dialogue)
    second = dialogue.send(reply(bodies[0]))
    rows = ended(adapter.instruments(), *map(reply, bodies))

    assert second.params == {"category": "linear", "limit": 1000, "cursor": "more%3D"}
    assert rows == [
        Instrument("BTC-USDC", "BTCPERP", status="Trading"),
        Instrument("PERP-USDT", "PERPUSDT", status="Trading"),
    ]
    adapter.use_instruments(rows)
    assert adapter.get_trading_pair_format("BTC-USDC") == "BTCPERP"


def test_no_instruments_with_an_error_code() -> None:
    """A refusal inside HTTP 200 is a ValueError with the exchange's own words."""
    dialogue = BybitInverse().instruments()
    next(dialogue)
    with pytest.raises(ValueError, match="params error"):
        dialogue.send(reply({"retCode": 10001, "retMsg": "params error", "result": {}}))
