"""Pure: by how much an exchange's clock differs from ours, and which of the two bars follow.

The *offset* is the exchange's time less ours, in market seconds. Two things tell of it:

* An event time E in a frame that was received at L by our clock: theirs had shown E before that,
  so the offset is at least E - L. By how much more is unknown, for frames are under way for a
  while; but of ``MANY`` the quickest took no longer than ``QUICKEST``.
* A ``Date`` D (whole seconds, the fraction cut off) in the reply to a request that was made at L0
  and answered at L1: the offset is at least D - L1, and at most D + 1 - L0. What comes from a
  cache bears an old date: of such a reply only the first is true.

Bounds hold for ``WINDOW``, since clocks drift, stand still (a suspended machine) and are set anew.
What is estimated stays until the bounds exclude it: market time is not to be restless, and
evidence that has run out says nothing new.

Bars follow neither clock, but the one by which the exchange cuts them, which nobody can read. If
ours and theirs differ, either may be the wrong one. So bars are reckoned by *the slower of the
two*: one of them is right, and by the slower one no bar ends before it does by the right one.
Whoever waits too long loses nothing: flags, newer candles and rows of REST decide as ever, and
only what nothing but the clock decides (polls, silent streams) comes later. Whoever closes early
publishes a candle that lacks trades. It is the same with the bar at which new coverage begins:
the slower clock begins with an earlier one, never with one too late. Hence

* theirs is behind: market time is corrected by the offset, by its lower bound;
* theirs is ahead: the offset is told, and market time stays ours;
* bounds contradict each other (one of the clocks was set within the window, or frames are late):
  the lower of them counts;
* an offset up to ``TOLERATED`` changes nothing: every exchange's grace is longer;
* one above ``ABSURD`` is told and not used: it says more about whoever wrote the time.

Where both clocks are wrong in different ways, nothing here can know it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final

TOLERATED: Final = 1.0
"""Market seconds of offset that nothing is done about."""
ABSURD: Final = 3600.0
"""Market seconds of offset from which on it is not believed."""
WINDOW: Final = 120.0
"""Real seconds for which a bound holds: longer than frames wait in any queue."""
MANY: Final = 10
"""So many sampled frames, one after the other, are not all late by chance."""
QUICKEST: Final = 0.5
"""Real seconds that the quickest of many frames is under way, at most."""


class Offset:
    """See the head of the module. Times are market seconds; ours are uncorrected.

    ``seconds`` is the estimate, 0 without evidence; ``correction`` (0 or less) is what is to be
    added to our market time. ``changed(seconds, correction)`` is called when the estimate changes.
    A scaled market (``speed``) has its windows and delays in real time.
    """

    def __init__(
        self,
        speed: float = 1.0,
        changed: Callable[[float, float], None] = lambda _seconds, _correction: None,
    ) -> None:
        self.seconds = 0.0
        self.correction = 0.0
        self._changed = changed
        self._quickest = QUICKEST * speed
        self._lows = _Most(WINDOW * speed)
        self._highs = _Most(WINDOW * speed)  # of the negated ones
        self._events: deque[float] = deque(maxlen=MANY)

    def event(self, time: float, received: float) -> None:
        """A frame said that it was ``time``, and was received when ours was ``received``."""
        low = time - received
        self._events.append(low)
        if low > ABSURD or self._recent() < -ABSURD:
            self._is(low)
        elif low > -ABSURD:
            self._lows.add(received, low)
            self._conclude(received)

    def reply(self, date: float, sent: float, answered: float, *, cached: bool = False) -> None:
        """A reply's ``Date``; ours was ``sent`` before the request, ``answered`` after the reply.

        ``cached``: the reply may have been made earlier than it was asked for.
        """
        low, high = date - answered, inf if cached else date + 1 - sent
        if low > ABSURD or high < -ABSURD:
            self._is(low)
            return
        self._lows.add(answered, low)
        self._highs.add(answered, -high)
        self._conclude(answered)

    def bounds(self, now: float) -> tuple[float, float]:
        """Between which the offset lies by what was told in the window before ``now`` (ours)."""
        low, high = self._lows.at(now), -self._highs.at(now)
        recent = self._recent()
        if abs(recent) < ABSURD:
            high = min(high, recent + self._quickest)
            low = low if low <= high else min(recent, high)
        return min(low, high), high

    def _recent(self) -> float:
        """The largest lower bound of the newest frames; inf where there are not many."""
        return max(self._events) if len(self._events) == MANY else inf

    def _conclude(self, now: float) -> None:
        low, high = self.bounds(now)
        if low - TOLERATED <= self.seconds <= high + TOLERATED:
            return
        self._is(low if high < -TOLERATED or low > TOLERATED else 0.0)

    def _is(self, seconds: float) -> None:
        absurd = abs(seconds) > ABSURD
        if absurd and abs(self.seconds) > ABSURD:
            return
        self.seconds = seconds
        if not absurd:
            self.correction = min(0.0, seconds)
        self._changed(self.seconds, self.correction)


class _Most:
    """The largest of the values that were added in the last ``length`` seconds."""

    def __init__(self, length: float) -> None:
        self._length = length
        self._kept: deque[tuple[float, float]] = deque()
        """When each was added, and the value: later ones are smaller, or it would not matter."""

    def add(self, now: float, value: float) -> None:
        while self._kept and self._kept[-1][1] <= value:
            self._kept.pop()
        self._kept.append((now, value))

    def at(self, now: float) -> float:
        """The largest; -inf where there is none."""
        while self._kept and self._kept[0][0] <= now - self._length:
            self._kept.popleft()
        return self._kept[0][1] if self._kept else -inf
