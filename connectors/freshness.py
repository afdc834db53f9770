"""Pure: whether a stream moves as it should, and what is to be done when it does not.

A subscription from which nothing was heard for its deadline is *suspect*: one REST probe tells a
dead stream from a quiet market. A quiet one is left alone, for twice as long each time. A dead one
is subscribed again, then its connection is replaced, again and again but later and later; REST
carries its closed candles meanwhile, since overdue slots are fetched anyway. A subscription that
was confirmed and never delivers is found the same way. Times are real seconds.
"""

from __future__ import annotations

from enum import StrEnum
from math import inf
from typing import Final

SHORTEST: Final = 5.0
"""No stream is suspected sooner than this."""
PACE: Final = 60.0
"""Market seconds in which even a bar of a day is expected to change, on a market that trades."""
CADENCES: Final = 4.0
"""So many of its own longest recent gaps a stream may be silent."""
FORGETTING: Final = 0.9
"""What is left of the longest gap with each shorter one that follows."""
LONGEST: Final = 3600.0
"""The longest time between two looks at a silent stream."""


class Step(StrEnum):
    """What is to be done about a silent subscription."""

    PROBE = "probe"
    RESUBSCRIBE = "resubscribe"
    RECONNECT = "reconnect"


class Watch:
    """Watches one subscription, from ``now`` on; ``pace`` is when a frame is due by market time."""

    def __init__(self, pace: float, now: float) -> None:
        self._pace = pace
        self._heard = -inf
        self._since = now
        self._cadence = 0.0
        self._patience = 1.0
        self._steps = 0
        self._probing = False

    @property
    def stale(self) -> bool:
        """Whether a probe found that the stream is dead, and nothing was heard since."""
        return self._steps > 0

    @property
    def deadline(self) -> float:
        """So many seconds of silence are nothing special."""
        usual = max(self._pace, CADENCES * self._cadence, SHORTEST)
        return min(LONGEST, usual * self._patience)

    def begin(self, now: float) -> None:
        """A new connection stands: its silence counts from now."""
        self._since = max(self._since, now)

    def look(self, heard: float, now: float) -> Step | None:
        """``heard`` is when the last frame came; PROBE when the silence has become suspect."""
        if heard > self._heard:
            self._hear(heard)
        if self._probing or now - self._since < self.deadline:
            return None
        self._probing = True
        return Step.PROBE

    def probed(self, moved: bool | None, now: float) -> Step | None:
        """What the probe found: the market moved, did not, or (None) REST does not say."""
        self._probing = False
        if now - self._since < self.deadline:  # a frame has come meanwhile
            return None
        self._since = now
        self._patience *= 2
        if not moved:
            return None
        self._steps += 1
        return Step.RESUBSCRIBE if self._steps == 1 else Step.RECONNECT

    def _hear(self, heard: float) -> None:
        if self._heard > -inf:
            self._cadence = max(heard - self._heard, self._cadence * FORGETTING)
        self._heard = self._since = heard
        self._patience = 1.0
        self._steps = 0


def pace_of(step: int, speed: float) -> float:
    """Real seconds in which a frame is due: the interval's, at most ``PACE`` market seconds."""
    return min(step, PACE) / speed
