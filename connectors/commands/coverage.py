"""The command ``candles coverage``: what there is, what is missing, and why."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from functools import partial

import click
import orjson
from rich.console import Console

from connectors import exchanges
from connectors.clock import Clock
from connectors.commands.inventory import (
    Summary,
    as_json,
    narrowed,
    summed_up,
    total,
    totals_as_json,
)
from connectors.commands.kept import kept
from connectors.commands.program import KAFKA, REGISTRY, Signals, say, with_settings
from connectors.commands.tables import Cell, console, minute, table
from connectors.commands.tail import Chosen, chosen
from connectors.errors import ConnectorError, UsageError
from connectors.model import Grid, Subscription, grid_of
from connectors.sandbox.client import sandbox_clock
from connectors.settings import Settings

HEADINGS = (
    *("subscription", "state", "start", "head", "settled", "published", "empty"),
    *("missing", "given up", "behind"),
)


@click.command("coverage", epilog="Example: candles coverage --kafka localhost:9092 --json")
@click.argument("selection", nargs=-1, metavar="[SUBSCRIPTION | EXCHANGE]…")
@click.option("--json", "as_lines", is_flag=True, help="Print JSON lines; times in milliseconds.")
@with_settings("sandbox", "prefix", *KAFKA, *REGISTRY)
def coverage(selection: tuple[str, ...], as_lines: bool, settings: Settings) -> None:
    """Show which candles are in Kafka, which are missing, since when and why.

    Of everything, or of a SELECTION. Settled slots are published or empty: the exchange has no
    candle in those. Behind are slots that are over by the clock and not decided yet; with --sandbox
    it is the sandbox's clock. The last line is the total.

    Exit status 0 where nothing is missing, 1 where something is.
    """
    wanted = chosen(selection) if selection else {}
    found = asyncio.run(Signals().over(_summaries(wanted, settings)))
    if found is None:
        raise ConnectorError("interrupted before coverage was read")
    totals = total(found)
    if as_lines:
        for line in (*map(as_json, found), totals_as_json(totals)):
            click.echo(orjson.dumps(line))
    else:
        show(console(), found)
    if totals.holes:
        sys.exit(say(str(totals), 1))


async def _summaries(wanted: Chosen, settings: Settings) -> list[Summary]:
    clock = await sandbox_clock(settings.sandbox) if settings.sandbox else Clock()
    async with kept(settings, complain=partial(say, status=1)) as topics:
        known = narrowed(await topics.coverage(), wanted, settings.prefix)
    market = clock.market()
    return [summed_up(record, grid_for(each), market) for each, record in known.items()]


def grid_for(subscription: Subscription) -> Grid:
    """Its open times; as is usual where this program does not know the exchange (any more)."""
    try:
        return exchanges.get(subscription.exchange)().grid(subscription.interval)
    except (UsageError, KeyError, ValueError):
        return grid_of(subscription.interval)


def show(screen: Console, found: Sequence[Summary]) -> None:
    """The table, and a line for each hole and for each reason that something is not carried."""
    totals = total(found)
    last: list[Cell] = [
        *("total", "", "", "", totals.settled, totals.published, totals.empty),
        *(totals.missing, totals.given_up, sum(each.behind for each in found)),
    ]
    screen.print(table(HEADINGS, map(_row, found), last if len(found) > 1 else ()))
    for note in notes(found):
        screen.print(note, markup=False, soft_wrap=True)


def _row(one: Summary) -> list[Cell]:
    times = minute(one.start), minute(one.head)
    counts = one.settled, one.published, one.empty, one.missing, one.given_up, one.behind
    return [str(one.subscription), one.state.lower(), *times, *counts]


def notes(found: Sequence[Summary]) -> list[str]:
    """One line for each thing that is to be explained."""
    return [
        note
        for one in found
        for note in (
            *([f"{one.subscription}: {one.state.lower()}: {one.reason}"] if one.reason else []),
            *(
                f"{one.subscription}: {minute(hole.start)} to {minute(hole.end)}, "
                f"since {minute(hole.since) or 'unknown'}: {hole}"
                for hole in one.holes
            ),
        )
    ]
