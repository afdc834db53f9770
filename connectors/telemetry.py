"""What happens, as one small class each: its log line and its count together.

Event names are dotted, values are fields, and there is silence when all is well. What may happen
very often writes at most one line in ``QUIET`` seconds per exchange, and counts always.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from math import inf
from typing import Any, ClassVar, Final, Literal, TextIO

import structlog

QUIET: Final = 10.0

counts: Counter[tuple[str, str]] = Counter()
"""How often each event happened: by event name and exchange ("" where it has none)."""


@dataclass
class _Seldom:
    """Lets one line in ``QUIET`` seconds through, of each event and exchange."""

    now: Callable[[], float] = time.monotonic
    last: dict[tuple[str, str], float] = field(default_factory=dict)

    def allows(self, place: tuple[str, str]) -> bool:
        now = self.now()
        if now - self.last.get(place, -inf) < QUIET:
            return False
        self.last[place] = now
        return True


_seldom = _Seldom()


def configure(
    style: Literal["auto", "human", "json"] = "auto",
    level: str = "info",
    stream: TextIO | None = None,
    now: Callable[[], float] = time.monotonic,
) -> None:
    """Where log lines go and how they look; ``auto`` is human on a terminal, else JSON.

    ``now`` is the clock, in seconds, by which ``QUIET`` is measured, from here on.
    """
    _seldom.now, _seldom.last = now, {}
    out = stream or sys.stderr
    human = style == "human" or (style == "auto" and out.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=out.isatty())
            if human
            else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened; ``tell()`` counts it and writes its line."""

    event: ClassVar[str]
    level: ClassVar[str] = "info"
    often: ClassVar[bool] = False

    def tell(self) -> None:
        """Count it, and write it down unless it happens too often."""
        fields: dict[str, Any] = asdict(self)
        place = (self.event, str(fields.get("exchange", "")))
        counts[place] += 1
        if self.often and not _seldom.allows(place):
            return
        if self.often:
            fields["so_far"] = counts[place]
        getattr(structlog.get_logger(), self.level)(self.event, **fields)


@dataclass(frozen=True, kw_only=True)
class SubscriptionsAccepted(Event):
    """All checks are passed; new coverage begins with the bar that is running at ``market``."""

    event = "subscriptions.accepted"
    subscriptions: int
    market: float


@dataclass(frozen=True, kw_only=True)
class ClosesUnconfirmed(Event):
    """REST's limits cannot bear a question a bar: the stream's word stands until the audit."""

    event = "closes.unconfirmed"
    level = "warning"
    exchange: str
    subscriptions: int


@dataclass(frozen=True, kw_only=True)
class ConnectionOpened(Event):
    """A WebSocket connection stands and carries this many channels."""

    event = "connection.opened"
    exchange: str
    channels: int


@dataclass(frozen=True, kw_only=True)
class ConnectionLost(Event):
    """A WebSocket connection ended or could not be made; it is tried again."""

    event = "connection.lost"
    level = "warning"
    exchange: str
    reason: str
    again_in: float


@dataclass(frozen=True, kw_only=True)
class ConnectionReplaced(Event):
    """A successor delivers, and the connection that was to end is closed."""

    event = "connection.replaced"
    exchange: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class StreamSilent(Event):
    """A stream is dead although the market moves: what is done about it."""

    event = "stream.silent"
    level = "warning"
    exchange: str
    channel: str
    step: str


@dataclass(frozen=True, kw_only=True)
class SubscriptionRejected(Event):
    """The exchange refuses a channel; it is asked for again later, and polled meanwhile."""

    event = "subscription.rejected"
    level = "warning"
    exchange: str
    channel: str
    reason: str
    again_in: float


@dataclass(frozen=True, kw_only=True)
class FrameUnreadable(Event):
    """A message cannot be read; it is kept as a dead letter."""

    event = "frame.unreadable"
    level = "warning"
    often = True
    exchange: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class RestFailed(Event):
    """A REST request gave nothing of use; it is made again later."""

    event = "rest.failed"
    level = "warning"
    often = True
    exchange: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ClockOffset(Event):
    """An exchange's clock is ahead of ours (below 0: behind); its bars follow ours corrected."""

    event = "clock.offset"
    level = "warning"
    often = True
    exchange: str
    offset: float
    correction: float


@dataclass(frozen=True, kw_only=True)
class CandlesCompared(Event):
    """Published candles were read again over REST; those that differ are published revised."""

    event = "candles.differed"
    level = "warning"
    often = True
    exchange: str
    agreed: int
    differed: int

    def tell(self) -> None:
        """Count candles instead of replies, and be silent where all agree."""
        counts[("candles.agreed", self.exchange)] += self.agreed
        if self.differed:
            counts[(self.event, self.exchange)] += self.differed - 1
            super().tell()


@dataclass(frozen=True, kw_only=True)
class InstrumentsFailed(Event):
    """The list of instruments cannot be had; it is asked for again."""

    event = "instruments.failed"
    level = "warning"
    exchange: str
    reason: str
    again_in: float


@dataclass(frozen=True, kw_only=True)
class SubscriptionRefused(Event):
    """An exchange that could not be asked when the run began lists no such pair: not carried."""

    event = "subscription.refused"
    level = "error"
    exchange: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class PairEnded(Event):
    """The exchange trades a carried pair no more: no later candle of it is to be expected."""

    event = "pair.ended"
    level = "warning"
    exchange: str
    trading_pair: str
    status: str


@dataclass(frozen=True, kw_only=True)
class PairResumed(Event):
    """The exchange trades a pair again that had ended."""

    event = "pair.resumed"
    exchange: str
    trading_pair: str


@dataclass(frozen=True, kw_only=True)
class ShardTaken(Event):
    """A shard was taken over: this process alone writes its closed candles."""

    event = "shard.taken"
    shard: str
    subscriptions: int
    resumed: int


@dataclass(frozen=True, kw_only=True)
class ShardDropped(Event):
    """A shard's producer is void; coverage is read again before anything is written."""

    event = "shard.dropped"
    level = "warning"
    shard: str
    reason: str
    again_in: float


@dataclass(frozen=True, kw_only=True)
class SubscriptionQuarantined(Event):
    """A subscription's records are refused: nothing of it is published by this run any more."""

    event = "subscription.quarantined"
    level = "error"
    subscription: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class RecallFailed(Event):
    """Published candles cannot be read back; without ``again_in`` they are given up."""

    event = "recall.failed"
    level = "warning"
    often = True
    topic: str
    partition: int
    reason: str
    again_in: float | None


@dataclass(frozen=True, kw_only=True)
class HandlerFailed(Event):
    """Something unforeseen went wrong in a task of ours; the task is started again."""

    event = "task.failed"
    level = "error"
    task: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class LoopFailed(Event):
    """A task that nobody waits for, or a callback of a library, has thrown something."""

    event = "loop.failed"
    level = "error"
    often = True
    where: str
    reason: str
