"""Bitfinex: what its recorded frames cannot say to the conformance suite."""
# ruff: noqa: SIM300 - the expected stands before the actual

from __future__ import annotations

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
from connectors.exchanges.bitfinex import BitfinexPerpetual, BitfinexSpot
from connectors.model import Instrument, Subscription

KEY = "trade:1m:tBTCUSD"
SUBSCRIBED = {"event": "subscribed", "channel": "candles", "chanId": 7, "key": KEY}
ROW = [1574698200000, 3, 2.5, 4, 2, 41.6]


def connected() -> BitfinexSpot:
    """One whose connection has been told the number 7."""
    adapter = BitfinexSpot()
    assert Confirmed(channels=(KEY,)) == adapter.parse_ws_message(SUBSCRIBED)
    return adapter


def reply(body: Any, status: int = 200, **headers: str) -> RestReply:
    """An HTTP reply with this body."""
    return RestReply(
        status, {key.replace("_", "-"): value for key, value in headers.items()}, orjson.dumps(body)
    )


def instruments(adapter: Any, symbols: Any, names: Any) -> Any:
    """What the dialogue makes of the two replies."""
    dialogue = adapter.instruments()
    assert next(dialogue).url.endswith(f"/v2/conf/{adapter.list_of_pairs}")
    assert dialogue.send(reply(symbols)).url.endswith("/v2/conf/pub:map:currency:sym")
    with pytest.raises(StopIteration) as end:
        dialogue.send(reply(names))
    return end.value.value


# --- symbols ---


@pytest.mark.parametrize(
    ("adapter", "pair", "symbol"),
    [
        (BitfinexSpot(), "BTC-USD", "tBTCUSD"),
        (BitfinexSpot(), "BTC-USDT", "tBTCUST"),
        (BitfinexSpot(), "DOGE-USD", "tDOGE:USD"),
        (BitfinexSpot(), "AVAX-USDT", "tAVAX:UST"),
        (BitfinexSpot(), "BTC-CNHT", "tBTC:CNHT"),
        (BitfinexSpot(), "DASH-USDC", "tDSHUDC"),
        (BitfinexPerpetual(), "BTC-USDT", "tBTCF0:USTF0"),
        (BitfinexPerpetual(), "DOGE-USDT", "tDOGEF0:USTF0"),
    ],
)
def test_symbols(adapter: Any, pair: str, symbol: str):
    """A colon where a currency has more than three letters, and names of their own."""
    assert symbol == adapter.get_trading_pair_format(pair)


def test_instruments():
    """Their map names the currencies, if it is a name; paper, named like real ones, is left out."""
    symbols = ["BTCUSD", "BTCUST", "DOGE:USD", "DSHUDC", "LESUSD"]
    symbols += ["TESTBTC:TESTUSD", "AB:C:D", "WHATISIT"]
    names = [["UST", "USDt"], ["DSH", "DASH"], ["TESTBTC", "BTC"], ["LES", "LEO-EOS"]]

    assert [
        Instrument("BTC-USD", "tBTCUSD"),
        Instrument("BTC-USDT", "tBTCUST"),
        Instrument("DOGE-USD", "tDOGE:USD"),
        Instrument("DASH-USDC", "tDSHUDC"),
        Instrument("LES-USD", "tLESUSD"),
    ] == instruments(BitfinexSpot(), [symbols], [names])


def test_instruments_of_perpetuals():
    """F0 is taken off both currencies before they are named."""
    symbols = ["BTCF0:USTF0", "TESTBTCF0:TESTUSDTF0"]
    names = [["USTF0", "USDt0"], ["UST", "USDt"], ["BTCF0", "BTC"]]

    expected = [Instrument("BTC-USDT", "tBTCF0:USTF0")]
    assert expected == instruments(BitfinexPerpetual(), [symbols], [names])


@pytest.mark.parametrize("body", [["error", 11010, "ratelimit: error"], [7], [None], {}, []])
def test_no_instruments_of_an_error(body: Any):
    """A reply that is no list is a ValueError."""
    dialogue = BitfinexSpot().instruments()
    next(dialogue)

    with pytest.raises(ValueError, match="list of instruments"):
        dialogue.send(reply(body))


# --- WebSocket ---


def test_the_number_tells_the_channel():
    """A row runs open, close, high, low; more behind the row, or behind the frame, is skipped."""
    for frame in ([7, ROW], [7, [*ROW, 1]], ["7", ROW, 12, 1574698200123]):
        (candle,) = connected().parse_ws_message(frame)
        assert KEY == candle.channel
        assert (3, 4, 2, 2.5, 41.6, None) == candle.figures()[:6]


def test_a_snapshot_is_turned_round():
    """Its newest bar comes first; an empty one is no candle."""
    snapshot = [7, [[1574698260000, *ROW[1:]], ROW]]

    candles = connected().parse_ws_message(snapshot)

    assert [1574698200, 1574698260] == [candle.timestamp for candle in candles]
    assert [] == connected().parse_ws_message([7, []])


def test_the_number_of_an_ended_subscription_is_nobodys():
    """What comes late is no candle, whatever was subscribed since, until it is told anew."""
    adapter = connected()

    assert [{"event": "unsubscribe", "chanId": 7}] == adapter.unsubscribe_messages([KEY], 2, 0.0)
    assert adapter.parse_ws_message({"event": "unsubscribed", "status": "OK", "chanId": 7}) is None
    adapter.parse_ws_message({**SUBSCRIBED, "chanId": 8, "key": "trade:1m:tETHUSD"})
    assert adapter.parse_ws_message([7, ROW]) is None
    assert [] == adapter.unsubscribe_messages([KEY], 3, 0.0)
    adapter.parse_ws_message({**SUBSCRIBED, "key": "trade:1h:tETHUSD"})
    (candle,) = adapter.parse_ws_message([7, ROW])
    assert "trade:1h:tETHUSD" == candle.channel


def test_a_number_never_told_names_no_channel():
    """Candles of it have none, so they are nobody's where several are subscribed."""
    (candle,) = connected().parse_ws_message([9, ROW])

    assert candle.channel is None
    assert connected().parse_ws_message([9, [1, 2, 3]]) is None
    assert connected().parse_ws_message([9, [[1, 2, 3], [4, 5, 6]]]) is None


@pytest.mark.parametrize(
    "noise",
    [None, 3, [7, "hb"], [7, "hb", 12], [9, "hb"], [7, "cs", 1], {}, {"event": "pong", "cid": 1},
     {"event": "info", "version": 2}, {"event": "info", "code": 20060},
     {"event": "error", "code": 10400, "msg": "unsubscribe: invalid", "chanId": 7}],
)  # fmt: skip
def test_noise(noise: object):
    """Heartbeats, greetings, and what refuses no subscription."""
    assert connected().parse_ws_message(noise) is None


@pytest.mark.parametrize(
    "told",
    [ROW[:5], [*ROW[:5], None], [*ROW[:5], "NaN"], ["x", *ROW[1:]], [ROW, 5], [ROW[:4]], None, {},
     5],
)  # fmt: skip
def test_an_unreadable_candle_raises(told: object):
    """Half a candle is an exception, never an invented candle and never silence."""
    with pytest.raises((ValueError, LookupError, TypeError)):
        connected().parse_ws_message([7, told])


def test_answers():
    """Errors name their key; dup is as good as accepted; a limit is not the key's fault."""
    adapter = BitfinexSpot()
    error = {"event": "error", "code": 10300, "msg": "key: invalid", "key": KEY}

    assert Refused("key: invalid (code 10300)", channels=(KEY,)) == adapter.parse_ws_message(error)
    limit = {**error, "code": 10305, "msg": "subscribe: limit"}
    refused = adapter.parse_ws_message(limit)
    assert isinstance(refused, Refused)
    assert refused.limit
    again = {**error, "code": 10301, "msg": "subscribe: dup", "chanId": 7}
    assert Confirmed(channels=(KEY,)) == adapter.parse_ws_message(again)
    (candle,) = adapter.parse_ws_message([7, ROW])
    assert KEY == candle.channel


@pytest.mark.parametrize("code", [20051, 20061])
def test_what_they_announce(code: int):
    """Asked to reconnect, and when maintenance is over, a new connection subscribes anew."""
    assert isinstance(BitfinexSpot().parse_ws_message({"event": "info", "code": code}), Closing)


def test_the_key_keeps_the_symbols_colon():
    """A symbol may hold a colon, as keys do."""
    adapter = BitfinexSpot()
    channel = adapter.channel(Subscription("bitfinex_spot", "DOGE-USD", "1d"))

    sent = {"event": "subscribe", "channel": "candles", "key": "trade:1D:tDOGE:USD"}
    assert [sent] == adapter.subscribe_messages([channel], 1, 0.0)


# --- REST ---


def test_a_request():
    """Symbol and interval stand in the path; oldest first, both bounds included."""
    request = BitfinexSpot().rest_request("DOGE-USD", "1d", 86_400, 3 * 86_400, 2, 0.0)

    assert request.url.endswith("/v2/candles/trade:1D:tDOGE%3AUSD/hist")
    expected = {"start": 86_400_000, "end": 259_199_000, "limit": 2, "sort": 1}
    assert expected == request.params


def test_grids_to_be_learned():
    """Where weeks and fortnights begin is not known; 4h is not offered."""
    adapter = BitfinexSpot()

    learned = [each for each in adapter.get_supported_intervals() if not adapter.grid(each).known]
    assert ["1w", "14d"] == learned
    assert "4h" not in adapter.get_supported_intervals()


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        (["error", 10020, "limit: invalid"], 500, RestRefused),
        (["error", 11010, "ratelimit: error"], 429, RestSlowDown),
        (["error", 11010, "ratelimit: error"], 200, RestSlowDown),
        ({"error": "ERR_RATE_LIMIT"}, 429, RestSlowDown),
        (["error", 20060, "maintenance"], 500, RestUnavailable),
        (["error", 20060, "maintenance"], 200, RestUnavailable),
    ],
)
def test_errors_are_lists(body: Any, status: int, expected: type):
    """The code decides, whatever the status."""
    request = BitfinexSpot().rest_request("BTC-USD", "1m", 0, 60, 1, 0.0)

    assert isinstance(BitfinexSpot().read_rest_reply(reply(body, status), request), expected)


def test_a_limit_costs_a_minute():
    """Unless they say otherwise."""
    request = BitfinexSpot().rest_request("BTC-USD", "1m", 0, 60, 1, 0.0)
    error = ["error", 11010, "ratelimit: error"]

    for headers, seconds in (({}, 60), ({"retry_after": "9"}, 9)):
        answer = BitfinexSpot().read_rest_reply(reply(error, 429, **headers), request)
        assert isinstance(answer, RestSlowDown)
        assert seconds == answer.seconds


@pytest.mark.parametrize("body", [["error"], [1, 2, 3, 4, 5, 6], [ROW[:5]], {}, None])
def test_a_body_that_is_no_rows_raises(body: object):
    """A reply that cannot be read is a ValueError, not an empty page."""
    request = BitfinexSpot().rest_request("BTC-USD", "1m", 0, 60, 1, 0.0)

    with pytest.raises(ValueError, match="cannot be read"):
        BitfinexSpot().read_rest_reply(reply(body), request)
