"""What the conformance suite cannot know of OKX."""

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
from connectors.exchanges.okx import OkxPerpetual, OkxSpot
from connectors.model import Instrument, Subscription

WIRE = Path(__file__).parent.parent / "wire"
REQUEST = RestRequest(url="", trading_pair="BTC-USDT", interval="1h", limit=100)
NOW = 1_790_000_000.0
ROW = ["1672515780000", "16500.10", "16510.30", "16495.40", "16505.20", "5.123", "84528.9"]


def frame(path: str) -> Any:
    """The frame of a recorded item."""
    return orjson.loads((WIRE / f"{path}.json").read_bytes())["frame"]


def sent(path: str) -> Any:
    """The subscribe message of a recorded item, without its id."""
    request = orjson.loads((WIRE / f"{path}.json").read_bytes())["request"]
    message = request.get("sent", request)
    return {key: value for key, value in message.items() if key != "id"}


def candle_frame(row: list[Any], channel: str = "candle1m") -> dict[str, Any]:
    """A frame with one row (made up)."""
    return {"arg": {"channel": channel, "instId": "BTC-USDT"}, "data": [row]}


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Any:
    """What the adapter makes of a reply."""
    reply = RestReply(status, headers or {}, orjson.dumps(body))
    return OkxSpot().read_rest_reply(reply, REQUEST)


def instruments(adapter: OkxSpot | OkxPerpetual, body: Any) -> list[Instrument]:
    """What the dialogue makes of one reply."""
    dialogue = adapter.instruments()
    request = next(dialogue)
    assert request.params == adapter.listing.params
    with pytest.raises(StopIteration) as end:
        dialogue.send(RestReply(200, {}, orjson.dumps(body)))
    rows: list[Instrument] = end.value.value
    return rows


# --- WebSocket ---


def test_the_row_of_the_brief() -> None:
    """Seven columns on spot: base and quote volume are there, the flag is not."""
    (candle,) = OkxSpot().parse_ws_message(candle_frame(ROW))  # type: ignore[misc]  # candles

    assert candle.timestamp == 1672515780
    expected = (16500.1, 16510.3, 16495.4, 16505.2, 5.123, 84528.9, None, None, None)
    assert expected == candle.figures()
    assert candle.closed is None
    assert candle.channel == "candle1m:BTC-USDT"


def test_volume_of_swaps_is_the_sixth_column() -> None:
    """Contracts are not volume: the base volume of swaps stands beside them."""
    parsed = OkxPerpetual().parse_ws_message(frame("okx_perpetual/03-ws-candle-open"))

    (candle,) = parsed  # type: ignore[misc]  # candles, surely
    assert candle.volume == 13.3007
    assert candle.quote_asset_volume == 889750.68514


def test_two_rows_come_oldest_first() -> None:
    """A frame at the boundary may hold two rows, newest first."""
    parsed = OkxPerpetual().parse_ws_message(frame("okx_perpetual/04-ws-candle-two-rows-fixture"))

    assert isinstance(parsed, list)
    expected = [(1790114400, True), (1790118000, False)]
    assert expected == [(candle.timestamp, candle.closed) for candle in parsed]


@pytest.mark.parametrize("name", ["mark-price-candle1m", "index-candle1m", "tickers"])
def test_rows_of_other_channels_are_noise(name: str) -> None:
    """Mark price and index candles have other rows and are never read as candles."""
    row = ["1672515780000", "1", "1", "1", "1", "1"]

    assert OkxSpot().parse_ws_message(candle_frame(row, name)) is None


@pytest.mark.parametrize(
    "unreadable",
    [
        candle_frame(ROW[:6]),
        candle_frame([*ROW, "84528.9"]),
        candle_frame([*ROW, "84528.9", "2"]),
        candle_frame([None, *ROW[1:]]),
        candle_frame(["soon", *ROW[1:]]),
        {"arg": {"channel": "candle1m", "instId": "BTC-USDT"}, "data": ["1234567"]},
        {"arg": {"channel": "candle1m", "instId": "BTC-USDT"}, "data": ["123456781"]},
        candle_frame([ROW[0], "x", *ROW[2:]]),
        {"arg": {"channel": "candle1m", "instId": "BTC-USDT"}},
        {"arg": {"channel": "candle1m"}, "data": [ROW]},
        {"arg": {"channel": "candle1m", "instId": "BTC-USDT"}, "data": None},
        {"arg": None, "data": [ROW]},
        {"data": [ROW]},
        "pin",
    ],
)
def test_an_unreadable_candle_raises(unreadable: object) -> None:
    """Half a candle is an exception, never an invented candle and never silence."""
    with pytest.raises((ValueError, LookupError, TypeError, AttributeError)):
        OkxSpot().parse_ws_message(unreadable)


def test_subscribing_equals_the_recorded_message() -> None:
    """Many args go in one message; codes from 6h upwards are the ``utc`` ones."""
    adapter = OkxSpot()

    hour = adapter.get_ws_subscription_payload("BTC-USDT", "1h")
    assert sent("okx_spot/01-ws-candle-open") == {"op": hour["op"], "args": hour["args"]}
    swap = OkxPerpetual().get_ws_subscription_payload("BTC-USDT", "1m")
    assert sent("okx_perpetual/03-ws-candle-open") == {"op": swap["op"], "args": swap["args"]}
    channels = [
        adapter.channel(Subscription("okx_spot", "BTC-USDT", interval)) for interval in ("4h", "1d")
    ]
    args = [
        {"channel": "candle4H", "instId": "BTC-USDT"},
        {"channel": "candle1Dutc", "instId": "BTC-USDT"},
    ]
    expected = [{"id": "5", "op": "unsubscribe", "args": args}]
    assert expected == adapter.unsubscribe_messages(channels, 5, NOW)


def test_candles_are_on_the_business_path() -> None:
    """``/public`` answers that candles have been migrated."""
    assert OkxSpot().get_ws_url() == "wss://ws.okx.com:8443/ws/v5/business"


def test_a_full_message_stays_below_64_kilobytes() -> None:
    """All that a connection bears fits into one message, were it sent so."""
    channels = [f"candle12Hutc:{'X' * 24}{n:03}-SWAP" for n in range(OkxSpot.limits.subscriptions)]

    message = OkxSpot().control("subscribe", channels, 1, NOW)

    assert len(orjson.dumps(message)) < 64_000


@pytest.mark.parametrize(
    ("path", "channel"),
    [
        ("okx_spot/19-ws-error-wrong-url-or-channel", "candle1m:BTC-USDT"),
        ("okx_perpetual/10-ws-error-wrong-url-or-channel", "candle1s:BTC-USDT-SWAP"),
    ],
)
def test_a_wrong_channel_is_named_in_the_text_alone(path: str, channel: str) -> None:
    """60018 says its channel only in words, of which there are two versions."""
    refused = OkxSpot().parse_ws_message(frame(path))

    assert isinstance(refused, Refused)
    assert refused.channels == (channel,)
    assert refused.request_id is None
    assert "60018" in refused.reason


def test_an_invalid_request_is_tied_by_its_id() -> None:
    """60012 quotes a whole request, which is tied to no channel."""
    refused = OkxSpot().parse_ws_message(frame("okx_spot/13-ws-error-invalid-request"))

    assert isinstance(refused, Refused)
    assert refused.request_id == "1512"
    assert refused.channels == ()


def test_confirmations_name_their_channel() -> None:
    """Each arg is confirmed for itself; what was unsubscribed must not count as accepted."""
    adapter = OkxSpot()

    expected = Confirmed("1512", ("candle1D:BTC-USDT",))
    assert expected == adapter.parse_ws_message(frame("okx_spot/10-ws-confirm"))
    assert adapter.parse_ws_message(frame("okx_spot/12-ws-unsubscribe-confirm")) is None
    arg = {"channel": "candle1m", "instId": "BTC-USDT"}
    told = {"id": "6", "event": "unsubscribe", "arg": arg}
    assert Confirmed("6") == adapter.parse_ws_message(told)


def test_pongs_and_notices() -> None:
    """``pong`` is noise, an announced upgrade closes, another notice is noise."""
    adapter = OkxSpot()

    assert adapter.parse_ws_message("pong") is None
    assert isinstance(adapter.parse_ws_message(frame("okx_spot/15-ws-notice-upgrade")), Closing)
    assert adapter.parse_ws_message({"event": "notice", "code": "1", "msg": ""}) is None


# --- REST ---


def test_a_window_lies_between_the_cursors() -> None:
    """``before`` and ``after`` exclude, and mean the reverse of what they say."""
    params = OkxPerpetual().get_rest_params("BTC-USDT", "1d", 1_705_363_200, 1_705_449_600, 2)

    expected = {
        "instId": "BTC-USDT-SWAP",
        "bar": "1Dutc",
        "before": 1_705_363_199_000,
        "after": 1_705_449_601_000,
        "limit": 2,
    }
    assert expected == params


@pytest.mark.parametrize(
    ("interval", "slots_ago", "path", "weight"),
    [
        ("1h", 2, "market/candles", 1),
        ("1h", 1438, "market/candles", 1),
        ("1h", 1441, "market/history-candles", 2),
        ("1s", 2, "market/history-candles", 2),
    ],
)
def test_the_endpoint_follows_the_reach(
    interval: str, slots_ago: int, path: str, weight: float
) -> None:
    """The latest 1440 rows are on one path, older ones and 1s on the other, at half the rate."""
    adapter = OkxSpot()
    start = adapter.grid(interval).after(adapter.grid(interval).floor(NOW), -slots_ago)

    request = adapter.rest_request("BTC-USDT", interval, start, start + 3600, 100, NOW)

    assert f"https://www.okx.com/api/v5/{path}" == request.url
    assert weight == request.weight
    assert (start, interval) == (request.start, request.interval)


def test_five_days_are_not_on_rest() -> None:
    """5d has a channel and no REST; there is no 8h at all."""
    assert "5d" in OkxSpot().get_ws_supported_intervals()
    assert "5d" not in OkxSpot().get_rest_supported_intervals()
    assert "8h" not in OkxSpot().get_supported_intervals()


def test_unknown_boundaries_are_learned() -> None:
    """Where weeks and bars of several days begin is not known."""
    learned = [it for it in OkxSpot().get_supported_intervals() if not OkxSpot().grid(it).known]

    expected = ["2d", "3d", "5d", "1w"]
    assert expected == learned


def test_rows_come_newest_first() -> None:
    """REST rows are turned round; the open one is last then, and says that it is open."""
    rows = answer(frame("okx_perpetual/21-rest-candles-1m-inverse"))

    assert isinstance(rows, Rows)
    expected = [True, True, False]
    assert expected == [candle.closed for candle in rows.candles]
    assert rows.candles[0].timestamp < rows.candles[-1].timestamp


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("51000", 200, RestRefused),
        ("51000", 400, RestRefused),
        ("51001", 200, RestRefused),
        ("50011", 200, RestSlowDown),
        ("50011", 429, RestSlowDown),
        ("50013", 200, RestUnavailable),
        ("50013", 503, RestUnavailable),
        ("59999", 200, RestUnavailable),
    ],
)
def test_codes_decide_whatever_the_status(code: str, status: int, expected: type) -> None:
    """Refusals and limits come with HTTP 200, too; an unknown code is asked again."""
    assert isinstance(answer({"code": code, "msg": "why", "data": []}, status), expected)


def test_the_rate_limit_takes_retry_after_where_there_is_one() -> None:
    """No header is promised; one that comes is believed."""
    body = frame("okx_spot/31-rest-error-rate")

    assert RestSlowDown("Too Many Requests (code 50011)") == answer(body, 429)
    assert answer(body, 429, {"retry-after": "2"}).seconds == 2


@pytest.mark.parametrize("body", [{"nothing": 1}, [], {"code": "0"}, {"code": "0", "data": [[]]}])
def test_a_body_that_is_no_list_of_rows_raises(body: object) -> None:
    """A reply that cannot be read is a ValueError, not an empty list."""
    with pytest.raises(ValueError, match="cannot be read"):
        answer(body)


def test_a_status_without_a_code() -> None:
    """A proxy's page has no code: then the status speaks."""
    assert isinstance(answer("<html>", 502), RestUnavailable)
    assert answer("<html>", 451).blocked


# --- instruments ---


def test_instruments_of_swaps() -> None:
    """A swap's pair is its underlying; contracts are in base, or in quote when inverse."""
    assert [
        Instrument("BTC-USD", "BTC-USD-SWAP", 100.0, inverse=True, status="live"),
        Instrument("BTC-USDT", "BTC-USDT-SWAP", 0.01, status="live"),
    ] == instruments(OkxPerpetual(), frame("okx_perpetual/40-rest-instruments"))


def test_instruments_of_spot() -> None:
    """Spot has base and quote of its own, and volumes without contracts."""
    body = frame("okx_spot/40-rest-instruments")
    body["data"][1]["state"] = "suspend"

    assert [
        Instrument("BTC-USDT", "BTC-USDT", status="live"),
        Instrument("ETH-USDT", "ETH-USDT", tradable=False, status="suspend"),
    ] == instruments(OkxSpot(), body)


def test_no_instruments_with_an_error_code() -> None:
    """A refusal inside HTTP 200 is a ValueError with the exchange's own words."""
    dialogue = OkxPerpetual().instruments()
    next(dialogue)
    body = orjson.dumps(frame("okx_spot/30-rest-error-parameter"))
    with pytest.raises(ValueError, match="Parameter param error"):
        dialogue.send(RestReply(200, {}, body))
