"""Misbehaviours, told the time: when they act, on whom, and what they do."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from connectors.sandbox.binance import BinanceSpot
from connectors.sandbox.coinbase import CoinbaseAdvancedTrade
from connectors.sandbox.dialect import Channel, HttpReply, World
from connectors.sandbox.faults import Fault, Schedule, garbled, kinds
from connectors.sandbox.orders import FaultOrderError, ordered
from tests.sandbox.pretend import NOON, world

MARKETS = ("binance_spot", "coinbase_advanced_trade")
BTC = Channel("btc", "BTC-USDT", "1m", NOON)
ETH = Channel("eth", "ETH-USDT", "5m", NOON)
FRAME = '{"e":"kline","k":{"o":"97250.10","x":true}}'


def fault(kind: str, **wish: object) -> Fault:
    """A fault that was ordered at the real time 100."""
    return ordered({"kind": kind, **wish}, MARKETS, 100.0)


def at(real: float) -> World:
    """The world of Binance at a real time."""
    return world(BinanceSpot(), real=real)


# --- schedules


def test_acts_from_its_order_on() -> None:
    """Without a period a fault acts at once, for its duration."""
    schedule = Schedule(100, duration=3)

    assert [schedule.left(now) for now in (99, 100, 102, 103)] == [0, 3, 1, 0]
    assert [schedule.over(now) for now in (100, 102.9, 103)] == [False, False, True]


def test_acts_for_ever() -> None:
    """Without a duration it acts until it is ended."""
    assert Schedule(100).left(1e9) > 0
    assert not Schedule(100).over(1e9)


def test_acts_each_time() -> None:
    """With a period it acts at each multiple, as often as asked for."""
    schedule = Schedule(100, every=10, count=2, duration=3)

    assert [schedule.occurrences(now) for now in (100, 109, 110, 119, 120, 500)] == [
        0, 0, 1, 1, 2, 2,
    ]  # fmt: skip
    assert [schedule.left(now) > 0 for now in (100, 110, 114, 121, 130)] == [
        False, True, False, True, False,
    ]  # fmt: skip
    assert [schedule.over(now) for now in (110, 122, 123)] == [False, False, True]


def test_lasts_half_a_period_unless_told() -> None:
    """With a period and no duration it acts half of the time."""
    assert Schedule(100, every=10).lasts == 5


# --- kinds


def test_drop_cuts_each_time() -> None:
    """A drop is due at each period and hits what carries a matching subscription."""
    drop = fault("drop", every=5, count=2, match="BTC-USDT:1m")

    assert drop.due == 105
    drop.strike(105.01)
    assert drop.due == 110
    assert drop.cuts([ETH, BTC])
    assert not drop.cuts([ETH])
    assert not drop.over(105.01)
    drop.strike(110)
    assert drop.due is None
    assert drop.over(110)


def test_drop_without_period_cuts_at_once() -> None:
    """A plain drop cuts everybody off once, and is over when it has."""
    drop = fault("drop")

    assert drop.due == 100
    assert not drop.over(100)
    drop.strike(100)
    assert drop.cuts([])
    assert drop.over(100)
    assert drop.admits(100)


def test_drop_may_keep_everybody_out() -> None:
    """With a duration nobody gets in again before it ends."""
    drop = fault("drop", duration=3)

    assert [drop.admits(now) for now in (100, 102.9, 103)] == [False, False, True]


def test_stall_holds_candles_back() -> None:
    """While it stalls no matching candle comes, then they come again."""
    stall = fault("stall", duration=3, match="BTC-*")

    assert stall.frames([FRAME], BTC, 101) == []
    assert stall.frames([FRAME], ETH, 101) == [FRAME]
    assert stall.frames([FRAME], BTC, 103) == [FRAME]


def test_silence_stays_with_the_subscription() -> None:
    """A silenced subscription stays silent after the fault; a new one of the same name speaks."""
    silence = fault("silent_subscription", duration=3, match="BTC-USDT:1m")

    assert silence.frames([FRAME], BTC, 101) == []
    assert silence.frames([FRAME], BTC, 200) == []
    assert silence.frames([FRAME], Channel("btc", "BTC-USDT", "1m", NOON), 200) == [FRAME]
    assert not silence.over(200)


def test_refuse_while_it_acts() -> None:
    """Matching subscriptions are refused, as long as the fault acts."""
    refuse = fault("refuse", duration=3, match="*:1m")

    assert refuse.refuses("BTC-USDT", "1m", 101)
    assert not refuse.refuses("BTC-USDT", "5m", 101)
    assert not refuse.refuses("BTC-USDT", "1m", 104)


def test_garble_breaks_as_many_as_asked_for() -> None:
    """Without a period the next `count` matching frames are broken, and no more."""
    garble = fault("garble", count=2, match="BTC-USDT")

    frames = [garble.frames([FRAME], channel, 101) for channel in (BTC, ETH, BTC, BTC)]

    assert [found == [FRAME] for found in frames] == [False, True, False, True]
    assert garble.over(101)


def test_garble_breaks_one_each_time() -> None:
    """With a period one frame is broken in each."""
    garble = fault("garble", every=5)

    frames = [garble.frames([FRAME], BTC, now) for now in (101, 106, 107, 111)]

    assert [found == [FRAME] for found in frames] == [True, False, True, False]


def test_garbled_is_never_the_frame() -> None:
    """Whatever is drawn, no price can be read off it; text stays text."""
    luck = random.Random(1)

    for _ in range(300):
        found = garbled(FRAME, luck)
        assert isinstance(found, str)
        with pytest.raises((ValueError, KeyError, TypeError, IndexError)):
            float(json.loads(found)["k"]["o"])
    assert isinstance(garbled(FRAME.encode(), luck), bytes)


def test_same_seed_same_garble() -> None:
    """The seed decides how frames are broken."""
    one, same, other = (fault("garble", seed=seed) for seed in (1, 1, 2))
    found = [[f.frames([FRAME], BTC, 101)[0] for _ in range(10)] for f in (one, same, other)]

    assert found[0] == found[1] != found[2]


REPLY = HttpReply([], trading_pair="BTC-USDT", interval="1m")


@pytest.mark.parametrize(
    ("wish", "headers"),
    [
        ({}, {"Retry-After": "3"}),
        ({"retry_after": True}, {"Retry-After": "3"}),
        ({"retry_after": 9}, {"Retry-After": "9"}),
        ({"retry_after": False}, {}),
    ],
)
def test_rate_limit(wish: dict[str, Any], headers: dict[str, str]) -> None:
    """Replies become 429, with Retry-After as asked for: the exchange's habit, if nothing is."""
    limit = fault("rate_limit", duration=3, **wish)

    found = limit.reply(REPLY, BinanceSpot(), at(100.5))

    assert found.status == 429
    assert found.headers == headers
    assert limit.reply(REPLY, BinanceSpot(), at(103)) == REPLY


def test_rate_limit_where_no_header_is_usual() -> None:
    """An exchange that tells no Retry-After tells none here, unless asked to."""
    coinbase = CoinbaseAdvancedTrade()

    assert not fault("rate_limit").reply(REPLY, coinbase, at(101)).headers
    assert fault("rate_limit", retry_after=2).reply(REPLY, coinbase, at(101)).headers


def test_server_error() -> None:
    """Matching replies become errors of the 500s; others stay."""
    error = fault("server_error", match="BTC-USDT:1m", seed=3)
    other = HttpReply([], trading_pair="ETH-USDT", interval="1m")

    found = {error.reply(REPLY, BinanceSpot(), at(101)).status for _ in range(50)}

    assert found == {500, 502, 503, 504}
    assert error.reply(other, BinanceSpot(), at(101)) == other


# --- orders


def test_kinds_that_work() -> None:
    """These kinds can be ordered, each with nothing but its name."""
    assert sorted(kinds()) == [
        "drop",
        "garble",
        "rate_limit",
        "refuse",
        "server_error",
        "silent_subscription",
        "stall",
    ]
    for kind in kinds():
        assert fault(kind).kind == kind


@pytest.mark.parametrize(
    ("wish", "named"),
    [
        ([], "ordered as JSON"),
        ({}, "kind must be one of drop, garble"),
        ({"kind": "explode"}, "kind must be one of drop, garble"),
        ({"kind": "drop", "market": "nyse"}, "market must be one of binance_spot"),
        ({"kind": "drop", "evry": 5}, "knows no 'evry', only kind, market, every"),
        ({"kind": "drop", "retry_after": 5}, "knows no 'retry_after'"),
        ({"kind": "drop", "every": 0}, "every must be a number of seconds above 0"),
        ({"kind": "drop", "duration": "3"}, "duration must be a number"),
        ({"kind": "drop", "every": True}, "every must be a number"),
        ({"kind": "drop", "count": 0}, "count must be a whole number, at least 1"),
        ({"kind": "drop", "count": 1.5}, "count must be a whole number"),
        ({"kind": "drop", "seed": "x"}, "seed must be a whole number, at least 0"),
        ({"kind": "drop", "match": 5}, "match must be PAIR or PAIR:INTERVAL"),
        ({"kind": "rate_limit", "retry_after": "soon"}, "retry_after must be true, false or"),
    ],
)
def test_bad_orders(wish: object, named: str) -> None:
    """What is wrong with an order is said in one sentence, which tells what would be right."""
    with pytest.raises(FaultOrderError, match=r"^[^\n]+$") as error:
        ordered(json.loads(json.dumps(wish)), MARKETS, 100.0)

    assert named in str(error.value)
