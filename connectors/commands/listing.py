"""The command ``candles exchanges``: what each market offers and allows, as its adapter says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import floor
from textwrap import wrap
from typing import Any, Final

import click
import orjson

from connectors import exchanges
from connectors.adapter import ExchangeAdapter, Heartbeat, Rate
from connectors.commands.program import with_settings
from connectors.commands.tables import NOTHING, Cell, console, table
from connectors.settings import Settings

WIDTH: Final = 100
"""Columns of what is printed for people."""
UNPUBLISHED: Final = "not published"
HEADINGS: Final = ("exchange", "WebSocket", "polled", "close", "sockets", "REST/min", "checked")


@click.command("exchanges", epilog=f"Example: candles exchanges {exchanges.names()[0]} --json")
@click.argument("names", nargs=-1, metavar="[EXCHANGE]…")
@click.option("--json", "form", flag_value="json", help="Print JSON: all facts.")
@click.option("--markdown", "form", flag_value="markdown", help="Print docs/exchanges.md.")
@with_settings()
def list_exchanges(names: tuple[str, ...], form: str | None, settings: Settings) -> None:
    """List the exchanges, a line each; one that is named, in full.

    Sockets are connections × subscriptions on each; REST/min is the weight of requests that the
    tightest limit allows in a minute; checked is when the facts were true.
    """
    del settings
    every = [facts(exchanges.get(name)()) for name in names or exchanges.names()]
    if form == "json":
        click.echo(orjson.dumps(every, option=orjson.OPT_INDENT_2))
    elif form == "markdown":
        click.echo(document(every), nl=False)
    elif names:
        click.echo("\n\n".join(map(text_of, every)))
    else:
        console().print(table(HEADINGS, map(_row, every)))
        click.echo("candles exchanges EXCHANGE shows one in full, with the source of its limits.")


# --- the facts ------------------------------------------------------------------------------------


def facts(adapter: ExchangeAdapter) -> dict[str, Any]:
    """Everything that an adapter tells of its market, as ``--json`` prints it; times in seconds.

    What concerns connections is None where there are none.
    """
    offered = list(adapter.get_supported_intervals())
    streamed = [each for each in offered if adapter.transport(each) == "websocket"]
    readable = adapter.get_rest_supported_intervals()
    return {
        "exchange": adapter.name,
        "websocket": streamed,
        "polled": [each for each in offered if each not in streamed],
        "not_repairable": [each for each in offered if each not in readable],
        "close": "flag" if adapter.close_flag else "inferred",
        "close_grace": adapter.close_grace,
        "quiet_bars": {
            "stream": adapter.quiet_bars.stream if streamed else None,
            "rest": adapter.quiet_bars.rest,
        },
        "history": {each: _pages(adapter, each) for each in offered if each in readable},
        "heartbeat": _heartbeat(adapter.heartbeat) if streamed else None,
        "limits": _limits(adapter, bool(streamed)),
        "checked": adapter.limits.checked,
        "source": adapter.limits.source,
    }


def _pages(adapter: ExchangeAdapter, interval: str) -> dict[str, int | None]:
    pages = adapter.rest_pages(interval)
    return {"page": pages.limit, "reach": pages.rows}


def _heartbeat(heartbeat: Heartbeat) -> dict[str, Any]:
    every = None if heartbeat.kind == "server" else heartbeat.every
    return {"kind": heartbeat.kind, "every": every, "silence": heartbeat.silence}


def _limits(adapter: ExchangeAdapter, streams: bool) -> dict[str, Any]:
    limits = adapter.limits
    of_connections = {
        "connections": limits.connections,
        "subscriptions": limits.subscriptions,
        "messages": _rate(limits.messages),
        "subscribes": None if limits.subscribes is None else _rate(limits.subscribes),
        "message_bytes": limits.message_bytes,
        "message_channels": limits.message_channels,
        "attempts": _rate(limits.attempts),
        "lifetime": limits.lifetime,
    }
    known = of_connections if streams else dict.fromkeys(of_connections)
    return {**known, "rest": [_rate(each) for each in limits.rest]}


def _rate(rate: Rate) -> dict[str, float]:
    return {"amount": rate.amount, "seconds": rate.period}


# --- for people -----------------------------------------------------------------------------------


def _row(one: Mapping[str, Any]) -> list[Cell]:
    close, limits = one["close"], one["limits"]
    if close == "inferred":
        close += f" {one['close_grace']:g} s"
    sockets = f"{limits['connections'] or NOTHING} × {limits['subscriptions']}"
    rest = floor(min(60 * each["amount"] / each["seconds"] for each in limits["rest"]))
    return [
        *(one["exchange"], _from_to(one["websocket"]), _from_to(one["polled"]), close),
        *(sockets if one["websocket"] else None, rest, one["checked"]),
    ]


def _from_to(intervals: Sequence[str]) -> str | None:
    if len(intervals) < 3:
        return " ".join(intervals) or None
    return f"{intervals[0]}–{intervals[-1]} ({len(intervals)})"


def text_of(one: Mapping[str, Any]) -> str:
    """All of one market, in lines of at most ``WIDTH`` columns."""
    lines = [one["exchange"]]
    for name, text in _told(one).items():
        first, *more = wrap(text, WIDTH - 18, break_long_words=False)
        lines += [f"  {name:<16}{first}", *(f"{'':<18}{each}" for each in more)]
    return "\n".join(lines)


def markdown(every: Iterable[Mapping[str, Any]]) -> str:
    """The table of exchanges in README.md."""
    rows = [
        f"| `{one['exchange']}` | {' '.join(one['websocket']) or '–'} | "
        f"{' '.join(one['polled']) or '–'} | {one['close']} | {one['checked']} |"
        for one in every
    ]
    heads = ["| exchange | by WebSocket | polled | close | checked |", "|---|---|---|---|---|"]
    return "\n".join([*heads, *rows])


DOCUMENT: Final = """\
# Exchanges

What the adapters say of each market, with the source of its limits and when they were checked. This
page is written by `candles exchanges --markdown > docs/exchanges.md`; `candles exchanges --json`
tells the same to programs, and `candles plan` what a wish list needs of these limits.

A close is told by the exchange's flag, or inferred from the next bar or from the clock, once the
*grace* is over within which late frames still come. *Quiet bars* are those without trades. What is
said of connections and REST counts per address, weights of REST are the exchange's own.
"""


def document(every: Iterable[Mapping[str, Any]]) -> str:
    """docs/exchanges.md."""
    return "".join([DOCUMENT, *map(_section, every)])


def _section(one: Mapping[str, Any]) -> str:
    rows = "".join(
        f"| {name} | {text.replace('|', '&#124;')} |\n" for name, text in _told(one).items()
    )
    return f"\n## {one['exchange']}\n\n| | |\n|---|---|\n{rows}"


def _told(one: Mapping[str, Any]) -> dict[str, str]:
    """The facts in words, by name; those that there is nothing to say of are left out."""
    words = {
        "WebSocket": " ".join(one["websocket"]),
        "polled": " ".join(one["polled"]),
        "no REST": " ".join(one["not_repairable"]),
        "close": f"{_CLOSE[one['close']]}; grace {one['close_grace']:g} s",
        "quiet bars": _quiet(**one["quiet_bars"]),
        "history": _history(one["history"]),
        **(_of_connections(one) if one["websocket"] else {}),
        "REST weight": " and ".join(map(_text, one["limits"]["rest"])),
        "source": one["source"],
        "checked": one["checked"],
    }
    return {name: text for name, text in words.items() if text}


_CLOSE: Final = {"flag": "by the exchange's flag", "inferred": "inferred"}


def _quiet(stream: str | None, rest: str) -> str:
    return f"stream: {stream}; REST: {rest}" if stream else f"REST: {rest}"


def _history(history: Mapping[str, Mapping[str, int | None]]) -> str:
    groups: dict[tuple[int | None, int | None], list[str]] = {}
    for interval, pages in history.items():
        groups.setdefault((pages["page"], pages["reach"]), []).append(interval)
    return "; ".join(
        f"{'' if len(groups) == 1 else ' '.join(intervals) + ': '}{page} bars a page, "
        + ("to the listing" if reach is None else f"{reach} bars back")
        for (page, reach), intervals in groups.items()
    )


def _pings(kind: str, every: float | None, silence: float) -> str:
    if kind == "server":
        who = "the exchange pings"
    else:
        who = f"we ping {'by a message' if kind == 'message' else 'by protocol'} every {every:g} s"
    return f"{who}; dead after {silence:g} s of silence"


def _of_connections(one: Mapping[str, Any]) -> dict[str, str]:
    limits = one["limits"]
    lifetime, subscribes = limits["lifetime"], limits["subscribes"]
    return {
        "heartbeat": _pings(**one["heartbeat"]),
        "connections": "; ".join(
            [
                f"{limits['connections'] or UNPUBLISHED}",
                f"attempts: {_text(limits['attempts'])}",
                f"lifetime: {UNPUBLISHED if lifetime is None else f'{lifetime / 3600:g} h'}",
            ]
        ),
        "of each": "; ".join(
            [
                f"subscriptions: {limits['subscriptions']}",
                f"messages: {_text(limits['messages'])}",
                *([f"of these subscribing: {_text(subscribes)}"] if subscribes else []),
            ]
        ),
        "of a message": f"channels: {limits['message_channels']}; "
        f"bytes: {limits['message_bytes'] or UNPUBLISHED}",
    }


def _text(rate: Mapping[str, float]) -> str:
    return f"{rate['amount']:g} in {rate['seconds']:g} s"
