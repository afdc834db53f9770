"""What the conformance suite cannot know of Deribit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors.adapter import (
    Confirmed,
    Opening,
    Refused,
    RestRefused,
    RestReply,
    RestRequest,
    RestSlowDown,
    RestUnavailable,
    Rows,
    WSJSONRequest,
)
from connectors.exchanges.deribit import DeribitPerpetual
from connectors.model import Instrument, Subscription
from connectors.session import Session

WIRE = Path(__file__).parent.parent / "wire" / "deribit_perpetual"
NOW = 1_790_000_000.0
REQUEST = RestRequest(url="", trading_pair="BTC-USD", interval="1m", limit=100)
CHANNEL = "chart.trades.BTC-PERPETUAL.1"


def frame(name: str) -> Any:
    """The frame of a recorded item."""
    return orjson.loads((WIRE / f"{name}.json").read_bytes())["frame"]


def answer(body: Any, status: int = 200) -> Any:
    """What the adapter makes of a reply."""
    reply = RestReply(status, {}, orjson.dumps(body))
    return DeribitPerpetual().read_rest_reply(reply, REQUEST)


def listed(name: str, **more: Any) -> dict[str, Any]:
    """A row of the list of instruments (made up after the documentation)."""
    row = {"instrument_name": name, "settlement_period": "perpetual", "is_active": True}
    return row | {"kind": "future", "quote_currency": "USD"} | more


# --- WebSocket ---


@pytest.mark.parametrize(
    ("pair", "symbol"),
    [
        ("BTC-USD", "BTC-PERPETUAL"),
        ("ETH-USDC", "ETH_USDC-PERPETUAL"),
        ("USDT-USD", "USDT-PERPETUAL"),
        ("BTC-USDT", "BTC_USDT-PERPETUAL"),
    ],
)
def test_the_quote_stands_in_the_name_unless_it_is_usd(pair: str, symbol: str) -> None:
    """Inverse contracts are named by the coin alone."""
    assert symbol == DeribitPerpetual().get_trading_pair_format(pair)


def test_the_heartbeat_is_asked_for_first() -> None:
    """Without it the server would not tell that it lives; its id is no request's."""
    with pytest.raises(StopIteration) as end:
        next(DeribitPerpetual().opening())

    opening: Opening = end.value.value
    (message,) = opening.messages
    assert isinstance(message, dict)
    assert (message["method"], message["params"]) == ("public/set_heartbeat", {"interval": 15})
    assert message["params"]["interval"] < DeribitPerpetual.heartbeat.silence


def test_a_test_request_is_answered() -> None:
    """The answer's id is no request's; another heartbeat wants none."""
    adapter = DeribitPerpetual()

    parsed = adapter.parse_ws_message(frame("15-ws-test-request-recorded"))
    assert isinstance(parsed, WSJSONRequest)
    assert isinstance(parsed.payload, dict)
    assert parsed.payload["method"] == "public/test"
    assert parsed.payload["id"] > 1_000_000
    told = {"jsonrpc": "2.0", "method": "heartbeat", "params": {"type": "heartbeat"}}
    assert adapter.parse_ws_message(told) is None


@pytest.mark.parametrize("result", ["ok", {"version": "1.2.26"}, None])
def test_answers_to_our_own_calls_confirm_nothing(result: Any) -> None:
    """What answers set_heartbeat and test is no list of channels."""
    data = {"jsonrpc": "2.0", "id": 1_000_000_000, "result": result}

    assert DeribitPerpetual().parse_ws_message(data) is None


def test_what_is_missing_from_the_result_was_not_accepted() -> None:
    """Only what is listed is confirmed; an empty list refuses."""
    adapter = DeribitPerpetual()
    told = {"jsonrpc": "2.0", "id": 3, "result": [CHANNEL]}

    assert Confirmed("3", (CHANNEL,)) == adapter.parse_ws_message(told)
    assert isinstance(adapter.parse_ws_message({**told, "result": []}), Refused)


def test_a_channel_that_does_not_exist_is_rejected_in_the_end() -> None:
    """Missing from a longer result, it is asked for again by itself, and then refused."""
    adapter = DeribitPerpetual()
    channels = [adapter.channel(Subscription(adapter.name, it, "1m")) for it in ("BTC-USD", "X-Y")]
    session = Session(adapter, Opening(url="wss://x"), now=0.0)
    session.want(channels)

    (text,) = session.texts(0.0, NOW)
    sent = orjson.loads(text)
    assert channels == sent["params"]["channels"]
    reply = {"jsonrpc": "2.0", "id": sent["id"], "result": channels[:1]}
    session.receive(orjson.dumps(reply), binary=False, now=0.1)
    assert session.confirmed == set(channels[:1])
    again = orjson.loads(session.texts(11.0, NOW)[-1])
    assert again["params"]["channels"] == channels[1:]
    reply = {"jsonrpc": "2.0", "id": again["id"], "result": []}
    session.receive(orjson.dumps(reply), binary=False, now=11.1)

    assert [it.channel for it in session.rejected] == channels[1:]
    assert session.desired == set(channels[:1])


@pytest.mark.parametrize(
    ("name", "request_id"),
    [
        ("07-ws-error-invalid-params", "1"),
        ("08-ws-error-too-many", "1"),
        ("16-ws-error-invalid-json", None),
    ],
)
def test_errors_are_tied_by_their_id(name: str, request_id: str | None) -> None:
    """An error without an id is tied to nothing by itself."""
    refused = DeribitPerpetual().parse_ws_message(frame(name))

    assert isinstance(refused, Refused)
    assert (refused.request_id, refused.channels) == (request_id, ())
    assert frame(name)["error"]["message"] in refused.reason


def test_keys_in_any_order_and_numbers_in_exponent_form() -> None:
    """``1.42e-4`` is a number like any other; a frame without ``cost`` has no quote volume."""
    text = (
        b'{"params":{"data":{"close":2.2e3,"volume":1.42e-4,"low":2.1e3,"open":2.15e3,'
        b'"high":2.3E+3,"tick":1654079340000},"channel":"chart.trades.ETH_USDC-PERPETUAL.1D"},'
        b'"method":"subscription","jsonrpc":"2.0"}'
    )

    (candle,) = DeribitPerpetual().parse_ws_message(orjson.loads(text))  # type: ignore[misc]

    expected = (2150.0, 2300.0, 2100.0, 2200.0, 0.000142, None, None, None, None)
    assert expected == candle.figures()
    assert candle.channel == "chart.trades.ETH_USDC-PERPETUAL.1D"


@pytest.mark.parametrize(
    "change", [{"tick": None}, {"tick": "soon"}, {"open": None}, {"volume": "x"}, {"close": []}]
)
def test_an_unreadable_candle_raises(change: dict[str, Any]) -> None:
    """Half a candle is an exception, never an invented candle and never silence."""
    told = frame("01-ws-candle")
    told["params"]["data"] |= change

    with pytest.raises((ValueError, LookupError, TypeError)):
        DeribitPerpetual().parse_ws_message(told)


@pytest.mark.parametrize(
    "data",
    [
        {"method": "subscription"},
        {"method": "subscription", "params": {"channel": CHANNEL}},
        {"method": "subscription", "params": {"channel": CHANNEL, "data": None}},
        {"id": 1, "error": None},
        "pong",
    ],
)
def test_a_broken_frame_raises(data: Any) -> None:
    """A frame that lacks what its kind needs."""
    with pytest.raises((ValueError, LookupError, TypeError)):
        DeribitPerpetual().parse_ws_message(data)


@pytest.mark.parametrize("data", [{}, [], {"method": "new"}, {"id": 1}, 7])
def test_unknown_frames_are_noise(data: Any) -> None:
    """What is not our business is nothing."""
    assert DeribitPerpetual().parse_ws_message(data) is None


# --- REST ---


def test_a_request_begins_a_second_earlier() -> None:
    """A bar that opens exactly at ``start_timestamp`` was missing once."""
    request = DeribitPerpetual().rest_request("BTC-USDC", "1h", 3600, 10_800, 2, NOW)

    expected = {
        "instrument_name": "BTC_USDC-PERPETUAL",
        "resolution": "60",
        "start_timestamp": 3_599_000,
        "end_timestamp": 10_800_000,
    }
    assert expected == request.params


def test_columns_of_unequal_length_raise() -> None:
    """A column that was cut off would shift the others."""
    body = frame("10-rest-candles")
    body["result"]["close"].pop()

    with pytest.raises(ValueError, match="shorter"):
        answer(body)


def test_no_column_of_costs() -> None:
    """Without it there is no quote volume; the candles are there."""
    body = frame("10-rest-candles")
    del body["result"]["cost"]

    rows = answer(body)

    assert isinstance(rows, Rows)
    assert rows.candles[0].figures()[4:6] == (2.94375216, None)


def test_no_data() -> None:
    """No bars at all are an empty page, with the lists and without them."""
    columns: dict[str, list[Any]] = {
        key: [] for key in ("ticks", "open", "high", "low", "close", "volume", "cost")
    }

    assert Rows([]) == answer({"result": {"status": "no_data", **columns}})
    assert Rows([]) == answer({"result": {"status": "no_data"}})


@pytest.mark.parametrize("body", [{}, {"result": None}, {"result": {"status": "ok"}}, [], None])
def test_a_body_without_columns_raises(body: Any) -> None:
    """A reply that cannot be read is a ValueError, not an empty list."""
    with pytest.raises(ValueError, match="cannot be read"):
        answer(body)


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        (-32602, 400, RestRefused),
        (-32602, 200, RestRefused),
        (10028, 429, RestSlowDown),
        (10028, 400, RestSlowDown),
        (13009, 200, RestUnavailable),
        (11051, 503, RestUnavailable),
    ],
)
def test_codes_decide_whatever_the_status(code: int, status: int, expected: type) -> None:
    """The JSON-RPC error is believed before the status."""
    told = answer({"jsonrpc": "2.0", "error": {"code": code, "message": "why"}}, status)

    assert type(told) is expected
    assert "why" in str(told)


def listing_of(*pages: list[dict[str, Any]]) -> tuple[list[RestRequest], list[Instrument]]:
    """What was asked, and what was made of one page after the other, the rest empty."""
    dialogue = DeribitPerpetual().instruments()
    asked = [next(dialogue)]
    left = list(pages)
    try:
        while True:
            body = {"jsonrpc": "2.0", "result": left.pop(0) if left else []}
            asked.append(dialogue.send(RestReply(200, {}, orjson.dumps(body))))
    except StopIteration as end:
        return asked, end.value


def test_only_perpetuals_are_listed() -> None:
    """The pair stands in the name, whatever the quote currency of a linear one is called."""
    asked, rows = listing_of(
        [listed("BTC-PERPETUAL", state="open"), listed("BTC-26JUN26", settlement_period="month")],
        [listed("ETH-PERPETUAL", is_active=False)],
        [listed("BTC_USDC-PERPETUAL", quote_currency="USD")],
    )

    assert {it.url for it in asked} == {"https://www.deribit.com/api/v2/public/get_instruments"}
    expected = ["BTC", "ETH", "USDC", "USDT"]
    assert expected == [it.params["currency"] for it in asked]
    assert [
        Instrument("BTC-USD", "BTC-PERPETUAL", status="open"),
        Instrument("ETH-USD", "ETH-PERPETUAL", tradable=False, status="closed"),
        Instrument("BTC-USDC", "BTC_USDC-PERPETUAL", status="open"),
    ] == rows


def test_no_perpetual_at_all_is_no_list() -> None:
    """Nothing listed under any currency cannot be right."""
    with pytest.raises(ValueError, match="no perpetual"):
        listing_of([listed("BTC-26JUN26", settlement_period="month")])


def test_bars_of_unknown_begin_are_learned() -> None:
    """Days may open at 08:00 UTC, and bars of 3, 6 and 12 hours with them."""
    adapter = DeribitPerpetual()
    learned = [it for it in adapter.get_supported_intervals() if not adapter.grid(it).known]

    expected = ["3h", "6h", "12h", "1d"]
    assert expected == learned
    assert "4h" not in adapter.get_supported_intervals()
