"""The list of instruments: the request, and the keys of its rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

from connectors.adapter import RestRequest
from connectors.model import Instrument
from connectors.plain.symbols import Code, Spelling


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The request for the list of instruments, and the keys of what it returns.

    ``url`` may be relative to ``rest_url``. ``rows`` is the path to the rows, a list or an object
    of them. Without ``base`` and ``quote`` the symbol is taken apart by the Spelling. ``live`` are
    the values of ``status`` with which candles are to be expected; ``size`` is the key of the
    contract size, ``inverse`` says whether that is in quote units. Rows whose value of a key of
    ``only`` is none of the named ones, or whose symbol cannot be taken apart, belong to other
    markets.
    """

    url: str
    params: Mapping[str, Code] = field(default_factory=dict)
    weight: float = 1.0
    rows: tuple[Code, ...] = ()
    symbol: str = "symbol"
    base: str = ""
    quote: str = ""
    status: str = ""
    live: Collection[Any] = ()
    size: str = ""
    inverse: bool = False
    only: Mapping[str, Collection[Any]] = field(default_factory=dict)

    def request(self, rest_url: str, **params: Code) -> RestRequest:
        """The request, with more parameters where the list has pages."""
        url, params = urljoin(rest_url, self.url), {**self.params, **params}
        return RestRequest(url=url, params=params, weight=self.weight)

    def instrument(self, row: Mapping[str, Any], spelling: Spelling) -> Instrument | None:
        """A row as an instrument, None where it belongs to another market."""
        if any(row.get(key) not in values for key, values in self.only.items()):
            return None
        symbol, status = row[self.symbol], row[self.status] if self.status else ""
        pair = self._pair(row, symbol, spelling)
        if pair is None:
            return None
        return Instrument(
            trading_pair=pair,
            symbol=symbol,
            contract_size=float(row[self.size]) if self.size else 1.0,
            inverse=self.inverse,
            tradable=status in self.live if self.status else True,
            status="" if isinstance(status, bool) else str(status),
        )

    def _pair(self, row: Mapping[str, Any], symbol: str, spelling: Spelling) -> str | None:
        if self.base:
            return spelling.joined(row[self.base], row[self.quote])
        try:
            return spelling.pair(symbol)
        except ValueError:
            return None
