"""The command ``candles audit``: what lies in Kafka, compared from outside with the exchanges."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from typing import Final

import click
import orjson
from rich.console import Console

from connectors import exchanges
from connectors.clock import Clock
from connectors.commands.audit import (
    Findings,
    Lack,
    as_json,
    asked,
    verdict,
)
from connectors.commands.auditor import Auditor, Range
from connectors.commands.inventory import narrowed
from connectors.commands.kept import kept
from connectors.commands.program import KAFKA, REGISTRY, Signals, say, with_settings
from connectors.commands.tables import Cell, console, minute, table
from connectors.commands.tail import chosen
from connectors.errors import ConnectorError, UsageError
from connectors.market import check_interval
from connectors.model import Subscription
from connectors.rest import Rest
from connectors.sandbox.client import sandbox_clock
from connectors.settings import Settings

EXAMPLE: Final = f"{exchanges.names()[0]}:BTC-USDT:1m"
HEADINGS: Final = (
    *("subscription", "from", "to", "compared", "agreeing", "rate", "differing"),
    *("missing, declared", "undeclared", "in Kafka only"),
)
LISTED: Final = 20
"""So many things that are amiss with one subscription are listed for a person; JSON has all."""


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


def _row(one: Findings) -> list[Cell]:
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
