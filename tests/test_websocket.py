"""A WebSocket over localhost: a real server that does as a test says, and the skin around it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from math import inf
from typing import Any

import orjson
import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.protocol import State

from connectors import websocket
from connectors.adapter import ExchangeAdapter, Heartbeat, Limits, Opening, Rate
from connectors.clock import Clock
from connectors.errors import Blocked, SlowDown, Unreachable
from connectors.sandbox.process import free_ports
from connectors.session import Session
from connectors.websocket import converse
from tests.plain import Plain, until

Behaviour = Callable[[ServerConnection], Awaitable[None]]
LIMIT = 5.0
"""Seconds within which a conversation of a test has to end."""


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "CLOSE_SECONDS", 0.3)


class Quick(Plain):
    """Dead after a fraction of a second."""

    heartbeat = Heartbeat("server", silence=0.4)


class Pinging(Plain):
    """We ping, and nothing else comes."""

    heartbeat = Heartbeat("protocol", every=0.05, silence=0.4)


@dataclass
class Talk:
    """One conversation: what came in, and how the engine's side of it behaves."""

    adapter: ExchangeAdapter = field(default_factory=Plain)
    wants: tuple[str, ...] = ()
    opening: Opening = field(default_factory=lambda: Opening(url=""))
    received: list[tuple[bytes, bool]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    crowded: bool = False
    chores: int = 0
    again: float = inf
    opened: int = 0
    session: Session = field(init=False)

    async def hold(self, url: str) -> str:
        """Hold the conversation; why it ended."""
        clock = Clock()
        self.session = Session(self.adapter, self.opening, clock.real())
        self.session.want(self.wants)
        async with asyncio.timeout(LIMIT):
            return await converse(
                url, self.session, clock, self.take, lambda: self.crowded, self.chore, self.open
            )

    def take(self, message: bytes, binary: bool) -> bool:
        self.received.append((message, binary))
        self.times.append(time.monotonic())
        return self.session.receive(message, binary, time.monotonic()) is None

    def chore(self) -> float:
        self.chores += 1
        return time.monotonic() + self.again

    def open(self) -> None:
        self.opened += 1


@asynccontextmanager
async def serving(behaviour: Behaviour, **options: Any) -> AsyncIterator[str]:
    """The address of a server each of whose connections behaves so."""

    async def behave(connection: ServerConnection) -> None:
        try:
            await behaviour(connection)
        except ConnectionClosed:
            return

    options = {"ping_interval": None, "compression": None, "close_timeout": 0.1, **options}
    async with serve(behave, "127.0.0.1", 0, **options) as server:
        yield address_of(server)


def address_of(server: Server) -> str:
    """Where it listens."""
    return f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


async def talk_to(behaviour: Behaviour, talk: Talk | None = None) -> tuple[Talk, str]:
    """Hold one conversation with such a server."""
    talk = talk or Talk()
    async with serving(behaviour) as url:
        return talk, await talk.hold(url)


def saying(*messages: Any) -> Behaviour:
    """Sends these and closes; an inner list of parts is one message in fragments."""

    async def behave(connection: ServerConnection) -> None:
        for message in messages:
            await connection.send(message)

    return behave


async def silent(connection: ServerConnection) -> None:
    """Says nothing, and reads what it is told."""
    await connection.wait_closed()


def candle(number: int) -> bytes:
    """A frame with one open candle (made up)."""
    return orjson.dumps({"candles": [["BTC-USDT@1m", 60, number, False]]})


# --- messages -------------------------------------------------------------------------------------


async def test_messages_come_whole_in_order_and_marked_as_text_or_binary() -> None:
    """Text, binary and messages in fragments arrive as the exchange meant them."""
    parts = [b'{"a"', b": ", b"3}"]
    talk, _ = await talk_to(saying('{"a": 1}', b'{"a": 2}', parts, ["[", "]"], '{"a": "ü"}'))
    assert talk.received == [
        (b'{"a": 1}', False),
        (b'{"a": 2}', True),
        (b'{"a": 3}', True),
        (b"[]", False),
        ('{"a": "ü"}'.encode(), False),
    ]


async def test_control_frames_between_fragments_do_no_harm() -> None:
    """A ping within a fragmented message is answered, and the message arrives whole."""

    async def behave(connection: ServerConnection) -> None:
        async def parts() -> AsyncIterator[str]:
            yield '{"a": '
            pong = await connection.ping()
            yield "1"
            await pong
            yield "}"

        await connection.send(parts())

    talk, _ = await talk_to(behave)
    assert talk.received == [(b'{"a": 1}', False)]


async def test_no_message_costs_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand messages start as many tasks as ten do, and wake the conversation as often."""

    async def cost(messages: int) -> tuple[int, int]:
        started = 0
        loop = asyncio.get_running_loop()

        def count(loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> asyncio.Task[Any]:
            nonlocal started
            started += 1
            return asyncio.Task(work, loop=loop, **more)

        async with serving(saying(*map(candle, range(messages)))) as url:
            loop.set_task_factory(count)
            try:
                talk = Talk(wants=("BTC-USDT@1m",))
                await talk.hold(url)
            finally:
                loop.set_task_factory(None)
        assert len(talk.received) == messages
        return started, talk.chores

    assert await cost(10) == await cost(1_000)


# --- the end --------------------------------------------------------------------------------------


async def test_the_other_side_closes_and_its_reason_is_told() -> None:
    """Code and reason of the close frame are in the sentence."""

    async def behave(connection: ServerConnection) -> None:
        await connection.close(1012, "maintenance")

    talk, why = await talk_to(behave)
    assert (why, talk.opened) == ("closed by the other side: 1012 maintenance", 1)


async def test_a_connection_that_is_cut_is_noticed_at_once() -> None:
    """A reset needs no heartbeat to be found."""

    async def behave(connection: ServerConnection) -> None:
        connection.transport.abort()

    _, why = await talk_to(behave)
    assert why == "lost without a word from the other side"


async def test_a_half_open_connection_is_dead_after_its_silence() -> None:
    """Where nothing at all comes, the connection is given up after the heartbeat's silence."""
    began = time.monotonic()
    async with half_open() as url:
        why = await Talk(Quick()).hold(url)
    assert why == "nothing was heard for 0 s"
    assert time.monotonic() - began < 0.4 + 2 * websocket.CLOSE_SECONDS


@asynccontextmanager
async def half_open() -> AsyncIterator[str]:
    """A server that shakes hands, and neither reads nor writes any more."""

    async def behave(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        connections.append(connection)
        await connection.wait_closed()

    connections: list[ServerConnection] = []
    async with serve(behave, "127.0.0.1", 0, ping_interval=None, close_timeout=0.1) as server:
        yield address_of(server)
        for connection in connections:
            connection.transport.abort()


async def test_pings_count_as_life() -> None:
    """An exchange that sends nothing but pings is alive, and its pings are answered."""
    answered = 0

    async def behave(connection: ServerConnection) -> None:
        nonlocal answered
        for _ in range(10):
            await (await connection.ping())
            answered += 1
            await asyncio.sleep(0.1)

    _, why = await talk_to(behave, Talk(Quick()))
    assert (answered, why) == (10, "closed by the other side: 1000")


async def test_pongs_count_as_life() -> None:
    """Where we ping, the answers keep a silent connection alive."""

    async def behave(connection: ServerConnection) -> None:
        await asyncio.sleep(1.0)

    _, why = await talk_to(behave, Talk(Pinging()))
    assert why == "closed by the other side: 1000"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages may have a thousand bytes."""
    monkeypatch.setattr(websocket, "MESSAGE_BYTES", 1_000)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("giant", ["x" * 1_001, ["x" * 600, "x" * 600]])
async def test_a_message_that_is_too_long_ends_the_connection(giant: Any) -> None:
    """Whole or in fragments: it is not kept, and the sentence says that it was us."""

    async def behave(connection: ServerConnection) -> None:
        await connection.send("{}")
        await connection.send(giant)
        await connection.wait_closed()

    talk, why = await talk_to(behave)
    assert talk.received == [(b"{}", False)]
    assert why.startswith("ended by us: 1009")


@pytest.mark.usefixtures("small")
async def test_a_message_that_is_too_long_ends_it_although_nobody_answers() -> None:
    """The other side's consent to the end is not waited for."""

    async def behave(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await connection.send("x" * 1_001)
        await connection.wait_closed()

    began = time.monotonic()
    async with serve(behave, "127.0.0.1", 0, ping_interval=None) as server:
        why = await Talk().hold(address_of(server))
        for connection in server.connections:
            connection.transport.abort()
    assert why.startswith("ended by us: 1009")
    assert time.monotonic() - began < 2 * websocket.CLOSE_SECONDS


# --- crowded --------------------------------------------------------------------------------------


async def test_crowded_reading_pauses_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """While its taker is crowded, reading pauses for a moment at a time; nothing is lost."""
    monkeypatch.setattr(websocket, "PAUSE_SECONDS", 0.1)
    talk = Talk(crowded=True)

    async def behave(connection: ServerConnection) -> None:
        for number in range(4):
            await connection.send(candle(number))
            await until(lambda seen=number: len(talk.received) > seen)  # type: ignore[misc]  # its default

    await talk_to(behave, talk)
    gaps = [later - earlier for earlier, later in zip(talk.times, talk.times[1:], strict=False)]
    assert [message for message, _ in talk.received] == [candle(number) for number in range(4)]
    assert all(gap > 0.05 for gap in gaps), "reading did not pause"


async def test_one_pause_is_begun_for_many_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A burst that is read at once while crowded begins one pause, not one for each message."""
    talk = Talk(crowded=True)
    pauses = 0
    loop = asyncio.get_running_loop()
    later = loop.call_later

    def count(delay: float, *work: Any, **more: Any) -> Any:
        nonlocal pauses
        pauses += delay == websocket.PAUSE_SECONDS
        return later(delay, *work, **more)

    async def behave(connection: ServerConnection) -> None:
        frames = [b"\x81" + bytes([len(candle(n))]) + candle(n) for n in range(100, 150)]
        connection.transport.write(b"".join(frames))
        await until(lambda: len(talk.received) == 50)

    monkeypatch.setattr(loop, "call_later", count)
    await talk_to(behave, talk)
    assert pauses <= 2  # one for the burst, one for the close frame's company


# --- sending --------------------------------------------------------------------------------------


async def test_what_the_session_has_to_say_is_sent() -> None:
    """The opening's messages, the subscriptions, and the answer to a ping of the exchange's."""
    heard: list[Any] = []

    async def behave(connection: ServerConnection) -> None:
        heard.extend([orjson.loads(await connection.recv()) for _ in range(2)])
        await connection.send('{"ping": 7}')
        heard.append(orjson.loads(await connection.recv()))

    opening = Opening(url="", messages=({"login": "me"},))
    await talk_to(behave, Talk(wants=("A@1m", "B@1m"), opening=opening))
    assert heard == [{"login": "me"}, {"subscribe": ["A@1m", "B@1m"], "id": 1}, {"pong": 7}]


async def test_sending_keeps_within_the_limit_of_messages() -> None:
    """What does not fit into the exchange's limit is sent later, without being asked."""
    at: list[float] = []

    class Slow(Plain):
        limits = Limits(
            source="nowhere: invented",
            checked="",
            subscriptions=10,
            messages=Rate(5, 0.5),  # of which four fifths are used
        )

    async def behave(connection: ServerConnection) -> None:
        while len(at) < 6:
            await connection.recv()
            at.append(time.monotonic())

    await talk_to(behave, Talk(Slow(), wants=tuple(f"A{n}@1m" for n in range(6))))
    assert at[3] - at[0] < 0.3
    assert at[4] - at[0] > 0.4


async def test_chores_are_called_when_something_may_have_changed_and_when_they_ask() -> None:
    """At the beginning, after a message that was no candle, and at the time that they name."""
    talk = Talk()

    async def behave(connection: ServerConnection) -> None:
        await until(lambda: talk.chores == 1)
        await connection.send(candle(1))
        await connection.send('{"ok": 1}')
        await until(lambda: talk.chores == 2)
        talk.again = 0.1
        await connection.send('{"ok": 2}')
        await until(lambda: talk.chores > 4)

    await talk_to(behave, talk)
    assert len(talk.received) == 3


async def test_nothing_is_done_while_nothing_happens() -> None:
    """A quiet connection costs a handful of wake-ups, not a loop."""
    talk = Talk(wants=("A@1m",))

    async def behave(connection: ServerConnection) -> None:
        await connection.send('{"ok": 1}')
        await asyncio.sleep(0.5)

    await talk_to(behave, talk)
    assert talk.chores < 8


async def test_who_reads_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a message cannot be got rid of, the connection ends, and within bounds."""
    monkeypatch.setattr(websocket, "SEND_SECONDS", 0.2)
    opening = Opening(url="", messages=("x" * 50_000_000,))
    began = time.monotonic()
    async with half_open() as url:
        why = await Talk(opening=opening).hold(url)
    assert why == "sending failed: TimeoutError"
    assert time.monotonic() - began < 2.0


# --- no connection --------------------------------------------------------------------------------


async def test_nobody_there_is_one_sentence() -> None:
    """Where nothing listens, the sentence names the address, without what may be secret in it."""
    (port,) = free_ports(1)
    talk = Talk()
    with pytest.raises(Unreachable) as said:
        await talk.hold(f"ws://127.0.0.1:{port}/ws?token=secret")
    assert str(said.value).startswith(f"no connection to ws://127.0.0.1:{port}/ws: ")
    assert "secret" not in str(said.value)
    assert talk.opened == 0


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (HTTPStatus.TOO_MANY_REQUESTS, SlowDown),
        (HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS, Blocked),
        (HTTPStatus.FORBIDDEN, Unreachable),
        (HTTPStatus.NOT_FOUND, Unreachable),
        (HTTPStatus.SERVICE_UNAVAILABLE, Unreachable),
    ],
)
async def test_a_refused_handshake_says_what_to_do_next(
    status: HTTPStatus, error: type[Exception]
) -> None:
    """An HTTP status in place of a WebSocket means what it means over REST."""

    def refuse(connection: ServerConnection, _: Request) -> Response:
        response = connection.respond(status, "sorry\n")
        response.headers["Retry-After"] = "30"
        return response

    async with serving(silent, process_request=refuse) as url:
        with pytest.raises(error, match=f"no connection to {url}.*{status.value}") as said:
            await Talk().hold(url)
    assert getattr(said.value, "retry_after", 30.0) == 30.0


async def test_a_handshake_that_is_never_answered_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A port that accepts and says nothing holds nobody up."""
    monkeypatch.setattr(websocket, "OPEN_SECONDS", 0.2)
    ended = asyncio.Event()

    async def mute(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    async with await asyncio.start_server(mute, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unreachable, match=r"no connection to .*: timed out"):
            await Talk().hold(f"ws://127.0.0.1:{port}")
        ended.set()


async def test_cancelling_closes_the_connection() -> None:
    """A drained worker takes its leave: the exchange is told that the connection ends."""
    codes: list[int | None] = []
    talk = Talk()

    async def behave(connection: ServerConnection) -> None:
        await connection.wait_closed()
        codes.append(connection.close_code)

    async with serving(behave) as url:
        holding = asyncio.create_task(talk.hold(url))
        await until(lambda: talk.chores > 0)
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)
        await until(lambda: bool(codes))
    assert codes == [1000]


async def test_a_cancellation_is_not_lost_while_sending() -> None:
    """Ended in the very moment in which something has been sent, a conversation ends."""
    conversations: list[asyncio.Task[str]] = []

    class Sending:
        state = State.OPEN

        async def send(self, _: str) -> None:
            conversations[0].cancel()

    session = Session(Plain(), Opening(url=""), 0.0)
    session.want(["a"])
    clock = Clock(real=lambda: 0.0)
    serving = websocket._serve(Sending(), session, clock, lambda: inf, asyncio.Event())  # type: ignore[arg-type]  # all that it uses
    conversations.append(asyncio.create_task(serving))
    done, _ = await asyncio.wait(conversations, timeout=LIMIT)
    assert done, "the cancellation was swallowed: nothing can end this conversation"
    assert conversations[0].cancelled()
