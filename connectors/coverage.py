"""Pure: what is known of a subscription's slots: settled, missing, not yet due.

Coverage is a row of adjacent runs from ``start`` to ``head``. In a *settled* run every slot is
either published or known to be empty; it keeps how many were published and an order-independent
digest of them. A *missing* run says since when and why. Beyond ``head`` nothing is due yet.
Slots are given as ``[start, end)`` in UNIX seconds, where a slot's end is the next one's open time.
"""

from __future__ import annotations

import hashlib
import struct
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from connectors.model import CandleData

RECENT: Final = 16
"""So many of the newest closed candles are remembered singly, to tell a repeat from a revision."""

_WORD: Final = 1 << 64
_FIGURES: Final = struct.Struct(">q5d")
_OPTIONAL: Final = struct.Struct(">?d")


class RunState(StrEnum):
    """What is known of the slots of a run."""

    SETTLED = "SETTLED"
    MISSING = "MISSING"
    GIVEN_UP = "GIVEN_UP"


class SlotState(StrEnum):
    """What is known of one slot."""

    BEFORE = "before"
    SETTLED = "settled"
    MISSING = "missing"
    AHEAD = "ahead"


@dataclass(slots=True)
class Run:
    """Adjacent slots of one state. ``count`` and ``digest`` speak of published candles."""

    start: int
    end: int
    state: RunState = RunState.SETTLED
    count: int = 0
    digest: int = 0
    reason: str | None = None
    since: int | None = None

    @property
    def missing(self) -> bool:
        """Whether candles may exist that were not published."""
        return self.state is not RunState.SETTLED

    def follows(self, other: Run) -> bool:
        """Whether the two are one run in two pieces."""
        return (
            self.start == other.end
            and self.state is other.state
            and self.reason == other.reason
            and self.since == other.since
        )


@dataclass(frozen=True, slots=True)
class Closed:
    """One of the ``recent`` closed candles: its slot, newest revision and that one's digest."""

    open_time: int
    revision: int
    digest: int


@dataclass(slots=True)
class Coverage:
    """All that is known of one subscription's slots."""

    start: int
    runs: list[Run] = field(default_factory=list)
    recent: dict[int, Closed] = field(default_factory=dict)

    @property
    def head(self) -> int:
        """The first slot of which nothing is known yet."""
        return self.runs[-1].end if self.runs else self.start

    def slot(self, open_time: int) -> SlotState:
        """What is known of one slot."""
        if open_time < self.start:
            return SlotState.BEFORE
        if open_time >= self.head:
            return SlotState.AHEAD
        return SlotState.MISSING if self.runs[self._at(open_time)].missing else SlotState.SETTLED

    def is_empty(self, open_time: int) -> bool:
        """Whether a settled slot is known to have no published candle.

        Only of slots younger than the oldest of ``recent`` can that be told; of others, False.
        """
        return (
            self.slot(open_time) is SlotState.SETTLED
            and open_time not in self.recent
            and (len(self.recent) < RECENT or open_time > min(self.recent))
        )

    def missing(self) -> list[Run]:
        """The missing runs, oldest first, those given up included."""
        return [run for run in self.runs if run.missing]

    def publish(
        self, open_time: int, end: int, revision: int, digest: int, known: Closed | None = None
    ) -> None:
        """A candle of this slot is (being) published: revision 0, or a later one of a settled slot.

        ``known`` is the revision before, of which a slot older than the ``recent`` ones has to be
        told. A slot beyond ``head`` must be the next one: declare what lies between first.
        """
        known = self.recent.get(open_time, known)
        if revision and known is None:
            raise ValueError(f"slot {open_time}: revision {revision} of an unknown digest")
        if known is not None and revision <= known.revision:
            raise ValueError(f"slot {open_time}: revision {known.revision} is published already")
        if known is not None:
            self._change(open_time, 0, digest - known.digest)
        elif self.slot(open_time) is SlotState.SETTLED:
            self._change(open_time, 1, digest)
        else:
            self._put(Run(open_time, end, count=1, digest=digest))
        self._remember(Closed(open_time, revision, digest))

    def reach_back(self, start: int, reason: str, since: int) -> None:
        """Coverage begins earlier from now on; what is new of it is missing."""
        if start >= self.start:
            return
        self.runs = _merged(
            [Run(start, self.start, RunState.MISSING, reason=reason, since=since), *self.runs]
        )
        self.start = start

    def empty(self, start: int, end: int) -> None:
        """The exchange has no candle in these slots."""
        self._put(Run(start, end))

    def miss(self, start: int, end: int, reason: str, since: int) -> None:
        """These slots are not settled, and why; ``since`` in UNIX seconds."""
        self._put(Run(start, end, RunState.MISSING, reason=reason, since=since))

    def give_up(self, start: int, end: int, reason: str, since: int) -> None:
        """These slots cannot be had: the exchange's history does not reach them."""
        self._put(Run(start, end, RunState.GIVEN_UP, reason=reason, since=since))

    def _change(self, open_time: int, count: int, digest: int) -> None:
        run = self.runs[self._at(open_time)]
        run.count += count
        run.digest = (run.digest + digest) % _WORD

    def _put(self, new: Run) -> None:
        if new.start < self.start or new.start > self.head or new.end <= new.start:
            raise ValueError(f"slots {new.start}..{new.end} do not join {self.start}..{self.head}")
        if new.start == self.head:
            self.runs[-1:] = _merged([*self.runs[-1:], new])
            return
        pieces = [piece for run in self.runs for piece in _without(run, new)]
        position = bisect_right([piece.start for piece in pieces], new.start)
        pieces.insert(position, new)
        self.runs = _merged(pieces)

    def _at(self, open_time: int) -> int:
        return bisect_right(self.runs, open_time, key=lambda run: run.start) - 1

    def _remember(self, closed: Closed) -> None:
        self.recent[closed.open_time] = closed
        if len(self.recent) > RECENT:
            del self.recent[min(self.recent)]


def _without(run: Run, new: Run) -> Iterable[Run]:
    """What is left of ``run`` beside ``new``; a published candle is never put away."""
    if new.end <= run.start or run.end <= new.start:
        return (run,)
    if run.state is RunState.SETTLED:
        raise ValueError(f"slots {new.start}..{new.end} are settled already")
    left = Run(run.start, new.start, run.state, reason=run.reason, since=run.since)
    right = Run(new.end, run.end, run.state, reason=run.reason, since=run.since)
    return (piece for piece in (left, right) if piece.start < piece.end)


def _merged(runs: list[Run]) -> list[Run]:
    merged: list[Run] = []
    for run in runs:
        if merged and run.follows(merged[-1]):
            last = merged[-1]
            merged[-1] = Run(
                last.start,
                run.end,
                run.state,
                last.count + run.count,
                (last.digest + run.digest) % _WORD,
                run.reason,
                run.since,
            )
        else:
            merged.append(run)
    return merged


def digest_of(candle: CandleData) -> int:
    """64 bits of a closed candle's slot and figures; absent figures count as absent."""
    head = _FIGURES.pack(
        candle.timestamp, candle.open, candle.high, candle.low, candle.close, candle.volume
    )
    tail = b"".join(
        _OPTIONAL.pack(figure is not None, 0.0 if figure is None else figure)
        for figure in candle.figures()[5:]
    )
    return int.from_bytes(hashlib.blake2b(head + tail, digest_size=8).digest())
