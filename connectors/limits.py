"""Pure: budgets of what an exchange allows, and back-off. Nothing here asks for the time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from connectors.adapter import Rate


@dataclass(slots=True)
class _Window:
    rate: Rate
    spent: deque[tuple[float, float]] = field(default_factory=deque)
    sum: float = 0.0

    def free_at(self, weight: float, now: float) -> float:
        """The earliest time from ``now`` on at which ``weight`` fits."""
        while self.spent and self.spent[0][0] <= now - self.rate.period:
            self.sum -= self.spent.popleft()[1]
        left = self.sum
        for at, amount in self.spent:
            if left + weight <= self.rate.amount:
                return now
            left -= amount
            now = at + self.rate.period
        return now


class Budget:
    """At most each rate's amount in *any* window of its period, kept to the letter.

    Times are seconds of whatever clock the exchange counts in. ``share`` (0–1) is the part of
    every rate that is ours. A weight above a rate's whole amount is let through alone, when
    nothing else was spent: refusing it for ever would help nobody.
    """

    def __init__(self, rates: Iterable[Rate], share: float = 1.0) -> None:
        self._windows = [_Window(Rate(rate.amount * share, rate.period)) for rate in rates]
        self._closed_until = float("-inf")

    def free_at(self, now: float, weight: float = 1.0) -> float:
        """When ``weight`` may be spent: ``now``, or the time to wait for."""
        times = [window.free_at(min(weight, window.rate.amount), now) for window in self._windows]
        return max([now, self._closed_until, *times])

    def take(self, now: float, weight: float = 1.0) -> bool:
        """Spend ``weight`` if it is allowed now."""
        if self.free_at(now, weight) > now:
            return False
        for window in self._windows:
            window.spent.append((now, weight))
            window.sum += weight
        return True

    def close(self, until: float) -> None:
        """Nothing may be spent before ``until``: the exchange asked to slow down."""
        self._closed_until = max(self._closed_until, until)


class Backoff:
    """Exponential back-off with full jitter: between half of and the whole next delay, capped."""

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
