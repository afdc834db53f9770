"""One WebSocket connection: sockets and timers around a dialect's `Conversation`."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from heapq import heappop, heappush
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
    Cut,
    Dialect,
    Frame,
    Moment,
    Overstep,
    Push,
    Send,
    World,
)
from connectors.sandbox.feed import Feed
from connectors.sandbox.journal import ConnectionRecord, Journal
from connectors.sandbox.market import Market

_PAUSE = 0.005  # real seconds: wake-ups closer than this are put together
_LOOK = 0.1  # real seconds: how often a frozen connection looks whether the client has gone


class Site(Protocol):
    """What a connection needs of the market that it belongs to."""

    dialect: Dialect
    market: Market
    clock: MarketClock
    journal: Journal

    def world(self) -> World:
        """Return what the dialect may know now."""

    def filtered(self, frames: list[Frame], push: Push, now: Moment) -> list[Frame]:
        """Return what the faults leave of these frames."""

    def delays(self, channel: Channel, now: Moment) -> tuple[float, list[float]]:
        """Return by how much a channel's frames are held up, and then each copy of them."""

    def message_window(self) -> Window | None:
        """Return the window in which a new connection's messages are counted."""


class Connection:
    """One client; `run` serves it to its end. Faults may do the rest to it: see `Victim`."""

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
        self._socket = web.WebSocketResponse(
            autoping=False, autoclose=False, compress=site.dialect.compresses
        )
        self._messages = site.message_window()
        self._feeds: dict[Channel, Feed] = {}
        self._changed = asyncio.Event()
        self._turn = asyncio.Lock()  # a confirmation goes before the candles it allows
        self._pings = _Pings(site.dialect, site.clock.now().real)
        self._frozen = False
        self._wanted: deque[Callable[[World], Iterable[Action]]] = deque()
        self._leaves_at = inf
        self._held = _Held()

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

    def freeze(self) -> None:
        """Let nothing come any more, nor be answered, while TCP stays."""
        self._frozen = True
        self._changed.set()

    def expire(self) -> None:
        """End it as the exchange does when its token is no longer good."""
        self._wanted.append(self.conversation.expired)
        self._changed.set()

    def leave(self, seconds: float) -> None:
        """Give the exchange's notice, and close so many real seconds later."""
        self._wanted.append(self.conversation.leaving)
        self._leaves_at = min(self._leaves_at, self._site.clock.now().real + seconds)
        self._changed.set()

    def send_again(self, trading_pair: str, time: float) -> None:
        """Send the closed bars of this pair again that contain the market time `time`."""
        for feed in self._feeds.values():
            if feed.channel.trading_pair == trading_pair:
                feed.again(time, self._site.clock.now())
        self._changed.set()

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
            await self._answer_close()

    async def _answer_close(self) -> None:
        while self._frozen and self._request.transport is not None:  # noqa: ASYNC110  (nobody tells)
            await asyncio.sleep(_LOOK)
        await self._socket.close(drain=False)

    async def _heard(self, message: WSMessage) -> None:
        if self._frozen:
            return
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
            while not (self._socket.closed or self._frozen):
                self._changed.clear()
                async with self._turn:
                    await self._due(self._site.clock.now())
                await self._sleep()

    async def _sleep(self) -> None:
        left = max(_PAUSE, self._next_due() - self._site.clock.now().real)
        with suppress(TimeoutError):
            async with asyncio.timeout(None if left == inf else left):
                await self._changed.wait()

    def _next_due(self) -> float:
        times = [feed.due for feed in self._feeds.values()]
        if self.conversation.due is not None:
            times.append(self.conversation.due)
        times += [self._pings.due, self._end_of_life, self._held.due]
        return min(times)

    @property
    def _end_of_life(self) -> float:
        lifetime = self._site.dialect.limits.lifetime
        if lifetime is None:
            return self._leaves_at
        end = self._site.clock.real_at(self.record.opened_at + lifetime)
        return min(end, self._leaves_at)

    async def _due(self, now: Moment) -> None:
        if now.real >= self._end_of_life:
            await self._socket.close(code=1001)
            return
        await self._ping(now)
        while self._wanted:
            await self._do(self._wanted.popleft()(self._site.world()))
        if self.conversation.due is not None and now.real >= self.conversation.due:
            await self._do(self.conversation.tick(self._site.world()))
        self._follow_channels()
        for feed in self._feeds.values():
            if feed.due <= now.real:
                await self._feed(feed, now)
        for frame in self._held.ready(now.real):
            await self._send(frame)

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
        pair, interval = feed.channel.trading_pair, feed.channel.interval
        for push in feed.step(now):
            if world.skips(pair, interval, push.bar.open_time):
                continue
            frames = list(self.conversation.candle(push, world))
            self._hold(self._site.filtered(frames, push, now), feed.channel, now)
        for frame in self._held.ready(now.real):
            await self._send(frame)

    def _hold(self, frames: list[Frame], channel: Channel, now: Moment) -> None:
        for frame in frames:
            self._held.add(frame, channel, now.real, *self._site.delays(channel, now))

    async def _do(self, actions: Iterable[Action]) -> None:
        for action in () if self._frozen else actions:
            match action:
                case Send(frame):
                    await self._send(frame)
                case Close(code, reason):
                    await self._socket.close(code=code, message=reason.encode())
                case Cut():
                    self.cut()
                case Overstep(limit, allowed, seen):
                    now = self._site.clock.now().market
                    self._site.journal.overstep(limit, allowed, seen, now)

    async def _send(self, frame: Frame) -> None:
        if self._socket.closed or self._frozen:
            return
        self.record.sent += 1
        if isinstance(frame, str):
            await self._socket.send_str(frame)
        else:
            await self._socket.send_bytes(frame)


class _Held:
    """Candle frames until they are sent: at once, unless a fault holds them. Real seconds."""

    def __init__(self) -> None:
        self._numbers = count()
        self._frames: list[tuple[float, int, Frame]] = []
        self._not_before: dict[Channel, float] = {}

    @property
    def due(self) -> float:
        """When the next frame is to be sent."""
        return self._frames[0][0] if self._frames else inf

    def add(
        self, frame: Frame, channel: Channel, now: float, lag: float, copies: list[float]
    ) -> None:
        """Take a frame, to be sent `lag` later and not before its channel's last; then copies."""
        begin = max(now + lag, self._not_before.get(channel, now))
        if lag:
            self._not_before[channel] = begin
        for delay in copies:
            heappush(self._frames, (begin + delay, next(self._numbers), frame))

    def ready(self, now: float) -> Iterable[Frame]:
        """Yield the frames that are to be sent by now, in their order."""
        while self._frames and self._frames[0][0] <= now:
            yield heappop(self._frames)[2]


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
