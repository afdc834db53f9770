"""A pretend exchange that writes the load as fast as it is read: frames are made beforehand.

    python -m benchmarks.server PORT MESSAGES START

The driver controls it over HTTP: ``/bench/rewind``, ``/bench/send?count=N`` (the next N messages),
``/bench/state`` (how many channels are subscribed, how many messages sent so far).
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
from websockets.datastructures import Headers
from websockets.frames import TEXT, Frame
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from benchmarks.load import CHANNELS, PAIRS, Load, instruments

CHUNK = 64  # frames in one write
BUFFER = 256 * 1024  # bytes that may wait for a slow reader


class Exchange:
    """What all connections share: the frames, and how many of them are sent."""

    def __init__(self, load: Load) -> None:
        self.frames = [_frame(load.frame(seq)) for seq in range(load.messages)]
        self.sent = 0
        self.clients: set[Client] = set()
        self.sending: asyncio.Task[Any] | None = None

    def answer(self, target: str) -> object:
        """The reply to a GET request."""
        url = urlsplit(target)
        if url.path.endswith("/exchangeInfo"):
            return instruments()
        if url.path == "/bench/rewind":
            self.sent = 0
        elif url.path == "/bench/send":
            count = int(parse_qs(url.query)["count"][0])
            self.sending = asyncio.create_task(self.send(count))
        elif url.path == "/bench/state":
            channels = set[int]().union(*(client.pairs for client in self.clients))
            return {"channels": len(channels), "sent": self.sent}
        return {}

    async def send(self, count: int) -> None:
        """The next messages, to whoever has subscribed them."""
        first, self.sent = self.sent, self.sent + count
        await asyncio.gather(*(client.send(first, self.sent) for client in self.clients))


class Client(asyncio.Protocol):
    """One connection: HTTP, or a WebSocket after its upgrade."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._protocol = ServerProtocol()
        self._writable = asyncio.Event()
        self._writable.set()
        self.pairs: set[int] = set()

    def connection_made(self, transport: Any) -> None:
        """Called by the event loop, as the four below."""
        self._transport = transport
        transport.set_write_buffer_limits(high=BUFFER)

    def connection_lost(self, error: Exception | None) -> None:
        """Whoever sends to this connection goes on."""
        del error
        self._exchange.clients.discard(self)
        self._writable.set()

    def pause_writing(self) -> None:
        """The reader is slow."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The reader has caught up."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Requests and subscriptions."""
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._request(event)
            elif isinstance(event, Frame) and event.opcode is TEXT:
                self._subscribe(orjson.loads(event.data))
        for piece in self._protocol.data_to_send():
            if piece:
                self._transport.write(piece)
            else:
                self._transport.close()

    def _request(self, request: Request) -> None:
        if "Upgrade" in request.headers:
            self._protocol.send_response(self._protocol.accept(request))
            self._exchange.clients.add(self)
            return
        body = orjson.dumps(self._exchange.answer(request.path))
        headers = Headers({"Content-Length": str(len(body)), "Connection": "close"})
        self._protocol.send_response(Response(200, "OK", headers, body))

    def _subscribe(self, message: dict[str, Any]) -> None:
        self.pairs.update(CHANNELS.index(channel) for channel in message["params"])
        self._protocol.send_text(orjson.dumps({"result": None, "id": message["id"]}))

    async def send(self, first: int, last: int) -> None:
        """Messages ``first`` to ``last`` (not included), as far as subscribed."""
        frames, pairs = self._exchange.frames, self.pairs
        for start in range(first, last, CHUNK):
            wanted = range(start, min(start + CHUNK, last))
            self._transport.write(b"".join(frames[seq] for seq in wanted if seq % PAIRS in pairs))
            await self._writable.wait()
            if self._transport.is_closing():
                return


def _frame(payload: bytes) -> bytes:
    return Frame(TEXT, payload).serialize(mask=False)


async def serve(port: int, load: Load) -> None:
    """Listen on this machine until the process is ended."""
    exchange = Exchange(load)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Client(exchange), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Load(int(sys.argv[2]), int(sys.argv[3]))))
