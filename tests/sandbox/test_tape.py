"""Trades of a pair: exact sums, the same for ever."""

from __future__ import annotations

from functools import reduce

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.sandbox.tape import DAY, EPOCH, MINUTE, STILL, Path, Tape

BUSY = Tape("busy", price=97_000_00, trades_per_minute=60, lots=250)
QUIET = Tape("quiet", price=8_120, trades_per_minute=0.3, lots=30)

times = st.integers(EPOCH, EPOCH + 2_000 * DAY)
lengths = st.integers(0, 3 * DAY)


@settings(derandomize=True, max_examples=200)
@given(st.sampled_from([BUSY, QUIET]), times, lengths, lengths)
def test_paths_add_up(tape: Tape, start: int, first: int, second: int) -> None:
    """What happens in two spans after each other is what happens in both together."""
    middle, end = start + first, start + first + second

    assert tape.path(start, end) == tape.path(start, middle).then(tape.path(middle, end))


@settings(derandomize=True)
@given(st.sampled_from([BUSY, QUIET]), times, lengths)
def test_prices_and_counts_agree_with_paths(tape: Tape, start: int, length: int) -> None:
    """The price and the number of trades at a time are those that the paths lead to."""
    path = tape.path(start, start + length)

    assert tape.price(start + length) == tape.price(start) + path.close
    assert tape.count(start + length) == tape.count(start) + path.trades


@settings(derandomize=True, max_examples=30)
@given(times)
def test_hour_is_its_minutes(time: int) -> None:
    """The hour's high, low, volume and turnover are exactly those of its sixty minutes."""
    hour = time - time % (60 * MINUTE)
    minutes = [BUSY.path(hour + n * MINUTE, hour + (n + 1) * MINUTE) for n in range(60)]

    assert reduce(Path.then, minutes, STILL) == BUSY.path(hour, hour + 60 * MINUTE)


def test_same_seed_same_trades() -> None:
    """The same seed gives the same trades, another seed gives others."""
    again, other = (Tape(seed, 97_000_00, 60, 250) for seed in ("busy", "other"))
    span = EPOCH + 700 * DAY, EPOCH + 701 * DAY

    assert BUSY.path(*span) == again.path(*span)
    assert BUSY.path(*span) != other.path(*span)


@pytest.mark.parametrize("tape", [BUSY, QUIET])
def test_price_wanders_and_comes_back(tape: Tape) -> None:
    """In seven years the price moves by more than a tenth and stays within a factor of two."""
    first = tape.price(EPOCH)
    prices = [tape.price(EPOCH + day * DAY) / first for day in range(2_500)]

    assert min(prices) > 0.5
    assert max(prices) < 2
    assert max(prices) - min(prices) > 0.1


def test_quiet_pair_has_empty_minutes() -> None:
    """A quiet pair has minutes with and without trades; a busy one trades in each."""
    minutes = [EPOCH + n * MINUTE for n in range(500)]
    quiet = [QUIET.path(time, time + MINUTE).trades for time in minutes]

    assert 0.5 < quiet.count(0) / len(quiet) < 0.9
    assert all(BUSY.path(time, time + MINUTE).trades for time in minutes)
