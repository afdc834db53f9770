"""The parameters of a REST request for candles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from connectors.plain.symbols import Code


def in_seconds(time: int) -> int:
    """A time as UNIX seconds."""
    return time


def in_milliseconds(time: int) -> int:
    """A time as UNIX milliseconds."""
    return time * 1000


def in_iso(time: int) -> str:
    """A time as ``2026-09-21T14:13:20Z``."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Query:
    """Names of the parameters of a REST request, "" for one that is not sent.

    ``time`` writes a bound; ``fixed`` are parameters that are always the same. ``exclusive``: bars
    that open at a bound are left out, so the bounds lie a second beyond.
    """

    symbol: str
    interval: str
    start: str
    end: str
    limit: str = ""
    time: Callable[[int], Code] = in_milliseconds
    fixed: Mapping[str, Code] = field(default_factory=dict)
    exclusive: bool = False

    def params(self, symbol: str, code: Code, start: int, end: int, limit: int) -> dict[str, Code]:
        """For bars that open in ``start`` .. ``end``, both included (UNIX seconds)."""
        start, end = (start - 1, end + 1) if self.exclusive else (start, end)
        values = {
            self.symbol: symbol,
            self.interval: code,
            self.start: self.time(max(0, start)),
            self.end: self.time(end),
            self.limit: limit,
        }
        return {**self.fixed, **{name: value for name, value in values.items() if name}}
