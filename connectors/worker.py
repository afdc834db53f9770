"""A worker: checks what it is to carry, runs it, and drains it when it is told to stop.

prepare    subscriptions, Kafka, instruments, limits, topics, schemas: whatever is wrong is said
           in a sentence before any WebSocket is opened; an exchange that cannot be asked for its
           instruments begins later, unless there is no other
run        one carrier per exchange, one writer for the shard, until ``stop`` or a failure
drain      reading ends, what is decided is written, producers are closed, in bounded time
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Literal, Self, TypeVar
from uuid import uuid4

from connectors import exchanges
from connectors.carrier import Carrier
from connectors.clock import Clock
from connectors.closed import read_newest
from connectors.codec import CandleEncoder, candle_key, partition_of
from connectors.dead_letters import DeadLetters
from connectors.endpoints import Endpoints
from connectors.errors import ConnectorError, Unreachable, UsageError
from connectors.flow import Flow, Lane, Tally
from connectors.instruments import Instruments
from connectors.kafka import (
    Cluster,
    LivePublisher,
    Shard,
    TopicPlan,
    TopicSpec,
    ensure,
    probe,
)
from connectors.kafka.outbox import CAPACITY
from connectors.kafka.topics import CLOSED_NAME, LIVE_NAME
from connectors.ledger import Ledger
from connectors.limits import Backoff
from connectors.market import (
    bears_confirmation,
    check_history,
    check_interval,
    check_pair,
    pack,
    rules_of,
)
from connectors.model import Subscription
from connectors.plan import check
from connectors.recall import Recall
from connectors.records import CoverageRecord
from connectors.registry import SchemaRegistry
from connectors.rest import Rest
from connectors.schema import CANDLE, COVERAGE, DEAD_LETTER, Schema, confluent_prefix
from connectors.tasks import end
from connectors.telemetry import ClosesUnconfirmed, SubscriptionRefused, SubscriptionsAccepted
from connectors.values import Values
from connectors.writer import Writer

T = TypeVar("T")

NOTES: Final = 100
"""So many schemas and dead letters may wait for Kafka: a letter may be large."""
CONFLATED: Final = 1
"""The live publisher's capacity where only the newest update of each bar is wanted."""


@dataclass(frozen=True)
class Options:
    """How a worker works. ``registry`` is entered by the worker; ``drain`` in real seconds.

    ``closed_name`` and ``live_name`` are templates of the names of the topics of candles;
    ``since`` (UNIX seconds) is where coverage shall begin, else with the running bar.
    """

    prefix: str = "candles"
    live: Literal["all", "newest", "none"] = "all"
    partitions: int = 12
    replication: int = -1
    closed_name: str = CLOSED_NAME
    live_name: str = LIVE_NAME
    registry: SchemaRegistry | None = None
    since: float | None = None
    drain: float = 10.0


class Worker:
    """Carries a fixed set of subscriptions as a single shard. An asynchronous context manager."""

    def __init__(
        self,
        cluster: Cluster,
        subscriptions: Sequence[Subscription],
        clock: Clock,
        endpoints: Endpoints = Endpoints(),  # noqa: B008 - frozen
        options: Options = Options(),
        seed: int | None = None,
    ) -> None:
        if not subscriptions:
            raise UsageError("there is nothing to carry: name at least one subscription")
        self._cluster = cluster
        self._subscriptions = list(dict.fromkeys(subscriptions))
        self._clock = clock
        self._endpoints = endpoints
        self._options = options
        self._random = random.Random(seed).random  # noqa: S311 - jitter, not secrets
        self._plan = TopicPlan(
            options.prefix,
            partitions=options.partitions,
            replication=options.replication,
            closed_name=options.closed_name,
            live_name=options.live_name,
        )
        self._stack = AsyncExitStack()
        self._stop = asyncio.Event()
        self._rest = Rest(endpoints)
        self._live = LivePublisher(
            cluster, capacity=CONFLATED if options.live == "newest" else CAPACITY
        )
        self._notes = LivePublisher(cluster, capacity=NOTES)
        self._carriers: dict[str, Carrier] = {}
        self._instruments: dict[str, Instruments] = {}
        self._lanes: dict[Subscription, Lane] = {}
        self._recall = Recall(
            self._lanes,
            partial(read_newest, cluster, self._values(CANDLE)),
            clock,
            Backoff(self._random, 0.2, 10.0),
        )
        self._prefixes: dict[str, bytes] = {}

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._rest)
        if self._options.registry is not None:
            await self._stack.enter_async_context(self._options.registry)
        return self

    async def __aexit__(self, *error: object) -> None:
        await asyncio.gather(self._live.close(), self._notes.close())
        await self._stack.aclose()

    def stop(self) -> None:
        """Ask ``run`` to drain and return; may be called from a signal handler."""
        self._stop.set()

    # --- prepare ---

    async def prepare(self) -> None:
        """Check everything that can be wrong; see the head of the module for what is raised."""
        for subscription in self._subscriptions:
            adapter = exchanges.get(subscription.exchange)()
            check_interval(adapter, subscription)
            if self._options.since is not None:
                check_history(adapter, subscription)
        await probe(self._cluster)
        for exchange in sorted({subscription.exchange for subscription in self._subscriptions}):
            make = exchanges.get(exchange)
            carrier = Carrier(make, self._rest, self._endpoints, self._clock, self._random)
            self._carriers[exchange] = carrier
            self._instruments[exchange] = Instruments(carrier, self._random)
        await _all(*map(self._list, self._carriers))
        failures = [each.failure for each in self._instruments.values() if each.failure]
        if len(failures) == len(self._carriers):
            raise failures[0]
        await ensure(self._cluster, self._topics())
        self._live.start()
        self._notes.start()
        await self._announce_schemas()

    def _of(self, exchange: str) -> list[Subscription]:
        return [each for each in self._subscriptions if each.exchange == exchange]

    async def _list(self, exchange: str) -> None:
        """Check what cannot fit, and pairs where the exchange lists them; else it begins later."""
        await self._instruments[exchange].first()
        carrier = self._carriers[exchange]
        check(carrier.adapter, self._of(exchange), carrier.instruments)

    def _topics(self) -> list[TopicSpec]:
        plan = self._plan
        specs = [
            *(plan.closed(exchange) for exchange in self._carriers),
            *(plan.live(exchange) for exchange in self._carriers),
            plan.fixed_coverage(),
            plan.dead_letters(),
            plan.schemas(),
        ]
        return list({spec.name: spec for spec in specs}.values())

    async def _announce_schemas(self) -> None:
        """Every writer schema is published before its first use."""
        plan = self._plan
        writes: list[tuple[TopicSpec, Schema]] = [
            *((plan.closed(exchange), CANDLE) for exchange in self._carriers),
            *((plan.live(exchange), CANDLE) for exchange in self._carriers),
            (plan.fixed_coverage(), COVERAGE),
            (plan.dead_letters(), DEAD_LETTER),
        ]
        registry = self._options.registry
        for spec, schema in writes:
            prefix = schema.prefix
            if registry is not None:
                prefix = confluent_prefix(await registry.register(spec.name, schema))
            self._prefixes[spec.name] = prefix
        if registry is None:
            await self._publish_schemas({schema.name: schema for _, schema in writes})

    async def _publish_schemas(self, schemas: dict[str, Schema]) -> None:
        at = int(self._clock.wall() * 1000)
        for schema in schemas.values():
            key, value = schema.key.encode(), schema.text.encode()
            self._notes.add(self._plan.schemas().name, 0, key, value, at, ("schema", schema.name))
        if not await self._notes.drain(self._options.drain):
            raise Unreachable(
                f"Kafka has not taken the schemas within {self._options.drain:g} s: "
                f"{self._notes.last_error or 'no broker answers'}"
            )

    # --- run and drain ---

    async def run(self) -> Tally:
        """Carry everything until ``stop``; what became of it. ``prepare`` comes first."""
        keep_all = self._options.live == "all"
        tally, letters = Tally(), self._dead_letters()
        accepted = min(carrier.clock.market() for carrier in self._carriers.values())
        SubscriptionsAccepted(subscriptions=len(self._subscriptions), market=accepted).tell()
        writer = self._writer(tally, accepted)
        for exchange in self._carriers:
            self._make_lanes(exchange, writer.touch)
        flows = {
            name: Flow(self._live, letters, carrier.clock, tally, keep_all=keep_all)
            for name, carrier in self._carriers.items()
        }
        sources = [
            asyncio.create_task(self._carry(flow, name), name=name) for name, flow in flows.items()
        ]
        sources.append(asyncio.create_task(self._recall.run(), name="recall"))
        writing = asyncio.create_task(writer.run(), name="writer")
        stopping = asyncio.create_task(self._stop.wait(), name="stop")
        try:
            await asyncio.wait({*sources, writing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            await end(*sources)
            await self._drain(writer, writing)
        finally:
            await end(*sources, stopping, writing)
            await writer.close()
        _raise_first([*sources, writing])
        return self._final(tally)

    async def _drain(self, writer: Writer, writing: asyncio.Task[None]) -> None:
        """All at the same time, so that together they take no longer than one may."""
        seconds = self._options.drain
        settled = asyncio.create_task(writer.settled(), name="settled")
        await asyncio.gather(
            asyncio.wait({settled, writing}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED),
            self._live.drain(seconds),
            self._notes.drain(seconds),
        )
        await end(settled)

    def _writer(self, tally: Tally, accepted: float) -> Writer:
        topic = self._plan.fixed_coverage().name
        return Writer(
            Shard(self._cluster, topic),
            self._lanes,
            tally,
            self._clock,
            Backoff(self._random, 0.2, 10.0),
            owner=uuid4().hex,
            coverage=(topic, self._prefixes[topic]),
            values=self._values(COVERAGE),
            candles=self._values(CANDLE),
            accepted=accepted,
            since=self._options.since,
            forgotten=self._recall.drop,
        )

    def _values(self, schema: Schema) -> Values:
        return Values(schema, self._cluster, self._plan, self._options.registry)

    def _dead_letters(self) -> DeadLetters:
        topic = self._plan.dead_letters().name
        return DeadLetters(self._notes, topic, self._prefixes[topic], self._clock)

    async def _carry(self, flow: Flow, exchange: str) -> None:
        """An exchange that could not list its instruments is waited for, by itself alone."""
        carrier, instruments = self._carriers[exchange], self._instruments[exchange]
        wanted = self._of(exchange)
        if instruments.failure is not None:
            await instruments.insist()
            wanted = [each for each in wanted if self._is_listed(each)]
        lanes = [self._lanes[each] for each in wanted]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(carrier.run(flow, pack(carrier.adapter, wanted), lanes))
            tasks.create_task(instruments.watch([pair for _, pair, _ in wanted]))

    def _is_listed(self, subscription: Subscription) -> bool:
        """Of an exchange that could not be asked before: what is known of it only now."""
        exchange, trading_pair, _ = subscription
        carrier, lane = self._carriers[exchange], self._lanes[subscription]
        try:
            check_pair(carrier.instruments, subscription)
        except UsageError as error:
            SubscriptionRefused(exchange=exchange, reason=str(error)).tell()
            return False
        lane.facts = replace(
            lane.facts,
            symbol=carrier.adapter.get_trading_pair_format(trading_pair),
            contract_size=carrier.contract_size(trading_pair),
        )
        return True

    def _make_lanes(self, exchange: str, touch: Callable[[Ledger], None]) -> None:
        wanted = self._of(exchange)
        confirm = bears_confirmation(self._carriers[exchange].adapter, wanted)
        if not confirm:
            ClosesUnconfirmed(exchange=exchange, subscriptions=len(wanted)).tell()
        for subscription in wanted:
            self._lanes[subscription] = self._lane(subscription, touch, confirm)

    def _lane(
        self, subscription: Subscription, touch: Callable[[Ledger], None], confirm: bool
    ) -> Lane:
        exchange, trading_pair, interval = subscription
        carrier = self._carriers[exchange]
        adapter = carrier.adapter
        grid = adapter.grid(interval)
        closed, live = self._plan.closed(exchange), self._plan.live(exchange)
        key = candle_key(subscription)
        return Lane(
            ledger=Ledger(
                subscription,
                grid,
                rules_of(adapter, interval, confirm=confirm),
                carrier.clock,
                wake=carrier.wake,
                touch=touch,
                recall=self._recall.ask,
                since=self._options.since,
            ),
            key=key,
            partition=partition_of(key, closed.partitions),
            closed_topic=closed.name,
            closed_encoder=CandleEncoder(subscription, grid, self._prefixes[closed.name]),
            live_topic=live.name,
            live_encoder=None
            if self._options.live == "none"
            else CandleEncoder(subscription, grid, self._prefixes[live.name]),
            facts=CoverageRecord(
                subscription=subscription,
                symbol=adapter.get_trading_pair_format(trading_pair),
                contract_size=carrier.contract_size(trading_pair),
                closed_partitions=closed.partitions,
            ),
        )

    def _final(self, tally: Tally) -> Tally:
        tally.published = self._live.delivered
        tally.conflated = self._live.conflated
        tally.failed = self._live.failed + self._live.pending
        return tally


async def _all(*work: Coroutine[Any, Any, T]) -> list[T]:
    """What they return; when one fails, the others end."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        await end(*tasks)


def _raise_first(tasks: Sequence[asyncio.Task[None]]) -> None:
    """The error that ended a task, rather than that it was ended."""
    for task in tasks:
        error = None if task.cancelled() or not task.done() else task.exception()
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, ConnectorError):
            raise error
        if error is not None:
            raise RuntimeError(f"{task.get_name()} ended: {error!r}") from error
