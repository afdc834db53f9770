"""The skin over websockets: one connection, spoken for by a session. No decision here.

Messages are handed on from where the library parses them: no queue, no task, no await for each.
When whoever takes them is crowded, reading pauses for a moment, and the network holds the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidURI, WebSocketException
from websockets.frames import BINARY, CONT, TEXT, Frame
from websockets.protocol import Event

from connectors.clock import Clock
from connectors.errors import Unreachable
from connectors.session import Session

MESSAGE_BYTES: Final = 4 * 1024 * 1024
"""A longer message ends the connection: no list of candles comes near this."""
OPEN_SECONDS: Final = 15.0
CLOSE_SECONDS: Final = 2.0
SEND_SECONDS: Final = 10.0
PAUSE_SECONDS: Final = 0.25
"""The longest that reading pauses while its taker is crowded."""


class Tap(ClientConnection):
    """A connection that hands each whole message to ``on_message`` at once.

    ``on_control`` is called for pings and pongs, ``on_end`` when the connection is lost;
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

    def process_event(self, event: Event) -> None:
        """Called by the library for each frame, in order."""
        if not isinstance(event, Frame):
            super().process_event(event)
        elif event.opcode is TEXT or event.opcode is BINARY:
            self._is_binary = event.opcode is BINARY
            if event.fin:
                self._hand_on(bytes(event.data))
            else:
                self._parts = [bytes(event.data)]
        elif event.opcode is CONT:
            self._parts.append(bytes(event.data))
            if event.fin:
                self._hand_on(b"".join(self._parts))
                self._parts = []
        else:
            self.on_control()
            super().process_event(event)

    def _hand_on(self, message: bytes) -> None:
        self.on_message(message, self._is_binary)
        if self.crowded():
            self.transport.pause_reading()
            self.loop.call_later(PAUSE_SECONDS, self._read_on)

    def _read_on(self) -> None:
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
    have changed, and says (real time) when it wants to be called again. Unreachable where no
    connection can be made.
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
    except (InvalidHandshake, InvalidURI, TimeoutError, OSError) as error:
        said = str(error) or type(error).__name__
        raise Unreachable(f"no connection to {url.partition('?')[0]}: {said}") from error
    opened()
    try:
        return await _serve(connection, session, clock, chores, changed)
    finally:
        await connection.close()


async def _serve(
    connection: ClientConnection,
    session: Session,
    clock: Clock,
    chores: Callable[[], float],
    changed: asyncio.Event,
) -> str:
    while connection.close_code is None:
        again = chores()
        now = clock.real()
        if reason := session.verdict(now) or session.closing:
            return reason
        for text in session.texts(now, clock.wall()):
            try:
                await asyncio.wait_for(connection.send(text), SEND_SECONDS)
            except (WebSocketException, TimeoutError) as error:
                return f"sending failed: {str(error) or type(error).__name__}"
        changed.clear()
        await _until(changed, min(again, session.due(clock.real())) - clock.real())
    return f"closed by the other side: {connection.close_code} {connection.close_reason}".rstrip()


async def _until(changed: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(max(0.001, seconds)):
            await changed.wait()
    except TimeoutError:
        return
