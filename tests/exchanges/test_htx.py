"""HTX: what its recorded frames cannot say to the conformance suite."""
# ruff: noqa: SIM300 - the expected stands before the actual

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors.adapter import (
    Confirmed,
    Refused,
    RestRefused,
    RestReply,
    RestSlowDown,
    RestUnavailable,
    WSJSONRequest,
)
from connectors.exchanges.htx import HtxPerpetual, HtxSpot
from connectors.model import Instrument

WIRE = Path(__file__).parents[1] / "wire"
NOW = 1_790_000_000.0
TICK = {"id": 1790274480, "open": 3, "close": 2.5, "low": 2, "high": 4, "amount": 5, "vol": 12.5}
TOPIC = "market.btcusdt.kline.1min"


def frame(path: str) -> Any:
    """The frame of a recorded item."""
    return orjson.loads((WIRE / f"{path}.json").read_bytes())["frame"]


def reply(body: Any, status: int = 200) -> RestReply:
    """An HTTP reply with this body."""
    return RestReply(status, {}, orjson.dumps(body))


def asked(adapter: HtxSpot | HtxPerpetual, ago: int, slots: int = 2) -> Any:
    """The request for some minutes whose first opened so many ago."""
    start = int(NOW) // 60 * 60 - 60 * ago
    return adapter.rest_request("BTC-USDT", "1m", start, start + 60 * slots, slots, NOW)


# --- WebSocket ---


def test_frames_are_packed_and_pings_are_theirs():
    """A packed ping is answered by its own number."""
    adapter = HtxSpot()
    data = orjson.loads(adapter.unpack_frame(gzip.compress(b'{"ping":1618678073643}')))

    assert WSJSONRequest({"pong": 1618678073643}) == adapter.parse_ws_message(data)


@pytest.mark.parametrize("broken", [b"", b"\x1f\x8b", gzip.compress(b"{}")[:-9], b"\x00\x01"])
def test_a_broken_packed_frame_raises(broken: bytes):
    """What cannot be unpacked is an exception of that frame."""
    with pytest.raises(ValueError, match=r"unpacked|cut off"):
        HtxSpot().unpack_frame(broken)


def test_which_volume_is_which():
    """Spot has quote volume in vol; on swaps that is contracts, and turnover may be missing."""
    (spot,) = HtxSpot().parse_ws_message({"ch": TOPIC, "tick": TICK})
    (swap,) = HtxPerpetual().parse_ws_message({"ch": TOPIC, "tick": TICK})
    turned = {"ch": TOPIC, "tick": {**TICK, "trade_turnover": 7, "count": 3}, "ts": 1790274480123}
    (whole,) = HtxPerpetual().parse_ws_message(turned)

    assert (5, 12.5, None) == (spot.volume, spot.quote_asset_volume, spot.n_trades)
    assert (5, None, None) == (swap.volume, swap.quote_asset_volume, swap.n_trades)
    assert (5, 7, 3) == (whole.volume, whole.quote_asset_volume, whole.n_trades)
    assert (3, 4, 2, 2.5) == (spot.open, spot.high, spot.low, spot.close)
    assert [None, 1790274480123] == [spot.event_time, whole.event_time]


def test_days_are_not_offered_but_read():
    """Bars that are cut at UTC+8 belong to no subscription."""
    (candle,) = HtxSpot().parse_ws_message({"ch": "market.btcusdt.kline.1day", "tick": TICK})

    assert ["1m", "5m", "15m", "30m", "1h", "4h"] == list(HtxSpot().get_supported_intervals())
    assert candle.channel not in {
        HtxSpot().channel_of("btcusdt", code) for code in HtxSpot.ws_intervals.values()
    }


@pytest.mark.parametrize(
    "unreadable",
    [
        *({key: value for key, value in TICK.items() if key != gone} for gone in list(TICK)[:6]),
        {**TICK, "open": None},
        {**TICK, "amount": "much"},
        {**TICK, "id": "soon"},
        [TICK],
        "tick",
        None,
    ],
)
def test_an_unreadable_candle_raises(unreadable: object):
    """Half a candle is an exception, never an invented candle and never silence."""
    with pytest.raises((ValueError, LookupError, TypeError)):
        HtxSpot().parse_ws_message({"ch": TOPIC, "tick": unreadable})


@pytest.mark.parametrize(
    "noise",
    [None, 7, [], {}, {"pong": 1}, {"op": "ping", "ts": 1}, {"ch": "market.btcusdt.bbo"},
     {"id": "3", "status": "ok", "rep": TOPIC, "data": [TICK]}],
)  # fmt: skip
def test_noise(noise: object):
    """What is not our business is None; history over the socket is not asked for."""
    assert HtxSpot().parse_ws_message(noise) is None


def test_answers_name_their_request():
    """By the id; an unsubscribe names no channel, for it would count as accepted."""
    adapter = HtxSpot()

    assert {"sub": TOPIC, "id": "1"} == adapter.get_ws_subscription_payload("BTC-USDT", "1m")
    assert [{"unsub": TOPIC, "id": "4"}] == adapter.unsubscribe_messages([TOPIC], 4, NOW)
    accepted = {"id": 3, "status": "ok", "subbed": TOPIC, "ts": 1}
    assert Confirmed("3", (TOPIC,)) == adapter.parse_ws_message(accepted)
    ended = {"id": "4", "status": "ok", "unsubbed": TOPIC, "ts": 1}
    assert Confirmed("4") == adapter.parse_ws_message(ended)
    del ended["id"]
    assert adapter.parse_ws_message(ended) is None
    refused = {"status": "error", "id": "5", "err-code": "bad-request", "err-msg": "invalid symbol"}
    assert Refused("invalid symbol (code bad-request)", "5") == adapter.parse_ws_message(refused)


# --- REST ---


def test_spot_asks_for_the_newest_rows_without_times():
    """So many that the first one asked for, the open one, and one to spare are among them."""
    request = asked(HtxSpot(), ago=3)

    assert "https://api.huobi.pro/market/history/kline" == request.url
    assert {"symbol": "btcusdt", "period": "1min", "size": 5} == request.params


def test_spot_asks_by_times_for_what_lies_further_back():
    """Beyond the newest rows another path takes times in seconds, both of them included."""
    request = asked(HtxSpot(), ago=499, slots=1000)

    assert "https://api.huobi.pro/market/history/candles" == request.url
    assert (request.start, request.end - 1) == (request.params["from"], request.params["to"])
    assert request.params["size"] == 1000


def test_swaps_ask_by_times_and_never_by_size():
    """Where a size is told, the times are ignored."""
    request = asked(HtxPerpetual(), ago=3)

    expected = {
        "contract_code": "BTC-USDT",
        "period": "1min",
        "from": request.start,
        "to": request.end - 1,
    }
    assert expected == request.params


def test_history_of_swaps_ends_after_about_two_years():
    """The reach is less than two years of bars, for each interval."""
    adapter = HtxPerpetual()
    for interval, seconds in adapter.get_supported_intervals().items():
        rows = adapter.rest_pages(interval).rows
        assert rows is not None
        assert 690 < rows * seconds / 86_400 < 730


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        ("invalid-parameter", "invalid size", RestRefused),
        ("bad-request", "429 too many request topic is x", RestSlowDown),
        ("system-maintenance", "later", RestUnavailable),
        (None, None, RestUnavailable),
    ],
)
def test_errors_come_with_http_200(code: str | None, text: str | None, expected: type):
    """The status in the body decides; an unknown code is asked again."""
    body = {"status": "error", "err-code": code, "err-msg": text}

    answer = HtxSpot().read_rest_reply(reply(body), asked(HtxSpot(), 3))

    assert isinstance(answer, expected)


@pytest.mark.parametrize("data", [None, {}, [{"id": 1}], ["1790274480"]])
def test_a_body_without_rows_raises(data: object):
    """A reply that cannot be read is a ValueError, not an empty page."""
    with pytest.raises(ValueError, match="cannot be read"):
        HtxSpot().read_rest_reply(reply({"status": "ok", "data": data}), asked(HtxSpot(), 3))


# --- instruments ---


def test_instruments_of_swaps():
    """Dated contracts share the list and are left out; volumes are base coins already."""
    body = frame("htx_perpetual/23-rest-instruments-swap")
    [row] = body["data"]
    body["data"] += [
        {**row, "contract_code": "BTC-USDT-261225", "business_type": "futures"},
        {**row, "contract_code": "ETH-USDT", "contract_status": 4},
    ]

    assert HtxPerpetual().read_instruments(reply(body)) == [
        Instrument("BTC-USDT", "BTC-USDT", status="1"),
        Instrument("ETH-USDT", "ETH-USDT", tradable=False, status="4"),
    ]


def test_instruments_of_spot():
    """Names are upper case in pairs and lower case in symbols."""
    body = frame("htx_spot/24-rest-instruments-spot")

    assert HtxSpot().read_instruments(reply(body)) == [
        Instrument("BTC-USDT", "btcusdt", status="online"),
        Instrument("VEN-ETH", "veneth", tradable=False, status="offline"),
    ]
