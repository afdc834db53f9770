"""Pure: what one ledger asks of REST: one question of a kind at a time, and when again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import inf
from typing import Final, NamedTuple

from connectors.model import Grid

RETRY: Final = (0.5, 30.0)
"""Real seconds between attempts: the first, and the longest."""
PATIENCE: Final = 4
"""So many vain attempts at one page of repairs before the next older one is tried."""


class Kind(IntEnum):
    """Why REST is asked, the most urgent first."""

    HEAD = 0
    """Newer candles wait for the answer."""
    REPAIR = 1
    """Slots behind the head are missing, or what was published of them is not sure."""
    AUDIT = 2
    """What was published long ago is compared with what REST says now."""


class Span(NamedTuple):
    """Open times ``[start, end)`` that REST is to be asked for, and why.

    ``at`` is the market time of asking: only what was over then can be final in the reply.
    ``known`` is how much had been decided then: what was published later is not contradicted.
    """

    start: int
    end: int
    kind: Kind
    at: float
    known: int = 0


@dataclass(slots=True)
class Inquiry:
    """One kind of question: at once after progress, later and later without.

    ``asked`` is under way. ``retry_at`` is the earliest real time of the next one, after so many
    ``failures``. ``below``: only what begins before it is looked at, since the page that begins
    there was asked for in ``vain`` too often.
    ``unanswered``: the last one got no usable reply, and nobody told how long to wait.
    ``absent``: from the first to the second open time no row was there, as seen at (market).
    """

    asked: Span | None = None
    retry_at: float = -inf
    below: int | None = None
    failures: int = 0
    vain: int = 0
    unanswered: bool = False
    absent: tuple[int, int, float] = (-1, -1, 0.0)

    @property
    def free_at(self) -> float:
        """The real time from which on there may be another question."""
        return self.retry_at if self.asked is None else inf

    def ask(self, span: Span) -> Span:
        """This is asked now."""
        self.asked = span
        return span

    def progress(self, span: Span | None = None) -> None:
        """The reply decided something."""
        self._end(span)
        self._hurry()
        self.vain = 0

    def rest_answers(self) -> None:
        """REST has answered: what only got no reply need not wait any longer.

        It stays asked for in vain, or a page that never gets one would keep older ones waiting.
        """
        if self.unanswered:
            self._hurry()

    def _hurry(self) -> None:
        self.retry_at, self.failures, self.unanswered = -inf, 0, False

    def in_vain(self, span: Span, real: float, retry_at: float) -> None:
        """There was no reply, or it decided nothing; ``retry_at``: not before, where told."""
        self._end(span)
        first, longest = RETRY
        self.retry_at = max(retry_at, real + min(longest, first * 2.0 ** min(self.failures, 16)))
        self.failures += 1
        self.vain += 1
        if self.vain % PATIENCE == 0:
            self.below = span.start

    def _end(self, span: Span | None) -> None:
        if span == self.asked:
            self.asked = None

    def complete_until(self, newest: int, past: int, at: float, wait: float) -> int:
        """A reply as of ``at`` has, for slots before this one, all rows that there will ever be.

        These are the slots before its ``newest`` row, and those after it, up to the ``past`` ones,
        of which a reply at least ``wait`` earlier had no row either.
        """
        start, end, since = self.absent
        again = start <= newest < end
        if again and at - since < wait:
            return newest
        self.absent = (newest, past, at)
        return max(newest, min(end, past)) if again else newest

    def page_of(self, runs: Sequence[tuple[int, int]], grid: Grid, slots: int) -> tuple[int, int]:
        """The newest page of these runs, or an older one, if that was asked for in vain.

        One slot more is asked for: if its row is there, what lacks before it is empty.
        """
        below = [run for run in runs if self.below is None or run[0] < self.below]
        if not below:
            self.below, below = None, list(runs)
        newest = max(end for _, end in below)
        end = grid.after(newest if self.below is None else min(newest, self.below))
        return max(min(start for start, _ in below), grid.after(end, -slots)), end
