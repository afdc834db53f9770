"""The objects that a worker makes for the load, without the worker: for measuring them singly."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.load import EXCHANGE, INTERVAL, SYMBOLS, TRADING_PAIRS
from benchmarks.ours import BEHIND
from benchmarks.settings import Settings
from connectors import exchanges
from connectors.adapter import ExchangeAdapter, Opening, Parsed
from connectors.clock import Clock
from connectors.codec import CandleEncoder, candle_key, partition_of
from connectors.coverage import Coverage
from connectors.flow import Lane, Tally
from connectors.kafka import Cluster, LivePublisher, Shard, TopicPlan, ensure
from connectors.ledger import Ledger
from connectors.limits import Backoff
from connectors.market import rules_of
from connectors.model import CandleData, Instrument, Subscription
from connectors.records import CoverageRecord
from connectors.schema import CANDLE, COVERAGE
from connectors.session import Session
from connectors.values import Values
from connectors.writer import Writer


class Pieces:
    """One set of them; coverage begins at ``start``. ``touched`` hears of what is to be written."""

    def __init__(self, settings: Settings, start: int) -> None:
        self.start = start
        self.clock = Clock(market_origin=time.time() - BEHIND)
        self.cluster = Cluster(settings.kafka)
        self.adapter = exchanges.get(EXCHANGE)()
        listed = zip(TRADING_PAIRS, SYMBOLS, strict=True)
        self.adapter.use_instruments([Instrument(pair, symbol) for pair, symbol in listed])
        self.touched: Callable[[Ledger], None] = lambda _: None
        self._plan = TopicPlan(
            settings.run, settings.partitions, closed_name=settings.closed, live_name=settings.live
        )
        subscriptions = [Subscription(EXCHANGE, pair, INTERVAL) for pair in TRADING_PAIRS]
        self.lanes = {subscription: self._lane(subscription) for subscription in subscriptions}
        self.routes: dict[str | None, Sequence[Lane]] = {
            self.adapter.channel(subscription): (lane,) for subscription, lane in self.lanes.items()
        }

    async def create_topics(self) -> None:
        """As the worker does."""
        plan = self._plan
        await ensure(
            self.cluster, [plan.closed(EXCHANGE), plan.live(EXCHANGE), plan.fixed_coverage()]
        )

    def session(self, adapter: ExchangeAdapter | None = None) -> Session:
        """A conversation in which every channel is wanted."""
        opening = Opening(url=self.adapter.get_ws_url())
        session = Session(adapter or self.adapter, opening, self.clock.real())
        session.want([str(channel) for channel in self.routes])
        return session

    def writer(self) -> Writer:
        """The writer of these lanes; it hears of what they have to write."""
        topic = self._plan.fixed_coverage().name
        writer = Writer(
            Shard(self.cluster, topic),
            self.lanes,
            Tally(),
            self.clock,
            Backoff(lambda: 0.5),
            owner="benchmark",
            coverage=(topic, COVERAGE.prefix),
            values=Values(COVERAGE, self.cluster, self._plan),
            accepted=self.start,
        )
        self.touched = writer.touch
        return writer

    def _lane(self, subscription: Subscription) -> Lane:
        grid = self.adapter.grid(INTERVAL)
        ledger = Ledger(
            subscription,
            grid,
            rules_of(self.adapter, INTERVAL),
            self.clock,
            wake=lambda *_: None,
            touch=lambda it: self.touched(it),  # noqa: PLW0108 - it is set later
        )
        ledger.begin(Coverage(self.start), self.start, self.clock.real())
        key, closed = candle_key(subscription), self._plan.closed(EXCHANGE)
        return Lane(
            ledger=ledger,
            key=key,
            partition=partition_of(key, closed.partitions),
            closed_topic=closed.name,
            closed_encoder=CandleEncoder(subscription, grid, CANDLE.prefix),
            live_topic=self._plan.live(EXCHANGE).name,
            live_encoder=CandleEncoder(subscription, grid, CANDLE.prefix),
            facts=CoverageRecord(subscription=subscription),
        )


class Deaf:
    """An adapter in a session, which understands nothing: what is left is the session's work."""

    def __init__(self, adapter: ExchangeAdapter) -> None:
        self._adapter = adapter
        self._nothing: list[CandleData] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    def parse_ws_message(self, data: Any) -> Parsed:
        """No candle in it."""
        del data
        return self._nothing


class Sink(LivePublisher):
    """Takes updates, and forgets them."""

    def add(self, *state: object) -> None:
        """Nothing is done with it."""
