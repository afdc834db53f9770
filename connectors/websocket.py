"""The skin over websockets: one connection, spoken for by a session. No decision here.

Messages are handed on from where the library parses them: no queue, no task, no await for each.
When whoever takes them is crowded, reading pauses for a moment, and the network holds the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.frames import BINARY, CONT, TEXT, Frame
from websockets.http11 import Response
from websockets.protocol import OPEN, Event

from connectors.adapter import RestReply, check_status
from connectors.clock import Clock
from connectors.errors import Unreachable
from connectors.session import Session
from connectors.tasks import happens

MESSAGE_BYTES: Final = 4 * 1024 * 1024
"""A longer message ends the connection: no list of candles comes near this."""
OPEN_SECONDS: Final = 15.0
CLOSE_SECONDS: Final = 2.0
SEND_SECONDS: Final = 10.0
PAUSE_SECONDS: Final = 0.25
"""The longest that reading pauses while its taker is crowded."""


class Tap(ClientConnection):
    """A connection that hands each whole message to ``on_message`` at once.

    ``on_control`` is called for pings and pongs, ``on_end`` when the connection ends or is lost;
    ``crowded`` tells whether reading should pause.
    """

    on_message: Callable[[bytes, bool], None]
    on_control: Callable[[], None]
    on_end: Callable[[], None]
    crowded: Callable[[], bool]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._parts: list[bytes] = []
        self._is_binary = False
        self._pauses = False

    def data_received(self, data: bytes) -> None:
        """Called by the event loop for what the network gave: any number of frames."""
        super().data_received(data)
        if not self._pauses and self.crowded():
            self._pause()
        if self.protocol.state is not OPEN:  # by a close frame, or by one that must not be
            self.on_end()

    def process_event(self, event: Event) -> None:
        """Called by the library for each frame, in order."""
        if not isinstance(event, Frame):
            super().process_event(event)
        elif event.opcode is TEXT or event.opcode is BINARY:
            self._is_binary = event.opcode is BINARY
            if event.fin:
                self.on_message(bytes(event.data), self._is_binary)
            else:
                self._parts = [bytes(event.data)]
        elif event.opcode is CONT:
            self._parts.append(bytes(event.data))
            if event.fin:
                self.on_message(b"".join(self._parts), self._is_binary)
                self._parts = []
        else:
            self.on_control()
            super().process_event(event)

    def _pause(self) -> None:
        self._pauses = True
        self.transport.pause_reading()
        self.loop.call_later(PAUSE_SECONDS, self._read_on)

    def _read_on(self) -> None:
        self._pauses = False
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        super().connection_lost(exc)
        self.on_end()


async def converse(
    url: str,
    session: Session,
    clock: Clock,
    on_message: Callable[[bytes, bool], bool],
    crowded: Callable[[], bool],
    chores: Callable[[], float],
    opened: Callable[[], None],
) -> str:
    """Hold one connection until it ends; why it ended.

    ``on_message`` gives each message to the session, and says whether the session may have
    something to say now (it was no mere candle). ``chores`` is called whenever something may
    have changed, and says (real time) when it wants to be called again. Unreachable, SlowDown or
    Blocked where no connection can be made.
    """
    changed = asyncio.Event()
    heartbeat = session.adapter.heartbeat

    def make(*args: Any, **options: Any) -> Tap:
        tap = Tap(*args, **options)
        tap.on_message = receive
        tap.on_control = lambda: session.alive(clock.real())
        tap.on_end = changed.set
        tap.crowded = crowded
        return tap

    def receive(message: bytes, binary: bool) -> None:
        if on_message(message, binary):
            changed.set()

    try:
        connection = await connect(
            url,
            create_connection=cast("type[ClientConnection]", make),
            compression=None,
            max_size=MESSAGE_BYTES,
            open_timeout=OPEN_SECONDS,
            close_timeout=CLOSE_SECONDS,
            ping_interval=heartbeat.every if heartbeat.kind == "protocol" else None,
            ping_timeout=heartbeat.silence,
        )
    except (WebSocketException, TimeoutError, OSError) as error:
        place = f"no connection to {url.partition('?')[0]}"
        if isinstance(error, InvalidStatus):
            check_status(place, _reply(error.response))
        raise Unreachable(f"{place}: {str(error) or type(error).__name__}") from error
    session.connected(clock.real())
    opened()
    try:
        return await _serve(connection, session, clock, chores, changed)
    finally:
        await _close(connection)


def _reply(response: Response) -> RestReply:
    headers = {name.lower(): value for name, value in response.headers.raw_items()}
    return RestReply(response.status_code, headers, bytes(response.body))


async def _serve(
    connection: ClientConnection,
    session: Session,
    clock: Clock,
    chores: Callable[[], float],
    changed: asyncio.Event,
) -> str:
    while connection.state is OPEN:
        again = chores()
        now = clock.real()
        if reason := session.verdict(now):
            return reason
        for text in session.texts(now, clock.wall()):
            try:
                async with asyncio.timeout(SEND_SECONDS):  # wait_for may lose a cancellation (3.11)
                    await connection.send(text)
            except (WebSocketException, TimeoutError) as error:
                return f"sending failed: {str(error) or type(error).__name__}"
        changed.clear()
        await happens(changed, min(again, session.due(clock.real())) - clock.real())
    return _end_of(connection)


def _end_of(connection: ClientConnection) -> str:
    """Who ended it, and what was said."""
    protocol = connection.protocol
    theirs, ours = protocol.close_rcvd, protocol.close_sent
    if theirs is not None and protocol.close_rcvd_then_sent is not False:
        return f"closed by the other side: {theirs.code} {theirs.reason}".rstrip()
    if ours is not None:
        return f"ended by us: {ours.code} {ours.reason}".rstrip()
    return "lost without a word from the other side"


async def _close(connection: ClientConnection) -> None:
    """Politely, and where that does not work (nobody reads what is sent), at once."""
    try:
        async with asyncio.timeout(2 * CLOSE_SECONDS):
            await connection.close()
    except TimeoutError:
        connection.transport.abort()
