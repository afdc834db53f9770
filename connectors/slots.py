"""Pure: what is decided of each slot of one subscription, and what the stream has to do with it.

States of bars come in by ``settle`` (stream); a closed state, whoever tells of it, is a ``Word``.
What is decided goes into ``coverage`` at once, and closed candles into ``pending`` in the order in
which they are to be published; the publisher takes them together with the coverage that speaks of
them. When a transaction fails, everything is forgotten and begun again from the coverage that Kafka
holds.

Slots are decided in the order of open times, at ``coverage.head``:

* closed by the exchange's flag, at once;
* where frames carry no flag, a newer candle or the clock says that a bar is over, and REST
  confirms the values; that wait is bounded, then the stream's own state is published;
* by a REST row: polled, or fetched because the slot was skipped or is overdue;
* empty, when REST already returns a later candle, or returned none twice after close and grace.

Newer closed candles are held until the slots before them are decided. The hold is bounded: then
the slots are declared missing, repaired later, and published ``late``.

A bar that the stream skips is *presumed* empty where it leaves out bars without trades and was not
interrupted: newer candles are not held. The last state of a bar in which the stream was interrupted
may lack trades, and is never published on the stream's word alone.

What REST says of all this, and what it is asked, is ``connectors.ledger``, which completes this.

``real`` is monotonic seconds, ``market`` UNIX seconds of bars; ``clock`` only converts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from math import inf
from typing import NamedTuple

from connectors.clock import Clock
from connectors.comparison import behind, equal
from connectors.coverage import RECENT, Coverage, SlotState, digest_of
from connectors.memory import Memory, Published, Word
from connectors.model import CandleData, CloseReason, Grid, Subscription
from connectors.rules import AUDIT, CONFIRM, FUTURE, HOLD, REREAD, SPARE, Rules, batch_of


class Over(NamedTuple):
    """The stream's last state of a bar that is over, and since when (real) we think so.

    ``cut``: the stream was interrupted in that bar and has not told of it since.
    """

    state: CandleData
    reason: CloseReason
    since: float
    cut: bool


class Agreement(NamedTuple):
    """How many published candles REST was found to agree with when it was asked again, or not."""

    agreed: int = 0
    differed: int = 0


class Slots(ABC):
    """See the head of the module.

    ``wake(real)`` is called when it must be ticked at ``real`` or earlier than it said; ``touch()``
    when there is something to write; ``recall(start, end)`` when the candles that are published of
    these slots are to be told by ``recalled``. ``since`` (market time): coverage shall reach back
    to there; history is old missing slots, repaired behind everything fresher.
    """

    def __init__(
        self,
        subscription: Subscription,
        grid: Grid,
        rules: Rules,
        clock: Clock,
        wake: Callable[[float], None],
        touch: Callable[[], None],
        recall: Callable[[int, int], None],
        since: float | None,
    ) -> None:
        self.subscription = subscription
        self.grid = grid
        self.rules = rules
        self.heard = -inf
        self.ignored = 0
        self._since = since
        self._clock = clock
        self._wake = wake
        self._touch = touch
        self._recall = recall
        self._slot = -1
        self._state: CandleData | None = None
        self._streams = 0
        self._unbroken = inf
        self._cut = -1
        self._quiet = False
        self._progress = 0
        self._agreed = self._differed = 0
        self._audited_when_taken = self._audited_for_good = -1
        self._memory = self._new_memory()
        self.forget()

    def _new_memory(self) -> Memory:
        if not self.rules.rest:
            return Memory(RECENT, RECENT)
        return Memory(REREAD, self._unaudited + SPARE)

    @abstractmethod
    def due(self) -> float:
        """The real time at which the next thing is decided or asked, if nothing comes in."""

    # --- begin and forget ---

    def begin(self, coverage: Coverage | None, market: float, real: float) -> None:
        """From here on slots are decided: on from ``coverage``, or (None) from a first bar.

        That is the bar that is running at ``market``, when the wish was accepted.
        """
        self.forget()
        self._began = (market, real)
        if coverage is not None:
            self.coverage, self.begun = coverage, True
            self._learn(coverage.start)
            self._reach_back()
        elif self.grid.known:
            self._start()
        if self.begun:
            self._resume(real)
        self._wake(real)

    def _resume(self, real: float) -> None:
        """What memory knows of the newest candles, Kafka has as well, or does not have yet."""
        memory, coverage = self._memory, self.coverage
        remembered = memory.forget()
        self._open_memory()
        if self.rules.rest and not self._has_flags:
            memory.unsure.update(dict.fromkeys(coverage.recent, real))
        for published in remembered:
            candle, reason, revision, _ = published
            known = coverage.recent.get(candle.timestamp)
            if known is not None and known == published.closed:
                memory.remember(published)
            elif known is not None and known.revision < revision:
                word = Word(candle, reason, sure=self._has_flags)
                self._publish(word, known.revision + 1, late=False)
            elif known is None and coverage.slot(candle.timestamp) is SlotState.SETTLED:
                memory.audit_from(candle.timestamp)  # which revision Kafka has is to be recalled
            elif known is None:
                self._decided(Word(candle, reason, sure=self._has_flags))
        self._release()

    def _open_memory(self) -> None:
        """The audit goes on where it was, or where that of a former run must have been."""
        head, audited = self.coverage.head, self._memory.audited
        if audited < 0:
            audited = max(self.coverage.start, self.grid.after(head, -self._unaudited))
            self._audited_for_good = audited
        audited = min(audited, self._audited_for_good)
        self._memory.begin(head, audited if self.rules.rest else head)

    def forget(self) -> None:
        """Nothing is decided until the next ``begin``, and what was pending is not published.

        The figures of the newest candles are remembered: ``begin`` compares them with coverage.
        """
        self.begun = False
        self.coverage = Coverage(0)
        self.pending: list[Published] = []
        self._began = (inf, inf)
        self._over: dict[int, Over] = {}
        self._closed: dict[int, Word] = {}
        self._recalling = False

    def take(self) -> list[Published]:
        """What is to be published now, in order; the coverage as it stands speaks of it."""
        taken, self.pending = self.pending, []
        self._audited_when_taken = self._memory.audited
        if len(taken) >= self.rules.page:
            self._wake(-inf)  # what waited for that may be asked now
        return taken

    def committed(self) -> None:
        """Kafka has what was taken last, and so what audits had found until then."""
        self._audited_for_good = self._audited_when_taken

    def _start(self) -> None:
        self.coverage = Coverage(self.grid.floor(self._began[0]))
        self.begun = True
        self._reach_back()
        self._touch()

    def _reach_back(self) -> None:
        start = self.coverage.start if self._since is None else self.grid.floor(self._since)
        if start < self.coverage.start:
            self.coverage.reach_back(start, "history", int(self._began[0]))
            self._touch()

    def _learn(self, slot: int) -> None:
        if not self.grid.known:
            self.grid = self.grid.anchored(slot)
        elif not self.grid.holds(slot):
            raise ValueError(f"{self.subscription}: no bar opens at {slot}")
        if not self.begun and self._began[0] < inf:
            self._start()
            self._open_memory()

    # --- the stream ---

    def stream_begins(self, real: float) -> None:
        """One more connection delivers this subscription."""
        self._streams += 1
        if self._streams == 1:
            self._unbroken = real

    def stream_ends(self, real: float) -> None:
        """A connection that delivered this subscription ended, or was found not to deliver it."""
        self._streams -= 1
        if not self._streams:
            self._unbroken = inf
            self._cut = -1 if self._state is None else self._state.timestamp
            self._wake(real)

    def settle(self, candle: CandleData, real: float) -> bool:
        """A state from the stream; True where it is an update of the open bar.

        Raises ValueError for an open time at which no bar opens.
        """
        self.heard = real
        if candle.timestamp == self._slot and candle.closed is not True:
            state = self._state
            if state is None or candle.volume >= state.volume:
                self._state = candle
                self._cut = -1
                if state is None:
                    self._wake(self.due())
                return True
        return self._turn(candle, real)

    def _turn(self, candle: CandleData, real: float) -> bool:
        slot = candle.timestamp
        if slot > self._clock.market_at(real) + FUTURE:
            raise ValueError(f"{self.subscription}: {slot} lies in the future")
        self._learn(slot)
        if slot > self._slot:
            self._leave(CloseReason.NEXT_CANDLE, real)
            self._slot, self._state, self._cut = slot, candle, -1
            if self.begun:
                self._release_until(real)
            self._wake(past := self._past_at(slot))
            if candle.closed is not True:
                return real < past  # a first frame may tell of bars that were over long ago
        if candle.closed is True:
            self._flagged(candle)
        elif slot < self._slot:
            self._told(candle, CloseReason.NEXT_CANDLE, real)
        else:
            self.ignored += 1
        return False

    def _flagged(self, candle: CandleData) -> None:
        slot = candle.timestamp
        if slot == self._slot:
            self._slot, self._state = self.grid.after(slot), None
        self._decided(Word(candle, CloseReason.EXCHANGE_FLAG, sure=True))
        self._release()

    def _leave(self, reason: CloseReason, real: float) -> None:
        """For all that the stream tells, the bar of its newest state is over."""
        state, self._state = self._state, None
        if state is not None:
            self._told(state, reason, real)

    def _told(self, state: CandleData, reason: CloseReason, real: float) -> None:
        """An unflagged state of a bar that is over: the newest one of them counts."""
        slot = state.timestamp
        over = self._over.get(slot)
        if not self.begun or (state.volume == 0 and self.rules.rest and self.rules.rest_skips):
            return
        if over is not None and not behind(state, over.state):
            self._over[slot] = over._replace(state=state)
        elif over is None and self._is_undecided(slot):
            self._over[slot] = Over(state, reason, real, cut=self._cut == slot)
            self._wake(self.due())
        elif not self.rules.flagged and self._memory.lacks(state):
            self._decided(Word(state, reason, sure=False))
        else:
            self.ignored += 1

    def _is_undecided(self, slot: int) -> bool:
        return self.coverage.slot(slot) is SlotState.AHEAD and slot not in self._closed

    def _is_unbroken_since(self, slot: int) -> bool:
        """Whether nothing that the stream told from then on was missed, or forgotten."""
        since = max(self._unbroken, self._began[1])
        return since < inf and self._clock.market_at(since) <= slot

    def _told_after(self, head: int) -> float:
        """The first slot after the head that the stream has told of, or inf."""
        told = [*self._over, *(slot for slot, word in self._closed.items() if not word.by_rest)]
        if self._state is not None:
            told.append(self._state.timestamp)
        return min((slot for slot in told if slot > head), default=inf)

    def _inferred(self, slot: int) -> Over | None:
        """The slot's last state, where that may be published on the stream's word alone."""
        over = None if self.rules.flagged else self._over.get(slot)
        return None if over is None or over.cut else over

    # --- decide ---

    def _decided(self, word: Word) -> None:
        """The closed state of a bar, as far as known."""
        slot = word.candle.timestamp
        if not self.begun:
            self._memory.keep(word)
            return
        match self.coverage.slot(slot):
            case SlotState.AHEAD:
                if slot not in self._closed or word.reason is CloseReason.EXCHANGE_FLAG:
                    self._closed[slot] = word
                self._over.pop(slot, None)
            case SlotState.MISSING:
                self._over.pop(slot, None)
                self._publish(word, revision=0, late=True)
            case SlotState.SETTLED:
                self._again(word)
            case SlotState.BEFORE:
                self.ignored += 1

    def _again(self, word: Word) -> None:
        """A closed state of a slot that is settled already: a repeat, a revision, or late."""
        slot = word.candle.timestamp
        known = self._memory.published.get(slot)
        recent = self.coverage.recent.get(slot)
        if known is None and recent is None and self._is_empty(slot):
            self._publish(word, revision=0, late=True)
        elif known is None and (recent is None or recent.digest != digest_of(word.candle)):
            self._doubt(word, recent is not None)
        else:
            self._compare(word, known)

    def _compare(self, word: Word, known: Published | None) -> None:
        """A word about a candle that is published; ``known`` is None where digests are equal."""
        slot = word.candle.timestamp
        if known is not None and word.regresses(known):
            self.ignored += 1
            return
        if word.sure and self._memory.unsure.pop(slot, None) is not None:
            self._progress += 1
        differs = known is not None and not equal(word.candle, known.candle)
        self._differed += word.by_rest and differs
        self._agreed += word.by_rest and not differs
        if known is not None and differs:
            self._publish(word, known.revision + 1, late=False, known=known)
        else:
            self.ignored += 1

    def agreement(self) -> Agreement:
        """What was found since this was asked last."""
        found = Agreement(self._agreed, self._differed)
        self._agreed = self._differed = 0
        return found

    def _is_empty(self, slot: int) -> bool:
        """Whether a settled slot is known to have no published candle."""
        return slot >= self._memory.complete_from or self.coverage.is_empty(slot)

    def _doubt(self, word: Word, recent: bool) -> None:
        """What is published of this slot has to be recalled first, where it matters."""
        slot = word.candle.timestamp
        if recent or (word.by_rest and slot >= self._memory.audited):
            self._memory.doubts[slot] = word
            self._wake(-inf)
        else:
            self.ignored += 1

    def recalled(
        self, start: int, end: int, published: list[Published] | None, real: float
    ) -> None:
        """The candles that Kafka has of slots in ``[start, end)``; None where it cannot tell."""
        self._recalling = False
        doubts = self._memory.take_doubts(start, end)
        if published is None:
            self.ignored += len(doubts)
            return
        kept = {it.candle.timestamp: it for it in published} | self._memory.published
        for word in doubts:
            slot = word.candle.timestamp
            known = kept.get(slot)
            if known is not None:
                if slot in self.coverage.recent:
                    self._memory.published[slot] = known
                self._compare(word, known)
            elif slot not in self.coverage.recent:
                self._publish(word, revision=0, late=True)
        self._wake(real)

    # --- publish ---

    def _release(self) -> None:
        """Publish from the head on what is decided, and hold the rest."""
        while self.coverage.head in self._closed:
            self._publish_head()

    def _release_until(self, real: float) -> None:
        """The same, where what the stream skipped does not hold newer candles."""
        self._release()
        while real >= self._presumed_at():
            self._presume(int(self._clock.market_at(real)))
            self._release()

    def _presumed_at(self) -> float:
        """When the head is presumed empty: the stream went on without it, and leaves out such."""
        head = self.coverage.head
        if not self.rules.stream_skips or head in self._over or head in self._closed:
            return inf
        skipped = self._told_after(head) < inf and self._is_unbroken_since(head)
        return self._past_at(head) if skipped else inf

    def _presume(self, now: int) -> None:
        head = self.coverage.head
        end = int(min([self._told_after(head), *self._closed]))
        reason = "presumed empty"
        self.coverage.miss(head, end, reason, self._missing_since(reason, now))
        self._quiet = True
        self._touch()

    def _missing_since(self, reason: str, now: int) -> int:
        """An outage is one run, however many slots it takes."""
        last = self.coverage.runs[-1] if self.coverage.runs else None
        if last is None or last.reason != reason or last.since is None:
            return now
        return last.since

    def _publish_head(self) -> None:
        self._quiet = False
        self._publish(self._closed.pop(self.coverage.head), revision=0, late=False)

    def _publish(
        self, word: Word, revision: int, *, late: bool, known: Published | None = None
    ) -> None:
        """``known`` is the revision before, where it was compared with."""
        candle, reason, sure, proven = word
        slot, memory = candle.timestamp, self._memory
        published = Published(candle, reason, revision, late)
        digest = published.closed.digest
        self.coverage.publish(
            slot, self.grid.after(slot), revision, digest, None if known is None else known.closed
        )
        self.pending.append(published)
        self._progress += 1
        if not proven or known is not None or slot >= min(memory.complete_from, memory.audited):
            memory.numbers[slot] = self._progress
            memory.remember(published)
        if not self.rules.rest:
            memory.advance(self.coverage.head)
        elif not proven:
            memory.audit_from(slot)
            if not sure and self.rules.confirm:
                memory.unsure[slot] = self._reread_at(word)
        self._touch()

    def _reread_at(self, word: Word) -> float:
        """When REST is to be asked for an unsure candle; polls read it again by themselves."""
        sure = self._sure_from(word.candle.timestamp)
        return self._clock.real_at(sure + AUDIT if word.by_rest else sure)

    # --- time ---

    def _by_clock(self, real: float) -> None:
        """The stream's newest bar is past: what still comes of it is late."""
        if self._slot >= 0 and real >= self._past_at(self._slot):
            self._leave(CloseReason.CLOCK, real)
            newest = self._past_until(self._clock.market_at(real))
            self._slot = max(self.grid.after(self._slot), newest)

    def _decide_at(self) -> float:
        """When the head is decided without any word more: as the stream said, or as missing."""
        head = self.coverage.head
        over = self._inferred(head)
        if over is not None:
            wait = CONFIRM if self.rules.rest and self.rules.confirm else 0.0
            return max(self._past_at(head), over.since + wait)
        if self._is_quiet(head):
            return self._clock.real_at(self._audit_from(head)) + HOLD
        return max(self._past_at(head), self._began[1]) + HOLD

    def _declare_missing(self, market: float, real: float) -> None:
        """The hold is over: slots that are still undecided do not keep newer ones waiting."""
        head = self.coverage.head
        if self._inferred(head) or real < self._decide_at():
            return
        end = max(self.grid.after(head), self._past_until(self._clock.market_at(real - HOLD)))
        inferred = (slot for slot in self._over if slot > head and self._inferred(slot))
        end = min([end, *self._closed, *inferred])
        reason = "REST has not given it" if self.rules.rest else "REST has no such interval"
        self.coverage.miss(head, end, reason, self._missing_since(reason, int(market)))
        for slot in sorted(self._over)[:-SPARE]:
            del self._over[slot]
        self._touch()
        self._release()

    def _is_quiet(self, head: int) -> bool:
        """Whether it is nothing special that a living stream has not told of this bar."""
        skipped = self.rules.stream_skips and self._quiet and head not in self._over
        return skipped and self._is_unbroken_since(head)

    @property
    def _has_flags(self) -> bool:
        return self.rules.streamed and self.rules.flagged

    def _past_at(self, slot: int) -> float:
        """The real time from which on no late frame or row of a bar is to be expected any more."""
        return self._clock.real_at(self.grid.after(slot) + self.rules.grace)

    def _past_until(self, market: float) -> int:
        """The end of the last slot that is past."""
        return self.grid.floor(market - self.rules.grace)

    def _sure_from(self, slot: int) -> float:
        """The market time from which on a row that REST has of a bar is its last word."""
        return self.grid.after(slot) + self.rules.sure

    def _audit_from(self, slot: int) -> float:
        """The market time of an audit that begins with this slot."""
        return self.grid.after(slot) + self.rules.proven + batch_of(self.grid.step)

    @property
    def _unaudited(self) -> int:
        """So many slots before the head are not audited yet where all goes well."""
        return int((self.rules.proven + batch_of(self.grid.step)) / self.grid.step) + 1
