"""How an exchange spells intervals and trading pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from connectors.model import Interval

Code = str | int
"""An exchange's name for an interval; a key or an index; a parameter's value."""


def codes(table: str) -> dict[str, str]:
    """``"1m 1h=60 1d=D"`` -> ``{"1m": "1m", "1h": "60", "1d": "D"}``."""
    pairs = (entry.partition("=") for entry in table.split())
    return {interval: code or interval for interval, _, code in pairs}


def codes_in_seconds(intervals: str) -> dict[str, int]:
    """``"1m 1h"`` -> ``{"1m": 60, "1h": 3600}``."""
    return {interval: Interval.parse(interval).seconds for interval in intervals.split()}


def codes_in_minutes(intervals: str) -> dict[str, int]:
    """``"1m 1h"`` -> ``{"1m": 1, "1h": 60}``."""
    return {interval: code // 60 for interval, code in codes_in_seconds(intervals).items()}


@dataclass(frozen=True, kw_only=True)
class Spelling:
    """The rule by which a trading pair becomes a symbol.

    ``renamed`` maps our names of currencies to the exchange's (``{"BTC": "XBT"}``).
    """

    prefix: str = ""
    separator: str = ""
    suffix: str = ""
    lower: bool = False
    renamed: Mapping[str, str] = field(default_factory=dict)

    def symbol(self, trading_pair: str) -> str:
        """``BTC-USDT`` -> ``XBT_USDT``, say."""
        base, _, quoted = trading_pair.partition("-")
        base, quoted = self.renamed.get(base, base), self.renamed.get(quoted, quoted)
        symbol = f"{self.prefix}{base}{self.separator}{quoted}{self.suffix}"
        return symbol.lower() if self.lower else symbol

    def pair(self, symbol: str) -> str:
        """The reverse; ValueError where nothing separates base and quote."""
        names = symbol.upper().removeprefix(self.prefix.upper()).removesuffix(self.suffix.upper())
        base, quoted = names.split(self.separator)
        return self.joined(base, quoted)

    def joined(self, base: str, quoted: str) -> str:
        """The trading pair of two currencies that are spelled as the exchange spells them."""
        ours = {theirs: name for name, theirs in self.renamed.items()}
        return "-".join(ours.get(name, name).upper() for name in (base, quoted))
