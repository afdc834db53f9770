"""Drives ledgers and the agenda through an exchange and a Kafka that fail, in virtual time."""

# ruff: noqa: ARG002 - the contract names the arguments

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from math import inf
from random import Random
from typing import Any, Final

from connectors.adapter import (
    ExchangeAdapter,
    Rate,
    RestRequest,
    RestSlowDown,
    RestUnavailable,
    Rows,
)
from connectors.agenda import SOONEST, Agenda, Errand
from connectors.clock import Clock
from connectors.ledger import LAG, Ledger, Published, Span
from connectors.limits import Backoff, Budget
from connectors.model import CandleData, Grid, Subscription
from tests.simulation.log import Kept, Part, copied
from tests.simulation.market import BIRTH, KINDS, STEP, Kind, Truth

CALM: Final = (14, 75.0)
"""At least so many bars and real seconds without faults end a run: everything must heal."""
SETTLED: Final = 25.0
"""Real seconds after which a calm bar must be decided."""


@dataclass(frozen=True)
class Faults:
    """How badly it goes: chances per frame, per reply, per transaction; events per run."""

    lost: float = 0.0
    lost_closing: float = 0.0
    repeated: float = 0.0
    reordered: float = 0.0
    nonsense: float = 0.0
    rest_fails: float = 0.0
    rest_slow: float = 0.0
    rest_lag: float = 0.0
    wrong_page: float = 0.0
    corrected: float = 0.0
    transaction_fails: float = 0.0
    disconnections: int = 0
    outages: int = 0
    kafka_away: int = 0
    kills: int = 0

    @property
    def hurt_rest(self) -> bool:
        """Whether REST may be of no use for longer than a hold."""
        return bool(self.rest_fails or self.rest_slow or self.wrong_page or self.outages)

    @classmethod
    def drawn(cls, random: Random) -> Faults:
        """Some of everything, none of some."""

        def chance(most: float) -> float:
            return random.choice((0.0, most * random.random()))

        return cls(
            lost=chance(0.2),
            lost_closing=chance(0.5),
            repeated=chance(0.3),
            reordered=chance(0.2),
            nonsense=chance(0.05),
            rest_fails=chance(0.5),
            rest_slow=chance(0.3),
            rest_lag=chance(1.0),
            wrong_page=chance(0.2),
            corrected=chance(0.2),
            transaction_fails=chance(0.2),
            disconnections=random.choice((0, 1, 3)),
            outages=random.choice((0, 0, 1, 2)),
            kafka_away=random.choice((0, 0, 1)),
            kills=random.choice((0, 0, 1, 2)),
        )


class Pretended(ExchangeAdapter):
    """Asked for nothing but requests: the world answers from the truth."""

    name = "simulated"

    def get_trading_pair_format(self, trading_pair: str) -> str:
        return trading_pair

    def get_supported_intervals(self) -> dict[str, int]:
        return {"1m": STEP}

    def get_ws_url(self) -> str:
        return ""

    def get_ws_subscription_payload(self, trading_pair: str, interval: str) -> dict[str, Any]:
        return {}

    def parse_ws_message(self, data: Any) -> None:
        return None

    def get_ws_supported_intervals(self) -> list[str]:
        return []

    def get_rest_url(self) -> str:
        return ""

    def get_rest_params(
        self, trading_pair: str, interval: str, start_time: int, end_time: int, limit: int
    ) -> dict[str, str | int]:
        return {"start": start_time, "end": end_time, "limit": limit}

    def parse_rest_response(
        self, data: Any, request: RestRequest | None = None
    ) -> list[CandleData]:
        return []


@dataclass
class Carried:
    """One subscription: its truth, its ledger of the moment, and what Kafka has of it."""

    truth: Truth
    kept: Kept
    ledger: Ledger
    began: float = 0.0
    undone: set[int] = field(default_factory=set)
    """Slots whose candle nobody can have any more, where there is no REST."""
    volumes: dict[int, float] = field(default_factory=dict)
    """The most volume that the stream has told this ledger of, by slot."""

    @property
    def name(self) -> str:
        """The pair, by which the story calls it."""
        return self.truth.subscription.trading_pair


class World:
    """One run. ``make`` makes a ledger: the mutation check puts a broken one in its place."""

    def __init__(
        self,
        seed: int,
        bars: int = 24,
        kinds: Sequence[Kind] = (),
        faults: Faults | None = None,
        make: Callable[..., Ledger] = Ledger,
    ) -> None:
        self.seed = seed
        self.random = random = Random(seed)
        self._told: list[tuple[float, tuple[object, ...]]] = []
        self.wrong: list[str] = []
        self.faults = faults or Faults.drawn(random)
        self.page = random.choice((5, 12, 100))
        speed = random.choice((1.0, 1.0, 5.0, 20.0))
        self.skew = random.choice((0.0, random.uniform(-0.9, 0.9)))
        self.clock = Clock(speed, 0.0, BIRTH, real=lambda: self.now, wall=lambda: self.now)
        self.now = 0.0
        self.noisy_until = BIRTH + bars * STEP
        self.end = self.noisy_until + max(CALM[0] * STEP, CALM[1] * speed)
        self._make = make
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._touched: dict[Ledger, None] = {}
        self._writing = False
        self._holding = True
        self._run = 0
        self._connected = True
        self._rest_out = False
        self._kafka_out = False
        self._in_flight: list[Part] = []
        self._next_tick = inf
        self.agenda = self._new_agenda()
        chosen = kinds or random.sample(KINDS, 4)
        self.carried = {
            (it := Subscription("simulated", f"P{number}-USD", "1m")): self._carry(it, kind)
            for number, kind in enumerate(chosen)
        }

    # --- the run ---

    def run(self) -> list[str]:
        """Live through it all; what was wrong, nothing if all is well."""
        self._tell("all", self.faults, "speed", self.clock.speed, "page", self.page)
        self._tell("all", "their clock is off by", -self.skew)
        for carried in self.carried.values():
            self._begin(carried)
            self._plan_frames(carried, carried.truth.grid.floor(self.theirs))
        self._plan_troubles()
        last = self.clock.real_at(self.end)
        while self._events and self._events[0][0] <= last and not self.wrong:
            self.now, _, event = heapq.heappop(self._events)
            event()
        if not self.wrong:
            self._judge()
        return self.wrong

    def _judge(self) -> None:
        for subscription, carried in self.carried.items():
            alone = carried.truth.kind.rest is None
            faults = carried.kept.verdict(
                int(self.end - max(3 * STEP, SETTLED * self.clock.speed)),
                carried.undone if alone else set(),
            )
            if not alone and not self.faults.hurt_rest:
                faults += carried.kept.needless()
            self.wrong += [f"{subscription} ({carried.truth.kind.name}) {it}" for it in faults]

    def _at(self, real: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (max(real, self.now), next(self._numbers), event))

    def _later(self, seconds: float, event: Callable[[], None]) -> None:
        run = self._run
        self._at(self.now + seconds, lambda: event() if run == self._run else None)

    def _tell(self, *words: object) -> None:
        self._told.append((self.market - BIRTH, words))

    def story(self, about: str = "") -> list[str]:
        """What happened, a line each: with ``about``, only that pair's and what touched all."""
        return [
            f"{at:9.2f} " + " ".join(map(str, words))
            for at, words in self._told
            if not about or words[0] in (about, "all")
        ]

    @property
    def market(self) -> float:
        """Market time now, as our clock has it."""
        return self.clock.market_at(self.now)

    @property
    def theirs(self) -> float:
        """The exchange's time now: its clock and ours are not quite alike."""
        return self.market - self.skew

    def _real_at(self, theirs: float) -> float:
        return self.clock.real_at(theirs + self.skew)

    @property
    def noisy(self) -> bool:
        """Whether faults happen still."""
        return self.market < self.noisy_until

    def _happens(self, chance: float) -> bool:
        return self.noisy and self.random.random() < chance

    def _carry(self, subscription: Subscription, kind: Kind) -> Carried:
        anchor = 20 if kind.learned else 0
        quiet = self.random.choice((0.0, 0.3, 0.8))
        truth = Truth(self.seed, subscription, kind, quiet, anchor)
        return Carried(truth, Kept(truth), self._ledger(subscription, kind))

    def _ledger(self, subscription: Subscription, kind: Kind) -> Ledger:
        return self._make(
            subscription,
            Grid(STEP, None if kind.learned else 0),
            kind.rules(self.page),
            self.clock,
            self._wake,
            self._touch,
        )

    # --- the exchange's stream ---

    def _plan_frames(self, carried: Carried, slot: int) -> None:
        """The frames of one bar, and the next bar's when it begins."""
        closing_delay = self.random.uniform(0.05, carried.truth.kind.grace * 0.9)
        for at, closed in carried.truth.frames(slot):
            delay = closing_delay if closed else self.random.uniform(0.01, 0.04)
            self._frame(carried, slot, at + delay, closed)
        following = slot + STEP
        self._at(self._real_at(following), lambda: self._plan_frames(carried, following))
        if not carried.truth.is_quiet(slot) and self._happens(self.faults.corrected):
            when = following + carried.truth.kind.grace + self.random.uniform(1, 20)
            self._at(self._real_at(when), lambda: self._correct(carried, slot))

    def _frame(self, carried: Carried, slot: int, at: float, closed: bool) -> None:
        chance = self.faults.lost_closing if closed else self.faults.lost
        lost = self._happens(chance)
        delay = 0.0
        if carried.truth.kind.rest and self._happens(self.faults.reordered):
            delay = self.random.uniform(0, carried.truth.kind.grace / 2)
        self._at(self._real_at(at + delay), lambda: self._deliver(carried, slot, at, closed, lost))
        if self._happens(self.faults.repeated):
            again = at + self.random.uniform(0, 3)
            self._at(self._real_at(again), lambda: self._deliver(carried, slot, at, closed, lost))

    def _deliver(self, carried: Carried, slot: int, at: float, closed: bool, lost: bool) -> None:
        kind = carried.truth.kind
        if lost or not self._connected or not carried.ledger.begun:
            self._undo(carried, slot)
        if lost or not self._connected:
            self._tell(carried.name, "lost frame of", slot, "closed" * closed)
            return
        state = carried.truth.state(slot, at, closed if kind.flagged else None)
        carried.kept.hear(state)
        if carried.ledger.begun:
            carried.volumes[slot] = max(state.volume, carried.volumes.get(slot, 0.0))
        carried.ledger.settle(state, self.now)
        if self._happens(self.faults.nonsense):
            self._nonsense(carried, slot)

    def _nonsense(self, carried: Carried, slot: int) -> None:
        """A frame that no exchange would send is refused and harms nothing."""
        if not carried.ledger.grid.known:
            return
        at = slot + self.random.choice((7, 100 * 86_400))
        try:
            carried.ledger.settle(CandleData(at, 1, 1, 1, 1, 1, closed=True), self.now)
        except ValueError:
            return
        self.wrong.append("nonsense was taken for a candle")

    def _undo(self, carried: Carried, *slots: int) -> None:
        carried.undone.update(slots)

    def _correct(self, carried: Carried, slot: int) -> None:
        """The exchange corrects a closed bar; where frames say closed, by such a frame."""
        flagged = carried.truth.kind.flagged
        faults = self.faults
        rest_fails = faults.rest_fails or faults.outages or faults.wrong_page
        if rest_fails or faults.kills or faults.kafka_away:
            return  # nobody would hear of it: that is for the audit
        if self._writing or not (self._connected and self._holding) or not carried.truth.kind.rest:
            return
        if flagged and carried.ledger.coverage.head > slot and not carried.kept.has(slot):
            return
        self._tell(carried.name, "corrected", slot)
        carried.truth.corrected[slot] = (self.theirs, 0.125)
        if flagged:
            carried.ledger.settle(carried.truth.state(slot, self.theirs, True), self.now)

    # --- REST ---

    def _new_agenda(self) -> Agenda:
        budget = Budget([Rate(30 + 10 * self.clock.speed, 10 * self.clock.speed)])
        backoff = Backoff(self.random.random, 1.0, 10.0)
        return Agenda(Pretended(), budget, backoff, self.clock)

    def _wake(self, ledger: Ledger, real: float) -> None:
        self.agenda.wake(ledger, real)
        self._plan_tick(self.agenda.due(self.market))

    def _plan_tick(self, due: float) -> None:
        """One tick of the agenda is planned at any time: the earliest."""
        if due < self._next_tick:
            self._next_tick = due = max(due, self.now)
            self._later(due - self.now, lambda: self._tick() if due == self._next_tick else None)

    def _tick(self) -> None:
        self._next_tick = inf
        for errand in self.agenda.next_requests(self.market, self.now):
            self._send(errand)
        self._plan_tick(max(self.agenda.due(self.market), self.now + SOONEST))

    def _send(self, errand: Errand) -> None:
        truth = self.carried[errand.ledger.subscription].truth
        slow = self._happens(self.faults.rest_slow)
        there = self.random.uniform(0.02, 0.2)
        back = self.random.uniform(2, 12) if slow else self.random.uniform(0.02, 0.2)
        self._later(there, lambda: self._answer(errand, truth, back))

    def _answer(self, errand: Errand, truth: Truth, back: float) -> None:
        lag = 0.0
        if self._happens(self.faults.rest_lag):
            lag = self.random.uniform(0, truth.kind.grace + LAG - abs(self.skew))
        rows = truth.rows(errand.span, self.theirs - lag)
        if lag and self.random.random() < 0.5:
            rows = [row for row in rows if row.timestamp + STEP <= self.theirs - lag]
        fails = self._rest_out or self._happens(self.faults.rest_fails)
        if self._happens(self.faults.wrong_page):
            away = self.page * STEP
            span = Span(errand.span.start - away, errand.span.end - away, True, 0.0)
            rows = truth.rows(span, self.theirs)
            fails |= not rows  # an empty page cannot be told from a right one
        elif rows and self._happens(self.faults.repeated):
            rows = sorted([*rows, rows[0]], key=lambda row: row.timestamp)
        self._later(back, lambda: self._arrive(errand, None if fails else rows, lag))

    def _arrive(self, errand: Errand, rows: list[CandleData] | None, lag: float) -> None:
        name = errand.ledger.subscription.trading_pair
        span = (*errand.span[:2], "asked at", round(errand.span.at - BIRTH, 2))
        if rows is None:
            self._tell(name, "REST fails", *span)
            if self.random.random() < 0.2:
                answer = RestSlowDown("too much", self.random.choice((None, 2.0)))
                self.agenda.answered(errand, answer, self.market, self.now)
            elif self.random.random() < 0.5:
                self.agenda.answered(errand, RestUnavailable("503"), self.market, self.now)
            else:
                self.agenda.failed(errand, "timed out", self.now)
        else:
            told = [(row.timestamp, round(row.volume, 3)) for row in rows]
            self._tell(name, "REST", *span, "lag", round(lag, 2), told)
            self.agenda.answered(errand, Rows(rows), self.market, self.now)
        self._plan_tick(self.now)

    # --- Kafka ---

    def _touch(self, ledger: Ledger) -> None:
        self._touched[ledger] = None
        self._look_at(self.carried[ledger.subscription], ledger.pending[-1:])
        if self._holding and not self._writing:
            self._writing = True
            self._later(0.0, self._write)

    def _look_at(self, carried: Carried, published: list[Published]) -> None:
        """No candle says less than the stream had told when it was published."""
        for candle, reason, revision, _ in published:
            if candle.volume < carried.volumes.get(candle.timestamp, 0.0) - 1e-9:
                self.wrong.append(
                    f"simulated:{carried.name}:1m regressed: {candle} ({reason}, {revision})"
                )

    def _write(self) -> None:
        parts: list[Part] = []
        while self._touched and len(parts) < 3:
            ledger = next(iter(self._touched))
            del self._touched[ledger]
            carried = self.carried[ledger.subscription]
            parts.append(
                Part(ledger.subscription, ledger.take(), copied(ledger.coverage), carried.began)
            )
        fails = self._kafka_out or self._happens(self.faults.transaction_fails)
        committed = not fails or self.random.random() < 0.4
        self._in_flight = parts
        self._later(
            self.random.uniform(0.005, 0.05), lambda: self._end_write(parts, committed, fails)
        )

    def _end_write(self, parts: list[Part], committed: bool, fails: bool) -> None:
        self._in_flight = []
        self._writing = False
        fails |= self._kafka_out
        if committed and not self._kafka_out:
            self._commit(parts)
        if fails:
            self._tell("all", "transaction failed,", "committed" if committed else "not committed")
            self._lose_shard(self.random.uniform(0.1, 5))
        elif self._touched:
            self._writing = True
            self._later(0.0, self._write)

    def _commit(self, parts: list[Part]) -> None:
        for part in parts:
            told = [(p.candle.timestamp, p.reason.name, p.revision) for p in part.candles]
            self._tell(part.subscription.trading_pair, "committed", told, part.coverage.runs[-3:])
            carried = self.carried[part.subscription]
            faults = carried.kept.commit(part)
            self.wrong += [f"{part.subscription} ({carried.truth.kind.name}) {it}" for it in faults]

    def _lose_shard(self, seconds: float) -> None:
        self._holding = False
        self._touched.clear()
        for carried in self.carried.values():
            self._undo_uncommitted(carried)
            carried.volumes.clear()
            carried.ledger.forget()
        self._later(seconds, self._take_over)

    def _undo_uncommitted(self, carried: Carried) -> None:
        """What only memory knew is lost: of the open bar too, where there is no REST."""
        coverage = carried.kept.coverage
        start = coverage.head if coverage else carried.truth.grid.floor(BIRTH)
        self._undo(carried, *range(start, int(self.market) + 1, STEP))

    def _take_over(self) -> None:
        if self._kafka_out:
            self._later(1.0, self._take_over)
            return
        self._tell("all", "shard taken over")
        self._holding = True
        for carried in self.carried.values():
            self._undo_uncommitted(carried)
            self._begin(carried)

    def _begin(self, carried: Carried) -> None:
        known = carried.kept.coverage
        carried.began = self.market
        carried.ledger.begin(copied(known) if known else None, self.market, self.now)

    # --- troubles ---

    def _plan_troubles(self) -> None:
        for times, trouble in (
            (self.faults.disconnections, self._disconnect),
            (self.faults.outages, self._rest_outage),
            (self.faults.kafka_away, self._kafka_leaves),
            (self.faults.kills, self._kill),
        ):
            for _ in range(times):
                at = self.random.uniform(BIRTH, self.noisy_until - 5 * STEP)
                self._at(self.clock.real_at(at), trouble)

    def _some_time(self) -> float:
        """Real seconds of a trouble: at most a few bars."""
        return self.random.choice((0.1, 1.0, 4.0)) * STEP * self.random.random() / self.clock.speed

    def _disconnect(self) -> None:
        self._connected = False
        self._tell("all", "disconnected")
        self._at(self.now + self._some_time(), self._connect)

    def _connect(self) -> None:
        self._connected = True
        self._tell("all", "connected")
        for carried in self.carried.values():
            slot = carried.truth.grid.floor(self.theirs)
            self._undo(carried, slot)
            if carried.truth.kind.snapshot:
                self._snapshot(carried, slot)

    def _snapshot(self, carried: Carried, newest: int) -> None:
        slots = [newest - many * STEP for many in range(4)]
        for slot in self.random.choice((slots, slots[::-1])):
            if any(trade.at <= self.theirs for trade in carried.truth.trades(slot)):
                carried.ledger.settle(carried.truth.state(slot, self.theirs), self.now)

    def _rest_outage(self) -> None:
        self._rest_out = True
        self._tell("all", "REST is out")
        self._at(self.now + self._some_time(), self._rest_returns)

    def _rest_returns(self) -> None:
        self._rest_out = False
        self._tell("all", "REST is back")

    def _kafka_leaves(self) -> None:
        self._kafka_out = True
        self._tell("all", "Kafka is away")
        self._at(self.now + self._some_time(), self._kafka_returns)

    def _kafka_returns(self) -> None:
        self._kafka_out = False
        self._tell("all", "Kafka is back")

    def _kill(self) -> None:
        """kill -9: memory is gone, a transaction under way is committed or not."""
        self._tell("all", "killed")
        if self._writing and self.random.random() < 0.5 and not self._kafka_out:
            self._commit(self._in_flight)
        self._run += 1
        self._next_tick = inf
        self._writing = self._holding = False
        self._touched.clear()
        self.agenda = self._new_agenda()
        for subscription, carried in self.carried.items():
            self._undo_uncommitted(carried)
            carried.volumes.clear()
            carried.ledger = self._ledger(subscription, carried.truth.kind)
        self._later(self._some_time(), self._take_over)


def told(world: World) -> str:
    """The readable story of a run that went wrong: the seed, what went on, what is wrong."""
    about = world.wrong[0].split(":")[1] if ":" in world.wrong[0] else ""
    return "\n".join([f"seed {world.seed}", *world.story(about)[-80:], *world.wrong])
