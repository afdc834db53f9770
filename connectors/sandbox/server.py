"""The sandbox itself: every market's HTTP and WebSocket, and the control addresses, on one port."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from itertools import count
from math import inf
from pkgutil import iter_modules
from types import TracebackType
from typing import Self

from aiohttp import web

import connectors.sandbox
from connectors.sandbox.clock import MarketClock
from connectors.sandbox.control import routes
from connectors.sandbox.dialect import Dialect, Moment
from connectors.sandbox.faults import Fault
from connectors.sandbox.site import MarketSite


def dialects() -> Iterator[Dialect]:
    """Yield every market's dialect, found in the modules of this package."""
    for module in iter_modules(connectors.sandbox.__path__, "connectors.sandbox."):
        for make in getattr(import_module(module.name), "DIALECTS", ()):
            yield make()


class Sandbox:
    """Pretend exchanges on one port of this machine. Start and stop it, or use `async with`.

    `port` 0 takes a free one; `speed` is how many seconds of market time pass in a real one;
    the same `seed` gives the same candles. `start` is the market time to begin at, in UNIX
    seconds: now, if absent.
    """

    def __init__(
        self,
        port: int = 8460,
        speed: float = 1.0,
        seed: int = 0,
        *,
        host: str = "127.0.0.1",
        start: float | None = None,
    ) -> None:
        self.clock = MarketClock(speed, time.time() if start is None else start)
        self.sites = {
            dialect.market: MarketSite(dialect, self.clock, seed, self._concerning)
            for dialect in dialects()
        }
        self._host, self._port = host, port
        self._faults: dict[str, Fault] = {}
        self._names = count(1)
        self._ordered = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._striking: asyncio.Task[None] | None = None

    # --- life

    @property
    def url(self) -> str:
        """The sandbox's address, such as `http://127.0.0.1:8460`; known once it is started."""
        return f"http://{self._host}:{self._port}"

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        app = web.Application(client_max_size=2**20)
        app.add_routes(routes(self))
        app.router.add_route("*", "/{market}{path:(/.*)?}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        for market in self.sites.values():
            market.address = f"{self._host}:{self._port}"
        self._striking = asyncio.create_task(self._strike())

    async def stop(self) -> None:
        """Cut every connection off and stop listening."""
        if self._runner is None or self._striking is None:
            return
        self._striking.cancel()
        await asyncio.gather(self._striking, return_exceptions=True)
        for site in self.sites.values():
            for connection in tuple(site.connections):
                connection.cut()
        await self._runner.cleanup()
        self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        site = self.sites.get(request.match_info["market"])
        if site is None:
            raise web.HTTPNotFound(text=f"no such market; there are {', '.join(self.sites)}")
        return await site.answer(request)

    # --- faults

    def faults(self) -> dict[str, Fault]:
        """Return the active faults by id."""
        now = self.clock.now().real
        self._faults = {name: fault for name, fault in self._faults.items() if not fault.over(now)}
        return self._faults

    def misbehave(self, fault: Fault) -> str:
        """Take a fault up and return its id."""
        name = f"f{next(self._names)}"
        self._faults[name] = fault
        self._ordered.set()
        return name

    def behave(self, name: str) -> bool:
        """End a fault; return whether it was active."""
        fault = self.faults().pop(name, None)
        if fault is None:
            return False
        fault.finish()
        for site in self._concerned(fault):
            fault.change(site.market, site.dialect, self.clock.now())
        return True

    def _concerning(self, market: str) -> list[Fault]:
        if not self._faults:
            return []
        site = self.sites[market]
        return [fault for fault in self.faults().values() if self._concerns(fault, site)]

    def _concerned(self, fault: Fault) -> list[MarketSite]:
        return [site for site in self.sites.values() if self._concerns(fault, site)]

    def _concerns(self, fault: Fault, site: MarketSite) -> bool:
        wanted = fault.order.market
        if wanted is None or wanted == site.dialect.market:
            return fault.unfit(site.dialect) is None
        return fault.whole_book and self.sites[wanted].book == site.book

    async def _strike(self) -> None:
        while True:
            self._ordered.clear()
            now = self.clock.now()
            for fault in self.faults().values():
                if fault.due is not None and fault.due <= now.real:
                    self._strike_with(fault, now)
            due = min((f.due for f in self.faults().values() if f.due is not None), default=inf)
            with suppress(TimeoutError):
                left = None if due == inf else max(0.0, due - self.clock.now().real)
                async with asyncio.timeout(left):
                    await self._ordered.wait()

    def _strike_with(self, fault: Fault, now: Moment) -> None:
        fault.strike(now)
        for site in self._concerned(fault):
            fault.change(site.market, site.dialect, now)
            for connection in tuple(site.connections):
                if fault.strikes(connection.conversation.channels.values()):
                    fault.hit(connection, site.dialect)


async def serve(
    host: str, port: int, speed: float, seed: int, ready: Callable[[str], None]
) -> None:
    """Run a sandbox until cancelled; `ready` is told its address when it listens."""
    async with Sandbox(port, speed, seed, host=host) as sandbox:
        ready(sandbox.url)
        await asyncio.Event().wait()
