"""Coinbase: what its recorded frames cannot say to the conformance suite."""
# ruff: noqa: SIM300 - the expected stands before the actual

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors.adapter import (
    Confirmed,
    ExchangeAdapter,
    Opening,
    Refused,
    RestRefused,
    RestReply,
    RestRequest,
    RestSlowDown,
)
from connectors.errors import UsageError
from connectors.exchanges.coinbase import CoinbaseAdvancedTrade, CoinbaseExchange
from connectors.model import CandleData, Instrument, Subscription

WIRE = Path(__file__).parents[1] / "wire"


def item(name: str) -> dict[str, Any]:
    """The recorded item whose file name begins so."""
    [path] = WIRE.glob(f"{name}*.json")
    return json.loads(path.read_text())


def reply(body: Any, status: int = 200) -> RestReply:
    """An HTTP reply with this body."""
    return RestReply(status, {}, orjson.dumps(body))


def ended(dialogue: Generator[RestRequest, RestReply, Any], *replies: RestReply) -> Any:
    """What a dialogue returns after these replies."""
    try:
        next(dialogue)
        for each in replies:
            dialogue.send(each)
    except StopIteration as end:
        return end.value
    raise AssertionError("the dialogue asks for more")


@pytest.fixture
def adapter() -> CoinbaseAdvancedTrade:
    """One that has the recorded instruments, BTC-USD and its alias BTC-USDC."""
    made = CoinbaseAdvancedTrade()
    made.use_instruments(
        ended(made.instruments(), reply(item("coinbase_advanced_trade/40")["frame"]))
    )
    return made


# --- WebSocket ---


def test_the_form_printed_in_the_brief():
    """A candle with ISO text as start and without a product is read, and has no channel."""
    frame = {
        "channel": "candles",
        "timestamp": "2023-01-01T00:00:00.000Z",
        "events": [
            {
                "type": "candle",
                "candles": [
                    {
                        "start": "2023-01-01T00:00:00.000Z",
                        "low": "16495.40",
                        "high": "16510.30",
                        "open": "16500.10",
                        "close": "16505.20",
                        "volume": "5.123",
                    }
                ],
            }
        ],
    }

    expected = CandleData(
        1672531200, 16500.10, 16510.30, 16495.40, 16505.20, 5.123, event_time=1672531200
    )
    assert [expected] == CoinbaseAdvancedTrade().parse_ws_message(frame)


def test_a_snapshot_is_sorted_over_all_its_events():
    """Rows come in no proven order and are given oldest first (a made-up frame)."""
    row = item("coinbase_advanced_trade/02")["frame"]["events"][0]["candles"][0]
    newest, oldest, between = ({**row, "start": str(1688998200 + at)} for at in (600, 0, 300))
    frame = {
        "channel": "candles",
        "events": [
            {"type": "snapshot", "candles": [newest, oldest]},
            {"type": "update", "candles": [between]},
        ],
    }

    candles = CoinbaseAdvancedTrade().parse_ws_message(frame)

    assert [1688998200, 1688998500, 1688998800] == [candle.timestamp for candle in candles]


@pytest.mark.parametrize("missing", ["start", "open", "high", "low", "close", "volume"])
def test_a_candle_without_a_figure_is_none(missing):
    """A row that lacks a figure raises instead of becoming an invented candle."""
    frame = item("coinbase_advanced_trade/01")["frame"]
    del frame["events"][0]["candles"][0][missing]

    with pytest.raises(KeyError, match=missing):
        CoinbaseAdvancedTrade().parse_ws_message(frame)


@pytest.mark.parametrize("bad", ["", "NaN", "many", None])
def test_a_candle_with_an_unreadable_figure_is_none(bad):
    """A row whose figure is no number raises instead of becoming an invented candle."""
    frame = item("coinbase_advanced_trade/01")["frame"]
    frame["events"][0]["candles"][0]["volume"] = bad

    with pytest.raises((ValueError, TypeError)):
        CoinbaseAdvancedTrade().parse_ws_message(frame)


def test_heartbeats_are_asked_for_while_opening():
    """The first subscribe, which must come within 5 s, is the one of the heartbeats."""
    expected = Opening(
        url="wss://advanced-trade-ws.coinbase.com",
        messages=(item("coinbase_advanced_trade/11")["request"],),
    )

    assert expected == ended(CoinbaseAdvancedTrade().opening())


def test_subscribing_as_recorded():
    """A subscribe message is the recorded one, for one product and for a batch."""
    adapter = CoinbaseAdvancedTrade()
    sent = item("coinbase_advanced_trade/01")["request"]["sent"]

    assert sent == adapter.get_ws_subscription_payload("BTC-USD", "5m")
    assert [sent] == adapter.subscribe_messages(["BTC-USD"], 7, 0)
    assert [
        {"type": "unsubscribe", "product_ids": ["BTC-USD", "ETH-USD"], "channel": "candles"}
    ] == adapter.unsubscribe_messages(["BTC-USD", "ETH-USD"], 7, 0)


def test_other_intervals_are_not_subscribed():
    """The socket has 5m only, so a subscribe message for another interval is a wrong call."""
    with pytest.raises(UsageError, match="5m"):
        CoinbaseAdvancedTrade().get_ws_subscription_payload("BTC-USD", "1m")


def test_an_alias_and_its_product_share_a_channel(adapter):
    """X-USD and X-USDC lead to one wire subscription, whose frames name the product."""
    pairs = ("BTC-USD", "BTC-USDC")
    channels = {adapter.channel(Subscription(adapter.name, pair, "5m")) for pair in pairs}
    payloads = [adapter.get_ws_subscription_payload(pair, "5m") for pair in pairs]
    [candle] = adapter.parse_ws_message(item("coinbase_advanced_trade/01")["frame"])

    assert {"BTC-USD"} == channels
    assert payloads[0] == payloads[1]
    assert candle.channel == "BTC-USD"


def test_a_true_product_against_usdc_is_itself(adapter):
    """A pair that the list does not call an alias is asked for by its own name."""
    subscription = Subscription(adapter.name, "USDT-USDC", "5m")

    assert adapter.channel(subscription) == "USDT-USDC"


def test_a_confirmation_lists_all_channels(adapter):
    """A confirmation names every product that the connection has now, aliases as their product."""
    frame = item("coinbase_advanced_trade/10")["frame"]
    frame["events"][0]["subscriptions"] = {
        "heartbeats": ["heartbeats"],
        "candles": ["ETH-USDT", "BTC-USDC", "BTC-USD"],
    }

    expected = Confirmed(channels=("ETH-USDT", "BTC-USD"), listing=True)
    assert expected == adapter.parse_ws_message(frame)


def test_the_confirmation_of_the_heartbeats_refuses_nothing():
    """A listing without candles, which may cross a subscribe on its way, says nothing of them."""
    frame = item("coinbase_advanced_trade/10")["frame"]
    frame["events"][0]["subscriptions"] = {"heartbeats": ["heartbeats"]}

    assert CoinbaseAdvancedTrade().parse_ws_message(frame) is None


def test_an_error_names_nothing():
    """An error is a refusal without id and channel; a reason beside the message is kept."""
    told = {"type": "error", "message": "Failed to subscribe", "reason": "X is not a valid product"}

    expected = Refused("Failed to subscribe: X is not a valid product")
    assert expected == CoinbaseAdvancedTrade().parse_ws_message(told)


def test_the_exchange_market_is_polled():
    """Exchange has no candles over WebSocket: nothing to subscribe, nothing to read."""
    adapter = CoinbaseExchange()

    assert {"rest"} == {
        adapter.transport(interval) for interval in adapter.get_supported_intervals()
    }
    assert adapter.parse_ws_message(item("coinbase_advanced_trade/01")["frame"]) is None
    with pytest.raises(UsageError, match="polled"):
        adapter.get_ws_subscription_payload("BTC-USD", "5m")


# --- REST ---


def test_an_advanced_trade_request(adapter):
    """The path names the product (of an alias: the true one), bounds are text, the cache is off."""
    request = adapter.rest_request("BTC-USDC", "1h", 1712188800, 1712196000, 2, 0)

    base = item("coinbase_advanced_trade/40")["request"]["url"]
    assert f"{base}/BTC-USD/candles" == request.url
    expected = {"start": "1712188800", "end": "1712195999", "granularity": "ONE_HOUR"}
    assert expected == request.params
    assert request.headers == {"cache-control": "no-cache"}
    assert request.trading_pair == "BTC-USDC"


def test_an_exchange_request_has_both_bounds():
    """Exchange gets start and end always; a full page asks for 300 intervals, not for 301."""
    adapter = CoinbaseExchange()
    page = adapter.rest_pages("1m").limit
    request = adapter.rest_request("BTC-USD", "1m", 1712188800, 1712188800 + 60 * page, page, 0)

    assert request.url == "https://api.exchange.coinbase.com/products/BTC-USD/candles"
    assert request.params["granularity"] == 60
    assert (int(request.params["end"]) - int(request.params["start"])) // 60 < 300


def test_granularities_that_exchange_refuses_are_not_asked():
    """None of the granularities that were refused live is in the table."""
    refused = {120, 1800, 14400, 604800}
    adapter = CoinbaseExchange()
    asked = {
        adapter.get_rest_params("BTC-USD", interval, 0, 1, 1)["granularity"]
        for interval in adapter.get_supported_intervals()
    }

    assert set() == refused & asked


@pytest.mark.parametrize(
    ("market", "name", "status", "kind"),
    [
        (CoinbaseAdvancedTrade, "30", 429, RestSlowDown),
        (CoinbaseAdvancedTrade, "31", 400, RestRefused),
        (CoinbaseAdvancedTrade, "32", 404, RestRefused),
        (CoinbaseExchange, "30", 400, RestRefused),
        (CoinbaseExchange, "31", 404, RestRefused),
        (CoinbaseExchange, "32", 400, RestRefused),
    ],
)
def test_recorded_errors(market: type[ExchangeAdapter], name: str, status: int, kind: type):
    """Each recorded error, with the HTTP status of its source, says what to do next."""
    frame = item(f"{market.name}/{name}")["frame"]
    adapter = market()
    request = adapter.rest_request("BTC-USD", "1m", 0, 60, 1, 0)

    answer = adapter.read_rest_reply(reply(frame, status), request)

    assert isinstance(answer, kind)
    assert str(frame.get("message", "Too many requests")) in answer.reason


@pytest.mark.parametrize("market", [CoinbaseAdvancedTrade, CoinbaseExchange])
@pytest.mark.parametrize("body", [{"message": "NotFound"}, None, 7, {"candles": None}, ["rows"]])
def test_a_body_that_holds_no_candles(market: type[ExchangeAdapter], body: Any):
    """A body of another shape is a ValueError, never an empty page."""
    with pytest.raises(ValueError, match=r"\w"):
        market().parse_rest_response(body)


def test_advanced_trade_instruments(adapter):
    """The recorded products become two rows, one of them the alias of the other."""
    frame = item("coinbase_advanced_trade/40")["frame"]
    dialogue = adapter.instruments()
    request = next(dialogue)

    wanted = item("coinbase_advanced_trade/40")["request"]
    assert (wanted["method"], wanted["url"], wanted["params"]) == (
        request.method,
        request.url,
        request.params,
    )
    assert [
        Instrument("BTC-USD", "BTC-USD", status="online"),
        Instrument("BTC-USDC", "BTC-USDC", status="online", alias_of="BTC-USD"),
    ] == ended(adapter.instruments(), reply(frame))


def test_exchange_instruments():
    """A product that is not online, or whose trading is disabled, is not tradable."""
    rows = item("coinbase_exchange/40")["frame"]
    rows[0]["status"] = "delisted"
    disabled = {**rows[1], "id": "ETH-GBP", "trading_disabled": True}

    assert [
        Instrument("SKL-EUR", "SKL-EUR", tradable=False, status="delisted"),
        Instrument("BTC-GBP", "BTC-GBP", status="online"),
        Instrument("ETH-GBP", "ETH-GBP", tradable=False, status="online"),
    ] == ended(CoinbaseExchange().instruments(), reply([*rows, disabled]))


@pytest.mark.parametrize("market", [CoinbaseAdvancedTrade, CoinbaseExchange])
def test_a_refusal_is_no_list_of_instruments(market: type[ExchangeAdapter]):
    """An error instead of the products is a ValueError, not an empty list."""
    dialogue = market().instruments()
    next(dialogue)

    with pytest.raises(ValueError, match="HTTP 429"):
        dialogue.send(reply({"message": "slow down"}, 429))
