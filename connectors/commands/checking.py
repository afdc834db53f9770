"""The command ``candles check``: an adapter's facts, and what its exchange does for a while."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
import orjson

from connectors import exchanges
from connectors.adapter import ExchangeAdapter
from connectors.clock import Clock
from connectors.commands.check import Fact, facts, merged, totals
from connectors.commands.checker import Checker
from connectors.commands.program import Signals, with_settings
from connectors.commands.recorder import Recorder, new_folder
from connectors.commands.tables import console, table
from connectors.errors import ConnectorError
from connectors.model import Subscription
from connectors.rest import Rest
from connectors.sandbox.client import sandbox_clock
from connectors.settings import Settings

HEADINGS: Final = ("fact", "interval", "the adapter says", "seen", "verdict")


@click.command("check", epilog=f"Example: candles check {exchanges.names()[0]} --save recorded")
@click.argument("exchange")
@click.option(
    "--seconds", type=click.FloatRange(min=1), default=120, show_default=True, help="How long."
)
@click.option("--pair", metavar="BASE-QUOTE", help="One that is traded much, if it is not said.")
@click.option(
    "--save",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write frames and replies into DIR as items, as candles conformance reads them.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_settings("sandbox", "endpoint")
def check(
    exchange: str,
    seconds: float,
    pair: str | None,
    save: Path | None,
    as_json: bool,
    settings: Settings,
) -> None:
    """Look at EXCHANGE for a while, and compare what it does with what its adapter says.

    Its list, a stream of each interval, its REST, and a pair that does not exist; within its
    limits, which a connector at the same address must not spend at the same time.

    Exit status 0 where nothing differs, 1 where something does.
    """
    adapter_class = exchanges.get(exchange)
    if pair is not None:
        Subscription.parse(f"{exchange}:{pair}:1m")
    place = None if save is None else new_folder(save, exchange)
    recorder = None if save is None else _recorder(adapter_class, settings)
    looking = _check(adapter_class, pair, seconds, settings, recorder)
    found = asyncio.run(Signals().over(looking))
    if found is None:
        raise ConnectorError("the check was interrupted before it could compare")
    if recorder is not None and place is not None:
        click.echo(f"{recorder.write(place)} items are in {place}", err=True)
    if as_json:
        click.echo(orjson.dumps([asdict(each) for each in found], option=orjson.OPT_INDENT_2))
    else:
        show(found)
    sys.exit(1 if any(each.verdict == "differs" for each in found) else 0)


async def _check(
    adapter_class: type[ExchangeAdapter],
    pair: str | None,
    seconds: float,
    settings: Settings,
    recorder: Recorder | None,
) -> list[Fact]:
    clock = await sandbox_clock(settings.sandbox) if settings.sandbox else Clock()
    endpoints = settings.endpoints()
    async with Rest(endpoints) as rest:
        checker = Checker(adapter_class, pair, seconds, rest, endpoints, clock, recorder)
        return facts(await checker.run())


def _recorder(adapter_class: type[ExchangeAdapter], settings: Settings) -> Recorder:
    adapter = adapter_class()
    place = settings.endpoints().url(adapter.name, adapter.get_ws_url() or adapter.get_rest_url())
    day = datetime.now(UTC).date()
    provenance = "made up" if settings.sandbox else "recorded"
    return Recorder(adapter.name, provenance, f"candles check of {day} at {place}")


def show(found: Sequence[Fact]) -> None:
    """The table of facts, what agrees put together, and a line that counts."""
    rows = [
        (each.name, each.interval, each.says, each.seen, each.verdict) for each in merged(found)
    ]
    console().print(table(HEADINGS, rows))
    click.echo(totals(found))
