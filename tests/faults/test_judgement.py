"""The comparison finds what it is there to find."""

from __future__ import annotations

from tests.end_to_end.truth import Bar, Candle
from tests.faults.judgement import COLUMNS, Amiss, Run, once_true, undeclared

NAME = "exchange:A-B:1m"
WISHES = {NAME: 0.0}
FIGURES = ("open", "high", "low", "close", "volume")
OTHERS = ("quote_asset_volume", "n_trades", "taker_buy_base_volume", "taker_buy_quote_volume")


def bar(slot: int, price: float = 1.0) -> Bar:
    """A true bar of a minute."""
    figures = {**dict.fromkeys(FIGURES, price), **dict.fromkeys(OTHERS)}
    return {"open_time": slot, "close_time": slot + 60, **figures}


def candle(slot: int, price: float = 1.0) -> Candle:
    """A closed candle in Kafka."""
    place = {"exchange": "exchange", "trading_pair": "A-B", "interval": "1m", "closed": True}
    times = {"open_time": slot * 1000, "close_time": (slot + 60) * 1000, "revision": 0}
    return {**bar(slot, price), **place, **times}


TRUTH = {NAME: [bar(0), bar(60), bar(120)]}


def test_a_hole_that_coverage_calls_settled_is_undeclared() -> None:
    """What coverage calls empty although the exchange has a candle is an undeclared hole."""
    coverage = {NAME: [Run(0, 180, "SETTLED", 2)]}
    holes = undeclared(WISHES, TRUTH, [candle(0), candle(120)], coverage, 180)
    assert holes == [f"undeclared: {NAME} at 60"]


def test_a_hole_that_coverage_does_not_reach_is_undeclared() -> None:
    """What is due and lies beyond coverage's end is an undeclared hole; what is not due is none."""
    coverage = {NAME: [Run(0, 60, "SETTLED", 1)]}
    assert undeclared(WISHES, TRUTH, [candle(0)], coverage, 120) == [f"undeclared: {NAME} at 60"]


def test_a_hole_that_is_called_missing_is_declared() -> None:
    """What coverage calls missing, or given up, is no undeclared hole."""
    coverage = {NAME: [Run(0, 60, "MISSING", 0), Run(60, 180, "GIVEN_UP", 0)]}
    assert undeclared(WISHES, TRUTH, [], coverage, 180) == []


def test_a_claim_of_too_many_candles_is_undeclared() -> None:
    """Coverage that counts a candle which is not in Kafka hides a hole, wherever that is."""
    coverage = {NAME: [Run(-60, 180, "SETTLED", 4)]}
    (hole,) = undeclared(WISHES, TRUTH, [candle(0), candle(60), candle(120)], coverage, 180)
    assert "claims more candles" in hole


def test_only_what_was_once_true_may_stand_in_for_the_newest_revision() -> None:
    """A published former revision is taken for the truth; one that never was true is not."""
    history = {NAME: [bar(0, 1.0), bar(0, 2.0), bar(60, 1.0), bar(60, 2.0)]}
    newest = {NAME: [bar(0, 2.0), bar(60, 2.0)]}
    believed = once_true(newest, history, [candle(0, 1.0), candle(60, 3.0)])
    assert believed == {NAME: [bar(0, 1.0), bar(60, 2.0)]}


def test_a_finding_counts_once() -> None:
    """What an earlier round found is not counted again, and only some findings can heal."""
    amiss = Amiss({it: [f"{it} here"] for it in COLUMNS})
    fresh = amiss.beyond({"lost here", "wrong here", "undeclared here"})
    assert fresh.everything == ["doubled here", "out of order here"]
    assert (amiss.may_heal, fresh.may_heal) == (True, False)
