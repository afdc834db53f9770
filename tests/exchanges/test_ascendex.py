"""What the conformance suite cannot know of AscendEX."""

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
    WSJSONRequest,
)
from connectors.exchanges.ascendex import AscendExPerpetual, AscendExSpot
from connectors.model import Instrument, Subscription

WIRE = Path(__file__).parent.parent / "wire"
NOW = 1_790_000_000.0
REQUEST = RestRequest(url="", trading_pair="BTC-USDT", interval="1m", limit=100)


def frame(path: str) -> Any:
    """The frame of a recorded item."""
    return orjson.loads((WIRE / f"{path}.json").read_bytes())["frame"]


def answer(body: Any, status: int = 200) -> Any:
    """What spot makes of a reply."""
    return AscendExSpot().read_rest_reply(RestReply(status, {}, orjson.dumps(body)), REQUEST)


def instruments(adapter: AscendExSpot | AscendExPerpetual, rows: list[Any]) -> list[Instrument]:
    """What the dialogue makes of these rows."""
    dialogue = adapter.instruments()
    next(dialogue)
    with pytest.raises(StopIteration) as end:
        dialogue.send(RestReply(200, {}, orjson.dumps({"code": 0, "data": rows})))
    made: list[Instrument] = end.value.value
    return made


# --- WebSocket ---


@pytest.mark.parametrize(("interval", "code"), [("1m", "1"), ("1M", "1m"), ("12h", "720")])
def test_one_m_is_a_month(interval: str, code: str) -> None:
    """A minute is ``1``; one channel a message, over REST the same codes."""
    adapter = AscendExPerpetual()
    channel = adapter.channel(Subscription(adapter.name, "BTC-USDT", interval))

    expected = [{"op": "sub", "id": "7", "ch": f"bar:{code}:BTC-PERP"}]
    assert expected == adapter.subscribe_messages([channel], 7, NOW)
    params = adapter.get_rest_params("BTC-USDT", interval, 0, 59, 1)
    assert params == {"symbol": "BTC-PERP", "interval": code, "from": 0, "to": 59_000}
    assert adapter.limits.message_channels == 1


def test_a_month_and_a_minute_have_channels_of_their_own() -> None:
    """What a frame of months says is not taken for minutes."""
    told = frame("ascendex_spot/01-ws-candle")
    told["data"]["i"] = "1m"

    (candle,) = AscendExSpot().parse_ws_message(told)  # type: ignore[misc]  # candles

    assert candle.channel == "bar:1m:ASD/USDT"


def test_volume_is_base() -> None:
    """Whatever the docs say; there is no quote volume."""
    parsed = AscendExSpot().parse_ws_message(frame("ascendex_spot/01-ws-candle"))

    (candle,) = parsed  # type: ignore[misc]  # candles
    assert (candle.volume, candle.quote_asset_volume) == (8052, None)


def test_pings_of_theirs_are_answered() -> None:
    """Two missed pings are a disconnect, which closes."""
    adapter = AscendExSpot()

    assert WSJSONRequest({"op": "pong"}) == adapter.parse_ws_message({"m": "ping", "hp": 1})
    closing = adapter.parse_ws_message(frame("ascendex_spot/07-ws-disconnected"))
    assert isinstance(closing, Closing)
    assert "missing pong" in closing.reason
    assert adapter.parse_ws_message({"m": "pong", "code": 0, "ts": 1614164189, "hp": 2}) is None


def test_answers() -> None:
    """By id and channel; a code other than 0 refuses; an unsubscribe accepts no channel."""
    read = AscendExSpot().parse_ws_message
    told = {"m": "sub", "id": "7", "ch": "bar:1:BTC/USDT", "code": 0}
    refusal = {**told, "code": 100005, "reason": "WHY", "info": "because"}

    assert Confirmed("7", ("bar:1:BTC/USDT",)) == read(told)
    assert Confirmed("8") == read({**told, "m": "unsub", "id": 8})
    assert read({"m": "unsub", "ch": "bar:1:BTC/USDT", "code": 0}) is None
    expected = Refused("WHY: because (code 100005)", "7", ("bar:1:BTC/USDT",))
    assert expected == read(refusal)
    assert Refused("WHY (code 1)") == read({"m": "error", "code": 1, "reason": "WHY"})


@pytest.mark.parametrize(
    "change", [{"ts": None}, {"ts": "soon"}, {"o": None}, {"v": "x"}, {"c": []}]
)
def test_an_unreadable_candle_raises(change: dict[str, Any]) -> None:
    """Half a candle is an exception, never an invented candle and never silence."""
    told = frame("ascendex_spot/01-ws-candle")
    told["data"] |= change

    with pytest.raises((ValueError, LookupError, TypeError)):
        AscendExSpot().parse_ws_message(told)


@pytest.mark.parametrize("data", [{"m": "bar"}, {"m": "bar", "s": "A/B", "data": None}, "pong"])
def test_a_broken_frame_raises(data: Any) -> None:
    """A frame that lacks what its kind needs."""
    with pytest.raises((ValueError, LookupError, TypeError)):
        AscendExSpot().parse_ws_message(data)


@pytest.mark.parametrize("data", [{}, [], 7, {"m": "depth", "data": {}}, {"m": "sub"}])
def test_unknown_frames_are_noise(data: Any) -> None:
    """What is not our business is nothing."""
    assert AscendExSpot().parse_ws_message(data) is None


# --- REST ---


@pytest.mark.parametrize(
    ("status", "expected"),
    [(200, RestUnavailable), (400, RestRefused), (429, RestSlowDown), (500, RestUnavailable)],
)
def test_a_code_is_an_error_whatever_the_status(status: int, expected: type) -> None:
    """It is never rows; what it means for good is not known."""
    body = {"code": 100002, "reason": "WHY", "message": "because", "info": "", "data": []}

    told = answer(body, status)

    assert type(told) is expected
    assert "because" in str(told)


@pytest.mark.parametrize("body", [{"code": 0}, {"code": 0, "data": None}, [], None, {"data": [{}]}])
def test_a_body_that_is_no_list_of_rows_raises(body: Any) -> None:
    """A reply that cannot be read is a ValueError, not an empty list."""
    with pytest.raises(ValueError, match="cannot be read"):
        answer(body)


def test_instruments_of_spot() -> None:
    """The status stands under either of two keys."""
    rows = [
        {"symbol": "BTC/USDT", "statusCode": "Normal"},
        {"symbol": "ASD/BTC", "status": "NoTrading"},
        {"symbol": "ETH/BTC", "statusCode": "NoTrading", "status": "Normal"},
    ]

    assert [
        Instrument("BTC-USDT", "BTC/USDT", status="Normal"),
        Instrument("ASD-BTC", "ASD/BTC", tradable=False, status="NoTrading"),
        Instrument("ETH-BTC", "ETH/BTC", tradable=False, status="NoTrading"),
    ] == instruments(AscendExSpot(), rows)


def test_instruments_of_perpetuals() -> None:
    """Only ``-PERP`` is one, settled in USDT."""
    rows = [
        {"symbol": "BTC-PERP", "status": "Normal"},
        {"symbol": "ETH-PERP", "status": "Halted"},
        {"symbol": "BTC-PERP-X"},
        {"symbol": "A/B"},
    ]

    assert [
        Instrument("BTC-USDT", "BTC-PERP", status="Normal"),
        Instrument("ETH-USDT", "ETH-PERP", tradable=False, status="Halted"),
    ] == instruments(AscendExPerpetual(), rows)


def test_no_more_than_500_bars_are_asked_for() -> None:
    """Of a longer range the newest come, and the oldest would be thought empty."""
    assert AscendExSpot().rest_pages("1m").limit == 500


def test_weeks_are_learned() -> None:
    """Where they begin is not known; months begin on the 1st."""
    assert not AscendExSpot().grid("1w").known
    assert AscendExSpot().grid("1M").months == 1
