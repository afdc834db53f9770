"""The exchanges as a list: what each offers, how its bars close, and what it allows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from connectors.adapter import ExchangeAdapter, Rate


def facts(adapter: ExchangeAdapter) -> dict[str, Any]:
    """What ``candles exchanges --json`` tells of one exchange; seconds are real ones."""
    limits = adapter.limits
    streamed = adapter.get_ws_supported_intervals()
    readable = adapter.get_rest_supported_intervals()
    offered = list(adapter.get_supported_intervals())
    return {
        "exchange": adapter.name,
        "websocket": [each for each in offered if each in streamed],
        "polled": [each for each in offered if each not in streamed],
        "not_repairable": [each for each in offered if each not in readable],
        "close": "flag" if adapter.close_flag else "inferred",
        "limits": {
            "connections": limits.connections,
            "subscriptions": limits.subscriptions,
            "messages": _rate(limits.messages),
            "attempts": _rate(limits.attempts),
            "lifetime": limits.lifetime,
            "rest": [_rate(each) for each in limits.rest],
        },
        "checked": limits.checked,
        "source": limits.source,
    }


def _rate(rate: Rate) -> dict[str, float]:
    return {"amount": rate.amount, "seconds": rate.period}


_CLOSE = {"flag": "by the exchange's flag", "inferred": "inferred from the next one or the clock"}


def text_of(one: dict[str, Any]) -> str:
    """The same for a person, in a few lines."""
    rows = {
        "WebSocket": " ".join(one["websocket"]),
        "polled": " ".join(one["polled"]),
        "no REST": " ".join(one["not_repairable"]),
        "bars close": _CLOSE[one["close"]],
        "limits": _limits(one["limits"]),
        "checked": one["checked"],
    }
    lines = [f"  {name:<11} {value}" for name, value in rows.items() if value]
    return "\n".join([one["exchange"], *lines])


def _limits(limits: dict[str, Any]) -> str:
    parts = [
        f"{limits['connections'] or 'any number of'} connections",
        f"each {limits['subscriptions']} subscriptions and messages {_text(limits['messages'])}",
        f"REST weight {' and '.join(map(_text, limits['rest']))}",
    ]
    return "; ".join(parts)


def _text(rate: dict[str, float]) -> str:
    return f"{rate['amount']:g} in {rate['seconds']:g} s"


def markdown(every: Iterable[dict[str, Any]]) -> str:
    """The table of exchanges in README.md."""
    rows = [
        f"| `{one['exchange']}` | {' '.join(one['websocket']) or '–'} | "
        f"{' '.join(one['polled']) or '–'} | {one['close']} | {one['checked']} |"
        for one in every
    ]
    heads = ["| exchange | by WebSocket | polled | close | checked |", "|---|---|---|---|---|"]
    return "\n".join([*heads, *rows])
