"""Which open times exist."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sandbox.grid import DAY, Fixed, opens, step

INTERVALS = ["1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h"]
INTERVALS += ["1d", "3d", "1w", "1M"]


def seconds(text: str) -> int:
    """UNIX seconds of a UTC time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("interval", "opened", "closed"),
    [
        ("1m", "2026-02-11T13:37", "2026-02-11T13:38"),
        ("4h", "2026-02-11T12:00", "2026-02-11T16:00"),
        ("1d", "2026-02-11", "2026-02-12"),
        ("1w", "2026-02-09", "2026-02-16"),  # Monday, as in the recording of Binance
        ("1M", "2026-02-01", "2026-03-01"),
    ],
)
def test_bar_of_a_time(interval: str, opened: str, closed: str) -> None:
    """A bar opens at the last multiple of its step, weeks on Monday, months on the first."""
    grid = step(interval)

    found = grid.floor(seconds("2026-02-11T13:37:41"))

    assert seconds(opened) == found
    assert seconds(closed) == grid.after(found)


def test_recorded_week() -> None:
    """The week that Binance recorded opens where ours does."""
    assert step("1w").floor(1_718_201_531) == 1_717_977_600


def test_own_anchor() -> None:
    """An exchange whose weeks begin on Thursday says so by the anchor."""
    assert Fixed(7 * DAY).floor(seconds("2026-02-11")) == seconds("2026-02-05")


@given(st.sampled_from(INTERVALS), st.integers(1_600_000_000, 1_900_000_000))
def test_bars_follow_each_other(interval: str, time: int) -> None:
    """Each time lies in exactly one bar, and the next bar opens where it closes."""
    grid = step(interval)

    opened = grid.floor(time)

    assert opened <= time < grid.after(opened)
    assert grid.after(opened) == grid.floor(grid.after(opened))


def test_opens_include_both_bounds() -> None:
    """The open times of a range include its bounds, and none before an unaligned start."""
    assert list(opens(step("1m"), 60, 180)) == [60, 120, 180]
    assert list(opens(step("1m"), 61, 239)) == [120, 180]
