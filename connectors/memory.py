"""Pure: what a ledger remembers of the candles that it published, beside coverage.

Coverage knows only digests. To tell a repeat from a revision as the exchange means it, figures are
compared, so they are kept: of the newest candles, and of all that no audit has read again yet. What
is not remembered (published by another run, or too much for the bound) is in Kafka: a word about it
is a *doubt* until the published candle was recalled from there.

*Unsure* candles do not wait for the audit: what was published of them may not have been the
exchange's last word.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from connectors.comparison import behind, equal
from connectors.coverage import Closed, digest_of
from connectors.model import CandleData, CloseReason

STREAM: Final = (CloseReason.EXCHANGE_FLAG, CloseReason.NEXT_CANDLE, CloseReason.CLOCK)
"""Reasons of candles whose figures are the stream's."""


class Word(NamedTuple):
    """A bar's closed state; ``sure``: whether it is the exchange's last word, as far as known.

    ``proven``: REST said so long after the close; no audit needs to read it again.
    """

    candle: CandleData
    reason: CloseReason
    sure: bool
    proven: bool = False

    @property
    def by_rest(self) -> bool:
        """Whether REST says so, rather than the stream."""
        return self.reason not in STREAM

    def regresses(self, known: Published) -> bool:
        """Whether REST lacks trades that were told of: by the stream, or by itself a while ago."""
        fresh = known.reason in STREAM or not self.proven
        return self.by_rest and fresh and behind(self.candle, known.candle)


class Published(NamedTuple):
    """A closed candle on its way to the closed topic."""

    candle: CandleData
    reason: CloseReason
    revision: int
    late: bool

    @property
    def closed(self) -> Closed:
        """As coverage knows it."""
        return Closed(self.candle.timestamp, self.revision, digest_of(self.candle))


@dataclass(slots=True)
class Memory:
    """Published candles by slot: the ``size`` newest and all from ``audited`` on, ``most`` at most.

    ``audited``: candles of slots before it are not to be read again any more.
    ``complete_from``: of the slots from there on, every published candle is remembered.
    ``unsure``: slot -> when to read it again (real). ``doubts``: slot -> the word in question.
    ``numbers``: slot -> which decision it was, of all that were published by this run lately.
    """

    size: int
    most: int
    audited: int = -1
    complete_from: int = 0
    published: dict[int, Published] = field(default_factory=dict)
    unsure: dict[int, float] = field(default_factory=dict)
    numbers: dict[int, int] = field(default_factory=dict)
    doubts: dict[int, Word] = field(default_factory=dict)

    def begin(self, head: int, audited: int) -> None:
        """Nothing older than ``head`` is remembered; the audit goes on at ``audited``."""
        self.complete_from = head
        self.audited = min(audited, head)

    def remember(self, published: Published) -> None:
        """Keep this one; forget the oldest where there are too many."""
        self.published[published.candle.timestamp] = published
        while len(self.published) > self.most:
            self._drop(min(self.published))

    def audit_from(self, slot: int) -> None:
        """The candle of this slot is to be read again by the audit."""
        self.audited = min(self.audited, slot)

    def advance(self, audited: int) -> None:
        """All before ``audited`` was read again: forget it, but for the newest."""
        self.audited = max(self.audited, audited)
        for old in sorted(self.published)[: -self.size]:
            if old < self.audited:
                self._drop(old)
        for old in [slot for slot in self.unsure if slot < self.audited]:
            del self.unsure[old]

    def _drop(self, slot: int) -> None:
        del self.published[slot]
        self.numbers.pop(slot, None)
        self.complete_from = max(self.complete_from, slot + 1)

    def keep(self, word: Word) -> None:
        """Keep what the stream closes while nothing may be published."""
        known = self.published.get(word.candle.timestamp)
        if known is None or not equal(word.candle, known.candle):
            revision = 0 if known is None else known.revision + 1
            self.remember(Published(word.candle, word.reason, revision, late=False))

    def forget(self) -> list[Published]:
        """Forget everything; the candles, oldest first."""
        published, self.published = self.published, {}
        self.unsure, self.numbers, self.doubts = {}, {}, {}
        return [it for _, it in sorted(published.items())]

    def take_doubts(self, start: int, end: int) -> list[Word]:
        """The words about slots of ``[start, end)`` that were in question, oldest first."""
        return [self.doubts.pop(slot) for slot in sorted(self.doubts) if start <= slot < end]

    def lacks(self, state: CandleData) -> bool:
        """Whether a state tells of trades that were not published."""
        known = self.published.get(state.timestamp)
        return known is not None and behind(known.candle, state)
