"""The way of a candle: source -> parse -> settle -> encode -> publish, top to bottom.

``frame`` is called for every WebSocket message and ``rows`` for every REST reply; both are plain
functions and do at once all that has to be done. Open updates go out with the next tick of the
live publisher. Closed candles, and the coverage that speaks of them, wait in their ledgers for the
writer (``connectors.writer``), which publishes them in transactions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final, NamedTuple

from connectors.adapter import RestReply
from connectors.agenda import Agenda, Errand
from connectors.clock import ExchangeClock
from connectors.codec import CandleEncoder
from connectors.dead_letters import DeadLetters
from connectors.errors import BadFrame
from connectors.kafka import LivePublisher
from connectors.ledger import Ledger
from connectors.model import CandleData
from connectors.records import CoverageRecord
from connectors.session import Session
from connectors.telemetry import CandlesCompared, RestFailed

SAMPLE_SECONDS: Final = 1.0
"""Real seconds between two frames of an exchange whose event times are compared with our clock."""


@dataclass(eq=False, slots=True)
class Lane:
    """A subscription on its way into Kafka: its ledger, and all that never changes, made once.

    ``live_encoder`` is None where open updates are not wanted.
    """

    ledger: Ledger
    key: bytes
    partition: int
    closed_topic: str
    closed_encoder: CandleEncoder
    live_topic: str
    live_encoder: CandleEncoder | None
    facts: CoverageRecord


class Route(NamedTuple):
    """One connection's conversation, and whom its channels lead to; None: a candle without one."""

    session: Session
    lanes: Mapping[str | None, Sequence[Lane]]


@dataclass(slots=True)
class Tally:
    """What became of the stream's states; its text is the line that a drained run ends with.

    *Settled* states are told by the closed topic, *unwanted* ones by none (``--live none``);
    *unusable* ones say what cannot be, and their frames are dead letters. Published candles that
    were read again over REST *agreed* or *differed*.
    """

    received: int = 0
    published: int = 0
    conflated: int = 0
    failed: int = 0
    settled: int = 0
    unwanted: int = 0
    unusable: int = 0
    closed: int = 0
    transactions: int = 0
    agreed: int = 0
    differed: int = 0

    @property
    def balanced(self) -> bool:
        """Whether every received state is accounted for."""
        sent = self.published + self.conflated + self.failed
        return self.received == sent + self.settled + self.unwanted + self.unusable

    def __str__(self) -> str:
        return (
            f"received {self.received} = published {self.published} + conflated {self.conflated} "
            f"+ failed {self.failed} + settled {self.settled} + unwanted {self.unwanted} "
            f"+ unusable {self.unusable} · "
            f"closed candles written {self.closed} in {self.transactions} transactions · "
            f"read again over REST {self.agreed + self.differed}, differing {self.differed}"
        )


class Flow:
    """See the head of the module. One object per exchange, whose ``clock`` its frames tell of.

    ``tally`` is what several of them count in. With ``keep_all`` no update is given up without a
    pause.
    """

    def __init__(
        self,
        live: LivePublisher,
        dead_letters: DeadLetters,
        clock: ExchangeClock,
        tally: Tally | None = None,
        *,
        keep_all: bool = True,
    ) -> None:
        self.tally = Tally() if tally is None else tally
        self._live = live
        self._dead_letters = dead_letters
        self._clock = clock
        self._local = clock.local
        self._keep_all = keep_all
        self._sample_at = -inf

    # --- source, parse, settle, encode, publish: the stream ---

    def frame(self, route: Route, message: bytes, binary: bool) -> bool:
        """One WebSocket message; True where it was no candle, so that the session may answer."""
        now = self._clock.real()
        exchange = route.session.adapter.name
        try:
            candles = route.session.receive(message, binary, now)
        except BadFrame as error:
            self._dead_letters.add(exchange, str(error), message, "websocket", binary)
            return False
        if candles is None:
            return True
        wrong = None
        for candle in candles:
            for lane in route.lanes.get(candle.channel, ()):
                wrong = self._state(lane, candle, now) or wrong
        if wrong is not None:
            self._dead_letters.add(exchange, wrong, message, "websocket", binary)
        elif now >= self._sample_at:
            self._sample(candles, now)
        return False

    def _sample(self, candles: Sequence[CandleData], now: float) -> None:
        """What a frame says of the exchange's clock."""
        self._sample_at = now + SAMPLE_SECONDS
        times = [it.event_time for it in candles if it.event_time is not None]
        if times:
            self._clock.offset.event(max(times) / 1000, self._local.market_at(now))

    def _state(self, lane: Lane, candle: CandleData, now: float) -> str | None:
        """One state of one bar; what is wrong with it, which harms no other state."""
        tally = self.tally
        tally.received += 1
        try:
            if not lane.ledger.settle(candle, now):
                tally.settled += 1
            elif lane.live_encoder is None:
                tally.unwanted += 1
            else:
                value = lane.live_encoder.encode(candle, published_at=int(self._clock.wall() * 1e3))
                at = candle.event_time or int(self._clock.market_at(now) * 1000)
                self._live.add(lane.live_topic, lane.partition, lane.key, value, at, lane)
        except Exception as error:  # noqa: BLE001 - whatever a state does to its ledger is its own fault
            tally.unusable += 1
            return _said(error)
        return None

    @property
    def crowded(self) -> bool:
        """Whether reading should pause for a moment: the next update would replace another."""
        return self._keep_all and self._live.full

    # --- the same for REST: polled, confirmed, repaired ---

    def rows(self, agenda: Agenda, errand: Errand, reply: RestReply) -> None:
        """One REST reply."""
        market, real = self._clock.market(), self._clock.real()
        exchange = agenda.adapter.name
        try:
            answer = agenda.adapter.read_rest_reply(reply, errand.request)
        except Exception as error:  # noqa: BLE001 - whatever a body does to a parser is its own fault
            self._dead_letters.add(exchange, _said(error), reply.body, "rest", binary=False)
            self.unanswered(agenda, errand, _said(error))
            return
        try:
            reason = agenda.answered(errand, answer, market, real)
        except Exception as error:  # noqa: BLE001 - as with a state of the stream
            self._dead_letters.add(exchange, _said(error), reply.body, "rest", binary=False)
            return
        if reason is not None:
            RestFailed(exchange=exchange, reason=reason).tell()
        self._compared(exchange, errand.ledger)

    def _compared(self, exchange: str, ledger: Ledger) -> None:
        """Count what REST said of candles that are published."""
        agreed, differed = ledger.agreement()
        self.tally.agreed += agreed
        self.tally.differed += differed
        CandlesCompared(exchange=exchange, agreed=agreed, differed=differed).tell()

    def unanswered(self, agenda: Agenda, errand: Errand, reason: str) -> None:
        """A REST request without a usable reply."""
        agenda.failed(errand, reason, self._clock.real())
        RestFailed(exchange=agenda.adapter.name, reason=reason).tell()


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
