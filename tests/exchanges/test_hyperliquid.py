"""Hyperliquid: what its recorded frames cannot say to the conformance suite."""

from __future__ import annotations

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
    Rows,
)
from connectors.errors import UsageError
from connectors.exchanges.hyperliquid import HyperliquidPerpetual, HyperliquidSpot
from connectors.model import Instrument, Subscription

NOW = 1_790_000_000.0
OPENED = 1_789_999_980_000
META = {
    "universe": [
        {"szDecimals": 5, "name": "BTC"},
        {"szDecimals": 0, "name": "kPEPE", "isDelisted": False},
        {"szDecimals": 1, "name": "MATIC", "isDelisted": True},
    ]
}
SPOT = {
    "tokens": [{"name": "USDC", "index": 0}, {"name": "PURR", "index": 1},
               {"name": "HYPE", "index": 150}],
    "universe": [
        {"name": "PURR/USDC", "tokens": [1, 0], "index": 0},
        {"name": "@107", "tokens": [150, 0], "index": 107},
        {"name": "@200", "tokens": [150, 0], "index": 200},
    ],
}  # fmt: skip


def reply(body: Any, status: int = 200) -> RestReply:
    """An HTTP reply with this body."""
    return RestReply(status, {}, orjson.dumps(body))


def listed(adapter: HyperliquidPerpetual | HyperliquidSpot, body: Any) -> list[Instrument]:
    """What the dialogue makes of this list; the adapter uses it."""
    dialogue = adapter.instruments()
    next(dialogue)
    with pytest.raises(StopIteration) as end:
        dialogue.send(reply(body))
    rows: list[Instrument] = end.value.value
    adapter.use_instruments(rows)
    return rows


def bar(**changed: Any) -> dict[str, Any]:
    """A bar (made up)."""
    return {"t": OPENED, "T": OPENED + 59_999, "s": "kPEPE", "i": "1m", "o": "5", "c": "6",
            "h": "9", "l": "4", "v": "0.5", "n": 3, **changed}  # fmt: skip


def subscription(**changed: Any) -> dict[str, Any]:
    """A subscription as answers repeat it."""
    return {"type": "candle", "coin": "kPEPE", "interval": "1m", **changed}


def error(words: str, told: Any) -> dict[str, Any]:
    """An error frame, whose text ends with JSON."""
    return {"channel": "error", "data": f"{words}{orjson.dumps(told).decode()}"}


# --- instruments ---


def test_coins_keep_their_case() -> None:
    """A pair is in upper case, its coin as listed; the delisted one is told as such."""
    adapter = HyperliquidPerpetual()

    assert [row for row in listed(adapter, META) if row.alias_of is None] == [
        Instrument("BTC-USDC", "BTC"),
        Instrument("KPEPE-USDC", "kPEPE"),
        Instrument("MATIC-USDC", "MATIC", tradable=False, status="delisted"),
    ]
    assert adapter.channel(Subscription(adapter.name, "KPEPE-USDC", "1m")) == "1m:kPEPE"


def test_two_names_of_a_perpetual() -> None:
    """``BTC-USD`` is an alias of ``BTC-USDC``: the same coin, and the same channel."""
    adapter = HyperliquidPerpetual()
    aliases = {row.trading_pair: row.alias_of for row in listed(adapter, META) if row.alias_of}
    one, other = (Subscription(adapter.name, pair, "1h") for pair in ("BTC-USDC", "BTC-USD"))

    assert aliases["BTC-USD"] == "BTC-USDC"
    assert adapter.channel(one) == adapter.channel(other) == "1h:BTC"


@pytest.mark.parametrize("pair", ["BTC-USDT", "ETH-BTC"])
def test_no_coin_is_guessed(pair: str) -> None:
    """An unknown coin costs the whole connection: a pair that may be none is an error instead."""
    with pytest.raises(UsageError, match=pair):
        HyperliquidPerpetual().get_trading_pair_format(pair)
    with pytest.raises(UsageError, match=pair):
        HyperliquidSpot().get_trading_pair_format(pair)
    assert HyperliquidPerpetual.needs_instruments
    assert HyperliquidSpot.needs_instruments


def test_spot_coins_are_numbers() -> None:
    """Tokens and universe are joined; index 0 goes by its name, the rest by their index.

    Of two that are the same pair the first one counts.
    """
    adapter = HyperliquidSpot()

    expected = [Instrument("PURR-USDC", "PURR/USDC"), Instrument("HYPE-USDC", "@107")]
    assert listed(adapter, SPOT) == expected
    assert adapter.channel(Subscription(adapter.name, "HYPE-USDC", "5m")) == "5m:@107"


def test_lists_are_asked_for_by_post() -> None:
    """Both markets ask the one address, each for its own list."""
    for adapter, kind in ((HyperliquidPerpetual(), "meta"), (HyperliquidSpot(), "spotMeta")):
        request = next(adapter.instruments())
        assert (request.method, request.url) == ("POST", "https://api.hyperliquid.xyz/info")
        assert request.body == {"type": kind}


# --- frames ---


def test_a_list_of_bars() -> None:
    """One bar or a list of them; the channel is made of interval and coin as they stand there."""
    adapter = HyperliquidPerpetual()
    later = bar(t=OPENED + 60_000, v=2, n=None)

    candles = adapter.parse_ws_message({"channel": "candle", "data": [later, bar()]})

    assert isinstance(candles, list)
    assert [each.timestamp for each in candles] == [OPENED // 1000, OPENED // 1000 + 60]
    assert {each.channel for each in candles} == {"1m:kPEPE"}
    assert candles[0].figures() == (5.0, 9.0, 4.0, 6.0, 0.5, None, 3, None, None)
    assert candles[1].n_trades is None
    assert [each.closed for each in candles] == [None, None]


@pytest.mark.parametrize(
    "unreadable",
    [
        {"channel": "candle"},
        {"channel": "candle", "data": None},
        {"channel": "candle", "data": bar(o=None)},
        {"channel": "candle", "data": [bar(), bar(t="soon")]},
        {"channel": "candle", "data": {key: bar()[key] for key in "tTiochlvn"}},
        {"channel": "candle", "data": {key: bar()[key] for key in "tTsiochln"}},
        {"data": bar()},
        {"channel": "subscriptionResponse"},
        "pong",
    ],
)
def test_an_unreadable_frame_raises(unreadable: object) -> None:
    """Half a candle is an exception, never an invented candle and never silence."""
    with pytest.raises((ValueError, LookupError, TypeError, AttributeError)):
        HyperliquidPerpetual().parse_ws_message(unreadable)


@pytest.mark.parametrize(
    "noise", [{"channel": "pong"}, {"channel": "trades", "data": []}, {"channel": None}, {}, []]
)
def test_noise(noise: object) -> None:
    """Pongs, other channels and frames of no known kind are nothing."""
    assert HyperliquidPerpetual().parse_ws_message(noise) is None


# --- answers ---


def test_an_answer_repeats_its_subscription() -> None:
    """It is tied by what it repeats, defaults filled in or not; leaving a channel confirms none."""
    adapter = HyperliquidPerpetual()

    def told(verb: str) -> Any:
        data = {"method": verb, "subscription": subscription(fast=False)}
        return adapter.parse_ws_message({"channel": "subscriptionResponse", "data": data})

    assert told("subscribe") == Confirmed(channels=("1m:kPEPE",))
    assert told("unsubscribe") is None


@pytest.mark.parametrize(
    "told", [subscription(), {"method": "subscribe", "subscription": subscription()}]
)
def test_a_refusal_names_its_subscription_in_its_text(told: Any) -> None:
    """The JSON at the end of an error is the subscription or the whole request."""
    frame = error("Invalid subscription ", told)

    refused = HyperliquidPerpetual().parse_ws_message(frame)

    assert refused == Refused(frame["data"], channels=("1m:kPEPE",))


@pytest.mark.parametrize("text", ["Too many subscriptions", "Odd {", 'Odd {"type":"candle"}', "[]"])
def test_a_refusal_that_names_nobody(text: str) -> None:
    """Words without JSON, or with other JSON, are a refusal all the same."""
    refused = HyperliquidPerpetual().parse_ws_message({"channel": "error", "data": text})

    assert refused == Refused(text)


def test_already_is_harmless() -> None:
    """What is subscribed already delivers; what is left already is nothing."""
    adapter = HyperliquidPerpetual()

    already = adapter.parse_ws_message(error("Already subscribed: ", subscription()))

    assert already == Confirmed(channels=("1m:kPEPE",))
    assert adapter.parse_ws_message(error("Already unsubscribed: ", subscription())) is None


def test_one_subscription_a_message() -> None:
    """A list of coins is refused: each channel has a message of its own."""
    messages = HyperliquidPerpetual().subscribe_messages(["1m:BTC", "1h:kPEPE"], 7, NOW)

    assert messages == [
        {"method": "subscribe", "subscription": subscription(coin="BTC")},
        {"method": "subscribe", "subscription": subscription(interval="1h")},
    ]


def test_both_markets_keep_the_limits_of_an_address() -> None:
    """All connections of both markets together stay within what an address may do."""
    limits = HyperliquidPerpetual.limits

    assert limits is HyperliquidSpot.limits
    assert limits.connections is not None
    connections = 2 * limits.connections
    assert connections <= 10
    assert connections * limits.subscriptions <= 1000
    assert limits.messages.period == 1
    assert connections * limits.messages.amount * 60 <= 2000


# --- REST ---


@pytest.mark.parametrize(("rows", "weight"), [(1, 21), (60, 21), (61, 22), (1000, 37), (5000, 104)])
def test_weight(rows: int, weight: int) -> None:
    """20, and one more for each 60 rows that are begun."""
    assert HyperliquidPerpetual().rest_weight(rows) == weight


def test_a_window() -> None:
    """One POST for both markets; bounds in milliseconds; there are the latest 5000 bars."""
    adapter = HyperliquidPerpetual()
    listed(adapter, META)

    request = adapter.rest_request("KPEPE-USDC", "1h", 1_790_002_800, 1_790_010_000, 2, NOW)

    span = {"startTime": 1_790_002_800_000, "endTime": 1_790_009_999_000}
    req = {"coin": "kPEPE", "interval": "1h", **span}
    assert request.body == {"type": "candleSnapshot", "req": req}
    assert (request.method, request.params, request.weight) == ("POST", {}, 21)
    assert adapter.rest_pages("1h").rows == 5000


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, [], Rows),
        (422, "Failed to deserialize", RestRefused),
        (429, None, RestSlowDown),
        (500, None, RestUnavailable),
    ],
)
def test_statuses_are_believed(status: int, body: Any, expected: type) -> None:
    """Errors have no form of their own; ``null`` with HTTP 500 is asked again."""
    adapter = HyperliquidPerpetual()
    request = adapter.rest_request("BTC-USDC", "1h", 0, 3600, 1, NOW)

    assert isinstance(adapter.read_rest_reply(reply(body, status), request), expected)


@pytest.mark.parametrize("body", [None, {}, "x", [None], [bar(h=None)], [{"t": OPENED}]])
def test_an_unreadable_reply_raises(body: Any) -> None:
    """What is no list of bars is a ValueError, not an empty list."""
    adapter = HyperliquidPerpetual()
    request = adapter.rest_request("BTC-USDC", "1h", 0, 3600, 1, NOW)
    with pytest.raises(ValueError, match="cannot be read"):
        adapter.read_rest_reply(reply(body), request)
