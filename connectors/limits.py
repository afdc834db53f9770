"""Pure: budgets of what an exchange allows, and back-off. Nothing here asks for the time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import inf

from connectors.adapter import Rate


@dataclass(slots=True)
class _Window:
    rate: Rate
    spent: deque[tuple[float, float]] = field(default_factory=deque)
    """When each weight stops counting, and the weight; the times ascend."""
    sum: float = 0.0

    def free_at(self, weight: float, now: float, under_way: float, part: float) -> float:
        """The earliest time from ``now`` on at which ``weight`` fits into this part."""
        left, allowed = self.sum, max(0.0, self.rate.amount * part - weight) - under_way
        if allowed < 0:
            return inf
        for end, amount in self.spent:
            if end > now:
                if left <= allowed:
                    return now
                now = end
            left -= amount
        return now

    def spend(self, weight: float, now: float) -> None:
        while self.spent and self.spent[0][0] <= now:
            self.sum -= self.spent.popleft()[1]
        if not self.spent:
            self.sum = 0.0  # whatever fractions have left behind
        periods = max(1.0, weight / self.rate.amount)
        self.spent.append((now + periods * self.rate.period, weight))
        self.sum += weight


class Budget:
    """At most each rate's amount in *any* window of its period, kept to the letter.

    Times are seconds of whatever clock the exchange counts in. ``share`` (0–1) is the part of
    every rate that is ours. A weight above a rate's whole amount is let through alone, when
    nothing else was spent, for refusing it for ever would help nobody; it then counts for as many
    periods as it is worth, so that on the average the rate is kept.

    What is answered (a request) is spent by ``begin`` and ``end``: the exchange counts it at some
    time in between, so it counts from the beginning until a period after the end.

    What can wait is content with a ``part`` (0-1) of the budget, and leaves the rest to what
    cannot.
    """

    def __init__(self, rates: Iterable[Rate], share: float = 1.0) -> None:
        self._windows = [_Window(Rate(rate.amount * share, rate.period)) for rate in rates]
        self._closed_until = -inf
        self._begun: list[float] = []

    def free_at(self, now: float, weight: float = 1.0, part: float = 1.0) -> float:
        """When ``weight`` may be spent: ``now``, the time to wait for, or (inf) after an end."""
        under_way = sum(self._begun)
        times = [window.free_at(weight, now, under_way, part) for window in self._windows]
        return max([now, self._closed_until, *times])

    def take(self, now: float, weight: float = 1.0) -> bool:
        """Spend ``weight`` if it is allowed now."""
        if self.free_at(now, weight) > now:
            return False
        self._spend(now, weight)
        return True

    def begin(self, now: float, weight: float = 1.0, part: float = 1.0) -> bool:
        """Begin to spend ``weight``, if it is allowed now; ``end`` follows."""
        if self.free_at(now, weight, part) > now:
            return False
        self._begun.append(weight)
        return True

    def end(self, now: float, weight: float = 1.0) -> None:
        """What was begun has been answered, or never will be."""
        self._begun.remove(weight)
        self._spend(now, weight)

    def _spend(self, now: float, weight: float) -> None:
        for window in self._windows:
            window.spend(weight, now)

    def close(self, until: float) -> None:
        """Nothing may be spent before ``until``: the exchange asked to slow down."""
        self._closed_until = max(self._closed_until, until)


class Backoff:
    """Exponential back-off with jitter: between half of the next delay and the whole, capped."""

    def __init__(
        self,
        random: Callable[[], float],
        first: float = 0.5,
        cap: float = 60.0,
    ) -> None:
        self._random = random
        self._first = first
        self._cap = cap
        self._failures = 0

    def delay(self) -> float:
        """Real seconds to wait after one more failure."""
        whole = min(self._cap, self._first * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return whole * (0.5 + 0.5 * self._random())

    def reset(self) -> None:
        """It worked: the next failure begins anew."""
        self._failures = 0
