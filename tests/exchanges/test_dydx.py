"""What the conformance suite cannot know of dYdX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors.adapter import (
    Confirmed,
    Refused,
    RestRefused,
    RestReply,
    RestRequest,
    RestSlowDown,
    RestUnavailable,
)
from connectors.exchanges.dydx import DydxPerpetual
from connectors.model import Instrument

WIRE = Path(__file__).parent.parent / "wire" / "dydx_perpetual"
NOW = 1_790_000_000.0
REQUEST = RestRequest(url="", trading_pair="BTC-USD", interval="1m", limit=100)
CHANNEL = "BTC-USD/1MIN"


def frame(name: str) -> Any:
    """The frame of a recorded item."""
    return orjson.loads((WIRE / f"{name}.json").read_bytes())["frame"]


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Any:
    """What the adapter makes of a reply."""
    reply = RestReply(status, headers or {}, orjson.dumps(body))
    return DydxPerpetual().read_rest_reply(reply, REQUEST)


def asking(*channels: str) -> DydxPerpetual:
    """One that has asked for these."""
    adapter = DydxPerpetual()
    adapter.subscribe_messages(channels, 1, NOW)
    return adapter


# --- WebSocket ---


def test_history_comes_newest_first() -> None:
    """The confirmation's candles are turned round; the open one is last."""
    told = frame("02-ws-snapshot-subscribed")
    (newest,) = told["contents"]["candles"]
    older = newest | {"startedAt": "2025-08-05T03:39:00.000Z"}
    told["contents"]["candles"] = [newest, older]

    parsed = DydxPerpetual().parse_ws_message(told)

    assert isinstance(parsed, list)
    assert [it.timestamp for it in parsed] == [1754365140, 1754365200]
    assert {(it.channel, it.closed) for it in parsed} == {(CHANNEL, None)}


def test_no_history_is_a_confirmation_all_the_same() -> None:
    """A market that was never traded has no candles."""
    told = frame("02-ws-snapshot-subscribed") | {"contents": {"candles": []}}

    assert Confirmed(channels=(CHANNEL,)) == DydxPerpetual().parse_ws_message(told)


def test_states_of_one_candle_keep_their_order() -> None:
    """A batch may hold the old candle once more, then states of the new one."""
    told = frame("04-ws-candle-batched")
    (row,) = told["contents"]
    later = [row | {"baseTokenVolume": "1"}, row | {"baseTokenVolume": "2"}]
    older = row | {"startedAt": "2025-08-05T03:39:00.000Z", "baseTokenVolume": "9"}
    told["contents"] = [older, *later]

    parsed = DydxPerpetual().parse_ws_message(told)

    assert isinstance(parsed, list)
    assert [it.volume for it in parsed] == [9, 1, 2]


def test_mid_prices_may_be_absent() -> None:
    """What is not a candle's own may be there or not."""
    told = frame("03-ws-candle-update")
    for name in ("orderbookMidPriceOpen", "orderbookMidPriceClose", "startingOpenInterest"):
        del told["contents"][name]

    (candle,) = DydxPerpetual().parse_ws_message(told)  # type: ignore[misc]  # candles

    assert candle.figures()[:7] == (114256, 114262, 114249, 114261, 0.4753, 54304.6873, 9)


def test_one_channel_a_message() -> None:
    """Two channels are two messages."""
    expected = [
        {"type": "subscribe", "channel": "v4_candles", "id": name} for name in ("A-B/1DAY", CHANNEL)
    ]
    assert expected == DydxPerpetual().subscribe_messages(["A-B/1DAY", CHANNEL], 1, NOW)
    assert DydxPerpetual().limits.message_channels == 1


@pytest.mark.parametrize(
    ("name", "channel", "limit"),
    [
        ("05-ws-error-bad-id", "NOPE-USD/1MIN", False),
        ("06-ws-error-no-data", CHANNEL, False),
        ("07-ws-error-limit", "A-B/1MIN", True),
    ],
)
def test_the_channel_of_a_refusal(name: str, channel: str, *, limit: bool) -> None:
    """It stands in the text, in ``id``, or is the oldest that has no answer yet."""
    adapter = asking("A-B/1MIN", "NOPE-USD/1MIN", CHANNEL)

    refused = adapter.parse_ws_message(frame(name))

    expected = Refused(frame(name)["message"], channels=(channel,), limit=limit)
    assert expected == refused


def test_what_delivers_is_not_refused_for_another() -> None:
    """An error that names nothing is never tied to a channel that was answered."""
    adapter = asking(CHANNEL, "A-B/1MIN")
    adapter.parse_ws_message(frame("02-ws-snapshot-subscribed"))

    first, second = (adapter.parse_ws_message(frame("07-ws-error-limit")) for _ in range(2))

    assert isinstance(first, Refused)
    assert isinstance(second, Refused)
    assert (first.channels, second.channels) == (("A-B/1MIN",), ())


def test_what_is_subscribed_already_is_no_refusal() -> None:
    """The first subscription keeps delivering."""
    told = frame("08-ws-error-already")
    named = {"type": "error", "message": told["message"]}

    assert Confirmed(channels=(CHANNEL,)) == DydxPerpetual().parse_ws_message(told)
    assert Confirmed(channels=(CHANNEL,)) == DydxPerpetual().parse_ws_message(named)


@pytest.mark.parametrize(
    "change",
    [
        {"startedAt": None},
        {"startedAt": "soon"},
        {"open": None},
        {"baseTokenVolume": "x"},
        {"trades": "many"},
        {"high": []},
    ],
)
def test_an_unreadable_candle_raises(change: dict[str, Any]) -> None:
    """Half a candle is an exception, never an invented candle and never silence."""
    told = frame("03-ws-candle-update")
    told["contents"] |= change

    with pytest.raises((ValueError, LookupError, TypeError)):
        DydxPerpetual().parse_ws_message(told)


@pytest.mark.parametrize("kind", ["subscribed", "channel_data", "channel_batch_data"])
@pytest.mark.parametrize("contents", [None, {}, [None], "x"])
def test_a_broken_frame_raises(kind: str, contents: Any) -> None:
    """A candle frame without a candle."""
    told = {"type": kind, "channel": "v4_candles", "id": CHANNEL, "contents": contents}

    with pytest.raises((ValueError, LookupError, TypeError)):
        DydxPerpetual().parse_ws_message(told)


@pytest.mark.parametrize(
    "data",
    [
        {},
        [],
        7,
        {"type": "channel_data", "channel": "v4_trades", "id": "BTC-USD", "contents": {}},
        {"type": "new", "channel": "v4_candles"},
    ],
)
def test_unknown_frames_are_noise(data: Any) -> None:
    """What is not our business is nothing."""
    assert DydxPerpetual().parse_ws_message(data) is None


# --- REST ---


def test_the_end_is_exclusive() -> None:
    """A bar that opens at the second bound is asked for, too; the ticker stands in the path."""
    params = DydxPerpetual().get_rest_params("BTC-USD", "1m", 1_754_365_200, 1_754_365_260, 2)
    request = DydxPerpetual().rest_request("BTC-USD", "1m", 1_754_365_200, 1_754_365_320, 2, NOW)

    expected = {
        "resolution": "1MIN",
        "fromISO": "2025-08-05T03:40:00Z",
        "toISO": "2025-08-05T03:41:01Z",
        "limit": 2,
    }
    assert expected == params
    assert request.params["toISO"] == "2025-08-05T03:42:00Z"
    assert request.url.endswith("/v4/candles/perpetualMarkets/BTC-USD")


def test_what_the_servers_source_allows() -> None:
    """1000 rows a page, of a longer range the newest come; 32 candle channels a connection."""
    assert DydxPerpetual().rest_pages("1m").limit == 1000
    assert DydxPerpetual.limits.subscriptions == 32


def test_retry_after_is_in_milliseconds() -> None:
    """2500 are two and a half seconds, not most of an hour."""
    told = answer(frame("13-rest-error-rate-limit"), 429, {"retry-after": "2500"})

    assert isinstance(told, RestSlowDown)
    assert told.seconds == 2.5
    assert answer(frame("13-rest-error-rate-limit"), 429).seconds is None


@pytest.mark.parametrize(
    ("status", "expected"),
    [(400, RestRefused), (404, RestRefused), (500, RestUnavailable), (200, RestUnavailable)],
)
def test_the_status_says_what_an_error_is(status: int, expected: type) -> None:
    """Errors inside HTTP 200 are not known, and never rows."""
    told = answer(frame("12-rest-error-bad-ticker"), status)

    assert type(told) is expected
    assert "ticker must be a valid ticker" in str(told)


@pytest.mark.parametrize("body", [{}, None, {"candles": None}, {"candles": [{}]}, []])
def test_a_body_that_is_no_list_of_rows_raises(body: Any) -> None:
    """A reply that cannot be read is a ValueError, not an empty list."""
    with pytest.raises(ValueError, match="cannot be read"):
        answer(body)


def test_instruments() -> None:
    """Markets that are not active are not tradable; tickers with commas are no pairs."""
    dialogue = DydxPerpetual().instruments()
    asked = next(dialogue)
    rows = [("BTC-USD", "ACTIVE"), ("OLD-USD", "FINAL_SETTLEMENT"), ("A,raydium,xyz-USD", "ACTIVE")]
    markets = {name: {"ticker": name, "status": status} for name, status in rows}
    with pytest.raises(StopIteration) as end:
        dialogue.send(RestReply(200, {}, orjson.dumps({"markets": markets})))

    assert asked.url == "https://indexer.dydx.trade/v4/perpetualMarkets"
    assert [
        Instrument("BTC-USD", "BTC-USD", status="ACTIVE"),
        Instrument("OLD-USD", "OLD-USD", tradable=False, status="FINAL_SETTLEMENT"),
    ] == end.value.value
