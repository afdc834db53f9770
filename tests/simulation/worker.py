"""The worker that is tested: real ledgers and a real agenda between exchange and Kafka."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import inf

from connectors.adapter import Rate, RestAnswer
from connectors.agenda import SOONEST, Agenda, Errand
from connectors.carrier import SteadyBudget
from connectors.clock import ExchangeClock
from connectors.ledger import Ledger
from connectors.limits import Backoff
from connectors.memory import Published
from connectors.model import CandleData, Grid
from connectors.offset import Offset
from tests.simulation.exchange import Exchange
from tests.simulation.log import Part, copied
from tests.simulation.plan import What
from tests.simulation.pretended import Pretended
from tests.simulation.scene import Pair, Scene
from tests.simulation.verdict import Finding, told

DATES = 10.0
"""Every so many real seconds is the time heeded that a reply tells."""
TOGETHER = 3
"""So many subscriptions are written in one transaction."""


@dataclass
class Lane:
    """A subscription on its way through this worker."""

    pair: Pair
    ledger: Ledger
    volumes: dict[int, float] = field(default_factory=dict)
    """The most volume that the stream has told this ledger of, by slot."""


class Worker:
    """One life of it: nothing that it has begun goes on after ``die``.

    ``make`` makes a ledger: the mutation check puts a broken one in its place.
    """

    def __init__(
        self, scene: Scene, exchange: Exchange, page: int, make: Callable[..., Ledger]
    ) -> None:
        self.alive = True
        self.holding = False
        self._scene = scene
        self._time = scene.time
        self._exchange = exchange
        self._clock = ExchangeClock.of(scene.time.clock, Offset(scene.time.clock.speed))
        self._next_date = 0.0
        self._hear_date(scene.time.ours)
        self._accepted = self._market
        self._agenda = self._new_agenda()
        self._next_tick = inf
        self._touched: dict[Ledger, None] = {}
        self._in_flight: list[Part] = []
        self._writing = False
        self._took = 0
        self._lanes: dict[int, Lane] = {}
        self._by_ledger: dict[Ledger, Lane] = {}
        for pair in scene.pairs.values():
            ledger = self._ledger(pair, page, make)
            self._lanes[pair.number] = self._by_ledger[ledger] = Lane(pair, ledger)

    def _new_agenda(self) -> Agenda:
        speed = self._clock.speed
        budget = SteadyBudget([Rate(30 + 10 * speed, 10 * speed)], 1.0, self._clock.offset)
        return Agenda(
            Pretended(), budget, Backoff(self._scene.random.random, 1.0, 10.0), self._clock
        )

    @property
    def _market(self) -> float:
        """Market time as this worker reckons it."""
        return self._clock.market_at(self._time.now)

    def _hear_date(self, sent: float) -> None:
        """A reply says what time it is at the exchange; by our own clock it was asked at ``sent``.

        The first one is to the question for instruments, before anything is carried.
        """
        if self._time.now >= self._next_date:
            self._next_date = self._time.now + DATES
            self._clock.offset.reply(int(self._time.theirs), sent, self._time.ours)

    def _ledger(self, pair: Pair, page: int, make: Callable[..., Ledger]) -> Ledger:
        grid = pair.truth.grid
        return make(
            pair.wish.subscription,
            Grid(grid.step, None) if pair.truth.kind.learned else grid,
            pair.truth.kind.rules(page, pair.wish.reach, confirm=pair.wish.confirm),
            self._clock,
            self._wake,
            self._touch,
            self._recall,
            pair.since,
        )

    def die(self) -> None:
        """kill -9: memory is gone, and a transaction under way is committed or not."""
        if not self.alive:
            return
        self.alive = self.holding = False
        self.disconnect()
        if self._in_flight and self._scene.random.random() < 0.5 and not self._kafka_away:
            self._commit(self._in_flight)
        self._undo_uncommitted()

    def _later(self, seconds: float, event: Callable[..., object], *arguments: object) -> None:
        self._time.later(seconds, self._if_alive, event, arguments)

    def _if_alive(self, event: Callable[..., object], arguments: tuple[object, ...]) -> None:
        if self.alive:
            event(*arguments)

    # --- the stream ---

    def connect(self) -> None:
        """Connect to the exchange, if that can be done now; its return is another occasion."""
        if self.alive and self._exchange.listener is None and not self._troubled(What.CUT):
            self._tell("connected")
            for ledger in self._streamed:
                ledger.stream_begins(self._time.now)
            self._exchange.connected(self)

    def disconnect(self) -> None:
        """The connection is gone."""
        if self._exchange.listener is self:
            self._exchange.disconnected()
            self._tell("disconnected")
            for ledger in self._streamed:
                ledger.stream_ends(self._time.now)

    @property
    def _streamed(self) -> list[Ledger]:
        return [it.ledger for it in self._lanes.values() if it.ledger.rules.streamed]

    def hear(self, pair: Pair, state: CandleData) -> None:
        """A frame has come."""
        lane = self._lanes[pair.number]
        if lane.ledger.begun:
            slot = state.timestamp
            if state.volume > lane.volumes.get(slot, 0.0):
                lane.volumes[slot] = state.volume
        else:
            pair.undo(state.timestamp)
        lane.ledger.settle(state, self._time.now)

    def hear_nonsense(self, pair: Pair, slot: int) -> None:
        """A frame that no exchange would send is refused and harms nothing."""
        ledger = self._lanes[pair.number].ledger
        if not ledger.grid.known:
            return
        at = slot + self._scene.random.choice((7, 1_000 * 86_400))
        try:
            ledger.settle(CandleData(at, 1, 1, 1, 1, 1, closed=True), self._time.now)
        except ValueError:
            return
        self._scene.findings.append(Finding("wrong", pair.number, slot, "nonsense was believed"))

    # --- REST ---

    def _wake(self, ledger: Ledger, real: float) -> None:
        self._agenda.wake(ledger, real)
        self._plan_tick(real)

    def _plan_tick(self, due: float) -> None:
        """One tick of the agenda is planned at any time: the earliest."""
        if due < self._next_tick:
            self._next_tick = due = max(due, self._time.now)
            self._time.at(due, self._tick, due)

    def _tick(self, planned: float) -> None:
        if planned != self._next_tick or not self.alive:
            return
        self._next_tick = inf
        for errand in self._agenda.next_requests(self._market, self._time.now):
            pair = self._by_ledger[errand.ledger].pair
            then = partial(self._answered, errand, pair, self._time.ours)
            self._exchange.ask(pair, errand.span, then)
        self._plan_tick(max(self._agenda.due(self._market), self._time.now + SOONEST))

    def _answered(self, errand: Errand, pair: Pair, sent: float, answer: RestAnswer | None) -> None:
        if not self.alive:
            return
        if answer is not None:
            self._hear_date(sent)
        if self._scene.story:
            self._scene.story.answer(pair.number, errand.span, answer)
        try:
            if answer is None:
                self._agenda.failed(errand, "timed out", self._time.now)
            else:
                self._agenda.answered(errand, answer, self._market, self._time.now)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            finding = Finding("raised", pair.number, errand.span.start, repr(error))
            self._scene.findings.append(finding)
        self._plan_tick(self._time.now)

    # --- Kafka ---

    @property
    def _kafka_away(self) -> bool:
        return self._troubled(What.AWAY)

    def _troubled(self, what: What) -> bool:
        return self._scene.troubles.of(what) is not None

    def take_over(self) -> None:
        """Begin with what Kafka has, when it is there."""
        if not self.alive or self.holding:
            return
        if self._kafka_away:
            return  # its return is another occasion
        self._tell("shard taken over")
        self.holding = True
        self._took += 1
        for pair in self._scene.pairs.values():
            if pair.log.coverage is None:
                pair.begin(self._accepted)
        self._undo_uncommitted()
        for lane in self._lanes.values():
            known = lane.pair.log.coverage
            coverage = copied(known) if known else None
            lane.ledger.begin(coverage, self._accepted, self._time.now)

    def _undo_uncommitted(self) -> None:
        """What only memory knew is lost: of the open bar too, where there is no REST."""
        for pair in self._scene.pairs.values():
            if pair.alone:
                slot = pair.log.coverage.head if pair.log.coverage else pair.first
                while 0 <= slot <= self._time.theirs:
                    pair.undo(slot)
                    slot = pair.truth.grid.after(slot)

    def _recall(self, ledger: Ledger, start: int, end: int) -> None:
        """Kafka is asked for what is published, until the shard is lost."""
        self._later(
            0.05 + self._scene.random.random(), self._recalled, ledger, start, end, self._took
        )

    def _recalled(self, ledger: Ledger, start: int, end: int, took: int) -> None:
        if took != self._took or not self.holding:
            return
        if self._kafka_away:
            self._recall(ledger, start, end)
            return
        newest = self._by_ledger[ledger].pair.log.newest
        kept = [newest[slot] for slot in sorted(newest) if start <= slot < end]
        ledger.recalled(start, end, kept, self._time.now)

    def _touch(self, ledger: Ledger) -> None:
        self._touched[ledger] = None
        if ledger.pending:
            self._look_at(self._by_ledger[ledger], ledger.pending[-1])
        if self.holding and not self._writing:
            self._writing = True
            self._later(0.0, self._write)

    def _look_at(self, lane: Lane, published: Published) -> None:
        """No candle says less than the stream had told when it was published."""
        candle = published.candle
        if candle.volume < lane.volumes.get(candle.timestamp, 0.0) - 1e-9:
            less = f"less than the stream told: {published.reason.name} {told(candle)}"
            finding = Finding("wrong", lane.pair.number, candle.timestamp, less)
            self._scene.findings.append(finding)

    def _write(self) -> None:
        parts: list[Part] = []
        while self._touched and len(parts) < TOGETHER:
            ledger = next(iter(self._touched))
            del self._touched[ledger]
            number = self._by_ledger[ledger].pair.number
            parts.append(Part(number, ledger.take(), copied(ledger.coverage)))
        random = self._scene.random.random
        aborts = self._scene.troubles.of(What.ABORTED)
        fails = self._kafka_away or (aborts is not None and random() < aborts.extent)
        committed = not fails or random() < 0.4
        self._in_flight = parts
        self._later(0.005 + 0.045 * random(), self._end_write, committed, fails)

    def _end_write(self, committed: bool, fails: bool) -> None:
        parts, self._in_flight = self._in_flight, []
        self._writing = False
        fails |= self._kafka_away
        if committed and not self._kafka_away:
            self._commit(parts)
        if fails:
            self._tell(f"a transaction failed and was {'' if committed else 'not '}committed")
            self._lose_shard(0.1 + 4.9 * self._scene.random.random())
        elif self._touched:
            self._writing = True
            self._later(0.0, self._write)

    def _commit(self, parts: list[Part]) -> None:
        for part in parts:
            if self._scene.story:
                self._scene.story.commit(part)
            log = self._scene.pairs[part.pair].log
            self._scene.findings += log.commit(part, self._time.theirs)

    def _lose_shard(self, seconds: float) -> None:
        self.holding = False
        self._touched.clear()
        self._undo_uncommitted()
        for lane in self._lanes.values():
            lane.volumes.clear()
            lane.ledger.forget()
        self._later(seconds, self.take_over)

    def _tell(self, words: str) -> None:
        if self._scene.story:
            self._scene.story.tell(words)
