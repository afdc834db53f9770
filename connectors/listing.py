"""Pure: which of the carried pairs an exchange trades, by one list of instruments after another.

A pair ends only by an explicit status, or when three lists in a row do not have it. When more than
a tenth of the carried pairs would vanish at once, the list is thought wrong and says nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from connectors.model import Instrument

READS: Final = 3
"""So many lists must lack a pair before it has ended."""
AT_ONCE: Final = 0.1
"""The part of the pairs that may vanish between two lists; one may always."""
VANISHED: Final = "no longer listed"


class Listing:
    """What became of ``trading_pairs``, all of them traded at first."""

    def __init__(self, trading_pairs: Iterable[str]) -> None:
        self._pairs = list(dict.fromkeys(trading_pairs))
        self._ended: set[str] = set()
        self._absent: Counter[str] = Counter()

    def look(self, rows: Sequence[Instrument]) -> list[tuple[str, str | None]]:
        """The pairs that have ended since the last look, with their status; None: traded again.

        Without any rows nothing can be said. ValueError for a list that cannot be right; it changes
        nothing.
        """
        if not rows:
            return []
        listed = {row.trading_pair: row for row in rows}
        absent = [pair for pair in self._pairs if pair not in listed]
        new = [pair for pair in absent if pair not in self._absent]
        if len(new) > max(1.0, AT_ONCE * len(self._pairs)):
            raise ValueError(f"of {len(self._pairs)} carried pairs {len(new)} are listed no more")
        self._absent = Counter({pair: self._absent[pair] + 1 for pair in absent})
        now = {pair: self._status(pair, listed.get(pair)) for pair in self._pairs}
        changes = [
            (pair, status) for pair, status in now.items() if (pair in self._ended) != bool(status)
        ]
        self._ended = {pair for pair, status in now.items() if status}
        return changes

    def _status(self, pair: str, row: Instrument | None) -> str | None:
        """Why no candles are to be had of it any more, in the exchange's own word."""
        if row is None:
            gone = pair in self._ended or self._absent[pair] >= READS
            return VANISHED if gone else None
        return None if row.tradable else row.status or "closed"
