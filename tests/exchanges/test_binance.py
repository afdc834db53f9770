"""What the conformance suite cannot know of Binance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors.adapter import (
    Closing,
    Confirmed,
    Refused,
    RestRefused,
    RestReply,
    RestRequest,
    RestSlowDown,
    RestUnavailable,
)
from connectors.exchanges.binance import BinanceCoinM, BinancePerpetual, BinanceSpot, BinanceUs
from connectors.model import Instrument, Subscription

WIRE = Path(__file__).parent.parent / "wire"
REQUEST = RestRequest(url="", trading_pair="BTC-USDT", interval="1m", limit=1000)

BRIEF: dict[str, Any] = {
    "e": "kline",
    "E": 1672515782136,
    "s": "BTCUSDT",
    "k": {
        "t": 1672515780000,
        "o": "16500.10",
        "c": "16505.20",
        "h": "16510.30",
        "l": "16495.40",
        "v": "5.123",
    },
}


def item(path: str) -> dict[str, Any]:
    """A recorded item."""
    found: dict[str, Any] = orjson.loads((WIRE / f"{path}.json").read_bytes())
    return found


def instruments(
    adapter: BinanceSpot | BinanceUs | BinancePerpetual, reply: RestReply
) -> list[Instrument]:
    """What the dialogue makes of one reply."""
    dialogue = adapter.instruments()
    next(dialogue)
    with pytest.raises(StopIteration) as end:
        dialogue.send(reply)
    rows: list[Instrument] = end.value.value
    return rows


def in_text(params: Any) -> dict[str, str]:
    """Query parameters as they are sent."""
    return {key: str(value) for key, value in params.items()}


# --- WebSocket ---


def test_parse_ws_message() -> None:
    """The example of the brief: a kline with only ``t o c h l v`` gives its candle."""
    adapter = BinanceSpot()

    candles = adapter.parse_ws_message(BRIEF)

    assert isinstance(candles, list)
    assert len(candles) == 1
    assert candles[0].timestamp == 1672515780
    assert candles[0].open == 16500.10
    assert candles[0].high == 16510.30
    assert candles[0].low == 16495.40
    assert candles[0].close == 16505.20
    assert candles[0].volume == 5.123


def test_figures_and_interval_that_are_not_told_are_none() -> None:
    """What the brief's short frame does not say is None: figures, the flag, the channel."""
    (candle,) = BinanceSpot().parse_ws_message(BRIEF)  # type: ignore[misc]  # candles, surely

    expected = (None,) * 4
    assert expected == candle.figures()[5:]
    assert candle.closed is None
    assert candle.channel is None
    assert candle.event_time == 1672515782136


def test_channel_from_the_outer_symbol() -> None:
    """With an interval and no symbol under ``k``, the channel comes from the outer symbol."""
    frame = {**BRIEF, "k": {**BRIEF["k"], "i": "1m"}}

    (candle,) = BinanceSpot().parse_ws_message(frame)  # type: ignore[misc]  # candles, surely

    assert candle.channel == "btcusdt@kline_1m"


def test_channel_of_an_envelope_is_the_name_of_the_stream() -> None:
    """A day of another zone is not taken for the UTC day."""
    frame = {"stream": "btcusdt@kline_1d@+08:00", "data": {**BRIEF, "k": {**BRIEF["k"], "i": "1d"}}}

    (candle,) = BinanceSpot().parse_ws_message(frame)  # type: ignore[misc]  # candles, surely

    assert candle.channel == "btcusdt@kline_1d@+08:00"


@pytest.mark.parametrize(
    "frame",
    [
        {"e": "kline", "E": 1, "s": "BTCUSDT"},
        {"e": "kline", "E": 1, "s": "BTCUSDT", "k": None},
        {**BRIEF, "k": {**BRIEF["k"], "o": None}},
        {**BRIEF, "k": {**BRIEF["k"], "h": "x"}},
        {**BRIEF, "k": {**BRIEF["k"], "t": "soon"}},
        {**BRIEF, "k": {key: value for key, value in BRIEF["k"].items() if key != "v"}},
        {**BRIEF, "s": None, "k": {**BRIEF["k"], "i": "1m"}},
        {key: value for key, value in BRIEF.items() if key != "e"},
        {"stream": "btcusdt@kline_1m", "data": None},
        {"stream": "btcusdt@kline_1m"},
        {"data": {**BRIEF, "k": {}}},
        '"e":"kline","E":16725',
    ],
)
def test_an_unreadable_candle_raises(frame: object) -> None:
    """Half a candle is an exception, never an invented candle and never silence."""
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        BinanceSpot().parse_ws_message(frame)


def test_subscribing_equals_the_recorded_message() -> None:
    """One message carries all streams, under an integer id, in lower case."""
    adapter = BinanceSpot()
    channels = [
        adapter.channel(Subscription("binance_spot", pair, interval))
        for pair, interval in (("BTC-USDT", "1m"), ("ETH-USDT", "5m"))
    ]
    recorded = item("binance_spot/09-ws-confirm")["request"]

    assert [recorded] == adapter.subscribe_messages(channels, 1, 0.0)
    assert [recorded | {"method": "UNSUBSCRIBE", "id": 2}] == adapter.unsubscribe_messages(
        channels, 2, 0.0
    )
    assert item("binance_us/04-ws-confirm")["request"] == (
        BinanceUs().get_ws_subscription_payload("BTC-USDT", "1m")
    )


def test_usd_m_candles_are_under_market() -> None:
    """The unsplit path of USD-M has carried no candles since 2026-04-23."""
    assert BinancePerpetual().get_ws_url() == "wss://fstream.binance.com/market/ws"


@pytest.mark.parametrize(
    "adapter", [BinanceSpot(), BinanceUs(), BinancePerpetual(), BinanceCoinM()]
)
def test_a_full_message_stays_below_4096_bytes(adapter: BinanceSpot) -> None:
    """A full batch of 25-letter symbols fits: a longer message would vanish without an answer."""
    names = [f"{number:03}{'x' * 22}@kline_15m" for number in range(100)]
    batch = names[: adapter.limits.message_channels]

    (message,) = adapter.subscribe_messages(batch, 2**53, 0.0)

    assert adapter.limits.message_bytes == 4088
    assert len(orjson.dumps(message)) <= 4088


def test_errors_are_read_in_both_shapes() -> None:
    """Too many streams is a matter of the limit, an ill-formed one of the request."""
    adapter = BinanceSpot()

    nested = item("binance_spot/10-ws-error-invalid-stream")["frame"]
    full = item("binance_spot/11-ws-error-too-many-subscriptions")["frame"]

    expected = Refused("Invalid request: invalid stream (code 2)", "2")
    assert expected == adapter.parse_ws_message(nested)
    assert expected == adapter.parse_ws_message(nested["error"] | {"id": 2})
    expected = Refused("Too many subscriptions (code 4)", "19", limit=True)
    assert expected == adapter.parse_ws_message(full)


def test_confirmations_shutdown_and_lists() -> None:
    """A null result confirms, serverShutdown closes in both framings, a list is noise."""
    adapter = BinanceSpot()

    assert Confirmed("7") == adapter.parse_ws_message({"result": None, "id": 7})
    for name in ("14-ws-server-shutdown-raw", "15-ws-server-shutdown-combined"):
        assert isinstance(adapter.parse_ws_message(item(f"binance_spot/{name}")["frame"]), Closing)
    assert adapter.parse_ws_message(item("binance_spot/13-ws-list-subscriptions")["frame"]) is None


# --- COIN-M ---


def test_coin_m_counts_contracts() -> None:
    """Contracts are not volume: base volume stands where others have quote volume."""
    parsed = BinanceCoinM().parse_ws_message(item("binance_coinm/01-ws-candle-open")["frame"])

    (candle,) = parsed  # type: ignore[misc]  # candles, surely
    expected = (13015.3042996, None, 308, 11913.42471197, None)
    assert expected == candle.figures()[4:]
    assert candle.channel == "etcusd_perp@kline_1m"


def test_no_coin_m_page_spans_more_than_200_days() -> None:
    """A longer range is refused, whatever the number of its rows."""
    adapter = BinanceCoinM()
    days = {
        interval: adapter.rest_pages(interval).limit * step / 86_400
        for interval, step in adapter.get_supported_intervals().items()
    }

    assert max(days.values()) <= 200
    assert adapter.rest_pages("1m").limit == 499
    assert adapter.rest_pages("1M").limit == 6


def test_coin_m_instruments() -> None:
    """The status has another name here, contracts are of so many USD, and the symbol a suffix."""
    frame = item("binance_coinm/40-rest-instruments")["frame"]
    adapter = BinanceCoinM()

    rows = instruments(adapter, RestReply(200, {}, orjson.dumps(frame)))

    expected = Instrument("BTC-USD", "BTCUSD_PERP", 100.0, inverse=True, status="TRADING")
    assert expected == rows[0]
    assert adapter.get_trading_pair_format("BTC-USD") == "BTCUSD_PERP"


def test_usd_m_and_coin_m_share_one_budget() -> None:
    """Both together ask no more than the 2400 that they have in common."""
    budgets = [adapter.limits.rest for adapter in (BinancePerpetual, BinanceCoinM)]

    assert [rate.period for (rate,) in budgets] == [60, 60]
    assert sum(rate.amount for (rate,) in budgets) <= 2400


# --- REST ---


@pytest.mark.parametrize(
    ("adapter", "path", "pair"),
    [
        (BinanceSpot(), "binance_spot/23-rest-candles-1d-ethbtc", "ETH-BTC"),
        (BinanceSpot(), "binance_spot/24-rest-candles-start-wins-limit", "BTC-USDT"),
        (BinancePerpetual(), "binance_perpetual/20-rest-candles-1d", "BTC-USDT"),
        (BinancePerpetual(), "binance_perpetual/22-rest-candles-before-listing", "BTC-USDT"),
    ],
)
def test_rest_request_equals_the_recorded_one(
    adapter: BinanceSpot | BinancePerpetual, path: str, pair: str
) -> None:
    """The plain REST twin asks what was recorded, to the last parameter."""
    recorded = item(path)["request"]
    asked = recorded["params"]
    start, end = int(asked["startTime"]) // 1000, int(asked["endTime"]) // 1000

    params = adapter.get_rest_params(pair, asked["interval"], start, end, int(asked["limit"]))

    assert recorded["url"] == adapter.get_rest_url()
    assert asked == in_text(params)


def test_the_end_of_a_request_is_exclusive() -> None:
    """``[start, end)`` becomes an inclusive range that ends before the next bar."""
    request = BinanceSpot().rest_request("BTC-USDT", "1s", 1_700_000_000, 1_700_000_002, 2, 0.0)

    assert request.params["startTime"] == 1_700_000_000_000
    assert request.params["endTime"] == 1_700_000_001_000
    assert request.weight == 2


@pytest.mark.parametrize(
    ("limit", "weight"), [(1, 1), (99, 1), (100, 2), (499, 2), (500, 5), (1000, 5), (1001, 10)]
)
def test_usd_m_weight_goes_by_rows(limit: int, weight: float) -> None:
    """USD-M charges by the number of rows asked for."""
    assert weight == BinancePerpetual().rest_weight(limit)


@pytest.mark.parametrize(
    ("path", "status", "expected"),
    [
        ("binance_spot/30-rest-error-symbol", 400, RestRefused),
        ("binance_spot/31-rest-error-interval", 400, RestRefused),
        ("binance_perpetual/30-rest-error-symbol", 400, RestRefused),
        ("binance_spot/32-rest-error-weight", 403, RestUnavailable),
        ("binance_spot/32-rest-error-weight", 503, RestUnavailable),
    ],
)
def test_what_a_status_means(path: str, status: int, expected: type) -> None:
    """400 is about the question, 403 (the firewall) and 5xx about the moment."""
    reply = RestReply(status, {}, orjson.dumps(item(path)["frame"]))

    assert isinstance(BinanceSpot().read_rest_reply(reply, REQUEST), expected)


@pytest.mark.parametrize("status", [418, 429])
def test_limits_and_bans_tell_for_how_long(status: int) -> None:
    """418 and 429 slow down for the seconds of Retry-After."""
    body = orjson.dumps(item("binance_spot/32-rest-error-weight")["frame"])

    answer = BinanceSpot().read_rest_reply(RestReply(status, {"retry-after": "120"}, body), REQUEST)

    assert isinstance(answer, RestSlowDown)
    assert answer.seconds == 120
    assert "Too much request weight used" in answer.reason


@pytest.mark.parametrize("body", [b'{"code":-1121,"msg":"x"}', b"[[1,2]]", b"[null]", b"<html>"])
def test_a_body_that_is_no_list_of_rows_raises(body: bytes) -> None:
    """A reply that cannot be read is a ValueError, not an empty list."""
    with pytest.raises(ValueError, match=r"cannot be read|unexpected"):
        BinanceSpot().read_rest_reply(RestReply(200, {}, body), REQUEST)


# --- instruments ---


def test_instruments_of_spot() -> None:
    """Base and quote come from exchangeInfo; only TRADING is tradable."""
    body = orjson.dumps(item("binance_us/40-rest-instruments")["frame"])

    assert [
        Instrument("BTC-USD", "BTCUSD", status="TRADING"),
        Instrument("ETH-USD", "ETHUSD", status="TRADING"),
        Instrument("XRP-USD", "XRPUSD", tradable=False, status="BREAK"),
    ] == instruments(BinanceUs(), RestReply(200, {}, body))


def test_dated_contracts_are_left_out() -> None:
    """A dated contract has the base and quote of the perpetual and must not take its place."""
    frame = item("binance_perpetual/40-rest-instruments")["frame"]
    dated = frame["symbols"][0] | {"symbol": "BTCUSDT_220624", "contractType": "CURRENT_QUARTER"}
    adapter = BinancePerpetual()

    rows = instruments(
        adapter, RestReply(200, {}, orjson.dumps({"symbols": [*frame["symbols"], dated]}))
    )
    adapter.use_instruments(rows)

    expected = ["BTC-USDT", "ETH-USDT", "BCH-USDT"]
    assert expected == [row.trading_pair for row in rows]
    assert adapter.get_trading_pair_format("BTC-USDT") == "BTCUSDT"


def test_the_symbol_of_the_instruments_wins() -> None:
    """The plain rule is only for pairs that no instrument tells."""
    adapter = BinanceSpot()
    adapter.use_instruments([Instrument("A-BC", "ABC1")])

    assert adapter.channel(Subscription("binance_spot", "A-BC", "1m")) == "abc1@kline_1m"
    assert adapter.get_trading_pair_format("BTC-USDT") == "BTCUSDT"


def test_no_instruments_without_status_200() -> None:
    """A refused request for instruments is a ValueError that says the status."""
    dialogue = BinanceSpot().instruments()
    next(dialogue)
    with pytest.raises(ValueError, match="HTTP 503"):
        dialogue.send(RestReply(503, {}, b"busy"))


def test_days_in_threes_are_learned() -> None:
    """The boundary of 3d is not known: no slot is told before one was seen."""
    assert not BinanceSpot().grid("3d").known
    assert BinanceSpot().grid("1w").holds(1717977600)
