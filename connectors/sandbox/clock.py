"""Market time, which may run faster than real time."""

import time
from collections.abc import Callable

from connectors.sandbox.dialect import Moment


class MarketClock:
    """Market time begins at `start` (UNIX seconds) and runs `speed` times as fast as real time."""

    def __init__(
        self, speed: float, start: float, real: Callable[[], float] = time.monotonic
    ) -> None:
        self.speed = speed
        self._start = start
        self._real = real
        self._began = real()

    def now(self) -> Moment:
        """Return the moment on both clocks."""
        real = self._real()
        return Moment(market=self._start + (real - self._began) * self.speed, real=real)

    def real_at(self, market: float) -> float:
        """Return the real time at which it will be `market`."""
        return self._began + (market - self._start) / self.speed
