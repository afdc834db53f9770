"""What all parts of a run share."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from connectors.model import CandleData
from tests.simulation.log import Log
from tests.simulation.market import Truth
from tests.simulation.plan import Fault, What, Wish
from tests.simulation.story import Story
from tests.simulation.timeline import Timeline
from tests.simulation.verdict import Finding


class Troubles:
    """The faults that go on right now."""

    def __init__(self) -> None:
        self._going_on: dict[What, list[Fault]] = {}

    def begin(self, fault: Fault) -> None:
        """From here on."""
        self._going_on.setdefault(fault.what, []).append(fault)

    def end(self, fault: Fault) -> None:
        """Up to here."""
        self._going_on[fault.what].remove(fault)
        if not self._going_on[fault.what]:
            del self._going_on[fault.what]

    def __bool__(self) -> bool:
        return bool(self._going_on)

    def of(self, what: What, pair: int | None = None) -> Fault | None:
        """The fault of this kind that strikes a pair."""
        for fault in self._going_on.get(what, ()):
            if fault.pair is None or fault.pair == pair:
                return fault
        return None


@dataclass
class Pair:
    """One subscription, whoever carries it."""

    wish: Wish
    truth: Truth
    log: Log
    random: Random
    since: float | None = None
    first: int = -1
    """The slot with which coverage must begin."""
    undone: set[int] = field(default_factory=set)
    """Slots whose candle nobody can have any more, where there is no REST."""
    heard: dict[int, CandleData] = field(default_factory=dict)
    """The stream's last states, where they are all that is ever known."""

    @property
    def number(self) -> int:
        """By which it is called."""
        return self.wish.number

    @property
    def alone(self) -> bool:
        """Whether there is no REST that could make good for what the stream has lost."""
        return self.truth.kind.rest is None

    def begin(self, accepted: float) -> None:
        """Nothing was committed yet: coverage begins with what was wished for when ``accepted``."""
        wished = accepted if self.since is None else min(accepted, self.since)
        self.first = self.truth.grid.floor(wished)

    def undo(self, *slots: int) -> None:
        """Nobody can have these any more, unless from REST."""
        if self.alone:
            self.undone.update(slots)

    def hear(self, state: CandleData) -> None:
        """The stream delivered this."""
        if self.alone and not self.truth.kind.flagged:
            known = self.heard.get(state.timestamp)
            if known is None or state.volume >= known.volume:
                self.heard[state.timestamp] = state


@dataclass
class Scene:
    """Time, pairs, what goes wrong, what is found to be wrong, and the story where one is told."""

    time: Timeline
    pairs: dict[int, Pair]
    random: Random
    story: Story | None = None
    troubles: Troubles = field(default_factory=Troubles)
    findings: list[Finding] = field(default_factory=list)
