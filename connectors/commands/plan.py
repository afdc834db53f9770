"""The command ``candles plan``: what a wish list needs, and what cannot fit. It asks no network."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from math import ceil
from pathlib import Path
from typing import Any, Final

import click
import orjson

from connectors import exchanges
from connectors.commands.program import say, with_settings
from connectors.commands.tables import Cell, console, table
from connectors.errors import UsageError
from connectors.model import Subscription
from connectors.plan import Plan, plan_of
from connectors.settings import Settings

EXAMPLE: Final = f"{exchanges.names()[0]}:BTC-USDT:1m"
HEADINGS: Final = (
    *("exchange", "streamed", "polled", "connections", "allowed", "channels", "frames", "bytes"),
    *("seconds", "REST/min", "used %", "closes"),
)
UNKNOWN: Final = (
    "Pairs are not checked: that would need the network. Seconds are those that the limits take; "
    "REST is reckoned for bars that all have trades and connections that hold."
)


@click.command("plan", epilog=f"Example: candles plan {EXAMPLE} --json")
@click.argument("words", nargs=-1, required=True, metavar="[FILE | - | SUBSCRIPTION]…")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with each connection.")
@with_settings()
def plan(words: tuple[str, ...], as_json: bool, settings: Settings) -> None:
    """Show what a wish list needs of each exchange, and say what cannot fit.

    FILE (- is stdin) holds a subscription a line; # begins a comment. Connections come with the
    channels of the fullest one, the frames and bytes that subscribe them all, and the seconds that
    takes. REST/min is the weight of requests a minute, used % its part of the tightest limit.

    Exit status 0 where everything fits, 1 with a sentence for each thing that does not.
    """
    del settings
    plans = planned(wishes(words))
    if as_json:
        click.echo(orjson.dumps(told(plans), option=orjson.OPT_INDENT_2))
    else:
        show(plans)
    for sentence in (each for one in plans for each in one.refusals):
        say(sentence, 1)
    sys.exit(any(one.refusals for one in plans))


# --- the wish list --------------------------------------------------------------------------------


def wishes(words: Iterable[str]) -> list[Subscription]:
    """The subscriptions that the words are, or that lie in the files that they name.

    UsageError for a line that is none, or where there are none at all.
    """
    found = [each for word in words for each in _wished(word)]
    if not found:
        raise UsageError("there is nothing to plan: write a subscription a line, like " + EXAMPLE)
    return found


def _wished(word: str) -> Iterator[Subscription]:
    if ":" in word:
        yield _known(word)
        return
    for number, line in enumerate(_text(word).splitlines(), 1):
        text = line.partition("#")[0].strip()
        if text:
            try:
                yield _known(text)
            except UsageError as wrong:
                raise UsageError(f"line {number} of {_name(word)}: {wrong}") from None


def _known(text: str) -> Subscription:
    subscription = Subscription.parse(text)
    exchanges.get(subscription.exchange)
    return subscription


def _text(word: str) -> str:
    try:
        read = sys.stdin.buffer.read() if word == "-" else Path(word).read_bytes()
        return read.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(
            f"the wish list {word} cannot be read ({error.strerror}): name a file of "
            f"subscriptions, - for stdin, or a subscription like {EXAMPLE}"
        ) from None
    except UnicodeDecodeError:
        raise UsageError(f"the wish list {_name(word)} is no text in UTF-8") from None


def _name(word: str) -> str:
    return "stdin" if word == "-" else word


# --- the plans ------------------------------------------------------------------------------------


def planned(wanted: Iterable[Subscription]) -> list[Plan]:
    """A plan for each exchange, by name."""
    by_exchange: dict[str, list[Subscription]] = {}
    for each in wanted:
        by_exchange.setdefault(each.exchange, []).append(each)
    wall = time.time()
    return [plan_of(exchanges.get(name), some, wall) for name, some in sorted(by_exchange.items())]


def show(plans: Sequence[Plan]) -> None:
    """The table, and what is to be said of it."""
    screen = console()
    screen.print(table(HEADINGS, map(_row, plans), _totals(plans)))
    notes = [f"{one.exchange}: {note}" for one in plans for note in one.notes]
    for note in (*notes, UNKNOWN):
        screen.print(note, markup=False, soft_wrap=True)


def _row(one: Plan) -> list[Cell]:
    sockets = one.connections
    return [
        *(one.exchange, one.streamed, one.polled, len(sockets)),
        one.limits.connections if sockets else None,
        max((each.channels for each in sockets), default=None),
        *(sum(each.frames for each in sockets), sum(each.bytes for each in sockets)),
        *(ceil(one.seconds), ceil(one.rest.total), ceil(100 * max(one.used, default=0))),
        one.closes,
    ]


def _totals(plans: Sequence[Plan]) -> list[Cell]:
    total = _total(plans)
    return [
        *("total", total["streamed"], total["polled"], total["connections"], "", ""),
        *(total["frames"], total["bytes"], ceil(total["seconds"]), "", "", ""),
    ]


def _total(plans: Sequence[Plan]) -> dict[str, Any]:
    sockets = [each for one in plans for each in one.connections]
    return {
        "streamed": sum(one.streamed for one in plans),
        "polled": sum(one.polled for one in plans),
        "connections": len(sockets),
        "frames": sum(each.frames for each in sockets),
        "bytes": sum(each.bytes for each in sockets),
        "seconds": max((one.seconds for one in plans), default=0.0),
        "refusals": sum(len(one.refusals) for one in plans),
    }


def told(plans: Sequence[Plan]) -> dict[str, Any]:
    """What ``--json`` prints; seconds, and REST weight a minute."""
    return {"exchanges": list(map(_told, plans)), "total": _total(plans), "pairs_checked": False}


def _told(one: Plan) -> dict[str, Any]:
    rates = zip(one.limits.rest, one.used, strict=True)
    return {
        "exchange": one.exchange,
        "streamed": one.streamed,
        "polled": one.polled,
        "connections": [asdict(each) for each in one.connections],
        "allowed": one.limits.connections,
        "seconds": one.seconds,
        "rest": {**asdict(one.rest), "total": one.rest.total},
        "rates": [
            {"amount": rate.amount, "seconds": rate.period, "used": used} for rate, used in rates
        ],
        "closes": one.closes,
        "notes": one.notes,
        "refusals": one.refusals,
        "source": one.limits.source,
        "checked": one.limits.checked,
    }
