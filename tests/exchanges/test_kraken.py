"""What the conformance suite cannot know of Kraken."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors.adapter import (
    Confirmed,
    QuietBars,
    Refused,
    RestRefused,
    RestReply,
    RestRequest,
    RestSlowDown,
    RestUnavailable,
    Rows,
)
from connectors.exchanges.kraken import KrakenPerpetual, KrakenSpot
from connectors.model import Instrument, Subscription

WIRE = Path(__file__).parent.parent / "wire"
NOW = 1_790_000_000.0
REQUEST = RestRequest(url="", trading_pair="BTC-USD", interval="1m", limit=720)


def item(path: str) -> Any:
    """A recorded item."""
    return orjson.loads((WIRE / f"{path}.json").read_bytes())


def frame(path: str) -> Any:
    """The frame of a recorded item."""
    return item(path)["frame"]


def answer(body: Any, status: int = 200) -> Any:
    """What spot makes of a reply."""
    return KrakenSpot().read_rest_reply(RestReply(status, {}, orjson.dumps(body)), REQUEST)


def instruments(adapter: KrakenSpot | KrakenPerpetual, body: Any) -> list[Instrument]:
    """What the dialogue makes of one reply."""
    dialogue = adapter.instruments()
    next(dialogue)
    with pytest.raises(StopIteration) as end:
        dialogue.send(RestReply(200, {}, orjson.dumps(body)))
    rows: list[Instrument] = end.value.value
    return rows


# --- spot: WebSocket ---


@pytest.mark.parametrize(
    ("pair", "symbol"), [("BTC-USD", "BTC/USD"), ("DOGE-EUR", "DOGE/EUR"), ("ETH-BTC", "ETH/BTC")]
)
def test_the_socket_wants_modern_names(pair: str, symbol: str) -> None:
    """``XBT/USD`` is refused by v2, with the list of pairs and without it."""
    adapter = KrakenSpot()
    adapter.use_instruments(instruments(adapter, frame("kraken_spot/19-rest-instruments")))

    assert symbol == adapter.get_trading_pair_format(pair)
    payload = KrakenSpot().get_ws_subscription_payload(pair, "1m")
    assert payload["params"] == {"channel": "ohlc", "symbol": [symbol], "interval": 1}


def test_a_message_has_one_interval() -> None:
    """Channels of different intervals never share a message."""
    adapter = KrakenSpot()

    assert adapter.batch_group("1:BTC/USD") == adapter.batch_group("1:ETH/USD")
    assert adapter.batch_group("1:BTC/USD") != adapter.batch_group("15:BTC/USD")
    expected = {
        "method": "unsubscribe",
        "params": {"channel": "ohlc", "symbol": ["BTC/USD", "ETH/USD"], "interval": 60},
        "req_id": 7,
    }
    assert [expected] == adapter.unsubscribe_messages(["60:BTC/USD", "60:ETH/USD"], 7, NOW)


def test_a_refusal_names_the_channel_of_its_request() -> None:
    """The frame says only the symbol; the interval is that of the request."""
    adapter = KrakenSpot()
    adapter.subscribe_messages(["1:BTC/USD", "1:X/Y"], 7, NOW)
    adapter.subscribe_messages(["60:X/Y"], 8, NOW)
    told = frame("kraken_spot/03-ws-error-bad-symbol") | {"symbol": "X/Y"}

    for request_id, channel in (("7", "1:X/Y"), ("8", "60:X/Y")):
        refused = adapter.parse_ws_message({**told, "req_id": int(request_id)})
        assert Refused("Currency pair not supported XBT/USDT", request_id, (channel,)) == refused


@pytest.mark.parametrize("more", [{}, {"req_id": 99}, {"req_id": None}])
def test_a_refusal_of_an_unknown_request_names_no_channel(more: dict[str, Any]) -> None:
    """Without the request no interval is invented: the session ties it to the oldest one."""
    refused = KrakenSpot().parse_ws_message(frame("kraken_spot/03-ws-error-bad-symbol") | more)

    assert isinstance(refused, Refused)
    assert refused.channels == ()


def test_what_is_subscribed_already_is_no_refusal() -> None:
    """Asked twice, the channel delivers: it is confirmed."""
    adapter = KrakenSpot()
    adapter.subscribe_messages(["5:BTC/USD"], 7, NOW)
    told = {"error": "Already subscribed", "method": "subscribe", "success": False, "req_id": 7}

    expected = Confirmed("7", ("5:BTC/USD",))
    assert expected == adapter.parse_ws_message({**told, "symbol": "BTC/USD"})


def test_confirmations() -> None:
    """Each symbol is confirmed for itself; what was unsubscribed must not count as accepted."""
    adapter = KrakenSpot()
    confirmed = frame("kraken_spot/08-ws-confirm-btcusd")
    done = {"method": "unsubscribe", "success": True, "result": confirmed["result"]}
    ticker = confirmed | {"result": {"channel": "ticker", "symbol": "BTC/USD"}}

    expected = Confirmed("7", ("1:BTC/USD",))
    assert expected == adapter.parse_ws_message({**confirmed, "req_id": 7})
    assert Confirmed("8") == adapter.parse_ws_message({**done, "req_id": 8})
    assert adapter.parse_ws_message(done) is None
    assert adapter.parse_ws_message(ticker) is None


def test_rows_of_several_symbols_keep_their_channels() -> None:
    """One frame may tell of several symbols; the row names its own symbol and interval."""
    told = frame("kraken_spot/09-ws-snapshot-doc-5m")
    told["data"][0] |= {"symbol": "MATIC/USD", "interval": 60}

    parsed = KrakenSpot().parse_ws_message(told)

    assert isinstance(parsed, list)
    assert [each.channel for each in parsed] == ["60:MATIC/USD", "5:ALGO/USD"]
    assert {each.event_time for each in parsed} == {1696436761806}


def test_the_open_time_is_not_the_rows_timestamp() -> None:
    """The row's ``timestamp`` is the end; without the begin there is no candle."""
    told = frame("kraken_spot/06-ws-candle-update")
    del told["data"][0]["interval_begin"]

    with pytest.raises(KeyError):
        KrakenSpot().parse_ws_message(told)


@pytest.mark.parametrize(
    "change",
    [
        {"interval_begin": None},
        {"open": None},
        {"close": "x"},
        {"volume": None},
        {"interval_begin": "soon"},
        {"high": [1]},
    ],
)
def test_an_unreadable_candle_raises(change: dict[str, Any]) -> None:
    """Half a candle is an exception, never an invented candle and never silence."""
    told = frame("kraken_spot/06-ws-candle-update")
    told["data"][0] |= change

    with pytest.raises((ValueError, LookupError, TypeError)):
        KrakenSpot().parse_ws_message(told)


@pytest.mark.parametrize("data", [{"channel": "ohlc"}, {"channel": "ohlc", "data": None}, "{"])
def test_a_broken_frame_raises(data: Any) -> None:
    """A candle frame without rows, and text that is no JSON."""
    with pytest.raises((ValueError, LookupError, TypeError)):
        KrakenSpot().parse_ws_message(data)


@pytest.mark.parametrize("data", [[], [1, 2], {}, {"channel": "book", "data": [{}]}, 7])
def test_unknown_frames_are_noise(data: Any) -> None:
    """What is not our business is nothing."""
    assert KrakenSpot().parse_ws_message(data) is None


# --- spot: REST ---


@pytest.mark.parametrize(
    ("pair", "name"),
    [("BTC-USDT", "XBTUSDT"), ("ETH-BTC", "ETHXBT"), ("DOGE-USD", "XDGUSD"), ("SOL-EUR", "SOLEUR")],
)
def test_rest_gets_the_older_name(pair: str, name: str) -> None:
    """The altname always works, the wsname of the list is refused."""
    adapter = KrakenSpot()
    adapter.use_instruments([Instrument(pair, pair.replace("-", "/"))])

    params = adapter.get_rest_params(pair, "1h", 3600, 7199, 2)

    assert {"pair": name, "interval": 60, "since": 3599} == params


def test_history_reaches_720_rows_back() -> None:
    """Whatever is asked, the newest 720 rows come, the running one among them."""
    pages = {KrakenSpot().rest_pages(it) for it in KrakenSpot().get_rest_supported_intervals()}

    assert {page.limit for page in pages} == {720}
    assert {page.rows for page in pages} == {719}


def test_the_key_of_the_rows_is_not_looked_up() -> None:
    """Any one key beside ``last`` has the rows; two of them say nothing certain."""
    row = [1688671200, "1", "2", "1", "2", "1.5", "3", 4]

    rows = answer({"error": [], "result": {"last": 1, "ANY": [row]}})
    assert isinstance(rows, Rows)
    assert rows.candles[0].figures() == (1, 2, 1, 2, 3, None, 4, None, None)
    for result in ({"A": [row], "B": [row]}, {"last": 1}, {"A": None}, None, [row]):
        with pytest.raises(ValueError, match="cannot be read"):
            answer({"error": [], "result": result})


def test_quiet_minutes_are_left_out_by_the_socket_and_filled_over_rest() -> None:
    """Both are recorded; so a gap in the stream may be presumed empty, and REST has flat rows."""
    streamed = KrakenSpot().parse_ws_message(frame("kraken_spot/05-ws-snapshot-with-gaps"))
    rows = KrakenSpot().parse_rest_response(frame("kraken_spot/15-rest-candles-empty-minutes"))

    assert isinstance(streamed, list)
    steps = {later.timestamp - it.timestamp for it, later in pairwise(streamed)}
    assert {60, 120, 180} == steps
    assert {0} == {it.n_trades for it in rows if it.volume == 0}
    assert QuietBars(stream="skipped", rest="sent") == KrakenSpot.quiet_bars


@pytest.mark.parametrize(
    ("errors", "status", "expected"),
    [
        (["EQuery:Unknown asset pair"], 200, RestRefused),
        (["EGeneral:Too many requests"], 200, RestSlowDown),
        (["EAPI:Rate limit exceeded"], 200, RestSlowDown),
        (["EService:Unavailable"], 200, RestUnavailable),
        (["EService:Busy"], 503, RestUnavailable),
        (["EAnything:New", "EService:Busy"], 200, RestUnavailable),
    ],
)
def test_errors_stand_in_the_array(errors: list[str], status: int, expected: type) -> None:
    """HTTP 200 says nothing: the array is looked at first; the reason has all of its words."""
    told = answer({"error": errors, "result": {}}, status)

    assert type(told) is expected
    assert all(error in str(told) for error in errors)


def test_instruments_of_spot() -> None:
    """Pairs bear modern names; one that may only be cancelled is not tradable."""
    listed = frame("kraken_spot/19-rest-instruments")
    listed["result"]["X.d"] = {"altname": "XBTUSD.d", "status": "online"}
    listed["result"]["AAPLxUSD"] = {
        "wsname": "AAPLx/USD",
        "aclass_base": "tokenized_asset",
        "status": "online",
    }

    assert [
        Instrument("BTC-USD", "BTC/USD", status="online"),
        Instrument("DOGE-USD", "DOGE/USD", status="online"),
        Instrument("ETH-BTC", "ETH/BTC", status="online"),
        Instrument("ACA-EUR", "ACA/EUR", tradable=False, status="cancel_only"),
    ] == instruments(KrakenSpot(), listed)


def test_weeks_are_learned() -> None:
    """Where weeks and bars of 15 days begin is not known."""
    spot, futures = KrakenSpot(), KrakenPerpetual()

    expected = ["1w", "15d"]
    assert expected == [it for it in spot.get_supported_intervals() if not spot.grid(it).known]
    assert not futures.grid("1w").known


# --- futures ---


def test_futures_are_polled() -> None:
    """The undocumented candle feed is neither asked for nor read."""
    adapter = KrakenPerpetual()

    assert adapter.get_ws_supported_intervals() == []
    told = frame("kraken_perpetual/05-ws-snapshot-undocumented-feed")
    assert adapter.parse_ws_message(told) is None


def test_a_futures_request() -> None:
    """Symbol and interval stand in the path; bounds are seconds, a second wider than the bars."""
    request = KrakenPerpetual().rest_request("BTC-USD", "1h", 7200, 14400, 2, NOW)

    assert request.url == "https://futures.kraken.com/api/charts/v1/trade/PF_XBTUSD/1h"
    assert request.params == {"from": 7199, "to": 14400}


def test_only_linear_perpetuals_are_listed() -> None:
    """Inverse ones are of the same pair, but in contracts; dated ones end."""
    listed = frame("kraken_perpetual/10-rest-instruments")
    dated = listed["instruments"][0] | {"symbol": "FF_XBTUSD_261225"}
    expired = listed["instruments"][0] | {"symbol": "PF_OLDUSD", "base": "OLD", "isExpired": True}
    halted = listed["instruments"][0] | {"symbol": "PF_NEWUSD", "base": "NEW", "tradeable": False}
    listed["instruments"] += [dated, expired, halted]

    assert [
        Instrument("BTC-USD", "PF_XBTUSD"),
        Instrument("DOGE-USD", "PF_DOGEUSD"),
        Instrument("NEW-USD", "PF_NEWUSD", tradable=False),
    ] == instruments(KrakenPerpetual(), listed)


def test_a_text_is_no_list_of_rows() -> None:
    """``Invalid resolution`` is plain text with HTTP 400."""
    reply = RestReply(400, {}, b"Invalid resolution")

    expected = RestRefused("HTTP 400: Invalid resolution")
    assert expected == KrakenPerpetual().read_rest_reply(reply, REQUEST)


def test_subscriptions_have_channels_of_their_own() -> None:
    """The channel is what frames say: minutes and modern symbol."""
    subscription = Subscription("kraken_spot", "BTC-USD", "15d")

    assert KrakenSpot().channel(subscription) == "21600:BTC/USD"
