"""The way of a candle: source -> parse -> settle -> encode -> publish, top to bottom.

``frame`` is called for every WebSocket message and ``rows`` for every REST reply; both are plain
functions and do at once all that has to be done. Open updates go out with the next tick of the
live publisher. Closed candles, and the coverage that speaks of them, wait in their ledgers for the
writer (``connectors.writer``), which publishes them in transactions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from connectors.adapter import RestReply
from connectors.agenda import Agenda, Errand
from connectors.clock import Clock
from connectors.codec import CandleEncoder, encode_dead_letter
from connectors.errors import BadFrame
from connectors.kafka import LivePublisher
from connectors.ledger import Ledger
from connectors.model import CandleData
from connectors.records import CoverageRecord, DeadLetter
from connectors.session import Session
from connectors.telemetry import FrameUnreadable, RestFailed


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
    """What became of the stream's states; its text is the line that a drained run ends with."""

    received: int = 0
    published: int = 0
    conflated: int = 0
    failed: int = 0
    settled: int = 0
    unwanted: int = 0
    closed: int = 0
    transactions: int = 0

    @property
    def balanced(self) -> bool:
        """Whether every received state is accounted for."""
        parts = self.published, self.conflated, self.failed, self.settled, self.unwanted
        return self.received == sum(parts)

    def __str__(self) -> str:
        return (
            f"received {self.received} = published {self.published} + conflated {self.conflated} "
            f"+ failed {self.failed} + settled {self.settled} + unwanted {self.unwanted} · "
            f"closed candles written {self.closed} in {self.transactions} transactions"
        )


class Flow:
    """See the head of the module."""

    def __init__(
        self,
        live: LivePublisher,
        notes: LivePublisher,
        clock: Clock,
        dead_letters: tuple[str, bytes],
    ) -> None:
        self.tally = Tally()
        self._live = live
        self._notes = notes
        self._clock = clock
        self._dead_letters = dead_letters

    # --- source, parse, settle, encode, publish: the stream ---

    def frame(self, route: Route, message: bytes, binary: bool) -> bool:
        """One WebSocket message; True where it was no candle, so that the session may answer."""
        now = self._clock.real()
        try:
            candles = route.session.receive(message, binary, now)
            if candles is None:
                return True
            for candle in candles:
                for lane in route.lanes.get(candle.channel, ()):
                    self._state(lane, candle, now)
        except (BadFrame, ValueError) as error:
            self._bury(route.session.adapter.name, message, binary, "websocket", str(error))
        return False

    def _state(self, lane: Lane, candle: CandleData, now: float) -> None:
        tally = self.tally
        tally.received += 1
        if not lane.ledger.settle(candle, now):
            tally.settled += 1
        elif lane.live_encoder is None:
            tally.unwanted += 1
        else:
            value = lane.live_encoder.encode(candle, published_at=int(self._clock.wall() * 1000))
            at = candle.event_time or int(self._clock.market_at(now) * 1000)
            self._live.add(lane.live_topic, lane.partition, lane.key, value, at, lane)

    @property
    def crowded(self) -> bool:
        """Whether reading should pause for a moment: the next update would replace another."""
        return self._live.full

    # --- the same for REST: polled, confirmed, repaired ---

    def rows(self, agenda: Agenda, errand: Errand, reply: RestReply) -> None:
        """One REST reply."""
        market, real = self._clock.market(), self._clock.real()
        try:
            answer = agenda.adapter.read_rest_reply(reply, errand.request)
        except Exception as error:  # noqa: BLE001 - whatever a body does to a parser is its own fault
            why = f"{type(error).__name__}: {error}"
            self._bury(agenda.adapter.name, reply.body, False, "rest", why)
            self.unanswered(agenda, errand, why)
            return
        try:
            reason = agenda.answered(errand, answer, market, real)
        except ValueError as error:
            self._bury(agenda.adapter.name, reply.body, False, "rest", str(error))
            return
        if reason is not None:
            RestFailed(exchange=agenda.adapter.name, reason=reason).tell()

    def unanswered(self, agenda: Agenda, errand: Errand, reason: str) -> None:
        """A REST request without a usable reply."""
        agenda.failed(errand, reason, self._clock.real())
        RestFailed(exchange=agenda.adapter.name, reason=reason).tell()

    def _bury(self, exchange: str, frame: bytes, binary: bool, transport: str, why: str) -> None:
        """What cannot be read goes to the dead letters with its bytes and the reason."""
        FrameUnreadable(exchange=exchange, reason=why).tell()
        at = int(self._clock.wall() * 1000)
        letter = DeadLetter(
            exchange=exchange,
            reason=why,
            frame=frame,
            size=len(frame),
            received_at=at,
            binary=binary,
            transport=transport,
        )
        topic, prefix = self._dead_letters
        value = encode_dead_letter(letter, prefix)
        self._notes.add(topic, 0, exchange.encode(), value, at, ("dead letter", exchange))
