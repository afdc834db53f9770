"""One WebSocket connection: sockets and timers around a dialect's `Conversation`."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from itertools import count
from math import inf
from typing import Protocol

from aiohttp import WSMessage, WSMsgType, web

from connectors.sandbox.budget import Window
from connectors.sandbox.clock import MarketClock
from connectors.sandbox.dialect import (
    Action,
    Channel,
    Close,
    Conversation,
    Dialect,
    Frame,
    Moment,
    Overstep,
    Send,
    World,
)
from connectors.sandbox.feed import Feed
from connectors.sandbox.journal import ConnectionRecord, Journal
from connectors.sandbox.market import Market

_PAUSE = 0.005  # real seconds: wake-ups closer than this are put together


class Site(Protocol):
    """What a connection needs of the market that it belongs to."""

    dialect: Dialect
    market: Market
    clock: MarketClock
    journal: Journal

    def world(self) -> World:
        """Return what the dialect may know now."""

    def filtered(self, frames: list[Frame], channel: Channel, now: Moment) -> list[Frame]:
        """Return what the faults leave of these frames."""

    def message_window(self) -> Window | None:
        """Return the window in which a new connection's messages are counted."""


class Connection:
    """One client; `run` serves it to its end, `cut` ends it without a goodbye."""

    def __init__(
        self,
        site: Site,
        conversation: Conversation,
        request: web.Request,
        record: ConnectionRecord,
    ) -> None:
        self.conversation = conversation
        self.record = record
        self._site = site
        self._request = request
        self._socket = web.WebSocketResponse(autoping=False, compress=False)
        self._messages = site.message_window()
        self._feeds: dict[Channel, Feed] = {}
        self._changed = asyncio.Event()
        self._turn = asyncio.Lock()  # a confirmation goes before the candles it allows
        self._pings = _Pings(site.dialect, site.clock.now().real)

    async def run(self) -> web.WebSocketResponse:
        """Serve the client until one side closes."""
        try:
            await self._socket.prepare(self._request)
            async with asyncio.TaskGroup() as group:
                pump = group.create_task(self._pump())
                await self._read()
                pump.cancel()
        finally:
            self.record.closed_at = self._site.clock.now().market
        return self._socket

    def cut(self) -> None:
        """Cut the connection off, as a broken network does."""
        if self._request.transport is not None:
            self._request.transport.abort()

    # --- from the client

    async def _read(self) -> None:
        with suppress(ConnectionError):
            async with self._turn:
                await self._do(self.conversation.opened(self._site.world()))
            self._changed.set()
            async for message in self._socket:
                async with self._turn:
                    await self._heard(message)
                self._changed.set()

    async def _heard(self, message: WSMessage) -> None:
        control = message.type in {WSMsgType.PING, WSMsgType.PONG}
        if not self._within_rate(control=control):
            await self._do(self.conversation.flooded(self._site.world()))
        elif message.type is WSMsgType.PING:
            await self._socket.pong(message.data)
        elif message.type is WSMsgType.PONG:
            self._pings.answered(bytes(message.data))
        else:
            self.record.received += 1
            await self._do(self.conversation.received(message.data, self._site.world()))

    def _within_rate(self, *, control: bool) -> bool:
        if self._messages is None or (control and not self._site.dialect.limits.control_frames):
            return True
        now = self._site.clock.now().market
        if self._messages.take(1, now):
            return True
        used, allowed = self._messages.used + 1, self._messages.rate.allowed
        self._site.journal.overstep("messages", allowed, used, now)
        return False

    # --- to the client

    async def _pump(self) -> None:
        with suppress(ConnectionError):
            while not self._socket.closed:
                self._changed.clear()
                async with self._turn:
                    await self._due(self._site.clock.now())
                await self._sleep()

    async def _sleep(self) -> None:
        left = max(_PAUSE, self._next_due() - self._site.clock.now().real)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), None if left == inf else left)

    def _next_due(self) -> float:
        times = [feed.due for feed in self._feeds.values()]
        if self.conversation.due is not None:
            times.append(self.conversation.due)
        times += [self._pings.due, self._end_of_life]
        return min(times)

    @property
    def _end_of_life(self) -> float:
        lifetime = self._site.dialect.limits.lifetime
        if lifetime is None:
            return inf
        return self._site.clock.real_at(self.record.opened_at + lifetime)

    async def _due(self, now: Moment) -> None:
        if now.real >= self._end_of_life:
            await self._socket.close(code=1001)
            return
        await self._ping(now)
        if self.conversation.due is not None and now.real >= self.conversation.due:
            await self._do(self.conversation.tick(self._site.world()))
        self._follow_channels()
        for feed in self._feeds.values():
            if feed.due <= now.real:
                await self._feed(feed, now)

    async def _ping(self, now: Moment) -> None:
        if self._pings.hopeless(now.real):
            await self._socket.close(code=1008, message=b"Pong timeout")
        elif now.real >= self._pings.due:
            await self._socket.ping(self._pings.next(now))

    def _follow_channels(self) -> None:
        wanted = self.conversation.channels.values()
        for gone in self._feeds.keys() - set(wanted):
            del self._feeds[gone]
        for channel in wanted:
            if channel not in self._feeds:
                site = self._site
                self._feeds[channel] = Feed(channel, site.dialect, site.market, site.clock)

    async def _feed(self, feed: Feed, now: Moment) -> None:
        world = self._site.world()
        for push in feed.step(now):
            frames = list(self.conversation.candle(push, world))
            for frame in self._site.filtered(frames, feed.channel, now):
                await self._send(frame)

    async def _do(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case Send(frame):
                    await self._send(frame)
                case Close(code, reason):
                    await self._socket.close(code=code, message=reason.encode())
                case Overstep(limit, allowed, seen):
                    now = self._site.clock.now().market
                    self._site.journal.overstep(limit, allowed, seen, now)

    async def _send(self, frame: Frame) -> None:
        if self._socket.closed:
            return
        self.record.sent += 1
        if isinstance(frame, str):
            await self._socket.send_str(frame)
        else:
            await self._socket.send_bytes(frame)


class _Pings:
    """The server's own pings, real seconds: one each period; any of them, answered, counts."""

    def __init__(self, dialect: Dialect, now: float) -> None:
        self._facts = dialect.server_ping
        self._numbers = count(1)
        self._waiting: dict[bytes, float] = {}
        self.due = inf if self._facts is None else now + self._facts.every

    def next(self, now: Moment) -> bytes:
        """Return the payload of the ping that is due, and wait for its pong."""
        payload = f"{now.millis}-{next(self._numbers)}".encode()
        self._waiting[payload] = now.real
        self.due = now.real + (inf if self._facts is None else self._facts.every)
        return payload

    def answered(self, payload: bytes) -> None:
        """Take a pong; one that no ping asked for does not count."""
        if payload in self._waiting:
            self._waiting.clear()

    def hopeless(self, now: float) -> bool:
        """Return whether a ping waited longer for its pong than the exchange does."""
        if self._facts is None or not self._waiting:
            return False
        return now - next(iter(self._waiting.values())) > self._facts.patience
