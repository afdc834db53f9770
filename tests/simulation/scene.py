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
    """The faults that go on right now, by kind."""

    def __init__(self) -> None:
        self.now: dict[What, list[Fault]] = {}

    def begin(self, fault: Fault) -> None:
        """From here on."""
        self.now.setdefault(fault.what, []).append(fault)

    def end(self, fault: Fault) -> None:
        """Up to here."""
        self.now[fault.what].remove(fault)
        if not self.now[fault.what]:
            del self.now[fault.what]

    def of(self, what: What, pair: int | None = None) -> Fault | None:
        """The fault of this kind that strikes a pair."""
        for fault in self.now.get(what, ()):
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
    newest: int = -1
    """The newest slot that the stream has told of."""

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
        self.newest = max(self.newest, state.timestamp)
        if self.alone and not self.truth.kind.flagged:
            known = self.heard.get(state.timestamp)
            if known is None or state.volume >= known.volume:
                self.heard[state.timestamp] = state

    def break_bar(self, now: float) -> None:
        """The connection begins or ends: what was told last of a bar need not be all of it."""
        late = self.truth.grid.after(self.newest) + self.truth.kind.grace
        if now < late and self.newest not in self.log.newest:
            self.heard.pop(self.newest, None)
        self.undo(self.newest, self.truth.grid.floor(now))


@dataclass
class Scene:
    """Time, pairs, what goes wrong, what is found to be wrong, and the story where one is told."""

    time: Timeline
    pairs: dict[int, Pair]
    random: Random
    story: Story | None = None
    troubles: Troubles = field(default_factory=Troubles)
    findings: list[Finding] = field(default_factory=list)
