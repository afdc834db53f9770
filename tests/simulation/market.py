"""The truth, and an exchange that tells it badly."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Final, NamedTuple

from connectors.ledger import Rules, Span
from connectors.model import CandleData, Grid, Subscription

BIRTH: Final = 1_700_000_040
"""Market time at which a simulation begins: it lies within a bar."""
STEP: Final = 60
FLAT: Final = 100.0


class Kind(NamedTuple):
    """How an exchange serves one interval.

    ``stream`` and ``rest`` are what becomes of quiet bars there: sent, skipped, or None where
    there is no such thing at all. ``says_closed``: REST rows tell whether they are closed.
    ``snapshot``: a new connection sends the states of the newest bars first.
    """

    name: str
    stream: str | None
    rest: str | None
    flagged: bool = False
    grace: float = 4.0
    says_closed: bool = False
    snapshot: bool = False
    learned: bool = False

    def rules(self, page: int) -> Rules:
        """What the ledger is told of it."""
        return Rules(
            streamed=self.stream is not None,
            flagged=self.flagged,
            rest=self.rest is not None,
            rest_skips=self.rest == "skipped",
            grace=self.grace,
            page=page,
        )


KINDS: Final = (
    Kind("flagged", "sent", "sent", flagged=True),
    Kind("flagged-rest-says", "sent", "sent", flagged=True, says_closed=True),
    Kind("flagged-skipping", "skipped", "skipped", flagged=True, grace=2.0),
    Kind("flagged-mute", "skipped", "sent", flagged=True),
    Kind("flagged-alone", "sent", None, flagged=True),
    Kind("unflagged", "sent", "sent"),
    Kind("unflagged-skipping", "skipped", "skipped", grace=5.0),
    Kind("unflagged-snapshot", "skipped", "skipped", snapshot=True),
    Kind("unflagged-learned", "skipped", "sent", learned=True),
    Kind("unflagged-alone", "sent", None),
    Kind("polled", None, "sent"),
    Kind("polled-skipping", None, "skipped", grace=1.0),
    Kind("polled-learned", None, "sent", learned=True),
)


class Trade(NamedTuple):
    """A trade: market time, price, amount."""

    at: float
    price: float
    amount: float


@dataclass
class Truth:
    """What really happened in one subscription. Bars are made when first asked for."""

    seed: int
    subscription: Subscription
    kind: Kind
    quiet: float
    anchor: int = 0
    _trades: dict[int, list[Trade]] = field(default_factory=dict)
    corrected: dict[int, tuple[float, float]] = field(default_factory=dict)
    """Slot -> market time of a late correction, and the volume that it adds."""

    @property
    def grid(self) -> Grid:
        """The grid as the exchange has it."""
        return Grid(STEP, self.anchor)

    def trades(self, slot: int) -> list[Trade]:
        """All trades of a bar, oldest first."""
        if slot not in self._trades:
            random = Random(f"{self.seed} {self.subscription} {slot}")
            many = 0 if random.random() < self.quiet else random.choice((1, 2, 2, 3, 4))
            late = [STEP - 0.3 * random.random()] if many and random.random() < 0.3 else []
            offsets = sorted([random.uniform(0, STEP) for _ in range(many)] + late)
            self._trades[slot] = [
                Trade(slot + offset, random.randrange(900, 1100) / 10, random.randrange(1, 99) / 7)
                for offset in offsets
            ]
        return self._trades[slot]

    def state(self, slot: int, at: float, closed: bool | None = None) -> CandleData:
        """The bar as it stands at a market time; a flat one before its first trade."""
        trades = [trade for trade in self.trades(slot) if trade.at <= at]
        prices = [trade.price for trade in trades] or [FLAT]
        volume = sum(trade.amount for trade in trades)
        when, more = self.corrected.get(slot, (float("inf"), 0.0))
        if at >= when:
            volume += more
        return CandleData(
            slot,
            prices[0],
            max(prices),
            min(prices),
            prices[-1],
            volume,
            n_trades=len(trades) if self.kind.flagged else None,
            closed=closed,
        )

    def final(self, slot: int) -> CandleData:
        """The bar's last word."""
        return self.state(slot, float("inf"))

    def is_quiet(self, slot: int) -> bool:
        """Whether it is a bar without trades."""
        return not self.trades(slot)

    def rows(self, span: Span, at: float) -> list[CandleData]:
        """What REST has of a span at a market time."""
        first = self.grid.floor(span.start)
        slots = range(first if first >= span.start else first + STEP, span.end, STEP)
        return [
            self.state(slot, at, (slot + STEP <= at) if self.kind.says_closed else None)
            for slot in slots
            if slot <= at and (self.kind.rest == "sent" or self._began(slot, at))
        ]

    def _began(self, slot: int, at: float) -> bool:
        trades = self.trades(slot)
        return bool(trades) and trades[0].at <= at

    def frames(self, slot: int) -> list[tuple[float, bool]]:
        """Market times at which the stream tells of a bar, and whether as closed."""
        if self.kind.stream is None or (self.kind.stream == "skipped" and self.is_quiet(slot)):
            return []
        times = [(trade.at, False) for trade in self.trades(slot)]
        if self.kind.stream == "sent":
            times.insert(0, (slot + 0.1, False))
        if self.kind.flagged:
            times.append((slot + STEP, True))
        return times
