"""Real time and market time."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.clock import Clock

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
