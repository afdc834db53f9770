"""The program ``candles``: the only place that knows all the others."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console

from connectors import __version__, exchanges
from connectors.clock import Clock
from connectors.commands.auditing import audit
from connectors.commands.checking import check
from connectors.commands.conformance import conformance
from connectors.commands.coverage import coverage
from connectors.commands.demo import Demo
from connectors.commands.listing import list_exchanges
from connectors.commands.plan import plan
from connectors.commands.program import (
    KAFKA,
    REGISTRY,
    Program,
    Signals,
    say,
    time_of,
    with_settings,
)
from connectors.commands.tail import Candles, Chosen, chosen, existing, line, subscription_of, watch
from connectors.errors import BadFrame, ConnectorError, SetupError
from connectors.flow import Tally
from connectors.kafka import Stored, probe
from connectors.market import check_interval
from connectors.model import Subscription
from connectors.sandbox import kafka as local_kafka
from connectors.sandbox import process, server
from connectors.sandbox.client import sandbox_clock
from connectors.settings import Settings
from connectors.worker import Options, Worker

NEW_TOPICS = ("partitions", "replication")

EXAMPLE = f"{exchanges.names()[0]}:BTC-USDT:1m"


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="candles")
def main() -> None:
    """Candles (OHLCV bars) from exchanges into Kafka: live, complete, each closed one once."""


# --- commands -------------------------------------------------------------------------------------


@main.command(
    epilog=f"Example: candles run {EXAMPLE} --kafka localhost:9092",
)
@click.argument("subscriptions", nargs=-1, required=True, metavar="SUBSCRIPTION…")
@click.option("--since", help="Fetch history from this time on, too (ISO 8601 or UNIX seconds).")
@with_settings("sandbox", "endpoint", "prefix", "live", *KAFKA, *NEW_TOPICS, *REGISTRY)
def run(subscriptions: tuple[str, ...], since: str | None, settings: Settings) -> None:
    """Carry SUBSCRIPTIONS (EXCHANGE:BASE-QUOTE:INTERVAL) into Kafka until SIGINT or SIGTERM.

    Everything is checked before any WebSocket is opened. At the end one line says what became of
    everything that was received.
    """
    wanted = [_offered(text) for text in subscriptions]
    start = time_of("--since", since)
    signals = Signals()
    tally = asyncio.run(signals.over(_run(wanted, settings, start, signals)))
    if tally is not None:
        click.echo(str(tally))
    elif signals.came > 1:
        raise ConnectorError("stopped at once: the next run fetches what was not written yet")


def _offered(text: str) -> Subscription:
    subscription = Subscription.parse(text)
    check_interval(exchanges.get(subscription.exchange)(), subscription)
    return subscription


async def _run(
    wanted: Sequence[Subscription], settings: Settings, since: float | None, signals: Signals
) -> Tally:
    cluster = settings.cluster()
    options = Options(
        prefix=settings.prefix,
        live=settings.live,
        partitions=settings.partitions,
        replication=settings.replication,
        registry=settings.schema_registry(),
        since=since,
    )
    clock = await sandbox_clock(settings.sandbox) if settings.sandbox else Clock()
    async with Worker(cluster, wanted, clock, settings.endpoints(), options) as worker:
        await worker.prepare()
        signals.gently = worker.stop
        return await worker.run()


@main.command(epilog=f"Example: candles tail {EXAMPLE} --closed --from-beginning --count 10 --json")
@click.argument("selection", nargs=-1, metavar="[SUBSCRIPTION | EXCHANGE]…")
@click.option("--closed", "kind", flag_value="closed", help="Only closed candles.")
@click.option("--live", "kind", flag_value="live", help="Only updates of open candles.")
@click.option("--from-beginning", is_flag=True, help="From the oldest record instead of from now.")
@click.option("--count", type=click.IntRange(min=1), help="End after so many candles.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines; times in milliseconds.")
@with_settings("prefix", *KAFKA, *REGISTRY)
def tail(selection: tuple[str, ...], settings: Settings, **how: Any) -> None:
    """Print the candles in the topics as they come, of everything or of a SELECTION."""
    wanted = chosen(selection)
    asyncio.run(Signals().over(_tail(wanted, settings, **how)))


async def _tail(
    wanted: Chosen,
    settings: Settings,
    kind: str | None,
    from_beginning: bool,
    count: int | None,
    as_json: bool,
) -> None:
    cluster, plan = settings.cluster(), settings.topics()
    topics = [
        spec.name
        for exchange in wanted
        for spec in (plan.closed(exchange), plan.live(exchange))
        if kind is None or spec.name.endswith(f".{kind}")
    ]
    await probe(cluster)
    enough = asyncio.Event()
    printed = 0
    async with AsyncExitStack() as stack:
        registry = settings.schema_registry()
        opened = await stack.enter_async_context(registry) if registry else None
        candles = Candles(cluster, plan, opened)

        async def heed(stored: Stored) -> None:
            nonlocal printed
            try:
                candle = await candles.read(stored)
            except BadFrame as bad:
                say(str(bad), 1)
                return
            some = wanted.get(candle["exchange"], set())
            if enough.is_set() or (some is not None and subscription_of(candle) not in some):
                return
            click.echo(orjson.dumps(candle) if as_json else line(candle))
            printed += 1
            if printed == count:
                enough.set()

        watching = asyncio.create_task(
            watch(cluster, await existing(cluster, topics), heed, beginning=from_beginning)
        )
        await _first(watching, asyncio.create_task(enough.wait()))


async def _first(*tasks: asyncio.Task[Any]) -> None:
    """Wait until one of the tasks ends, end the others, and raise what it raised."""
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


PORT = click.IntRange(0, 65_535)
SPEED = click.FloatRange(min=0, min_open=True, max=100_000)


@main.command(epilog="Example: candles sandbox --speed 60")
@click.option("--port", type=PORT, default=8460, show_default=True, help="0 takes a free one.")
@click.option("--speed", type=SPEED, default=1.0, show_default=True, help="Of market time.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the candles.")
@with_settings()
def sandbox(port: int, speed: float, seed: int, settings: Settings) -> None:
    """Run pretend exchanges on this machine until SIGINT or SIGTERM."""
    del settings
    process.require_free(port)

    def ready(url: str) -> None:
        click.echo(f"The sandbox is ready at {url} (candles run … --sandbox {url})")

    asyncio.run(Signals().over(server.serve(process.HOST, port, speed, seed, ready)))


@main.command(epilog="Example: candles kafka --brokers 3 --data ./kafka-data")
@click.option("--port", type=PORT, default=9092, show_default=True, help="0 takes a free one.")
@click.option("--brokers", type=click.IntRange(1, 9), default=1, show_default=True)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="A folder in which the data is kept; without it nothing is.",
)
@with_settings()
def kafka(port: int, brokers: int, data: Path | None, settings: Settings) -> None:
    """Run a local Apache Kafka until SIGINT or SIGTERM. Needs Java, the first time Maven."""
    del settings

    def ready(running: local_kafka.LocalKafka) -> None:
        where = running.bootstrap
        click.echo(f"Kafka is ready at {where} (candles run … --kafka {where})")

    asyncio.run(Signals().over(local_kafka.serve(port, brokers, data, ready)))


@main.command(epilog="Example: candles demo --seconds 60")
@click.option("--seconds", type=click.FloatRange(min=1), default=60, show_default=True)
@click.option("--speed", type=SPEED, default=60.0, show_default=True, help="Of market time.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the candles.")
@with_settings(*KAFKA)
def demo(seconds: float, speed: float, seed: int, settings: Settings) -> None:
    """Run exchange, Kafka and connector for a while, and compare what Kafka has with the truth.

    Exit status 0 only where something was expected, and found equal, once, and in order.
    """
    verdict = asyncio.run(Signals().over(Demo(settings, seconds, speed, seed, Console()).run()))
    if verdict is None:
        raise SetupError("the demo was interrupted before it could compare")
    for note in verdict.notes():
        click.echo(note)
    click.echo(str(verdict))
    sys.exit(0 if verdict.passed else 1)


main.add_command(list_exchanges)
main.add_command(plan)
main.add_command(coverage)
main.add_command(audit)
main.add_command(conformance)
main.add_command(check)

if __name__ == "__main__":
    main()
