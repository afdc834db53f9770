"""Pure: what coverage says, summed up: what is there, what is missing, since when and why."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from connectors.coverage import Run, RunState
from connectors.errors import SetupError, UsageError
from connectors.model import Grid, Subscription
from connectors.records import CoverageRecord, CoverageState


@dataclass(frozen=True, slots=True)
class Hole:
    """A run of slots that are not settled. Times in UNIX seconds, ``end`` exclusive."""

    start: int
    end: int
    slots: int
    given_up: bool
    reason: str
    since: int | None

    def __str__(self) -> str:
        kind = "given up" if self.given_up else "missing"
        return f"{counted(self.slots, 'slot')} {kind}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Summary:
    """One subscription: its slots from ``start`` to ``head`` (UNIX seconds), counted.

    Settled slots are published or empty. ``behind`` slots after the head are over by the clock and
    not decided yet; of what is not carried (any more) that is not asked.
    """

    subscription: Subscription
    state: CoverageState
    reason: str | None
    start: int | None = None
    head: int | None = None
    settled: int = 0
    published: int = 0
    holes: tuple[Hole, ...] = ()
    behind: int = 0

    @property
    def empty(self) -> int:
        """Settled slots in which the exchange has no candle."""
        return self.settled - self.published

    @property
    def missing(self) -> int:
        """Slots that are still to be repaired."""
        return sum(hole.slots for hole in self.holes if not hole.given_up)

    @property
    def given_up(self) -> int:
        """Slots that can be had no more."""
        return sum(hole.slots for hole in self.holes if hole.given_up)


@dataclass(frozen=True, slots=True)
class Totals:
    """Many subscriptions, added up; ``incomplete`` of them have ``holes``, which are runs."""

    subscriptions: int
    settled: int
    published: int
    empty: int
    missing: int
    given_up: int
    holes: int
    incomplete: int

    def __str__(self) -> str:
        return (
            f"{counted(self.missing + self.given_up, 'slot')} of "
            f"{counted(self.incomplete, 'subscription')} not published, in "
            f"{counted(self.holes, 'hole')}; {self.given_up} of these slots are given up"
        )


def counted(number: int, word: str) -> str:
    """``1 slot``, ``2 slots``."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


# --- summing up -----------------------------------------------------------------------------------


def summed_up(record: CoverageRecord, grid: Grid, market: float) -> Summary:
    """The summary of a subscription's coverage; ``market`` is now. A claim has none: ValueError."""
    if record.subscription is None:
        raise ValueError("a claim covers nothing")
    coverage = record.coverage
    if coverage is None:
        return Summary(record.subscription, record.state, record.reason)
    settled = [run for run in coverage.runs if not run.missing]
    carried = record.state is CoverageState.ACTIVE
    return Summary(
        record.subscription,
        record.state,
        record.reason,
        coverage.start,
        coverage.head,
        sum(grid.count(run.start, run.end) for run in settled),
        sum(run.count for run in settled),
        tuple(_hole(run, grid) for run in coverage.missing()),
        _behind(grid.anchored(coverage.start), coverage.head, market) if carried else 0,
    )


def _hole(run: Run, grid: Grid) -> Hole:
    slots = grid.count(run.start, run.end)
    given_up = run.state is RunState.GIVEN_UP
    return Hole(run.start, run.end, slots, given_up, run.reason or "no reason given", run.since)


def _behind(grid: Grid, head: int, market: float) -> int:
    return grid.count(head, grid.floor(market))


def total(summaries: Sequence[Summary]) -> Totals:
    """All of them added up."""
    return Totals(
        len(summaries),
        sum(each.settled for each in summaries),
        sum(each.published for each in summaries),
        sum(each.empty for each in summaries),
        sum(each.missing for each in summaries),
        sum(each.given_up for each in summaries),
        sum(len(each.holes) for each in summaries),
        sum(bool(each.holes) for each in summaries),
    )


# --- choosing -------------------------------------------------------------------------------------

Known = Mapping[Subscription, CoverageRecord]


def newest(records: Iterable[CoverageRecord]) -> dict[Subscription, CoverageRecord]:
    """Of each subscription the record that counts; claims are none's.

    A subscription that changed its transport has coverage in several topics, ended where it was.
    """
    found: dict[Subscription, CoverageRecord] = {}
    for record in sorted(records, key=_weight):
        if record.subscription is not None:
            found[record.subscription] = record
    return found


def _weight(record: CoverageRecord) -> tuple[bool, int]:
    return record.state is not CoverageState.ENDED, record.updated_at


def narrowed(known: Known, wanted: Mapping[str, set[Subscription] | None], prefix: str) -> Known:
    """What is wanted of what is known: by exchange the subscriptions, or None for all; {}: all.

    SetupError where nothing is known at all, UsageError where one of those wanted is not.
    """
    if not known:
        raise SetupError(
            f"there is no coverage under the prefix {prefix}: nothing was carried there yet"
        )
    for exchange, some in wanted.items():
        for subscription in sorted(some or ()):
            if subscription not in known:
                raise UsageError(_unknown(str(subscription), [*map(str, known)], prefix))
        if some is None and exchange not in (names := {each.exchange for each in known}):
            raise UsageError(_unknown(exchange, names, prefix))
    return {
        subscription: record
        for subscription, record in sorted(known.items())
        if not wanted or subscription in _among(wanted, subscription)
    }


def _among(wanted: Mapping[str, set[Subscription] | None], one: Subscription) -> set[Subscription]:
    some = wanted.get(one.exchange, set())
    return {one} if some is None else some


def _unknown(name: str, known: Iterable[str], prefix: str) -> str:
    near = difflib.get_close_matches(name, known, 3, 0.75)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"there is no coverage of {name} under the prefix {prefix}{hint}"


# --- as JSON --------------------------------------------------------------------------------------


def as_json(summary: Summary) -> dict[str, Any]:
    """One subscription, times in UNIX milliseconds."""
    return {
        "subscription": str(summary.subscription),
        "state": summary.state.value,
        "reason": summary.reason,
        "start": _ms(summary.start),
        "head": _ms(summary.head),
        "settled": summary.settled,
        "published": summary.published,
        "empty": summary.empty,
        "missing": summary.missing,
        "given_up": summary.given_up,
        "behind": summary.behind,
        "holes": [_hole_as_json(hole) for hole in summary.holes],
    }


def _hole_as_json(hole: Hole) -> dict[str, Any]:
    times = {"start": _ms(hole.start), "end": _ms(hole.end), "since": _ms(hole.since)}
    return asdict(hole) | times


def totals_as_json(totals: Totals) -> dict[str, Any]:
    """The totals, in a line of their own kind."""
    return {"total": asdict(totals)}


def _ms(seconds: int | None) -> int | None:
    return None if seconds is None else seconds * 1000
