"""The command ``candles audit``: what lies in Kafka, compared from outside with the exchanges.

Nothing is written. What is amiss is looked at a second time, so that nothing is reported that was
just being put right; the second look counts.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Final, NamedTuple

import click
import orjson
from rich.console import Console

from connectors import exchanges
from connectors.audit import (
    Findings,
    Lack,
    as_json,
    asked,
    bounds_of,
    compare,
    span_of,
    verdict,
)
from connectors.clock import Clock
from connectors.coverage import Coverage
from connectors.errors import ConnectorError, Unreachable, UsageError
from connectors.history import History
from connectors.inventory import narrowed
from connectors.kept import Kept, Span, kept
from connectors.market import check_interval
from connectors.model import Grid, Subscription
from connectors.program import KAFKA, REGISTRY, Signals, say, with_settings
from connectors.records import CandleRecord, CoverageRecord, CoverageState
from connectors.rest import Rest
from connectors.sandbox.client import sandbox_clock
from connectors.settings import Settings
from connectors.tables import console, minute, table
from connectors.tail import chosen

EXAMPLE: Final = f"{exchanges.names()[0]}:BTC-USDT:1m"
HEADINGS: Final = (
    *("subscription", "from", "to", "compared", "agreeing", "rate", "differing"),
    *("missing, declared", "undeclared", "in Kafka only"),
)
LISTED: Final = 20
"""So many things that are amiss with one subscription are listed for a person; JSON has all."""

Range = tuple[float | None, float | None]


@click.command(
    "audit",
    epilog=f"Example: candles audit {EXAMPLE} --from 2026-11-25 --to 2026-11-26T12:00 --json",
)
@click.argument("subscriptions", nargs=-1, required=True, metavar="SUBSCRIPTION…")
@click.option("--from", "since", metavar="TIME", help="The first open time: ISO 8601 or seconds.")
@click.option("--to", "until", metavar="TIME", help="The first open time that is left out.")
@click.option("--json", "as_lines", is_flag=True, help="Print JSON lines; times in milliseconds.")
@with_settings("sandbox", "endpoint", "prefix", *KAFKA, *REGISTRY)
def audit(
    subscriptions: tuple[str, ...],
    since: str | None,
    until: str | None,
    as_lines: bool,
    settings: Settings,
) -> None:
    """Compare the closed candles of SUBSCRIPTIONS in Kafka with what the exchange says over REST.

    Of a range of open times, else the newest 500 that closed some minutes ago; never of times
    before coverage begins. A tenth of the exchange's REST budget is spent.

    Exit status 0 where everything agrees or is declared missing, 1 where anything is not.
    """
    wanted = list(dict.fromkeys(map(_auditable, subscriptions)))
    between = asked(since, until)
    found = asyncio.run(Signals().over(_audit(wanted, between, settings)))
    if found is None:
        raise ConnectorError("the audit was interrupted before it could compare everything")
    if as_lines:
        for each in found:
            click.echo(orjson.dumps(as_json(each)))
    else:
        show(console(), found)
    sentence = verdict(found)
    if sentence is not None:
        sys.exit(say(sentence, 1))


def _auditable(text: str) -> Subscription:
    subscription = Subscription.parse(text)
    adapter = exchanges.get(subscription.exchange)()
    check_interval(adapter, subscription)
    readable = adapter.get_rest_supported_intervals()
    if subscription.interval not in readable:
        raise UsageError(
            f"{subscription}: {adapter.name} has no {subscription.interval} over REST to compare "
            f"with; it has {' '.join(readable)}"
        )
    return subscription


async def _audit(
    wanted: Sequence[Subscription], between: Range, settings: Settings
) -> list[Findings]:
    clock = await sandbox_clock(settings.sandbox) if settings.sandbox else Clock()
    async with (
        kept(settings, complain=partial(say, status=1)) as topics,
        Rest(settings.endpoints()) as rest,
    ):
        narrowed(await topics.coverage(), chosen(map(str, wanted)), settings.prefix)
        auditors = [
            Auditor(exchange, list(some), between, topics, rest, clock)
            for exchange, some in groupby(sorted(wanted), lambda each: each.exchange)
        ]
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(auditor.run()) for auditor in auditors]
        except* ConnectorError as failed:
            raise failed.exceptions[0] from None
    return [each for task in running for each in task.result()]


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


# --- for people -----------------------------------------------------------------------------------


def show(screen: Console, found: Sequence[Findings]) -> None:
    """The table, and a line for each thing that is amiss."""
    screen.print(table(HEADINGS, map(_row, found)))
    for one in found:
        lines = notes(one)
        for note in lines[:LISTED]:
            screen.print(f"{one.subscription}: {note}", markup=False, soft_wrap=True)
        if len(lines) > LISTED:
            more = f"{one.subscription}: {len(lines) - LISTED} more; --json lists all"
            screen.print(more, markup=False, soft_wrap=True)


def _row(one: Findings) -> list[str | int | None]:
    times = (minute(one.start), minute(one.end)) if one.end else (None, None)
    rate = None if one.rate is None else f"{one.rate:.4%}"
    amiss = len(one.differing), one.declared, one.undeclared, one.denied
    return [str(one.subscription), *times, one.compared, one.agreeing, rate, *amiss]


def notes(one: Findings) -> list[str]:
    """What is amiss with one subscription, or declared missing, in the order of time."""
    lines = [
        *((each.open_time, f"{minute(each.open_time)}: {each}") for each in one.differing),
        *((each.start, _lack(each, "missing in Kafka")) for each in one.lacking),
        *((each.start, _lack(each, "in Kafka, REST has none")) for each in one.not_on_rest),
    ]
    reason = one.unread or one.idle
    return [
        *([] if reason is None else [f"not compared: {reason}"]),
        *(text for _, text in sorted(lines)),
    ]


def _lack(lack: Lack, what: str) -> str:
    to = "" if lack.slots == 1 else f" to {minute(lack.end)}, {lack.slots} slots"
    why = "" if lack.declared is None else f", declared: {lack.declared}"
    return f"{minute(lack.start)}{to}: {what}{why}"
