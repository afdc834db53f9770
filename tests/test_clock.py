"""Real time and market time."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.clock import Clock, ExchangeClock
from connectors.offset import Offset

law = settings(deadline=None, derandomize=True, max_examples=200)

clocks = st.builds(
    Clock,
    speed=st.floats(0.1, 600),
    real_origin=st.floats(0, 1e6),
    market_origin=st.floats(1e9, 2e9),
)


@law
@given(clocks, st.floats(0, 1e7))
def test_there_and_back(clock: Clock, real: float) -> None:
    """The real moment of a market moment is where it came from."""
    assert abs(clock.real_at(clock.market_at(real)) - real) < 1e-4


@law
@given(clocks, st.floats(0, 1e6), st.floats(0, 1e6))
def test_market_runs_at_its_speed(clock: Clock, real: float, seconds: float) -> None:
    """Some real seconds are ``speed`` times as many market seconds."""
    passed = clock.market_at(real + seconds) - clock.market_at(real)
    assert abs(passed - seconds * clock.speed) < 1e-3


@law
@given(clocks)
def test_origins_meet(clock: Clock) -> None:
    """At the real origin it is the market's origin."""
    assert clock.market_at(clock.real_origin) == clock.market_origin
    assert clock.real_at(clock.market_origin) == clock.real_origin


def test_time_is_passed_in() -> None:
    """Market time follows the given real time and nothing else."""
    real = [100.0]
    clock = Clock(5.0, 100.0, 1_700_000_000.0, real=lambda: real[0], wall=lambda: 42.0)
    assert (clock.market(), clock.wall()) == (1_700_000_000.0, 42.0)
    real[0] += 2
    assert (clock.market(), clock.wall()) == (1_700_000_010.0, 42.0)


def test_plain_clock_is_the_machines() -> None:
    """Without arguments market time is wall time."""
    clock = Clock()
    assert abs(clock.market() - time.time()) < 1
    assert clock.real is time.monotonic
    assert clock.wall is time.time


# --- of one exchange ------------------------------------------------------------------------------


def behind(clock: Clock, seconds: float) -> ExchangeClock:
    """That of an exchange whose replies say that it is so far behind."""
    made = ExchangeClock.of(clock, Offset(clock.speed))
    made.offset.reply(clock.market_origin - seconds, clock.market_origin, clock.market_origin)
    assert abs(made.offset.correction + seconds) < 1e-3
    return made


@law
@given(clocks, st.floats(3, 3_000), st.floats(0, 1e6))
def test_an_exchanges_market_time_is_corrected(clock: Clock, seconds: float, real: float) -> None:
    """There and back, by what is known of its clock; the local one is as it was."""
    made = behind(clock, seconds)
    assert abs(made.market_at(real) - (clock.market_at(real) - seconds)) < 1e-3
    assert abs(made.real_at(made.market_at(real)) - real) < 1e-4
    assert made.local == clock
    assert made.local.market_at(real) == clock.market_at(real)


def test_an_exchanges_market_time_follows_what_becomes_known() -> None:
    """Whoever holds the clock need not be told; real time and wall time stay the machine's."""
    clock = Clock(2.0, 100.0, 1_700_000_000.0, real=lambda: 110.0, wall=lambda: 42.0)
    made = ExchangeClock.of(clock, Offset())
    assert (made.market(), made.real(), made.wall()) == (1_700_000_020.0, 110.0, 42.0)
    made.offset.reply(1_700_000_000, 1_700_000_020, 1_700_000_020)
    assert (made.market(), made.real(), made.wall()) == (1_700_000_000.0, 110.0, 42.0)
