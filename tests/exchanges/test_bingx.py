"""BingX: what its recorded frames cannot say to the conformance suite."""
# ruff: noqa: SIM300 - the expected stands before the actual

from __future__ import annotations

import gzip
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
from connectors.exchanges.bingx import BingXPerpetual, BingXSpot
from connectors.model import Instrument

TOPIC = "BTC-USDT@kline_1min"
ROW = {"T": 1690907580000, "o": "3", "h": "4", "l": "2", "c": "2.5", "v": "5"}


def reply(body: Any, status: int = 200) -> RestReply:
    """An HTTP reply with this body."""
    return RestReply(status, {}, orjson.dumps(body))


# --- WebSocket ---


@pytest.mark.parametrize("adapter", [BingXSpot(), BingXPerpetual()])
def test_their_pings_are_answered_in_kind(adapter: Any):
    """A bare text by a bare text, JSON by its own number and time."""
    assert b"Ping" == adapter.unpack_frame(gzip.compress(b"Ping"))
    assert WSJSONRequest("Pong") == adapter.parse_ws_message("Ping")
    ping = {"ping": "2177c68e4d0e45679965f482929b59c2", "time": "2022-06-07T16:27:36.323+0800"}
    expected = WSJSONRequest({"pong": ping["ping"], "time": ping["time"]})
    assert expected == adapter.parse_ws_message(ping)
    assert WSJSONRequest({"pong": 7}) == adapter.parse_ws_message({"ping": 7})


def test_spot_subscribes_without_a_verb():
    """Only unsubscribing has one."""
    adapter = BingXSpot()

    expected = {"id": "1", "dataType": TOPIC}
    assert expected == adapter.get_ws_subscription_payload("BTC-USDT", "1m")
    ended = {"id": "2", "dataType": TOPIC, "reqType": "unsub"}
    assert [ended] == adapter.unsubscribe_messages([TOPIC], 2, 0.0)


def test_answers_name_their_request():
    """A code of 0 with an id and no data is an acceptance; another code is none."""
    adapter = BingXSpot()

    assert Confirmed("3") == adapter.parse_ws_message({"id": "3", "code": 0, "msg": ""})
    assert Confirmed("3") == adapter.parse_ws_message({"id": 3, "code": "0", "data": None})
    refused = {"id": "4", "code": 100400, "msg": "bad", "dataType": TOPIC}
    assert Refused("bad (code 100400)", "4", (TOPIC,)) == adapter.parse_ws_message(refused)
    del refused["dataType"]
    assert Refused("bad (code 100400)", "4") == adapter.parse_ws_message(refused)
    unexplained = {"code": 100400, "msg": "", "timestamp": 1696245808833}
    assert Refused("no reason was given (code 100400)") == adapter.parse_ws_message(unexplained)


def test_what_is_on_the_stream():
    """Spot's minutes; swaps are polled, for nobody knows which end of a bar their time is."""
    spot, swap = BingXSpot(), BingXPerpetual()

    assert ["1m", "5m", "15m", "30m"] == spot.get_ws_supported_intervals()
    assert {"rest"} == {swap.transport(each) for each in swap.get_supported_intervals()}
    assert "8h" not in swap.get_supported_intervals()
    learned = [each for each in swap.get_supported_intervals() if not swap.grid(each).known]
    assert ["3d", "1w"] == learned


def test_frames_of_swaps_are_read():
    """Several bars come oldest first; their only time is taken as it is."""
    rows = [{**ROW, "T": ROW["T"] + 60_000}, ROW]
    told = {"code": 0, "dataType": "BTC-USDT@kline_1m", "data": rows}

    candles = BingXPerpetual().parse_ws_message(told)

    assert isinstance(candles, list)
    assert [1690907580, 1690907640] == [candle.timestamp for candle in candles]
    assert (3, 4, 2, 2.5, 5, None) == candles[0].figures()[:6]


@pytest.mark.parametrize(
    "told",
    [
        None,
        {},
        {"K": None},
        {"K": {}},
        {"K": {"t": 1, "o": "x", "h": 1, "l": 1, "c": 1, "v": 1}},
        [None],
        ["1690907580000"],
        [{**ROW, "v": None}],
        "rows",
    ],
)
def test_an_unreadable_candle_raises(told: object):
    """Half a candle is an exception, never an invented candle and never silence."""
    with pytest.raises((ValueError, LookupError, TypeError)):
        BingXSpot().parse_ws_message({"code": 0, "dataType": TOPIC, "data": told})


@pytest.mark.parametrize(
    "noise", [None, 3, {}, {"code": 0, "dataType": "BTC-USDT@trade", "data": [{"p": 1}]}]
)
def test_noise(noise: object):
    """What is not our business is None."""
    assert BingXSpot().parse_ws_message(noise) is None


# --- REST ---


@pytest.mark.parametrize(("adapter", "most"), [(BingXSpot(), 500), (BingXPerpetual(), 1000)])
def test_a_bar_more_is_asked_for_at_either_end(adapter: Any, most: int):
    """The start excludes on spot; a full page and what lies beyond fit into what is given."""
    request = adapter.rest_request("BTC-USDT", "1m", 6000, 6120, 2, 0.0)

    expected = {
        "symbol": "BTC-USDT",
        "interval": "1m",
        "startTime": 5_999_000,
        "endTime": 6_120_000,
        "limit": most,
    }
    assert expected == request.params
    assert most >= adapter.rest_pages("1m").limit + 2


def test_days_of_spot_are_asked_for_at_utc():
    """Of spot, and where it matters: other bars are the same in both zones."""
    adapter, zones = BingXSpot(), {}
    for interval in adapter.get_supported_intervals():
        request = adapter.rest_request("BTC-USDT", interval, 0, 60, 1, 0.0)
        zones[interval] = request.params.get("timeZone")

    assert {0} == {zones.pop(each) for each in ("6h", "12h", "1d", "3d", "1w", "1M")}
    assert {None} == set(zones.values())
    assert all((8 * 3600) % adapter.step(interval) == 0 for interval in zones)
    day = BingXPerpetual().rest_request("BTC-USDT", "1d", 0, 86_400, 1, 0.0)
    assert "timeZone" not in day.params


def test_rows():
    """Spot's are lists with quote volume, those of swaps objects without; any order will do."""
    spot = [[120_000_000_000, "3", "4", "2", "2.5", "5", 120_000_059_999, "12.5"]]
    swap = [
        {"open": 3, "close": "2.5", "high": 4, "low": "2", "volume": 5, "time": 120_000_060_000},
        {"open": 3, "close": "2.5", "high": 4, "low": "2", "volume": 5, "time": 120_000_000_000},
    ]

    (candle,) = BingXSpot().parse_rest_response({"code": 0, "data": spot})
    candles = BingXPerpetual().parse_rest_response({"code": 0, "data": swap})

    assert (3, 4, 2, 2.5, 5, 12.5) == candle.figures()[:6]
    assert [120_000_000, 120_000_060] == [each.timestamp for each in candles]
    assert (3, 4, 2, 2.5, 5, None) == candles[0].figures()[:6]


@pytest.mark.parametrize(
    ("code", "expected"),
    [(100400, RestRefused), (100410, RestSlowDown), (100500, RestUnavailable)],
)
def test_errors_come_with_http_200(code: int, expected: type):
    """The code decides; an unknown one is asked again."""
    request = BingXSpot().rest_request("BTC-USDT", "1m", 0, 60, 1, 0.0)

    answer = BingXSpot().read_rest_reply(reply({"code": code, "msg": "why"}), request)

    assert isinstance(answer, expected)


@pytest.mark.parametrize("data", [None, {}, [[1]], ["1690907580000"], [{}]])
def test_a_body_without_rows_raises(data: object):
    """A reply that cannot be read is a ValueError, not an empty page."""
    for adapter in (BingXSpot(), BingXPerpetual()):
        request = adapter.rest_request("BTC-USDT", "1m", 0, 60, 1, 0.0)
        with pytest.raises(ValueError, match="cannot be read"):
            adapter.read_rest_reply(reply({"code": 0, "data": data}), request)


# --- instruments ---


def test_instruments():
    """Status 1, number or text, is online, another one says so."""
    rows = [{"symbol": "BTC-USDT", "status": "1"}, {"symbol": "OLD-USDT", "status": 25}]
    expected = [
        Instrument("BTC-USDT", "BTC-USDT", status="1"),
        Instrument("OLD-USDT", "OLD-USDT", tradable=False, status="25"),
    ]

    assert expected == BingXSpot().read_instruments(reply({"code": 0, "data": {"symbols": rows}}))
    assert expected == BingXPerpetual().read_instruments(reply({"code": 0, "data": rows}))
