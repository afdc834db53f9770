"""Bitget: what its recorded frames cannot say to the conformance suite."""

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
    RestSlowDown,
    RestUnavailable,
)
from connectors.exchanges.bitget import BitgetPerpetual, BitgetSpot
from connectors.model import Instrument

WIRE = Path(__file__).parents[1] / "wire"
NOW = 1_790_000_040.0
MINUTE = 1_790_000_040
DAY = 86_400
ROW = ["1672515780000", "16500.10", "16510.30", "16495.40", "16505.20", "5.123", "84528.9", "7"]
ARG = {"instType": "SPOT", "channel": "candle1m", "instId": "BTCUSDT"}


def frame(path: str) -> Any:
    """The frame of a recorded item."""
    return orjson.loads((WIRE / f"{path}.json").read_bytes())["frame"]


def candle_frame(*rows: Any, **arg: Any) -> dict[str, Any]:
    """A frame of spot candles (made up)."""
    return {"action": "update", "arg": {**ARG, **arg}, "data": list(rows), "ts": 1672515781000}


def reply(body: Any, status: int = 200) -> RestReply:
    """An HTTP reply with this body."""
    return RestReply(status, {}, orjson.dumps(body))


def asked(adapter: BitgetSpot | BitgetPerpetual, interval: str, ago: float, slots: int = 2) -> Any:
    """The request for some slots whose first opened so long ago."""
    grid = adapter.grid(interval).anchored(0)
    start = grid.floor(NOW - ago)
    return adapter.rest_request("BTC-USDT", interval, start, grid.after(start, slots), slots, NOW)


# --- WebSocket ---


def test_long_bars_are_the_utc_ones():
    """No code that is cut at UTC+8 is asked for on either transport; a month is no minute."""
    for adapter in (BitgetSpot(), BitgetPerpetual()):
        for interval in ("6h", "12h", "1d", "3d", "1w", "1M"):
            assert adapter.ws_intervals[interval].endswith("utc")
            assert adapter.rest_intervals[interval].endswith("utc")
        payload = adapter.get_ws_subscription_payload("BTC-USDT", "1M")
        assert payload["args"][0]["channel"] == "candle1Mutc"


def test_how_intervals_are_carried():
    """What no document lists as a channel is polled; spot has no 2h at all."""
    spot, perpetual = BitgetSpot(), BitgetPerpetual()

    assert [spot.transport("3m"), perpetual.transport("3m"), perpetual.transport("2h")] == [
        "rest"
    ] * 3
    assert "2h" not in spot.get_supported_intervals()
    learned = [each for each in spot.get_supported_intervals() if not spot.grid(each).known]
    assert learned == ["3d", "1w"]


def test_all_rows_of_a_snapshot_come_oldest_first():
    """Whatever the order of its rows."""
    newer = ["1672515840000", *ROW[1:]]

    candles = BitgetSpot().parse_ws_message(candle_frame(newer, ROW))

    assert isinstance(candles, list)
    assert [it.timestamp for it in candles] == [1672515780, 1672515840]
    assert [it.quote_asset_volume for it in candles] == [84528.9, 84528.9]
    assert candles[0].event_time == 1672515781000


def test_a_symbol_of_another_market_is_not_ours():
    """Symbols are spelled alike on all markets: only the instType tells which one it is."""
    told = candle_frame(ROW, instType="USDT-FUTURES")

    assert BitgetSpot().parse_ws_message(told) is None
    assert BitgetPerpetual().parse_ws_message(told)
    assert BitgetPerpetual().parse_ws_message({"event": "subscribe", "arg": ARG}) is None


def test_bars_cut_at_utc_plus_8_have_no_subscription():
    """A frame of candle1D is read, and its channel is none that we subscribe."""
    (candle,) = BitgetSpot().parse_ws_message(candle_frame(ROW, channel="candle1D"))

    assert candle.channel == "candle1D:BTCUSDT"
    assert "candle1D" not in BitgetSpot.ws_intervals.values()


@pytest.mark.parametrize("without", ["instType", "ts"])
def test_what_trimmed_frames_lack(without: str):
    """Neither the push time nor the market has to be there."""
    told = candle_frame(ROW)
    told.pop(without, None)
    told["arg"] = {key: value for key, value in ARG.items() if key != without}

    (candle,) = BitgetSpot().parse_ws_message(told)

    assert (candle.channel, candle.closed) == ("candle1m:BTCUSDT", None)


@pytest.mark.parametrize(
    "unreadable",
    [
        candle_frame(ROW[:5]),
        candle_frame(ROW[:7]),
        candle_frame(*ROW),
        candle_frame(None),
        candle_frame([None, *ROW[1:]]),
        candle_frame([ROW[0], "x", *ROW[2:]]),
        candle_frame([*ROW[:5], "NaN", *ROW[6:]]),
        {"arg": ARG, "data": None},
        {"arg": ARG},
        {"arg": None, "data": [ROW]},
        {"data": [ROW]},
        "pin",
    ],
)
def test_an_unreadable_candle_raises(unreadable: object):
    """Half a candle is an exception, never an invented candle and never silence."""
    with pytest.raises((ValueError, LookupError, TypeError, AttributeError)):
        BitgetSpot().parse_ws_message(unreadable)


@pytest.mark.parametrize("noise", ["pong", None, 7, {}, {"event": "login", "code": 0}])
def test_noise(noise: object):
    """What is not our business is None."""
    assert BitgetSpot().parse_ws_message(noise) is None


def test_answers_name_their_channel():
    """By the arg, or by the text; another channel than ours, or an unsubscribe, names none."""
    adapter, ours = BitgetSpot(), ("candle1m:BTCUSDT",)
    text = "instType:SPOT,channel:candle1m,instId:BTCUSDT,precision:null doesn't exist"

    assert Confirmed(channels=ours) == adapter.parse_ws_message({"event": "subscribe", "arg": ARG})
    assert adapter.parse_ws_message({"event": "unsubscribe", "arg": ARG}) is None
    by_arg = {"event": "error", "arg": ARG, "code": 30016, "msg": "Param error"}
    assert Refused("Param error (code 30016)", channels=ours) == adapter.parse_ws_message(by_arg)
    by_text = {"event": "error", "code": "30001", "msg": text}
    assert Refused(f"{text} (code 30001)", channels=ours) == adapter.parse_ws_message(by_text)
    strange = {**by_arg, "arg": {**ARG, "channel": "books"}}
    assert Refused("Param error (code 30016)") == adapter.parse_ws_message(strange)


def test_too_many_messages_refuse_no_subscription():
    """30006 is asked again when no answer has come; 30007 precedes a close."""
    adapter = BitgetSpot()

    assert adapter.parse_ws_message({"event": "error", "code": 30006, "msg": "too many"}) is None
    closing = adapter.parse_ws_message({"event": "error", "code": 30007, "msg": "over limit"})
    assert isinstance(closing, Closing)


# --- REST ---


@pytest.mark.parametrize("adapter", [BitgetSpot(), BitgetPerpetual()])
def test_recent_bars_have_both_bounds_a_bar_wider(adapter: Any):
    """Whether bounds include is unknown: the bar before and the one at the end are asked for."""
    request = asked(adapter, "1m", 120)

    assert request.url == adapter.rest_url
    assert request.params["startTime"] == (MINUTE - 180) * 1000
    assert request.params["endTime"] == MINUTE * 1000
    assert request.params["limit"] == 200


@pytest.mark.parametrize(
    ("adapter", "interval", "days", "recent"),
    [
        (BitgetSpot(), "1m", 28, True),
        (BitgetSpot(), "1m", 30, False),
        (BitgetSpot(), "1h", 58, True),
        (BitgetSpot(), "1h", 60, False),
        (BitgetSpot(), "1d", 300, True),
        (BitgetSpot(), "1d", 361, False),
        (BitgetPerpetual(), "4h", 88, True),
        (BitgetPerpetual(), "4h", 90, False),
        (BitgetPerpetual(), "1d", 100, False),
    ],
)
def test_older_bars_are_history(adapter: Any, interval: str, days: float, recent: bool):
    """What /candles does not reach is the page of /history-candles that ends at endTime."""
    request = asked(adapter, interval, days * DAY)

    assert ("startTime" in request.params) is recent
    assert request.url.endswith("/market/candles" if recent else "/market/history-candles")
    assert request.params["endTime"] == request.end * 1000


def test_no_request_of_perpetuals_spans_ninety_days():
    """A full page of long bars is history, which has no span."""
    adapter = BitgetPerpetual()
    for interval in adapter.get_rest_supported_intervals():
        for ago in (1, 30, 89, 200):
            params = asked(adapter, interval, ago * DAY, adapter.rest_pages(interval).limit).params
            start = params.get("startTime", params["endTime"])
            assert start >= (NOW - 90 * DAY) * 1000 or start == params["endTime"]


def test_perpetuals_name_their_product():
    """Without productType nothing is found; spot has none."""
    assert asked(BitgetPerpetual(), "2h", 9999).params["productType"] == "USDT-FUTURES"
    assert asked(BitgetPerpetual(), "2h", 9999).params["granularity"] == "2H"
    assert "productType" not in asked(BitgetSpot(), "1m", 9999).params


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("40034", 400, RestRefused),
        ("40034", 200, RestRefused),
        ("400171", 200, RestRefused),
        ("400172", 400, RestRefused),
        ("40053", 400, RestRefused),
        ("45001", 200, RestUnavailable),
        ("429", 429, RestSlowDown),
        ("40034", 503, RestRefused),
        ("00000", 503, RestUnavailable),
    ],
)
def test_codes_decide_whatever_the_status(code: str, status: int, expected: type):
    """Errors come with HTTP 400 and sometimes 200; an unknown code is asked again."""
    request = asked(BitgetSpot(), "1m", 120)
    body = {"code": code, "msg": "why", "data": None}

    assert isinstance(BitgetSpot().read_rest_reply(reply(body, status), request), expected)


@pytest.mark.parametrize("data", [None, {}, [ROW[:4]], [ROW[:7]], ["1700000000000"], [None]])
def test_a_body_without_rows_raises(data: object):
    """A reply that cannot be read is a ValueError, not an empty page."""
    request = asked(BitgetSpot(), "1m", 120)

    with pytest.raises(ValueError, match="cannot be read"):
        BitgetSpot().read_rest_reply(reply({"code": "00000", "data": data}), request)


# --- instruments ---


def test_instruments():
    """Perpetuals only; what is not live is listed as not tradable. A contract is a base coin."""
    body = frame("bitget_perpetual/24-rest-instruments-futures")
    [row] = body["data"]
    body["data"] += [{**row, "symbol": "BTCUSDT_1", "symbolType": "delivery"}]
    body["data"] += [{**row, "symbol": "XUSDT", "baseCoin": "X", "symbolStatus": "off"}]

    assert BitgetPerpetual().read_instruments(reply(body)) == [
        Instrument("BTC-USDT", "BTCUSDT", status="normal"),
        Instrument("X-USDT", "XUSDT", tradable=False, status="off"),
    ]
