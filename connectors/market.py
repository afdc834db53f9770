"""Pure: one exchange as a whole: checking wishes, packing them onto connections, quarantine."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, inf
from typing import Final

from connectors.adapter import ExchangeAdapter
from connectors.errors import UsageError
from connectors.limits import Backoff
from connectors.model import Instrument, Subscription
from connectors.rules import REREAD, Rules

QUARANTINE: Final = (5.0, 600.0)
"""Real seconds before a refused channel is asked for again: the first time, and the longest."""

CONFIRMING: Final = 0.5
"""The part of a REST budget that may be used up for confirming closes."""
BAR_ROWS: Final = REREAD + 2
"""So many rows are asked for when a bar is over: those before it, itself and the running one."""


@dataclass(frozen=True, slots=True)
class Pack:
    """What one connection carries."""

    group: str
    channels: tuple[str, ...]


def check_interval(adapter: ExchangeAdapter, subscription: Subscription) -> None:
    """UsageError, with what is offered, where the exchange has no such interval."""
    offered = adapter.get_supported_intervals()
    if subscription.interval not in offered:
        raise UsageError(
            f"{subscription}: {subscription.exchange} has no interval {subscription.interval}; "
            f"it has {' '.join(offered)}"
        )


def check_history(adapter: ExchangeAdapter, subscription: Subscription) -> None:
    """UsageError where REST does not offer the interval, so that no history can be fetched."""
    offered = adapter.get_rest_supported_intervals()
    if subscription.interval not in offered:
        raise UsageError(
            f"{subscription}: {subscription.exchange} has no history of {subscription.interval}, "
            f"only of {' '.join(offered)}: wish for it without --since"
        )


def check_pair(instruments: Sequence[Instrument], subscription: Subscription) -> None:
    """UsageError, with the nearest names, where the exchange lists no such pair or trades it not.

    The same for what the exchange trades and we cannot read. Without any instruments nothing can
    be said, and nothing is.
    """
    listed = {row.trading_pair: row for row in instruments}
    row = listed.get(subscription.trading_pair)
    if row is None and listed:
        near = _nearest(subscription.trading_pair, [it for it in listed if listed[it].tradable])
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise UsageError(
            f"{subscription}: {subscription.exchange} lists no {subscription.trading_pair}{hint}"
        )
    if row is not None and row.unsupported:
        raise UsageError(
            f"{subscription}: {row.symbol} of {subscription.exchange} is not supported: "
            f"{row.unsupported}"
        )
    if row is not None and not row.tradable:
        raise UsageError(
            f"{subscription}: {subscription.exchange} lists {row.symbol} as "
            f"{row.status or 'closed'!r}: no candles are to be had of it"
        )


def _nearest(trading_pair: str, tradable: list[str]) -> list[str]:
    """Pairs that are spelled alike, else some of the same base."""
    base, dash, _ = trading_pair.partition("-")
    alike = difflib.get_close_matches(trading_pair, tradable, 3, 0.7)
    return alike or [pair for pair in tradable if pair.startswith(base + dash)][:3]


def rules_of(adapter: ExchangeAdapter, interval: str, *, confirm: bool = True) -> Rules:
    """The facts by which an interval's slots are decided; for ``confirm`` see below."""
    streamed = adapter.transport(interval) == "websocket"
    return Rules(
        streamed=streamed,
        flagged=adapter.close_flag,
        rest=interval in adapter.get_rest_supported_intervals(),
        rest_skips=adapter.quiet_bars.rest == "skipped",
        grace=adapter.close_grace,
        page=adapter.rest_pages(interval).limit,
        stream_skips=streamed and adapter.quiet_bars.stream == "skipped",
        reach=adapter.rest_pages(interval).rows,
        confirm=confirm,
    )


def bears_confirmation(
    adapter: ExchangeAdapter, subscriptions: Iterable[Subscription], share: float = CONFIRMING
) -> bool:
    """Whether REST may be asked about every bar that these streams do not say to be closed.

    That is one short request a bar, on the average within ``share`` of every budget; the rest is
    for polls and repairs.
    """
    if adapter.close_flag:
        return True
    polled = adapter.get_rest_supported_intervals()
    weight = adapter.rest_weight(BAR_ROWS)
    spent = sum(
        weight / adapter.step(interval)
        for _, _, interval in subscriptions
        if interval in polled and adapter.transport(interval) == "websocket"
    )
    return all(spent <= share * rate.amount / rate.period for rate in adapter.limits.rest)


def pack(adapter: ExchangeAdapter, subscriptions: Iterable[Subscription]) -> list[Pack]:
    """Spread the streamed subscriptions evenly over as few connections as that takes.

    Whether the exchange allows so many is for ``plan`` to say.
    """
    groups: dict[str, set[str]] = {}
    for subscription in subscriptions:
        if adapter.transport(subscription.interval) == "websocket":
            group = groups.setdefault(adapter.connection_group(subscription), set())
            group.add(adapter.channel(subscription))
    return [
        Pack(group, tuple(part))
        for group, channels in sorted(groups.items())
        for part in _evenly(sorted(channels), adapter.limits.subscriptions)
    ]


def _evenly(channels: list[str], most: int) -> Iterable[list[str]]:
    parts = ceil(len(channels) / most)
    return (channels[part::parts] for part in range(parts))


class Quarantine:
    """Channels that were refused, each asked for again later and later. Times are real."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._delays: dict[str, Backoff] = {}
        self._until: dict[str, float] = {}

    def put(self, channel: str, now: float) -> float:
        """The channel was refused; the seconds until it is to be asked for again."""
        first, longest = QUARANTINE
        backoff = self._delays.setdefault(channel, Backoff(self._random, first, longest))
        delay = backoff.delay()
        self._until[channel] = now + delay
        return delay

    def __contains__(self, channel: object) -> bool:
        """Whether the channel is not to be asked for yet."""
        return channel in self._until

    def due(self) -> float:
        """When ``release`` has something to give."""
        return min(self._until.values(), default=inf)

    def release(self, now: float) -> list[str]:
        """The channels whose time has come."""
        free = [channel for channel, until in self._until.items() if until <= now]
        for channel in free:
            del self._until[channel]
        return free
