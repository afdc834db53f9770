"""What the conformance suite cannot know of Gate."""

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
    Rows,
)
from connectors.exchanges.gate import GatePerpetual, GateSpot
from connectors.model import Instrument, Subscription

WIRE = Path(__file__).parent.parent / "wire"
NOW = 1_790_000_000.5
REQUEST = RestRequest(url="", trading_pair="BTC-USDT", interval="1m", limit=100)


def frame(path: str) -> Any:
    """The frame of a recorded item."""
    return orjson.loads((WIRE / f"{path}.json").read_bytes())["frame"]


def answer(body: Any, status: int = 200) -> Any:
    """What spot makes of a reply."""
    return GateSpot().read_rest_reply(RestReply(status, {}, orjson.dumps(body)), REQUEST)


def instruments(adapter: GateSpot | GatePerpetual, body: Any) -> list[Instrument]:
    """What the dialogue makes of one reply."""
    dialogue = adapter.instruments()
    next(dialogue)
    with pytest.raises(StopIteration) as end:
        dialogue.send(RestReply(200, {}, orjson.dumps(body)))
    rows: list[Instrument] = end.value.value
    return rows


@pytest.fixture
def perpetual() -> GatePerpetual:
    """One that has the recorded contract BTC_USDT of 0.0001 coins, and one of 10 coins."""
    made = GatePerpetual()
    rows = instruments(made, frame("gate_perpetual/35-rest-instruments-futures"))
    made.use_instruments([*rows, Instrument("CHR-USDT", "CHR_USDT", 10.0)])
    return made


def confirmation(**more: Any) -> dict[str, Any]:
    """An answer to a subscribe message (made up after a recorded one)."""
    told = {"id": 7, "channel": "spot.candlesticks", "event": "subscribe"}
    return told | {"payload": ["1m", "BTC_USDT"], "result": {"status": "success"}} | more


# --- WebSocket ---


def test_base_and_quote_volume_of_spot() -> None:
    """``v`` is quote and ``a`` base: the other way round it is wrong by a factor of the price."""
    (candle,) = GateSpot().parse_ws_message(frame("gate_spot/12-ws-candle-open"))  # type: ignore[misc]

    assert (candle.volume, candle.quote_asset_volume) == (0.248255, 19192.2484961)
    assert candle.event_time == 1787423119084
    assert candle.closed is False


def test_no_base_volume_no_candle() -> None:
    """A frame without ``a`` is unreadable; quote volume never stands in for base."""
    with pytest.raises(KeyError):
        GateSpot().parse_ws_message(frame("gate_spot/15-ws-candle-after-trade"))


def test_two_bars_in_a_frame(perpetual: GatePerpetual) -> None:
    """At the turn the closed bar comes with the new one: both count, oldest first."""
    told = frame("gate_perpetual/20-ws-candle-futures-5m")
    (bar,) = told["result"]
    told["result"] = [bar | {"t": bar["t"] + 300, "v": "3.5", "w": False}, bar | {"w": True}]

    parsed = perpetual.parse_ws_message(told)

    assert isinstance(parsed, list)
    expected = [(1662484200, 1093.7513, True), (1662484500, 0.00035, False)]
    assert expected == [(it.timestamp, it.volume, it.closed) for it in parsed]
    assert {it.channel for it in parsed} == {"5m_BTC_USDT"}


def test_contracts_are_converted_to_the_nearest_double(perpetual: GatePerpetual) -> None:
    """Sizes below and above one coin; a contract of unknown size is an error that names it."""
    told = frame("gate_perpetual/24-ws-candle-futures-doc-a")
    for name, contracts, volume in (("BTC_USDT", 3, 0.0003), ("CHR_USDT", "27", 270.0)):
        told["result"][0] |= {"n": f"8h_{name}", "v": contracts}
        (candle,) = perpetual.parse_ws_message(told)  # type: ignore[misc]
        assert (candle.volume, candle.quote_asset_volume) == (volume, None)
    told["result"][0]["n"] = "1m_BTC_USDT_20260925"
    with pytest.raises(ValueError, match="BTC_USDT_20260925"):
        perpetual.parse_ws_message(told)
    assert GatePerpetual.needs_instruments


@pytest.mark.parametrize("zero", [None, 0])
def test_no_time_of_sending(zero: int | None) -> None:
    """Older frames have none, or say 0: that is no time."""
    told = frame("gate_spot/12-ws-candle-open") | {"time_ms": zero}

    (candle,) = GateSpot().parse_ws_message(told)  # type: ignore[misc]

    assert candle.event_time is None


def test_one_channel_a_message() -> None:
    """A nested list would be acknowledged and stay silent."""
    adapter = GatePerpetual()
    subscriptions = [Subscription(adapter.name, it, "1w") for it in ("BTC-USDT", "ETH-USDT")]
    channels = [adapter.channel(it) for it in subscriptions]

    messages = adapter.subscribe_messages(channels, 7, NOW)

    assert [
        {
            "time": 1_790_000_000,
            "id": 7,
            "channel": "futures.candlesticks",
            "event": "subscribe",
            "payload": ["7d", symbol],
        }
        for symbol in ("BTC_USDT", "ETH_USDT")
    ] == messages
    assert adapter.limits.message_channels == 1
    assert adapter.ping_message(8, NOW) == {"time": 1_790_000_000, "channel": "futures.ping"}


def test_confirmations() -> None:
    """By id and payload, as far as they are there; an unsubscribe accepts no channel."""
    read = GateSpot().parse_ws_message

    assert Confirmed("7", ("1m_BTC_USDT",)) == read(confirmation())
    assert Confirmed(None, ("1m_BTC_USDT",)) == read(confirmation(id=None, error=None))
    assert Confirmed("7") == read(confirmation(event="unsubscribe"))
    assert read(confirmation(event="unsubscribe", id=None)) is None
    assert Confirmed() == read(frame("gate_spot/01-ws-confirm-old"))
    assert read(confirmation(channel="spot.trades", id=None)) is None


def test_refusals() -> None:
    """The payload names the channel; failing without an error is refused as well."""
    read = GateSpot().parse_ws_message
    error = {"code": 2, "message": "unknown currency pair: X"}
    failed = {"status": "fail"}

    expected = Refused("unknown currency pair: X (code 2)", "7", ("1m_BTC_USDT",))
    assert expected == read(confirmation(error=error, result=failed))
    refused = read(confirmation(result=failed))
    assert isinstance(refused, Refused)
    assert refused.channels == ("1m_BTC_USDT",)


def test_what_is_subscribed_already_is_no_refusal() -> None:
    """``Alert sub``: the first subscription keeps delivering."""
    error = {"code": 2, "message": "Alert sub 1m_BTC_USDT"}

    told = confirmation(error=error, result={"status": "fail"})
    assert Confirmed("7", ("1m_BTC_USDT",)) == GateSpot().parse_ws_message(told)


def test_an_upgrade_closes() -> None:
    """The announcement before a shutdown (made up after the documentation)."""
    told = {"channel": "futures.system", "event": "update", "result": {"type": "upgrade"}}

    assert isinstance(GatePerpetual().parse_ws_message(told), Closing)
    assert GatePerpetual().parse_ws_message(told | {"result": {"type": "other"}}) is None


@pytest.mark.parametrize(
    "change", [{"t": None}, {"t": "soon"}, {"o": None}, {"a": "x"}, {"w": "perhaps"}, {"c": []}]
)
def test_an_unreadable_candle_raises(change: dict[str, Any]) -> None:
    """Half a candle is an exception, never an invented candle and never silence."""
    told = frame("gate_spot/12-ws-candle-open")
    told["result"] |= change

    with pytest.raises((ValueError, LookupError, TypeError)):
        GateSpot().parse_ws_message(told)


@pytest.mark.parametrize("result", [None, {}, [None], [[]], "x"])
def test_a_broken_frame_raises(result: Any) -> None:
    """A candle frame without a candle."""
    told = {"channel": "spot.candlesticks", "event": "update", "result": result}

    with pytest.raises((ValueError, LookupError, TypeError, AttributeError)):
        GateSpot().parse_ws_message(told)


@pytest.mark.parametrize(
    "data",
    [
        {},
        [],
        7,
        {"channel": "spot.pong", "event": "", "result": None},
        {"channel": "spot.candlesticks", "event": "new"},
        {"channel": "futures.candlesticks", "event": "update", "result": []},
    ],
)
def test_unknown_frames_are_noise(data: Any) -> None:
    """What is not our business is nothing; the other market's candles are not ours either."""
    assert GateSpot().parse_ws_message(data) is None


# --- REST ---


def test_intervals_without_a_channel_are_polled() -> None:
    """``2h`` and ``1M`` rest on clients alone; spot has no 6h and 12h at all."""
    polled = [
        [it for it in made.get_supported_intervals() if made.transport(it) == "rest"]
        for made in (GateSpot(), GatePerpetual())
    ]
    expected = [["2h", "1M"], ["2h", "6h", "12h", "1M"]]
    assert expected == polled
    assert not GateSpot().grid("1w").known
    assert GatePerpetual().grid("1M").months == 1


def test_history_ends() -> None:
    """Spot serves the newest 10 000 bars; of perpetuals no more is believed than was seen."""
    spot = {GateSpot().rest_pages(it).rows for it in GateSpot().get_rest_supported_intervals()}
    perpetual = GatePerpetual()
    assert {9999} == spot
    assert [perpetual.rest_pages(it).rows for it in ("15m", "1h", "1d")] == [8000, 9000, 1500]
    assert all(perpetual.rest_pages(it).rows for it in perpetual.get_rest_supported_intervals())


def test_no_limit_beside_two_bounds() -> None:
    """All three together are refused."""
    params = GatePerpetual().get_rest_params("BTC-USDT", "1w", 604_800, 1_209_599, 1)

    expected = {"contract": "BTC_USDT", "interval": "7d", "from": 604_800, "to": 1_209_599}
    assert expected == params


def test_a_row_of_spot_says_whether_it_is_closed() -> None:
    """The last row is the open bar; rows of 2023 do not say."""
    row = ["1790274120", "11662.9", "84404", "84421.4", "84384.1", "84384.2", "0.138", "false"]

    rows = answer([row, [*row[:7], "true"], row[:7]])

    assert isinstance(rows, Rows)
    assert [it.closed for it in rows.candles] == [False, True, None]
    expected = (84384.2, 84421.4, 84384.1, 84404, 0.138, 11662.9, None, None, None)
    assert expected == rows.candles[0].figures()


@pytest.mark.parametrize(
    ("label", "status", "expected"),
    [
        ("INVALID_CURRENCY", 400, RestRefused),
        ("INVALID_PARAM_VALUE", 400, RestRefused),
        ("SOMETHING_NEW", 400, RestRefused),
        ("TOO_MANY_REQUESTS", 429, RestSlowDown),
        ("TOO_MANY_REQUESTS", 400, RestSlowDown),
        ("SERVER_ERROR", 500, RestUnavailable),
        ("SOMETHING_NEW", 200, RestUnavailable),
    ],
)
def test_labels_decide(label: str, status: int, expected: type) -> None:
    """The label is believed before the status; the reason has the exchange's words."""
    told = answer({"label": label, "message": "why"}, status)

    assert type(told) is expected
    assert "why" in str(told)


def test_a_forbidden_address_is_left_alone() -> None:
    """``IP_FORBIDDEN`` is about where we are; another 403 is not."""
    assert answer({"label": "IP_FORBIDDEN", "message": "why"}, 403).blocked
    assert not answer({"label": "FORBIDDEN", "message": "why"}, 403).blocked


@pytest.mark.parametrize("body", [{"nothing": 1}, None, [None], [[]], [["1", "2"]], "x"])
def test_a_body_that_is_no_list_of_rows_raises(body: Any) -> None:
    """A reply that cannot be read is a ValueError, not an empty list."""
    with pytest.raises(ValueError, match="cannot be read"):
        answer(body)


def test_rows_of_perpetuals_do_not_name_their_contract(perpetual: GatePerpetual) -> None:
    """The size is that of the contract that was asked for; the quote amount is as sent."""
    body = frame("gate_perpetual/30-rest-candles-futures")

    candle = perpetual.parse_rest_response(body, REQUEST)[0]

    assert (candle.volume, candle.quote_asset_volume) == (9.7151, 3580)
    with pytest.raises(ValueError, match="give the request"):
        perpetual.parse_rest_response(body)


def test_instruments_of_perpetuals() -> None:
    """What is being delisted is not tradable, inverse contracts are not listed."""
    (row,) = frame("gate_perpetual/35-rest-instruments-futures")
    rows = [
        row,
        row | {"name": "OLD_USDT", "in_delisting": True},
        row | {"name": "NEW_USDT", "status": "prelaunch"},
        row | {"name": "BTC_USD", "type": "inverse", "quanto_multiplier": "0"},
        row | {"name": "BTC_USDT_20260925"},
    ]

    assert [
        Instrument("BTC-USDT", "BTC_USDT", 0.0001, status="trading"),
        Instrument("OLD-USDT", "OLD_USDT", 0.0001, tradable=False, status="in delisting"),
        Instrument("NEW-USDT", "NEW_USDT", 0.0001, tradable=False, status="prelaunch"),
    ] == instruments(GatePerpetual(), rows)


def test_instruments_of_spot() -> None:
    """Only ``tradable`` may be bought and sold."""
    listed = instruments(GateSpot(), frame("gate_spot/34-rest-instruments-spot"))

    expected = [("BTC-USDT", True), ("ETH-BTC", True), ("SAL-USDT", False)]
    assert expected == [(it.trading_pair, it.tradable) for it in listed]
