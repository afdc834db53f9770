"""Real time and market time. They are passed in, never asked for elsewhere.

Real time is the machine's: heartbeats, time-outs, back-off, flushes. Market time is the time of
bars; on a real exchange both run alike, in the sandbox market time is scaled. Each exchange's bars
follow a market time of their own, corrected by what is known of the exchange's clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from connectors.offset import Offset


@dataclass(frozen=True)
class Clock:
    """Tells three times.

    ``real()`` is monotonic seconds, for durations. ``wall()`` is UNIX seconds of the machine, for
    ``published_at``. ``market()`` is UNIX seconds of bars: ``market_origin`` at the monotonic
    moment ``real_origin``, then ``speed`` market seconds a real second.
    """

    speed: float = 1.0
    real_origin: float = field(default_factory=time.monotonic)
    market_origin: float = field(default_factory=time.time)
    real: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time

    def market(self) -> float:
        """Market time now, UNIX seconds."""
        return self.market_at(self.real())

    def market_at(self, real: float) -> float:
        """Market time at a real (monotonic) moment."""
        return self.market_origin + (real - self.real_origin) * self.speed

    def real_at(self, market: float) -> float:
        """The real (monotonic) moment at which it is ``market``."""
        return self.real_origin + (market - self.market_origin) / self.speed


@dataclass(frozen=True)
class ExchangeClock(Clock):
    """A clock by which one exchange's bars are reckoned: market time corrected by its ``offset``.

    A correction may change at any time, and market time then jumps, also back: who measures how
    long something takes, or counts in windows, does so by ``local``, which never jumps.
    """

    offset: Offset = field(default_factory=Offset)

    @classmethod
    def of(cls, clock: Clock, offset: Offset) -> Self:
        """The same clock, corrected."""
        return cls(
            clock.speed, clock.real_origin, clock.market_origin, clock.real, clock.wall, offset
        )

    @property
    def local(self) -> Clock:
        """The same clock without correction."""
        return Clock(self.speed, self.real_origin, self.market_origin, self.real, self.wall)

    def market_at(self, real: float) -> float:
        """Market time at a real (monotonic) moment, as far as known now."""
        return Clock.market_at(self, real) + self.offset.correction

    def real_at(self, market: float) -> float:
        """The real (monotonic) moment at which it is ``market``, as far as known now."""
        return Clock.real_at(self, market - self.offset.correction)
