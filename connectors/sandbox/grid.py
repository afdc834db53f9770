"""Which open times exist: fixed steps and calendar months, in whole UNIX seconds, UTC."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

DAY = 86_400
MONDAY = 4 * DAY  # 1970-01-05, the first Monday of UNIX time


@dataclass(frozen=True, slots=True)
class Fixed:
    """Bars of equal length: one opens at `anchor`, and every `seconds` before and after it."""

    seconds: int
    anchor: int = 0

    def floor(self, time: float) -> int:
        """Return the open time of the bar that is running at `time`."""
        return int((time - self.anchor) // self.seconds) * self.seconds + self.anchor

    def after(self, open_time: int) -> int:
        """Return the next bar's open time, which is this bar's close time."""
        return open_time + self.seconds


@dataclass(frozen=True, slots=True)
class Months:
    """Calendar months: each bar opens on the first, 00:00 UTC."""

    seconds: int = 30 * DAY  # nominal

    def floor(self, time: float) -> int:
        """Return the open time of the month that is running at `time`."""
        now = datetime.fromtimestamp(time, UTC)
        return int(datetime(now.year, now.month, 1, tzinfo=UTC).timestamp())

    def after(self, open_time: int) -> int:
        """Return the first of the following month."""
        return self.floor(open_time + 31 * DAY)


Step = Fixed | Months

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": DAY}


def step(interval: str) -> Step:
    """Return the plain step of an interval such as `1m` or `1M`: UTC, weeks from Monday.

    An exchange whose weeks begin elsewhere puts its own `Fixed(604_800, anchor)` in its place.
    """
    if interval == "1M":
        return Months()
    if interval == "1w":
        return Fixed(7 * DAY, MONDAY)
    return Fixed(int(interval[:-1]) * _UNITS[interval[-1]])


def steps(intervals: str) -> dict[str, Step]:
    """Return the plain steps of intervals that are written in one text, with blanks between."""
    return {interval: step(interval) for interval in intervals.split()}


def opens(grid: Step, first: float, last: float) -> Iterator[int]:
    """Yield the open times in `[first, last]`, ascending."""
    time = grid.floor(first)
    if time < first:
        time = grid.after(time)
    while time <= last:
        yield time
        time = grid.after(time)
