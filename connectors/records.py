"""What the topics carry, as types: candles, coverage, wishes, dead letters.

Times are UNIX seconds; moments of ours, whose names end in ``_at``, are UNIX milliseconds. The
fields are explained in the schemas, where they have the same names.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from connectors.coverage import Coverage
from connectors.model import CandleData, CloseReason, Subscription


@dataclass(frozen=True, slots=True)
class CandleRecord:
    """A candle as it was published; ``close_time`` is exclusive."""

    subscription: Subscription
    candle: CandleData
    close_time: int
    closed: bool
    close_reason: CloseReason
    revision: int
    late: bool
    published_at: int


class CoverageState(StrEnum):
    """What is being done for a subscription."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    ENDED = "ENDED"
    REFUSED = "REFUSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageRecord:
    """What is known of a subscription's slots, and what is being done for it.

    ``coverage`` is None where none has begun (a refusal). Without a subscription the record is a
    claim: the run ``owner`` writes this partition from here on.
    """

    subscription: Subscription | None
    coverage: Coverage | None = None
    state: CoverageState = CoverageState.ACTIVE
    reason: str | None = None
    symbol: str | None = None
    contract_size: float | None = None
    closed_partitions: int = 0
    last_closed_offset: int | None = None
    owner: str | None = None
    wished_at: int | None = None
    updated_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A subscription, or with ``*`` in its trading pair a pattern of them, that somebody wants."""

    subscription: Subscription
    origin: str
    since: int | None = None
    paused: bool = False
    cap: int | None = None
    written_at: int = 0

    @property
    def pattern(self) -> bool:
        """Whether it stands for many subscriptions."""
        return "*" in self.subscription.trading_pair


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that could not be read. ``size`` is its length before ``frame`` was cut."""

    exchange: str
    reason: str
    frame: bytes
    size: int
    received_at: int
    binary: bool = False
    transport: str = "websocket"
    url: str | None = None
    omitted: int = 0
