"""The pretended exchange: tells the truth over a stream and over REST, both badly at times."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from connectors.adapter import RestAnswer, RestSlowDown, RestUnavailable, Rows
from connectors.inquiry import Span
from connectors.model import CandleData
from tests.simulation.plan import What
from tests.simulation.scene import Pair, Scene

if TYPE_CHECKING:
    from tests.simulation.worker import Worker

LONGEST_REPEAT = 3.0
"""Market seconds after which a frame may come a second time."""


class Exchange:
    """``listener`` is who has a connection to it, if anybody."""

    def __init__(self, scene: Scene, page: int) -> None:
        self.listener: Worker | None = None
        self._scene = scene
        self._time = scene.time
        self._troubles = scene.troubles
        self._page = page

    # --- the stream ---

    def open(self, pair: Pair, slot: int) -> None:
        """A bar opens: its frames are sent when their time comes."""
        truth, random = pair.truth, pair.random.random
        closing = 0.05 + (truth.kind.grace * 0.9 - 0.05) * random()
        for at, closed in truth.frames(slot):
            sent = at + (closing if closed else 0.01 + 0.03 * random())
            self._time.at_theirs(sent, self._send, pair, slot, sent, closed)
        following = truth.grid.after(slot)
        self._time.at_theirs(following, self.open, pair, following)

    def _send(self, pair: Pair, slot: int, at: float, closed: bool) -> None:
        if self._troubles.now:
            random = pair.random.random
            if self._strikes(What.TWICE, pair):
                again = at + LONGEST_REPEAT * random()
                self._time.at_theirs(again, self._deliver, pair, slot, at, closed)
            if self._strikes(What.DELAYED, pair) and not pair.alone:
                later = at + pair.truth.kind.grace / 2 * random()
                self._time.at_theirs(later, self._deliver, pair, slot, at, closed)
                return
        self._deliver(pair, slot, at, closed)

    def _deliver(self, pair: Pair, slot: int, at: float, closed: bool) -> None:
        state = pair.truth.state(slot, at, closed if pair.truth.kind.flagged else None)
        lost = self._loses(pair, closed)
        if self._scene.story:
            self._scene.story.frame(pair.number, state, lost=lost)
        if self.listener is None or lost:
            pair.undo(slot)
            return
        pair.hear(state)
        self.listener.hear(pair, state)
        if self._strikes(What.NONSENSE, pair):
            self.listener.hear_nonsense(pair, slot)

    def _loses(self, pair: Pair, closed: bool) -> bool:
        if self.listener is None:
            return True
        lost = self._strikes(What.LOST, pair)
        return lost or (closed and self._strikes(What.UNCLOSED, pair))

    def _strikes(self, what: What, pair: Pair) -> bool:
        if what not in self._troubles.now:
            return False
        fault = self._troubles.of(what, pair.number)
        return fault is not None and pair.random.random() < fault.extent

    def disconnected(self) -> None:
        """The connection is gone, in the middle of a bar of each pair."""
        self.listener = None
        self._break_bars()

    def connected(self, listener: Worker) -> None:
        """A connection begins; some exchanges tell of the newest bars at once."""
        self.listener = listener
        self._break_bars()
        now = self._time.theirs
        for pair in self._scene.pairs.values():
            slot = pair.truth.grid.floor(now)
            if pair.truth.kind.snapshot:
                slots = [pair.truth.grid.after(slot, -many) for many in range(4)]
                for it in pair.random.choice((slots, slots[::-1])):
                    if any(at <= now for at in pair.truth.bar(it).times):
                        self._deliver(pair, it, now, closed=False)

    def _break_bars(self) -> None:
        for pair in self._scene.pairs.values():
            pair.break_bar(self._time.theirs)

    def correct(self, pair: Pair, slot: int) -> None:
        """A closed bar gets another trade; where frames say closed, by such a frame."""
        now = self._time.theirs
        pair.truth.corrected[slot] = (now, 0.125)
        if self._scene.story:
            self._scene.story.tell("a trade is added to the bar", pair.number, slot)
        if pair.truth.kind.flagged:
            self._deliver(pair, slot, now, closed=True)

    # --- REST ---

    def ask(self, pair: Pair, span: Span, then: Callable[[RestAnswer | None], None]) -> None:
        """A request is sent; ``then`` gets the answer, or None where none comes."""
        random = pair.random.random
        back = 0.02 + 0.18 * random()
        if self._strikes(What.SLOW, pair):
            back = 2 + 10 * random()
        self._time.later(0.02 + 0.18 * random(), self._answer, pair, span, back, then)

    def _answer(
        self, pair: Pair, span: Span, back: float, then: Callable[[RestAnswer | None], None]
    ) -> None:
        answer: RestAnswer | None
        if self._troubles.now:
            answer = self._bad_answer(pair, span)
        else:
            answer = Rows(pair.truth.rows(span, self._time.theirs))
        self._time.later(back, then, answer)

    def _bad_answer(self, pair: Pair, span: Span) -> RestAnswer | None:
        if self._strikes(What.BUSY, pair):
            return RestSlowDown("too much", pair.random.choice((None, 2.0)))
        if self._strikes(What.FAILING, pair):
            return pair.random.choice((RestUnavailable("503"), None))
        rows = self._rows(pair, span)
        if self._strikes(What.WRONG_PAGE, pair):
            start, end = (pair.truth.grid.after(it, -self._page) for it in span[:2])
            rows = pair.truth.rows(span._replace(start=start, end=end), self._time.theirs)
            return Rows(rows) if rows else None  # an empty page cannot be told from a right one
        if rows and self._strikes(What.ROWS_TWICE, pair):
            rows = sorted([*rows, rows[0]], key=lambda row: row.timestamp)
        return Rows(rows)

    def _rows(self, pair: Pair, span: Span) -> list[CandleData]:
        at = self._time.theirs - self._lag(pair)
        rows = pair.truth.rows(span, at)
        if at < self._time.theirs and pair.random.random() < 0.5:
            rows = [row for row in rows if pair.truth.grid.after(row.timestamp) <= at]
        return rows

    def _lag(self, pair: Pair) -> float:
        behind = self._troubles.of(What.BEHIND, pair.number)
        if behind is not None:
            return behind.extent
        lagging = self._troubles.of(What.LAGGING, pair.number)
        return 0.0 if lagging is None else lagging.extent * pair.random.random()
