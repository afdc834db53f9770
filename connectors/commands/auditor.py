"""Reads both sides of an audit, Kafka and REST, of one exchange, and has them compared.

Nothing is written. What is amiss is looked at a second time, so that nothing is reported that was
just being put right; the second look counts.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from connectors import exchanges
from connectors.clock import Clock
from connectors.commands.audit import Findings, bounds_of, compare, span_of
from connectors.commands.history import History
from connectors.commands.kept import Kept, Span
from connectors.commands.tables import minute
from connectors.coverage import Coverage
from connectors.errors import ConnectorError, Unreachable, UsageError
from connectors.model import Grid, Subscription
from connectors.records import CandleRecord, CoverageRecord, CoverageState
from connectors.rest import Rest

Range = tuple[float | None, float | None]
"""What was asked for: from, to, in UNIX seconds; None where it was not said."""


class Case(NamedTuple):
    """What is to be compared of one subscription."""

    subscription: Subscription
    grid: Grid
    coverage: Coverage
    span: Span


class Auditor:
    """Compares the subscriptions of one exchange."""

    def __init__(
        self,
        exchange: str,
        subscriptions: Sequence[Subscription],
        between: Range,
        topics: Kept,
        rest: Rest,
        clock: Clock,
    ) -> None:
        self._adapter = exchanges.get(exchange)()
        self._subscriptions = subscriptions
        self._between = between
        self._topics = topics
        self._rest = rest
        self._clock = clock
        self._history = History(self._adapter, partial(rest.fetch, exchange), clock, random.random)
        self._away: str | None = None

    async def run(self) -> list[Findings]:
        """The findings, in the order of the subscriptions."""
        await self._learn_instruments()
        found = await self._look(self._subscriptions)
        doubtful = [each for each, findings in found.items() if findings.amiss]
        if self._away is None and doubtful:
            found |= await self._look(doubtful)
        return [found[each] for each in self._subscriptions]

    async def _learn_instruments(self) -> None:
        adapter, rest = self._adapter, self._rest
        try:
            rows = await self._history.insist(
                lambda: rest.drive(adapter.name, adapter.instruments())
            )
        except ConnectorError as error:
            self._away = str(error)
        else:
            adapter.use_instruments(rows)

    async def _look(self, subscriptions: Sequence[Subscription]) -> dict[Subscription, Findings]:
        known = await self._topics.coverage()
        found = {each: self._case(each, known[each]) for each in subscriptions}
        cases = [case for case in found.values() if isinstance(case, Case)]
        spans = {case.subscription: case.span for case in cases}
        candles = await self._topics.closed(self._adapter.name, spans)
        return {
            each: await self._compared(case, candles[each]) if isinstance(case, Case) else case
            for each, case in found.items()
        }

    def _case(self, subscription: Subscription, record: CoverageRecord) -> Case | Findings:
        """What is to be compared, or why nothing is."""
        coverage = record.coverage
        if coverage is None:
            why = f"nothing of it was ever carried: {record.state.lower()}: {record.reason}"
            return Findings(subscription, unread=why)
        interval = subscription.interval
        grid = self._adapter.grid(interval).anchored(coverage.start)
        carried = record.state is CoverageState.ACTIVE
        bounds = bounds_of(self._adapter, interval, grid, self._clock)
        span = span_of(self._between, coverage, not carried, grid, bounds)
        if span[0] >= span[1]:
            why = (
                f"of what was asked for, no bar lies between the begin of coverage, "
                f"{minute(coverage.start)}, and {minute(bounds.over)}, from which on they may move"
            )
            return Findings(subscription, idle=why)
        return Case(subscription, grid, coverage, span)

    async def _compared(self, case: Case, candles: Mapping[int, CandleRecord]) -> Findings:
        subscription, grid, coverage, span = case
        _, trading_pair, interval = subscription
        try:
            if self._away is not None:
                raise Unreachable(self._away)
            rows = await self._history.read(trading_pair, interval, grid, *span)
        except UsageError as refused:
            return Findings(subscription, *span, unread=str(refused))
        except ConnectorError as error:
            self._away = str(error)
            return Findings(subscription, *span, unread=self._away)
        quiet = self._adapter.quiet_bars
        return compare(subscription, span, grid, quiet, coverage, candles, rows)
