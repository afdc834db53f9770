"""What a worker is made of, handed out by a worker that never runs: for measuring it singly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from benchmarks.load import EXCHANGE
from connectors.adapter import ExchangeAdapter, Opening, Parsed
from connectors.clock import Clock
from connectors.flow import Flow, Lane, Route, Tally
from connectors.kafka import LivePublisher
from connectors.ledger import Ledger
from connectors.model import CandleData
from connectors.session import Session
from connectors.worker import Worker
from connectors.writer import Writer

Touch = Callable[[Ledger], None]


class Pieces(Worker):
    """Prepare it, then take what is needed; ledgers begin at ``start``, but for a writer's."""

    start: int

    @property
    def clock(self) -> Clock:
        """The load's."""
        return self._clock

    @property
    def live(self) -> LivePublisher:
        """Connected to Kafka."""
        return self._live

    def adapter(self) -> ExchangeAdapter:
        """One that knows the instruments."""
        return self._carriers[EXCHANGE].new_adapter()

    def session(self, adapter: ExchangeAdapter) -> Session:
        """A conversation in which every channel is wanted."""
        opening = Opening(url=adapter.get_ws_url())
        session = Session(adapter, opening, self._clock.real())
        session.want([adapter.channel(subscription) for subscription in self._subscriptions])
        return session

    def route(self, adapter: ExchangeAdapter) -> Route:
        """Fresh lanes for a conversation."""
        lanes: dict[str | None, Sequence[Lane]] = {}
        for lane in self._fresh_lanes():
            lane.ledger.begin(None, self.start, self._clock.real())
            lanes[adapter.channel(lane.ledger.subscription)] = (lane,)
        return Route(self.session(adapter), lanes)

    def flow(self) -> Flow:
        """One whose updates nobody publishes."""
        return Flow(Sink(self._cluster), self._dead_letters(), self._carriers[EXCHANGE].clock)

    def writer(self) -> tuple[Writer, list[Lane]]:
        """A writer, which begins the ledgers of these lanes when it runs."""
        writer = self._writer(Tally(), self.start)
        lanes = self._fresh_lanes(writer.touch)
        self._lanes.update({lane.ledger.subscription: lane for lane in lanes})
        return writer, lanes

    def _fresh_lanes(self, touch: Touch = lambda _: None) -> list[Lane]:
        return [
            self._lane(subscription, touch, confirm=True) for subscription in self._subscriptions
        ]


NOTHING: Final[list[CandleData]] = []


class Deaf:
    """An adapter in a session, which understands nothing: what is left is the session's work."""

    def __init__(self, adapter: ExchangeAdapter) -> None:
        self._adapter = adapter

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    def parse_ws_message(self, data: Any) -> Parsed:
        """No candle in it."""
        del data
        return NOTHING


class Sink(LivePublisher):
    """Takes updates, and forgets them."""

    def add(self, *state: object) -> None:
        """Nothing is done with it."""
