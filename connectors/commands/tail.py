"""Seeing what is in the topics of candles: reading them, and a line for each candle."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from connectors import exchanges
from connectors.errors import ConnectorError, SetupError
from connectors.kafka import Cluster, Stored, TopicPlan, read_topic, watermarks
from connectors.kafka.topics import partition_counts
from connectors.model import Subscription
from connectors.registry import SchemaRegistry
from connectors.schema import CANDLE
from connectors.values import Values

Heed = Callable[[Stored], Awaitable[None]]

_MARKS: Final = {True: "closed", False: "open"}


class Candles(Values):
    """Reads the values of candle topics under one plan. ``registry`` is open, or None."""

    def __init__(
        self, cluster: Cluster, plan: TopicPlan, registry: SchemaRegistry | None = None
    ) -> None:
        super().__init__(CANDLE, cluster, plan, registry)


async def watch(
    cluster: Cluster, topics: Sequence[str], heed: Heed, *, beginning: bool, follow: bool = True
) -> None:
    """Give every record of the topics to ``heed``, one after another: from the beginning or from
    now on, without end or (without ``follow``) up to what is there now."""
    try:
        async with asyncio.TaskGroup() as tasks:
            for topic in topics:
                tasks.create_task(_watch_one(cluster, topic, heed, beginning, follow))
    except* ConnectorError as failed:
        raise failed.exceptions[0] from None


async def _watch_one(
    cluster: Cluster, topic: str, heed: Heed, beginning: bool, follow: bool
) -> None:
    marks = {} if beginning else await watermarks(cluster, topic)
    start = {partition: end for partition, (_, end) in marks.items()}
    async for stored in read_topic(cluster, topic, start, follow=follow):
        await heed(stored)


# --- which topics ---------------------------------------------------------------------------------

Chosen = dict[str, set[Subscription] | None]
"""Of each exchange the subscriptions that are meant; None: all of them."""


def chosen(words: Iterable[str]) -> Chosen:
    """From exchanges and subscriptions as they are written; none stands for every exchange."""
    found: Chosen = {}
    for word in words:
        if ":" in word:
            subscription = Subscription.parse(word)
            exchanges.get(subscription.exchange)
            some = found.setdefault(subscription.exchange, set())
            if some is not None:
                some.add(subscription)
        else:
            exchanges.get(word)
            found[word] = None
    return found or dict.fromkeys(exchanges.names())


async def existing(cluster: Cluster, topics: Sequence[str]) -> list[str]:
    """Those of the topics that exist; SetupError when none does."""
    counts = await asyncio.gather(*(_exists(cluster, topic) for topic in topics))
    found = [topic for topic, exists in zip(topics, counts, strict=True) if exists]
    if not found:
        raise SetupError(
            f"Kafka at {cluster.bootstrap} has no topic {' or '.join(topics[:2])}: "
            "is another --prefix meant, or has candles run not been started yet?"
        )
    return found


async def _exists(cluster: Cluster, topic: str) -> bool:
    try:
        await partition_counts(cluster, [topic])
    except SetupError:
        return False
    return True


# --- lines ----------------------------------------------------------------------------------------


def subscription_of(candle: dict[str, Any]) -> Subscription:
    """Whose candle it is."""
    return Subscription(candle["exchange"], candle["trading_pair"], candle["interval"])


def line(candle: dict[str, Any]) -> str:
    """One candle for a person."""
    figures = "  ".join(
        f"{letter} {plain(candle[name])}"
        for letter, name in zip("OHLCV", ("open", "high", "low", "close", "volume"), strict=True)
    )
    notes = [
        candle["close_reason"] if candle["closed"] else "",
        f"revision {candle['revision']}" if candle["revision"] else "",
        "late" if candle["late"] else "",
    ]
    name = str(subscription_of(candle))
    return "  ".join(
        [
            moment(candle["open_time"] / 1000),
            f"{name:<36}",
            f"{_MARKS[candle['closed']]:<6}",
            figures,
            *filter(None, notes),
        ]
    )


def moment(seconds: float) -> str:
    """A UNIX time for a person, in UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"


def plain(figure: float) -> str:
    """A figure without an exponent, as short as it can be told."""
    return f"{Decimal(repr(figure)).normalize():f}"
