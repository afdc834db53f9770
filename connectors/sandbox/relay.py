"""A relay of TCP connections on this machine: a network that can be cut, held, delayed, narrowed.

    async with Relay() as relay:          # clients connect to relay.port
        relay.target = 9092               # a port of this machine, which is where they get to
        relay.weather = Weather(delay=0.3)
        relay.cut()

A `Road` is one direction of one connection: pure, told the time. The rest is sockets.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from types import TracebackType
from typing import Final, Self

from connectors.sandbox.process import HOST
from connectors.tasks import end, happens

ROOM: Final = 256 * 1024
"""Bytes on one road from which on its sender has to wait, as it does for any full buffer."""
_READ: Final = 64 * 1024  # bytes
_PIECE_SECONDS: Final = 0.05  # of a narrow road: what enters it at once arrives in such pieces
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: a closed socket says RST


@dataclass(frozen=True)
class Weather:
    """How bytes pass: after ``delay`` real seconds, at most ``rate`` of them a second.

    Both are meant for each direction of each connection. ``held``: connections are open, and
    nothing passes.
    """

    delay: float = 0.0
    rate: float = inf
    held: bool = False


class Road:
    """Bytes on their way, in order; ``size`` of them have not left yet."""

    def __init__(self) -> None:
        self.size = 0
        self._pieces: deque[tuple[float, bytes]] = deque()
        self._narrow_until = -inf

    @property
    def full(self) -> bool:
        """Whether nothing more should enter for now."""
        return self.size >= ROOM

    def enter(self, data: bytes, now: float, weather: Weather) -> None:
        """They arrive as the weather is now, but never before what entered earlier."""
        length = len(data)
        if weather.rate < inf:
            length = max(1, int(weather.rate * _PIECE_SECONDS))
        for at in range(0, len(data), length):
            piece = data[at : at + length]
            self._narrow_until = max(self._narrow_until, now) + len(piece) / weather.rate
            self._pieces.append((self._narrow_until + weather.delay, piece))
        self.size += len(data)

    @property
    def due(self) -> float:
        """When the next bytes arrive; inf where none are on their way."""
        return self._pieces[0][0] if self._pieces else inf

    def leave(self, now: float) -> bytes:
        """All that has arrived."""
        arrived = []
        while self._pieces and self._pieces[0][0] <= now:
            arrived.append(self._pieces.popleft()[1])
        data = b"".join(arrived)
        self.size -= len(data)
        return data


class Relay:
    """An asynchronous context manager: it listens on ``port``, and leads to the port ``target``.

    Where nothing listens at ``target``, a connection is accepted and reset. An end that closes, or
    is reset, closes the other when all that it sent has arrived.
    """

    def __init__(self) -> None:
        self.target = 0
        self._weather = Weather()
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
        await end(*self._tasks)

    @property
    def port(self) -> int:
        """Where clients connect; known once it is entered."""
        assert self._server is not None, "enter the relay first"  # noqa: S101 - wrong use
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def weather(self) -> Weather:
        """How bytes pass, of connections that stand as well; set it at any time."""
        return self._weather

    @weather.setter
    def weather(self, weather: Weather) -> None:
        self._weather = weather
        for link in self._links:
            link.look()

    def cut(self) -> int:
        """Reset every connection at both ends; how many there were."""
        links = list(self._links)
        for link in links:
            link.reset()
        return len(links)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - start_server makes one
        self._tasks.add(task)
        try:
            await self._connect(reader, writer)
        except asyncio.CancelledError:  # the relay ends: asyncio would complain of a lost task
            pass
        finally:
            self._tasks.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            onward, back = await asyncio.open_connection(HOST, self.target)
        except OSError:
            _reset(writer)
            return
        except BaseException:
            _reset(writer)
            raise
        link = _Link(self, reader, writer, onward, back)
        self._links.add(link)
        try:
            await link.carry()
        finally:
            self._links.discard(link)


class _Link:
    """One client's connection, and the one that stands for it at the target."""

    def __init__(
        self,
        relay: Relay,
        client_reader: asyncio.StreamReader,
        client_writer: asyncio.StreamWriter,
        target_reader: asyncio.StreamReader,
        target_writer: asyncio.StreamWriter,
    ) -> None:
        self._writers = client_writer, target_writer
        self._ways = (
            _Way(relay, client_reader, target_writer),
            _Way(relay, target_reader, client_writer),
        )
        self._tasks = [asyncio.create_task(way.carry()) for way in self._ways]

    async def carry(self) -> None:
        """Until one end has closed and all that it sent has arrived, or until it is reset."""
        try:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(*self._tasks)
            for writer in self._writers:
                writer.close()

    def look(self) -> None:
        """The weather has changed."""
        for way in self._ways:
            way.changed.set()

    def reset(self) -> None:
        """Reset both ends, whatever is on its way."""
        for task in self._tasks:
            task.cancel()
        for writer in self._writers:
            _reset(writer)


class _Way:
    """One direction: from ``source`` onto the road, and off it into ``sink``."""

    def __init__(
        self, relay: Relay, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        self.changed = asyncio.Event()
        self._relay = relay
        self._source = source
        self._sink = sink
        self._road = Road()
        self._left = asyncio.Event()
        self._ended = False

    async def carry(self) -> None:
        """Until the source has ended and everything has arrived."""
        reading = asyncio.create_task(self._enter())
        try:
            with suppress(OSError):  # the sink is gone
                await self._leave()
        finally:
            await end(reading)

    async def _enter(self) -> None:
        with suppress(OSError):  # a source that was reset has ended as well
            while data := await self._source.read(_READ):
                self._road.enter(data, time.monotonic(), self._relay.weather)
                self.changed.set()
                while self._road.full:
                    self._left.clear()
                    await self._left.wait()
        self._ended = True
        self.changed.set()

    async def _leave(self) -> None:
        road = self._road
        while road.size or not self._ended or self._relay.weather.held:
            now = time.monotonic()
            if not self._relay.weather.held and (data := road.leave(now)):
                self._left.set()
                self._sink.write(data)
                await self._sink.drain()
                continue
            self.changed.clear()
            await happens(self.changed, inf if self._relay.weather.held else road.due - now)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None and not writer.transport.is_closing():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
