"""Hyperliquid's dialects, held against the card and what was recorded."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from connectors.sandbox.dialect import (
    Action,
    Conversation,
    Cut,
    Dialect,
    HttpReply,
    HttpRequest,
    Overstep,
    Push,
    World,
)
from connectors.sandbox.hyperliquid import HyperliquidPerpetual, HyperliquidSpot
from tests.sandbox.pretend import NOON, ask, candle, connected, doubled, kinds, said, shape, world
from tests.sandbox.wired import Client, ended, heard

PERPETUAL, SPOT = HyperliquidPerpetual(), HyperliquidSpot()
AROUND = world(PERPETUAL)  # for tests that change nothing in it

# What was recorded or documented; sources: a Rust decoder's tests (2026-07-26), gocryptotrader's
# tests (2026-10), ccxt 4.5.64, BYTEX payloads and a profile of the WebSocket (2026-09).
FRAME: Any = json.loads(
    '{"channel":"candle","data":{"t":1785053340000,"T":1785053399999,"s":"BTC","i":"1m",'
    '"o":"64340.0","c":"64346.0","h":"64347.0","l":"64340.0","v":"0.15124","n":21}}'
)
SPOT_FRAME: Any = json.loads(
    '{"channel":"candle","data":{"t":1791279240000,"T":1791279299999,"s":"@107","i":"1m",'
    '"o":"92.652","c":"92.621","h":"92.653","l":"92.581","v":"2115.03","n":57}}'
)
CONFIRMED: Any = json.loads(
    '{"channel":"subscriptionResponse","data":{"method":"subscribe",'
    '"subscription":{"type":"candle","coin":"BTC","interval":"1m"}}}'
)
ALREADY = 'Already subscribed: {"type":"candle","coin":"BTC","interval":"1m"}'
INVALID = 'Invalid subscription {"type":"candle","coin":"BTC","interval":"7m"}'
NO_BODY = "Failed to deserialize the JSON body into the target type"
META: Any = json.loads(
    '{"universe":[{"szDecimals":5,"name":"BTC","maxLeverage":40,"marginTableId":56},'
    '{"szDecimals":1,"name":"MATIC","maxLeverage":20,"marginTableId":20,"isDelisted":true}],'
    '"collateralToken":0}'
)


def wish(coin: object = "BTC", interval: str = "1m", method: str = "subscribe") -> dict[str, Any]:
    """A subscription to candles, or its end."""
    return {
        "method": method,
        "subscription": {"type": "candle", "coin": coin, "interval": interval},
    }


def subscribed(dialect: Dialect, coin: str, around: World) -> Conversation:
    """A connection with one subscription, 1m."""
    conversation = connected(dialect, "/ws", around)
    ask(conversation, wish(coin), around)
    assert list(conversation.channels) == [f"{coin}:1m"]
    return conversation


def done(conversation: Conversation, message: object, around: World) -> list[Action]:
    """What a message leads to."""
    return list(conversation.received(json.dumps(message), around))


def post(dialect: Dialect, body: object, around: World | None = None) -> HttpReply:
    """The reply of `/info`."""
    asked = HttpRequest("POST", "/info", {}, {}, json.dumps(body).encode())
    return dialect.answer(asked, around or world(dialect))


def rows(coin: str = "BTC", **bounds: int) -> list[dict[str, Any]]:
    """The 1m rows of a snapshot; bounds are seconds after noon."""
    req = {name: (NOON + bound) * 1_000 for name, bound in bounds.items()}
    body = {"type": "candleSnapshot", "req": {"coin": coin, "interval": "1m", **req}}
    found = post(PERPETUAL, body, AROUND).body
    assert isinstance(found, list)
    return found


def opens(found: list[dict[str, Any]]) -> list[int]:
    """Their open times, in seconds after noon."""
    return [row["t"] // 1_000 - NOON for row in found]


# --- frames


@pytest.mark.parametrize(
    ("dialect", "coin", "pair", "expected"),
    [(PERPETUAL, "BTC", "BTC-USDC", FRAME), (SPOT, "@107", "HYPE-USDC", SPOT_FRAME)],
)
def test_frame_as_recorded(dialect: Dialect, coin: str, pair: str, expected: Any) -> None:
    """A frame has the recorded keys in their order; figures are short text with a point."""
    around = world(dialect)
    conversation = subscribed(dialect, coin, around)
    bar = around.market.current(pair, "1m", around.now.market)

    found = candle(conversation, conversation.channels[f"{coin}:1m"], bar, around)

    assert shape(found) == shape(expected)
    data = found["data"]
    assert (data["s"], data["i"], data["T"] - data["t"]) == (coin, "1m", 59_999)
    for name in "ochlv":
        whole, _, part = data[name].partition(".")
        assert whole.isdigit()
        assert part == "0" or (part.isdigit() and not part.endswith("0"))


def test_prices_have_recorded_digits() -> None:
    """BTC moves by whole dollars, its size has five digits."""
    found = rows(startTime=-6_000)

    assert {row[name].partition(".")[2] for row in found for name in "ochl"} == {"0"}
    assert max(len(row["v"].partition(".")[2]) for row in found) == 5


def test_few_bars_have_a_frame_after_their_end() -> None:
    """After its end a bar is mostly silent: four of 69 were not."""
    around = world(PERPETUAL)
    conversation = subscribed(PERPETUAL, "BTC", around)
    channel = conversation.channels["BTC:1m"]
    bars = around.market.bars("BTC-USDC", "1m", NOON - 68 * 60, NOON, NOON + 60)

    late = [
        bar
        for bar in bars
        if list(conversation.candle(Push(channel, bar, closed=False, first=False), around))
    ]

    assert 4 <= len(late) <= 5
    assert all(bar.final for bar in late)


# --- conversation


def test_confirmation_and_errors_as_recorded() -> None:
    """A subscription is echoed once, then "Already"; its end likewise."""
    around = world(PERPETUAL)
    conversation = connected(PERPETUAL, "/ws", around)

    assert ask(conversation, wish(), around) == [CONFIRMED]
    assert ask(conversation, wish(), around) == [{"channel": "error", "data": ALREADY}]
    end = wish(method="unsubscribe")
    (ending,) = ask(conversation, end, around)
    assert (ending["channel"], ending["data"]) == ("subscriptionResponse", end)
    (error,) = ask(conversation, end, around)
    assert error["data"] == ALREADY.replace("subscribed", "unsubscribed")
    assert not conversation.channels


@pytest.mark.parametrize(
    "text",
    [
        '{"type": "allMids"}',
        '{"method":"subscribe","subscription":{"type":"candle","coin":["BTC"],"interval":"1m"}}',
        '{"method":"subscribe","subscription":{"type":"nope","coin":"BTC"}}',
        '{"method":"subscribe","subscription":{"type":"candle","coin":"BTC"}}',
        "not json",
        "[]",
    ],
)
def test_what_is_not_understood_is_quoted(text: str) -> None:
    """A message of another shape, such as a list of coins, is quoted in an error."""
    around = world(PERPETUAL)

    answers = said(connected(PERPETUAL, "/ws", around).received(text, around))

    expected = f"Error parsing JSON into valid websocket request: {text}"
    assert answers == [{"channel": "error", "data": expected}]


@pytest.mark.parametrize("coin", ["NOPE", "btc", "@107", "MATIC", "BTC-USDC", "0"])
def test_unknown_coin_drops_the_socket(coin: str) -> None:
    """An unknown or delisted coin cuts the connection off without a word."""
    around = world(PERPETUAL)

    assert done(connected(PERPETUAL, "/ws", around), wish(coin), around) == [Cut()]


def test_coin_that_ended() -> None:
    """A perpetual whose trading has ended is as an unknown coin; a spot pair is silent."""
    perpetual, spot = world(PERPETUAL), world(SPOT)
    perpetual.market.delist("ETH-USDC", NOON, vanish=False)
    spot.market.delist("HYPE-USDC", NOON, vanish=False)
    conversation = connected(SPOT, "/ws", spot)

    assert done(connected(PERPETUAL, "/ws", perpetual), wish("ETH"), perpetual) == [Cut()]
    assert ask(conversation, wish("@107"), spot)[0]["channel"] == "subscriptionResponse"
    assert not conversation.channels


def test_invalid_subscription() -> None:
    """An unknown interval, or what a fault refuses, is an error that quotes the subscription."""
    around = world(PERPETUAL, refuses=lambda _, interval: interval == "5m")
    conversation = connected(PERPETUAL, "/ws", around)

    assert ask(conversation, wish(interval="7m"), around)[0]["data"] == INVALID
    refused = ask(conversation, wish(interval="5m"), around)
    assert refused[0]["data"] == INVALID.replace("7m", "5m")
    assert not conversation.channels


def test_ping_and_silence() -> None:
    """A ping is answered; 60 s after the server's last frame the connection is cut off."""
    around = world(PERPETUAL)
    conversation = subscribed(PERPETUAL, "BTC", around)
    assert conversation.due == 60

    assert ask(conversation, {"method": "ping"}, world(PERPETUAL, real=20)) == [{"channel": "pong"}]
    assert conversation.due == 80
    bar = around.market.current("BTC-USDC", "1m", NOON + 30)
    candle(conversation, conversation.channels["BTC:1m"], bar, world(PERPETUAL, real=45))
    assert conversation.due == 105
    assert list(conversation.tick(world(PERPETUAL, real=105))) == [Cut()]


def test_subscriptions_by_address() -> None:
    """The 1001st subscription of all connections together drops the socket."""
    around = world(PERPETUAL)
    full = World(around.now, around.market, "", "", around.refuses, subscriptions=1_000)

    actions = done(connected(PERPETUAL, "/ws", around), wish(), full)

    assert actions == [Overstep("subscriptions", 1_000, 1_001), Cut()]


async def test_cut_off_for_an_unknown_coin(slow: Client) -> None:
    """Over a real socket nothing is said, not even a close; other connections stay."""
    good, bad = [await slow.connect("/hyperliquid_perpetual/ws") for _ in range(2)]
    for socket in (good, bad):
        await socket.send(json.dumps(wish()))
        assert await heard(socket) == CONFIRMED

    await bad.send(json.dumps(wish("NOPE")))

    assert await ended(bad) is None
    await good.send(json.dumps({"method": "ping"}))
    while (await heard(good))["channel"] != "pong":
        pass
    await good.close()


async def test_connections_share_their_subscriptions(slow: Client) -> None:
    """Subscriptions are counted over the connections that are open."""
    for coin in ("BTC", "ETH"):
        socket = await slow.connect("/hyperliquid_perpetual/ws")
        await socket.send(json.dumps(wish(coin)))
        await heard(socket)

    assert slow.sandbox.sites["hyperliquid_perpetual"].world().subscriptions == 2


# --- REST


def test_rows_as_documented() -> None:
    """Rows are the objects of frames, oldest first, the running bar last."""
    found = rows(startTime=-600, endTime=600)

    assert [kinds(row) for row in found] == [kinds(FRAME["data"])] * 11
    assert opens(found) == list(range(-600, 60, 60))
    assert opens(rows(startTime=-120)) == [-120, -60, 0]


def test_bounds() -> None:
    """The bar that contains the start comes, one that opens at the end does not."""
    assert opens(rows(startTime=-121, endTime=-60)) == [-180, -120]
    assert opens(rows(startTime=-120, endTime=-59)) == [-120, -60]
    assert opens(rows(startTime=60, endTime=600)) == []


def test_only_5000_bars_exist() -> None:
    """Older bars than the newest 5000 are not there, whatever is asked for."""
    found = opens(rows(startTime=-9_000_000))

    assert (len(found), found[0], found[-1]) == (5_000, -4_999 * 60, 0)
    assert rows(startTime=-9_000_000, endTime=-8_000_000) == []


def test_bars_without_trades_are_missing() -> None:
    """A quiet pair has holes."""
    found = opens(rows(coin="ALGO", startTime=-60_000))

    assert any(late - early > 60 for early, late in pairwise(found))


@pytest.mark.parametrize(("count", "weight"), [(60, 21), (61, 22), (5_000, 104)])
def test_weight(count: int, weight: int) -> None:
    """A snapshot weighs 20, and one more for each 60 rows begun."""
    body = {"coin": "BTC", "interval": "1m", "startTime": (NOON - (count - 1) * 60) * 1_000}

    found = post(PERPETUAL, {"type": "candleSnapshot", "req": body}, AROUND)

    assert [charge.weight for charge in found.charges] == [weight]


@pytest.mark.parametrize(
    "body",
    [
        {"type": "nope"},
        {"type": "candleSnapshot"},
        {"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "7m", "startTime": 1}},
        {"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "1m"}},
        {"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "1m", "startTime": "1"}},
        [],
    ],
)
def test_bad_body_as_recorded(body: object) -> None:
    """A body of another shape is HTTP 422 with the recorded plain text."""
    found = post(PERPETUAL, body)

    assert (found.status, found.body) == (422, NO_BODY)


def test_unknown_coin_by_rest() -> None:
    """An unknown coin is HTTP 500 with null; another path 404, another method 405."""
    req = {"coin": "NOPE", "interval": "1m", "startTime": 1}
    found = post(PERPETUAL, {"type": "candleSnapshot", "req": req})
    wrong = PERPETUAL.answer(HttpRequest("GET", "/info", {}, {}), world(PERPETUAL))

    assert (found.status, found.body) == (500, None)
    assert wrong.status == 405
    assert PERPETUAL.answer(HttpRequest("POST", "/", {}, {}), world(PERPETUAL)).status == 404
    assert PERPETUAL.slow_down(5, world(PERPETUAL)).status == 429


def test_meta_as_recorded() -> None:
    """Perpetuals have the recorded keys; those that ended stay in the list, and say so."""
    around = world(PERPETUAL)
    around.market.delist("ETH-USDC", NOON, vanish=False)

    found: Any = post(PERPETUAL, {"type": "meta"}, around).body

    assert list(found) == list(META)
    rows_of = {row["name"]: row for row in found["universe"]}
    for row in META["universe"]:
        assert shape(rows_of[row["name"]]) == shape(row)
        assert rows_of[row["name"]]["szDecimals"] == row["szDecimals"]
    assert rows_of["ETH"]["isDelisted"] is True
    assert "kPEPE" in rows_of
    assert around.market.symbols["kPEPE"].trading_pair == "KPEPE-USDC", (
        "pairs have no small letters"
    )


def test_spot_meta_leads_to_pairs() -> None:
    """Each pair's tokens are found by their index, not by their place, and are its name."""
    found: Any = post(SPOT, {"type": "spotMeta"}).body
    names = {token["index"]: token["name"] for token in found["tokens"]}

    pairs = {
        row["name"]: "-".join(names[token] for token in row["tokens"]) for row in found["universe"]
    }

    assert pairs == {listing.symbol: listing.trading_pair for listing in SPOT.listings}
    assert pairs["@107"] == "HYPE-USDC"
    assert pairs["PURR/USDC"] == "PURR-USDC"
    assert [row["index"] for row in found["universe"]] != list(range(len(pairs)))


def test_other_paths() -> None:
    """A WebSocket elsewhere is refused."""
    found = PERPETUAL.connect(HttpRequest("GET", "/", {}, {}), world(PERPETUAL))

    assert isinstance(found, HttpReply)
    assert found.status == 404


def test_a_fault_finds_the_rows() -> None:
    """Rows are where the reply says that they are."""
    req = {"coin": "BTC", "interval": "1m", "startTime": (NOON - 1_140) * 1_000}

    assert len(doubled(PERPETUAL, post(PERPETUAL, {"type": "candleSnapshot", "req": req}))) > 20
