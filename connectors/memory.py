"""Pure: what a ledger remembers of the newest candles that it published, beside coverage.

Coverage knows only a digest of each. To tell a repeat from a revision as the exchange means it,
figures are compared; they are kept of the newest candles, and of *unsure* ones, which are to be
read again because what was published may not have been the exchange's last word.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from connectors.comparison import behind, equal
from connectors.coverage import digest_of
from connectors.model import CandleData, CloseReason

STREAM: Final = (CloseReason.EXCHANGE_FLAG, CloseReason.NEXT_CANDLE, CloseReason.CLOCK)
"""Reasons of candles whose figures are the stream's."""


class Word(NamedTuple):
    """A bar's closed state; ``sure``: whether it is the exchange's last word, as far as known."""

    candle: CandleData
    reason: CloseReason
    sure: bool


class Published(NamedTuple):
    """A closed candle on its way to the closed topic."""

    candle: CandleData
    reason: CloseReason
    revision: int
    late: bool


@dataclass(slots=True)
class Memory:
    """Figures of the ``size`` newest candles; ``unsure``: slot -> when to read it again (real).

    ``numbers``: slot -> which decision it was, of all that can still be revised.
    """

    size: int
    published: dict[int, Published] = field(default_factory=dict)
    unsure: dict[int, float] = field(default_factory=dict)
    numbers: dict[int, int] = field(default_factory=dict)

    def remember(self, published: Published, recent: Container[int]) -> None:
        """Keep this one; forget what is old. Only ``recent`` ones can be revised at all."""
        self.published[published.candle.timestamp] = published
        for old in [slot for slot in self.numbers if slot not in recent]:
            del self.numbers[old]
        for old in [slot for slot in self.unsure if slot not in recent]:
            del self.unsure[old]
        for slot in sorted(self.published)[: -self.size]:
            if slot not in self.unsure:
                del self.published[slot]

    def keep(self, word: Word) -> None:
        """Keep what the stream closes while nothing may be published."""
        known = self.published.get(word.candle.timestamp)
        if known is None or not equal(word.candle, known.candle):
            revision = 0 if known is None else known.revision + 1
            self.remember(Published(word.candle, word.reason, revision, late=False), ())

    def forget(self) -> list[Published]:
        """Forget everything; the candles, oldest first."""
        published, self.published, self.unsure, self.numbers = self.published, {}, {}, {}
        return [it for _, it in sorted(published.items())]

    def repeats(self, candle: CandleData, digest: int) -> bool:
        """Whether this says what was published; of a former run only the digest is known."""
        known = self.published.get(candle.timestamp)
        return digest_of(candle) == digest if known is None else equal(candle, known.candle)

    def regresses(self, word: Word) -> bool:
        """Whether REST lacks trades that the stream has told of."""
        known = self.published.get(word.candle.timestamp)
        by_rest = word.reason not in STREAM
        return (
            by_rest
            and known is not None
            and known.reason in STREAM
            and behind(word.candle, known.candle)
        )

    def lacks(self, state: CandleData) -> bool:
        """Whether a state tells of trades that were not published."""
        known = self.published.get(state.timestamp)
        return known is not None and behind(known.candle, state)
