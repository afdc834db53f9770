"""What is kept in Kafka under a prefix, as somebody from outside sees it: coverage, closed candles.

Coverage is read before the candles it speaks of: what it calls published must then be found.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from math import inf
from typing import Any

from connectors.closed import Newest, Wanted, read_newest
from connectors.codec import OWNER_KEY, coverage_of, partition_of
from connectors.commands.inventory import newest
from connectors.commands.tail import existing
from connectors.errors import BadFrame
from connectors.kafka import Cluster, Stored, TopicPlan, probe, read_topic
from connectors.kafka.topics import partition_counts
from connectors.model import Subscription
from connectors.records import CoverageRecord
from connectors.registry import SchemaRegistry
from connectors.schema import CANDLE, COVERAGE
from connectors.settings import Settings
from connectors.values import Values

Span = tuple[int, int]
"""Open times ``[start, end)`` in UNIX seconds."""


class Kept:
    """Reads the topics of a plan. Of a record that cannot be read ``complain`` is told why."""

    def __init__(
        self,
        cluster: Cluster,
        plan: TopicPlan,
        registry: SchemaRegistry | None,
        complain: Callable[[str], object],
    ) -> None:
        self._cluster = cluster
        self._plan = plan
        self._complain = complain
        self._coverage = Values(COVERAGE, cluster, plan, registry)
        self._candles = Values(CANDLE, cluster, plan, registry)

    async def coverage(self) -> dict[Subscription, CoverageRecord]:
        """The newest coverage of every subscription; SetupError where there is no such topic."""
        plan = self._plan
        specs = plan.fixed_coverage(), plan.coverage("websocket"), plan.coverage("rest")
        topics = await existing(self._cluster, [spec.name for spec in specs])
        return newest([record for topic in topics for record in await self._covered(topic)])

    async def _covered(self, topic: str) -> list[CoverageRecord]:
        last: dict[bytes | None, Stored] = {}
        async for stored in read_topic(self._cluster, topic):
            last[stored.key] = stored
        last.pop(OWNER_KEY, None)
        return [
            coverage_of(fields)
            for stored in last.values()
            if stored.value is not None
            and (fields := await self._read(self._coverage, stored)) is not None
        ]

    async def closed(self, exchange: str, spans: Mapping[Subscription, Span]) -> Newest:
        """Closed candles of an exchange by open time, each in its newest revision, one pass."""
        if not spans:
            return {}
        topic = self._plan.closed(exchange).name
        count = (await partition_counts(self._cluster, [topic]))[topic]
        wanted = Wanted(
            {subscription: [span] for subscription, span in spans.items()},
            (min(start for start, _ in spans.values()), inf),
        )
        partitions = {partition_of(key, count) for key in wanted.pairs}
        return await read_newest(
            self._cluster,
            self._candles,
            topic,
            partitions,
            wanted,
            lambda _, bad: self._complain(str(bad)),
        )

    async def _read(self, values: Values, stored: Stored) -> dict[str, Any] | None:
        try:
            return await values.read(stored)
        except BadFrame as bad:
            self._complain(str(bad))
            return None


@asynccontextmanager
async def kept(settings: Settings, complain: Callable[[str], object]) -> AsyncIterator[Kept]:
    """What the settings point at, its schema registry open; Kafka was seen to answer."""
    cluster = settings.cluster()
    await probe(cluster)
    registry = settings.schema_registry()
    if registry is None:
        yield Kept(cluster, settings.topics(), None, complain)
        return
    async with registry:
        yield Kept(cluster, settings.topics(), registry, complain)
