"""Virtual time: what is planned happens in its order, and nothing else takes any."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from itertools import count

from connectors.clock import Clock


class Timeline:
    """Real seconds since a run began; market time runs ``speed`` times as fast from ``start`` on.

    ``skew`` is how far the exchange's clock is behind ours.
    """

    def __init__(self, speed: float, start: float, skew: float) -> None:
        self.now = 0.0
        self.clock = Clock(speed, 0.0, start, real=lambda: self.now, wall=lambda: self.now)
        self._start, self._speed, self._skew = start, speed, skew
        self._events: list[tuple[float, int, Callable[..., object], tuple[object, ...]]] = []
        self._numbers = count()

    @property
    def ours(self) -> float:
        """Market time now, as our machine's clock has it."""
        return self._start + self.now * self._speed

    @property
    def theirs(self) -> float:
        """The exchange's time now."""
        return self._start + self.now * self._speed - self._skew

    def at(self, real: float, event: Callable[..., object], *arguments: object) -> None:
        """Plan an event; what is past happens now."""
        real = max(self.now, real)
        heapq.heappush(self._events, (real, next(self._numbers), event, arguments))

    def later(self, seconds: float, event: Callable[..., object], *arguments: object) -> None:
        """Plan an event in so many real seconds."""
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), event, arguments))

    def at_theirs(self, market: float, event: Callable[..., object], *arguments: object) -> None:
        """Plan an event for a time of the exchange's clock."""
        self.at((market + self._skew - self._start) / self._speed, event, *arguments)

    def run(self, until: float, stop: Sequence[object]) -> None:
        """Live until a time of the exchange's clock, or until there is something in ``stop``."""
        events, last = self._events, (until + self._skew - self._start) / self._speed
        while events and events[0][0] <= last and not stop:
            self.now, _, event, arguments = heapq.heappop(events)
            event(*arguments)
