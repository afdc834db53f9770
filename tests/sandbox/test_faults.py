"""What all misbehaviours have in common: when they act, and on whom."""

from __future__ import annotations

import pytest

from connectors.sandbox.dialect import Moment
from connectors.sandbox.faults import Schedule
from tests.sandbox.pretend import NOON, fault

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


# --- match


@pytest.mark.parametrize(
    ("match", "pair", "interval", "concerned"),
    [
        (None, "BTC-USDT", "1m", True),
        (None, None, None, True),
        ("BTC-USDT", "BTC-USDT", "1m", True),
        ("BTC-USDT", None, None, False),
        ("BTC-USDT:1m", "BTC-USDT", "5m", False),
        ("BTC-*:?m", "BTC-USDT", "5m", True),
        ("*:1m", "ETH-USDT", "1M", False),
    ],
)
def test_match(match: str | None, pair: str | None, interval: str | None, concerned: bool) -> None:
    """A match covers a pair with all its intervals, or some of them; without one, all."""
    assert fault("stall", match=match).concerns(pair, interval) == concerned


# --- blows and spells


def test_blow_is_due_each_time() -> None:
    """What strikes is due at each occurrence, and over when it has struck."""
    blow = fault("drop", every=5, count=2)

    assert blow.due == 105
    blow.strike(Moment(NOON, 105.01))
    assert blow.due == 110
    assert not blow.over(105.01)
    blow.strike(Moment(NOON, 110))
    assert blow.due is None
    assert blow.over(110)


def test_blow_without_period_is_due_at_once() -> None:
    """Without a period it strikes once; it is not over before it has."""
    blow = fault("drop")

    assert blow.due == 100
    assert not blow.over(100)
    blow.strike(Moment(NOON, 100))
    assert blow.over(100)


def test_spell_begins_and_ends() -> None:
    """What lasts is due at the begin and at the end of each occurrence."""
    spell = fault("no_trades", every=10, count=2, duration=3)
    due = []
    while spell.due is not None:
        due.append(spell.due)
        assert not spell.over(spell.due)
        spell.strike(Moment(NOON, spell.due))

    assert due == [110, 113, 120, 123]
    assert spell.over(123)


def test_spell_without_end_ends_when_deleted() -> None:
    """Without a duration it goes on until it is deleted."""
    spell = fault("no_trades")
    spell.strike(Moment(NOON, 100))

    assert spell.due is None
    assert not spell.over(1e9)
    spell.finish()
    assert spell.over(101)
