"""The addresses below `/-/`: clock, truth, pairs, faults, journal."""

from __future__ import annotations

import json
from dataclasses import asdict
from decimal import Decimal
from typing import TYPE_CHECKING

from aiohttp import web

from connectors.sandbox.dialect import Dialect
from connectors.sandbox.journal import report
from connectors.sandbox.market import Bar
from connectors.sandbox.orders import FaultOrderError, kinds, ordered
from connectors.sandbox.site import MarketSite

if TYPE_CHECKING:
    from connectors.sandbox.server import Sandbox

_TRUTHS = 500  # how many bars are told when `start` is absent


def routes(sandbox: Sandbox) -> list[web.RouteDef]:
    """Return the routes of the control addresses of this sandbox."""
    control = _Control(sandbox)
    return [
        web.get("/-/clock", control.clock),
        web.get("/-/truth/{market}/{trading_pair}/{interval}", control.truth),
        web.get("/-/pairs/{market}", control.pairs),
        web.get("/-/faults", control.faults),
        web.post("/-/faults", control.order),
        web.delete("/-/faults/{id}", control.end),
        web.get("/-/journal", control.journal),
    ]


class _Control:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def clock(self, _: web.Request) -> web.Response:
        clock = self._sandbox.clock
        return web.json_response({"now": clock.now().market, "speed": clock.speed})

    async def truth(self, request: web.Request) -> web.Response:
        site = self._site(request.match_info["market"])
        trading_pair = request.match_info["trading_pair"]
        interval = request.match_info["interval"]
        if not site.market.was_listed(trading_pair) or interval not in site.market.intervals:
            raise _bad(f"{site.dialect.market} has no {trading_pair}:{interval}", web.HTTPNotFound)
        now = self._sandbox.clock.now().market
        end = _number(request, "end", now)
        nominal = site.market.intervals[interval].seconds
        start = _number(request, "start", end - _TRUTHS * nominal)
        skipped = 0 if request.query.get("history") == "1" else -1
        closed = site.market.closed(trading_pair, interval, start, end, now)
        candles = [candle for bars in closed for candle in _truths(bars, site.dialect)[skipped:]]
        return web.json_response({"candles": candles})

    async def pairs(self, request: web.Request) -> web.Response:
        site = self._site(request.match_info["market"])
        return web.json_response(
            {
                "pairs": [
                    {
                        "trading_pair": listing.trading_pair,
                        "symbol": listing.symbol,
                        "intervals": list(site.dialect.intervals),
                        "quiet": site.market.listing(listing.book).quiet,
                        "alias_of": listing.alias_of,
                    }
                    for listing in site.market.listings.values()
                    if site.market.trades(listing.trading_pair)
                ],
                "quiet_bars": asdict(site.dialect.quiet),
            }
        )

    async def faults(self, _: web.Request) -> web.Response:
        active = [
            {"id": name, "kind": fault.kind, "market": fault.order.market}
            for name, fault in self._sandbox.faults().items()
        ]
        return web.json_response({"kinds": sorted(kinds()), "active": active})

    async def order(self, request: web.Request) -> web.Response:
        try:
            wish = await request.json()
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise _bad('a fault is ordered as JSON: {"kind": "drop"}') from error
        try:
            sandbox = self._sandbox
            dialects = {name: site.dialect for name, site in sandbox.sites.items()}
            fault = ordered(wish, dialects, sandbox.clock.now().real, sandbox.clock.speed)
        except FaultOrderError as error:
            raise _bad(str(error)) from error
        return web.json_response({"id": sandbox.misbehave(fault)})

    async def end(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        if not self._sandbox.behave(name):
            raise _bad(f"no fault {name} is active", web.HTTPNotFound)
        return web.json_response({"id": name})

    async def journal(self, request: web.Request) -> web.Response:
        name = request.query.get("market")
        sites = self._sandbox.sites.values() if name is None else [self._site(name)]
        return web.json_response(report(site.journal for site in sites))

    def _site(self, name: str) -> MarketSite:
        if name not in self._sandbox.sites:
            known = ", ".join(sorted(self._sandbox.sites))
            raise _bad(f"no market {name} here, only {known}", web.HTTPNotFound)
        return self._sandbox.sites[name]


def _bad(sentence: str, kind: type[web.HTTPError] = web.HTTPBadRequest) -> web.HTTPError:
    return kind(text=json.dumps({"error": sentence}), content_type="application/json")


def _number(request: web.Request, name: str, default: float) -> float:
    try:
        return float(request.query.get(name, default))
    except ValueError as error:
        raise _bad(f"{name} must be UNIX seconds") from error


def _truths(revisions: list[Bar], dialect: Dialect) -> list[dict[str, object]]:
    """Return the revisions of a bar, or nothing where history does not show it."""
    return [
        _truth(bar, number, dialect)
        for number, bar in enumerate(revisions)
        if bar.trades or dialect.quiet.history
    ]


def _truth(bar: Bar, revision: int, dialect: Dialect) -> dict[str, object]:
    figures = dialect.figures
    return {
        "open_time": bar.open_time,
        "close_time": bar.close_time,
        "open": float(bar.open),
        "high": float(bar.high),
        "low": float(bar.low),
        "close": float(bar.close),
        "volume": float(bar.volume),
        "quote_asset_volume": _sent(bar.quote_volume, sent=figures.quote_volume),
        "n_trades": bar.trades if figures.trades else None,
        "taker_buy_base_volume": _sent(bar.taker_volume, sent=figures.taker),
        "taker_buy_quote_volume": _sent(
            bar.taker_quote_volume, sent=figures.taker and figures.taker_quote
        ),
        "revision": revision,
    }


def _sent(figure: Decimal, *, sent: bool) -> float | None:
    return float(figure) if sent else None
