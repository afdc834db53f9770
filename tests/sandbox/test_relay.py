"""The relay: what enters a road leaves it as the weather says, and real connections obey it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from math import inf

import pytest

from connectors.sandbox.process import HOST, free_ports
from connectors.sandbox.relay import ROOM, Relay, Road, Weather

PATIENCE = 10.0
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


# --- the road


def test_a_clear_road() -> None:
    """In good weather bytes leave at once, in their order, and once."""
    road = Road()
    road.enter(b"ab", 5.0, Weather())
    road.enter(b"c", 5.0, Weather())
    assert road.due == 5.0
    assert road.leave(5.0) == b"abc"
    assert (road.due, road.size, road.leave(9.0)) == (inf, 0, b"")


def test_a_long_road() -> None:
    """Each byte arrives so much later as it entered, however many are on their way."""
    road = Road()
    road.enter(b"a", 5.0, Weather(delay=0.3))
    road.enter(b"b", 5.2, Weather(delay=0.3))
    assert road.leave(5.29) == b""
    assert road.due == pytest.approx(5.3)
    assert (road.leave(5.4), road.leave(5.51)) == (b"a", b"b")


def test_a_narrow_road() -> None:
    """No more bytes arrive in any time than the rate allows, and they all do in the end."""
    road, sent = Road(), bytes(range(200))
    road.enter(sent[:150], 5.0, Weather(rate=100.0))
    road.enter(sent[150:], 5.0, Weather(rate=100.0))
    arrived = b""
    for tenth in range(1, 21):
        arrived += road.leave(5.0 + tenth / 10 + 1e-6)
        assert len(arrived) == 10 * tenth
    assert arrived == sent


def test_weather_that_clears() -> None:
    """What enters when the weather is good again does not overtake what is still on its way."""
    road = Road()
    road.enter(b"a", 5.0, Weather(delay=1.0))
    road.enter(b"b", 5.1, Weather())
    assert (road.leave(5.9), road.leave(6.0)) == (b"", b"ab")


def test_a_full_road() -> None:
    """A road has room for so much; what leaves makes room."""
    road = Road()
    road.enter(bytes(ROOM), 5.0, Weather())
    assert road.full
    road.leave(5.0)
    assert not road.full


# --- connections


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(100_000):
        writer.write(data)
        await writer.drain()


@asynccontextmanager
async def _relayed(serve: Serve = _echo) -> AsyncIterator[tuple[Relay, list[str]]]:
    """A relay before a server; how each of the server's connections ended, once it has."""
    ends: list[str] = []

    async def serving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
            ends.append("closed")
        except OSError as error:
            ends.append(type(error).__name__)
        finally:
            writer.close()

    server = await asyncio.start_server(serving, HOST, 0)
    try:
        async with Relay() as relay:
            relay.target = server.sockets[0].getsockname()[1]
            yield relay, ends
    finally:
        server.close()


@asynccontextmanager
async def _client(relay: Relay) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection(HOST, relay.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def _answer(streams: Streams, said: bytes) -> tuple[bytes, float]:
    """What comes back of as many bytes, and after how many seconds."""
    reader, writer = streams
    began = time.monotonic()
    writer.write(said)
    async with asyncio.timeout(PATIENCE):
        heard = await reader.readexactly(len(said))
    return heard, time.monotonic() - began


async def _eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - what happens at the server has no event
            await asyncio.sleep(0.01)


async def test_it_passes_everything_on() -> None:
    """Bytes pass both ways unchanged, more of them than a road holds; a close passes too."""
    said = bytes(range(256)) * 4096
    async with _relayed() as (relay, ends):
        async with _client(relay) as streams:
            assert (await _answer(streams, said))[0] == said
        await _eventually(lambda: ends == ["closed"])


async def test_it_delays() -> None:
    """An answer takes twice the delay, also on a connection that stood before."""
    async with _relayed() as (relay, _), _client(relay) as streams:
        await _answer(streams, b"before")
        relay.weather = Weather(delay=0.2)
        heard, seconds = await _answer(streams, b"delayed")
    assert heard == b"delayed"
    assert 0.4 <= seconds < 2.0


async def test_it_throttles() -> None:
    """Twenty thousand bytes take a second at twenty thousand a second."""
    async with _relayed() as (relay, _), _client(relay) as streams:
        relay.weather = Weather(rate=20_000)
        _, seconds = await _answer(streams, bytes(20_000))
    assert 1.0 <= seconds < 4.0


async def test_it_holds() -> None:
    """While it is held a connection is open and can be made, and nothing passes; then all does."""
    async with _relayed() as (relay, ends), _client(relay) as old:
        await _answer(old, b"before")
        relay.weather = Weather(held=True)
        async with _client(relay) as new:
            answers = [asyncio.create_task(_answer(it, b"held")) for it in (old, new)]
            done, _ = await asyncio.wait(answers, timeout=0.3)
            assert (done, ends) == (set(), [])
            relay.weather = Weather()
            assert [(await answer)[0] for answer in answers] == [b"held", b"held"]


async def test_it_cuts() -> None:
    """Both ends of every connection are reset, of a held one too; then new ones can be made."""
    async with _relayed() as (relay, ends):
        async with _client(relay) as first, _client(relay) as second:
            for streams in (first, second):
                await _answer(streams, b"before")
            relay.weather = Weather(held=True)
            assert relay.cut() == 2
            for reader, _ in (first, second):
                with pytest.raises(ConnectionResetError):
                    await asyncio.wait_for(reader.read(1), PATIENCE)
        await _eventually(lambda: ends == ["ConnectionResetError"] * 2)
        await _eventually(lambda: relay.cut() == 0)
        relay.weather = Weather()
        async with _client(relay) as streams:
            assert (await _answer(streams, b"after"))[0] == b"after"


async def test_nothing_listens() -> None:
    """Where nothing listens at the target, a connection is reset."""
    async with Relay() as relay:
        relay.target = free_ports(1)[0]
        async with _client(relay) as (reader, _):
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(reader.read(1), PATIENCE)


async def test_it_ends_with_connections() -> None:
    """A relay that ends closes what stands, and leaves no task behind."""
    async with _relayed() as (relay, ends):
        reader, writer = await asyncio.open_connection(HOST, relay.port)
        await _answer((reader, writer), b"before")
        await relay.__aexit__(None, None, None)
        assert await asyncio.wait_for(reader.read(1), PATIENCE) == b""
        writer.close()
        await _eventually(lambda: ends == ["closed"])
    await _eventually(lambda: len(asyncio.all_tasks()) == 1)
