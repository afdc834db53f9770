"""One market of the sandbox: HTTP requests and handshakes, counted, misbehaving on request."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate
from itertools import count
from math import ceil

import orjson
from aiohttp import web

from connectors.sandbox.budget import Window
from connectors.sandbox.clock import MarketClock
from connectors.sandbox.connection import Connection
from connectors.sandbox.dialect import (
    Channel,
    Conversation,
    Dialect,
    Frame,
    HttpReply,
    HttpRequest,
    Moment,
    Push,
    World,
)
from connectors.sandbox.faults import Fault
from connectors.sandbox.journal import ConnectionRecord, Journal
from connectors.sandbox.market import Market, Stretch

_numbers = count(1)


@dataclass(slots=True)
class _RefusedError(Exception):
    """A request that gets this reply instead of its own."""

    reply: HttpReply


class MarketSite:
    """The market `/{dialect.market}/`. `faults` gives those that concern it now."""

    def __init__(
        self,
        dialect: Dialect,
        clock: MarketClock,
        seed: int,
        faults: Callable[[str], Iterable[Fault]],
    ) -> None:
        self.dialect = dialect
        self.clock = clock
        self.market = Market(
            dialect.book or dialect.market,
            dialect.listings,
            dialect.intervals,
            seed,
            upcoming=dialect.upcoming,
        )
        self._history = self.market.through(self._shown)
        self.journal = Journal(dialect.market)
        self.connections: set[Connection] = set()
        self.address = ""
        limits = dialect.limits
        self._pools = {name: Window(rate) for name, rate in limits.rest.items()}
        self._attempts = Window(limits.attempts) if limits.attempts else None
        self._messages = Window(limits.messages) if limits.messages else None
        self._faults = faults

    @property
    def book(self) -> str:
        """The name of the book that this market's trades are in."""
        return self.dialect.book or self.dialect.market

    def world(self) -> World:
        """Return what the dialect may know now."""
        place, now = f"{self.address}/{self.dialect.market}", self.clock.now()
        return World(
            now=now,
            market=self.market,
            http_url=f"http://{place}",
            ws_url=f"ws://{place}",
            refuses=self._refuses,
            skips=self._skips,
            offset=sum(fault.offset(now.real) for fault in self._faults(self.dialect.market)),
            subscriptions=sum(len(open_.conversation.channels) for open_ in self.connections),
        )

    def filtered(self, frames: list[Frame], push: Push, now: Moment) -> list[Frame]:
        """Return what the faults leave of these frames."""
        for fault in self._faults(self.dialect.market):
            frames = fault.frames(frames, push, now.real)
        return frames

    def delays(self, channel: Channel, now: Moment) -> tuple[float, list[float]]:
        """Return by how much a channel's frames are held up, and then each copy of them."""
        lag, copies = 0.0, [0.0]
        for fault in self._faults(self.dialect.market):
            lag += fault.lag(channel, now.real)
            copies = [a + b for a in copies for b in fault.copies(channel, now.real)]
        return lag, copies

    def message_window(self) -> Window | None:
        """Return the window in which a new connection's messages are counted."""
        rate = self.dialect.limits.messages
        return Window(rate) if rate and rate.per == "connection" else self._messages

    def _refuses(self, trading_pair: str, interval: str) -> bool:
        now = self.clock.now().real
        return any(
            fault.refuses(trading_pair, interval, now)
            for fault in self._faults(self.dialect.market)
        )

    def _skips(self, trading_pair: str, interval: str, open_time: int) -> bool:
        now, faults = self.clock.now().real, self._faults(self.dialect.market)
        return any(fault.skips(trading_pair, interval, open_time, now) for fault in faults)

    def _shown(self, trading_pair: str, interval: str, asked: Stretch) -> Stretch:
        now, length = self.clock.now().real, self.market.intervals[interval].seconds
        for fault in self._faults(self.dialect.market):
            asked = fault.history(asked, trading_pair, interval, length, now)
        return asked

    # --- HTTP

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a plain request or a WebSocket handshake."""
        asked = await _asked(request)
        self.journal.requests[asked.path] += 1
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._handshake(request, asked)
        reply = self._reply(asked)
        response, now = self._response(reply), self.clock.now().real
        held = sum(fault.holds(reply, now) for fault in self._faults(self.dialect.market))
        await asyncio.sleep(held)
        return response

    def _reply(self, asked: HttpRequest) -> HttpReply:
        world = replace(self.world(), market=self._history)
        reply = self.dialect.answer(asked, world)
        for charge in reply.charges:
            pool = self._pools[charge.pool]
            if not pool.take(charge.weight, world.now.market):
                return self._too_many(charge.pool, charge.weight, world)
        for fault in self._faults(self.dialect.market):
            reply = fault.reply(reply, self.dialect, world)
        return reply

    def _too_many(self, name: str, weight: int, world: World) -> HttpReply:
        pool, now = self._pools[name], world.now.market
        self.journal.overstep(f"rest:{name}", pool.rate.allowed, pool.used + weight, now)
        wait = ceil(max(1.0, pool.free_in(weight, now) / self.clock.speed))
        return self.dialect.slow_down(wait if self.dialect.retry_after else None, world)

    def _response(self, reply: HttpReply) -> web.Response:
        world = self.world()
        headers = {"Date": formatdate(world.told.market, usegmt=True)}
        for name, pool in self._pools.items():
            headers |= self.dialect.budget_headers(name, pool.used, world)
        return _response(reply, headers)

    # --- WebSocket

    async def _handshake(self, request: web.Request, asked: HttpRequest) -> web.StreamResponse:
        try:
            conversation = self._admitted(asked)
        except _RefusedError as refused:
            return self._response(refused.reply)
        now = self.clock.now().market
        record = ConnectionRecord(
            next(_numbers), self.dialect.market, asked.path, now, conversation.channels
        )
        connection = Connection(self, conversation, request, record)
        self.journal.connections.append(record)
        self.connections.add(connection)
        for fault in self._faults(self.dialect.market):
            fault.welcome(connection, self.clock.now().real)
        try:
            return await connection.run()
        finally:
            self.connections.discard(connection)

    def _admitted(self, asked: HttpRequest) -> Conversation:
        world = self.world()
        for fault in self._faults(self.dialect.market):
            if (refusal := fault.turns_away(self.dialect, world)) is not None:
                raise _RefusedError(refusal)
        self._count_attempt(world)
        self._count_connections(world)
        accepted = self.dialect.connect(asked, world)
        if isinstance(accepted, HttpReply):
            raise _RefusedError(accepted)
        return accepted

    def _count_attempt(self, world: World) -> None:
        window = self._attempts
        if window is None or window.take(1, world.now.market):
            return
        self.journal.overstep("attempts", window.rate.allowed, window.used + 1, world.now.market)
        raise _RefusedError(self.dialect.refuse_connection("attempts", world))

    def _count_connections(self, world: World) -> None:
        allowed, seen = self.dialect.limits.connections, len(self.connections) + 1
        if allowed is not None and seen > allowed:
            self.journal.overstep("connections", allowed, seen, world.now.market)
            raise _RefusedError(self.dialect.refuse_connection("connections", world))


async def _asked(request: web.Request) -> HttpRequest:
    return HttpRequest(
        method=request.method,
        path=request.match_info["path"] or "/",
        query=dict(request.query),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=await request.read(),
    )


def _response(reply: HttpReply, headers: Mapping[str, str]) -> web.Response:
    body, kind = _body(reply.body)
    return web.Response(
        status=reply.status,
        body=body,
        headers={"Content-Type": kind, **headers, **reply.headers},
    )


def _body(body: object) -> tuple[bytes, str]:
    if isinstance(body, bytes):
        return body, "application/json"
    if isinstance(body, str):
        return body.encode(), "text/plain; charset=utf-8"
    return orjson.dumps(body), "application/json"
