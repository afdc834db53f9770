"""Pure: what lies in Kafka compared with what the exchange says over REST, slot by slot.

*Differing* slots have a candle on both sides, and the two do not say the same. A slot *lacks* where
only one side has its candle: in Kafka, with coverage that declares it missing or not, or over REST.
Bars without trades lack nowhere where the exchange is known to leave them out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from connectors.adapter import ExchangeAdapter, QuietBars
from connectors.clock import Clock
from connectors.commands.inventory import counted
from connectors.commands.program import time_of
from connectors.comparison import equal
from connectors.coverage import Coverage
from connectors.errors import UsageError
from connectors.model import CandleData, Grid, Subscription
from connectors.records import CandleRecord
from connectors.rules import AUDIT, HOLD, LAG

SLOTS: Final = 500
"""So many of the newest closed slots are compared where nobody says more."""
SLACK: Final = 2 * HOLD
"""Real seconds in which a connector has published a closed candle or declared it missing."""
FIGURES: Final = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "quote_asset_volume",
    "n_trades",
    "taker_buy_base_volume",
    "taker_buy_quote_volume",
)
"""The names of ``CandleData.figures()``."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A slot of which Kafka's newest revision and REST do not say the same, and in what."""

    open_time: int
    revision: int
    figures: Mapping[str, tuple[float | None, float | None]]

    def __str__(self) -> str:
        parts = (f"{name} {mine}, REST {theirs}" for name, (mine, theirs) in self.figures.items())
        revised = f" (revision {self.revision})" if self.revision else ""
        return f"Kafka{revised} has {'; '.join(parts)}"


@dataclass(frozen=True, slots=True)
class Lack:
    """Adjacent slots that one side lacks; ``declared``: why coverage says that they are missing."""

    start: int
    end: int
    slots: int
    declared: str | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """What came of one subscription in ``[start, end)``, open times in UNIX seconds.

    ``unread``: why nothing could be compared; ``idle``: why there is nothing to compare.
    """

    subscription: Subscription
    start: int = 0
    end: int = 0
    compared: int = 0
    differing: tuple[Difference, ...] = ()
    lacking: tuple[Lack, ...] = ()
    not_on_rest: tuple[Lack, ...] = ()
    unread: str | None = None
    idle: str | None = None

    @property
    def agreeing(self) -> int:
        """Slots that both sides have, and alike."""
        return self.compared - len(self.differing)

    @property
    def rate(self) -> float | None:
        """The part of the compared slots that agrees; None where nothing was compared."""
        return self.agreeing / self.compared if self.compared else None

    @property
    def declared(self) -> int:
        """Slots that Kafka lacks and coverage declares."""
        return sum(lack.slots for lack in self.lacking if lack.declared is not None)

    @property
    def undeclared(self) -> int:
        """Slots that Kafka lacks although REST has them, and that nothing declares."""
        return sum(lack.slots for lack in self.lacking if lack.declared is None)

    @property
    def denied(self) -> int:
        """Slots with a candle in Kafka that REST does not have."""
        return sum(lack.slots for lack in self.not_on_rest)

    @property
    def amiss(self) -> bool:
        """Whether anything is not as it must be: a declared hole is."""
        return bool(self.differing or self.undeclared or self.denied or self.unread)


# --- which slots ----------------------------------------------------------------------------------


def asked(since: str | None, until: str | None) -> tuple[float | None, float | None]:
    """The range that ``--from`` and ``--to`` name, in UNIX seconds; UsageError for a wrong one."""
    start, end = time_of("--from", since), time_of("--to", until)
    if start is not None and end is not None and start >= end:
        raise UsageError(f"--from {since} is not before --to {until}: write an earlier --from")
    return start, end


@dataclass(frozen=True, slots=True)
class Bounds:
    """Slots before ``first`` are not to be had over REST, those from ``over`` on may still move."""

    first: int
    over: int


def bounds_of(adapter: ExchangeAdapter, interval: str, grid: Grid, clock: Clock) -> Bounds:
    """Of the slots of an interval, by the exchange's facts and the time that it is now.

    A tenth of what REST reaches back is not relied on: it moves on while pages are read.
    """
    market = clock.market()
    reach = adapter.rest_pages(interval).rows
    settling = adapter.close_grace + LAG + AUDIT + SLACK * clock.speed
    first = 0 if reach is None else grid.after(grid.floor(market), reach // 10 - reach)
    return Bounds(first, grid.floor(market - settling))


def span_of(
    asked: tuple[float | None, float | None],
    coverage: Coverage,
    ended: bool,
    grid: Grid,
    bounds: Bounds,
) -> tuple[int, int]:
    """The open times ``[start, end)`` to compare; empty where start is not before end.

    Never before coverage, nor (of what has ``ended``) after its head.
    """
    since, until = asked
    end = bounds.over if until is None else min(bounds.over, _from(grid, until))
    if ended:
        end = min(end, coverage.head)
    start = grid.after(end, -SLOTS) if since is None else _from(grid, since)
    return max(start, coverage.start, bounds.first), end


def _from(grid: Grid, time: float) -> int:
    """The first open time that is not before ``time``."""
    slot = grid.floor(time)
    return slot if slot >= time else grid.after(slot)


# --- comparing ------------------------------------------------------------------------------------


def compare(
    subscription: Subscription,
    span: tuple[int, int],
    grid: Grid,
    quiet: QuietBars,
    coverage: Coverage,
    kafka: Mapping[int, CandleRecord],
    rest: Mapping[int, CandleData],
) -> Findings:
    """Compare both sides, by open time; ``coverage`` was read before ``kafka``."""
    slots = list(_slots(grid, *span))
    declared = _declared(grid, coverage, span)
    both = [slot for slot in slots if slot in kafka and slot in rest]
    only_rest = [slot for slot in slots if slot in rest and slot not in kafka]
    only_kafka = [slot for slot in slots if slot in kafka and slot not in rest]
    lacking = {slot: declared.get(slot) for slot in only_rest if not _left_out(quiet, rest[slot])}
    lacking |= {slot: reason for slot, reason in declared.items() if slot not in kafka}
    denied = [slot for slot in only_kafka if quiet.rest == "sent" or kafka[slot].candle.volume]
    return Findings(
        subscription,
        *span,
        compared=len(both),
        differing=tuple(
            _difference(kafka[slot], rest[slot])
            for slot in both
            if not equal(kafka[slot].candle, rest[slot])
        ),
        lacking=tuple(_runs(grid, lacking)),
        not_on_rest=tuple(_runs(grid, dict.fromkeys(denied))),
    )


def _slots(grid: Grid, start: int, end: int) -> Iterator[int]:
    while start < end:
        yield start
        start = grid.after(start)


def _declared(grid: Grid, coverage: Coverage, span: tuple[int, int]) -> dict[int, str]:
    """Why coverage says that a slot is missing, of those that it says so of."""
    start, end = span
    return {
        slot: run.reason or "no reason given"
        for run in coverage.missing()
        for slot in _slots(grid, max(run.start, start), min(run.end, end))
    }


def _left_out(quiet: QuietBars, row: CandleData) -> bool:
    """Whether this row is a bar without trades that the stream has never told of."""
    return quiet.stream == "skipped" and not row.volume and row.low == row.high


def _difference(mine: CandleRecord, theirs: CandleData) -> Difference:
    pairs = zip(FIGURES, mine.candle.figures(), theirs.figures(), strict=True)
    figures = {name: (a, b) for name, a, b in pairs if None not in (a, b) and a != b}
    return Difference(theirs.timestamp, mine.revision, figures)


def _runs(grid: Grid, slots: Mapping[int, str | None]) -> Iterable[Lack]:
    """Adjacent slots of one reason, joined."""
    runs: list[Lack] = []
    for slot, reason in sorted(slots.items()):
        end, last = grid.after(slot), runs[-1] if runs else None
        if last is not None and last.end == slot and last.declared == reason:
            runs[-1] = Lack(last.start, end, last.slots + 1, reason)
        else:
            runs.append(Lack(slot, end, 1, reason))
    return runs


# --- the result -----------------------------------------------------------------------------------


def verdict(findings: Sequence[Findings]) -> str | None:
    """What is amiss in all of them, in one sentence; None where nothing is."""
    counts = {
        "differing": sum(len(each.differing) for each in findings),
        "missing in Kafka without being declared": sum(each.undeclared for each in findings),
        "in Kafka only": sum(each.denied for each in findings),
    }
    parts = [f"{count} {what}" for what, count in counts.items() if count]
    disagreement = f"Kafka and the exchange do not agree: {', '.join(parts)}" if parts else ""
    unread = sum(each.unread is not None for each in findings)
    blind = f"{counted(unread, 'subscription')} could not be compared" if unread else ""
    idle = all(each.idle is not None for each in findings)
    nothing = "there was nothing to compare: see why with each subscription" if idle else ""
    return "; ".join(filter(None, (disagreement, blind, nothing))) or None


def as_json(findings: Findings) -> dict[str, Any]:
    """One subscription, times in UNIX milliseconds."""
    return {
        "subscription": str(findings.subscription),
        "from": findings.start * 1000,
        "to": findings.end * 1000,
        "compared": findings.compared,
        "agreeing": findings.agreeing,
        "agreement": findings.rate,
        "differing": [_difference_as_json(each) for each in findings.differing],
        "lacking_in_kafka": [_lack_as_json(each) for each in findings.lacking],
        "lacking_on_rest": [_lack_as_json(each) for each in findings.not_on_rest],
        "not_compared": findings.unread or findings.idle,
    }


def _difference_as_json(one: Difference) -> dict[str, Any]:
    figures = {name: {"kafka": a, "rest": b} for name, (a, b) in one.figures.items()}
    return {"open_time": one.open_time * 1000, "revision": one.revision, "figures": figures}


def _lack_as_json(lack: Lack) -> dict[str, Any]:
    return {
        "from": lack.start * 1000,
        "to": lack.end * 1000,
        "slots": lack.slots,
        "declared": lack.declared,
    }
