"""HTTP over localhost: a server that answers as a test says, and the skin around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from connectors import rest
from connectors.adapter import RestReply, RestRequest
from connectors.endpoints import Endpoints
from connectors.errors import Blocked, SlowDown, Unreachable
from connectors.rest import Rest, date_of
from connectors.sandbox.process import free_ports

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
OWN = "https://api.plain.example"


class Server:
    """Answers every request as ``answer`` does, and keeps what it was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answer: Answer = saying(200, "{}")
        self.asked: list[tuple[str, str, dict[str, str], str, bytes]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        kind = request.headers.get("Content-Type", "")
        self.asked.append((request.method, request.path, dict(request.query), kind, body))
        return await self.answer(request)


def saying(status: int, body: str = "", **headers: str) -> Answer:
    """An answer that is always the same."""

    async def answer(_: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, text=body, headers=named)

    return answer


async def never(_: web.Request) -> web.StreamResponse:
    """Answer nothing."""
    await asyncio.Event().wait()
    raise AssertionError


async def endless(request: web.Request) -> web.StreamResponse:
    """A body that does not end."""
    reply = web.StreamResponse()
    await reply.prepare(request)
    while True:
        await reply.write(bytes(1024))


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """One that listens."""
    app = web.Application()
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    made = Server("")
    app.router.add_route("*", "/{path:.*}", made.handle)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Rest]:
    """What asks it."""
    async with Rest(Endpoints(server.url)) as made:
        yield made


# --- one request ----------------------------------------------------------------------------------


async def test_a_request_is_made_as_it_says(server: Server, client: Rest) -> None:
    """Method, query, JSON body and headers go out; the address is where Endpoints says."""
    request = RestRequest(
        url=f"{OWN}/v1/candles", method="POST", params={"of": "BTC", "n": 3}, body={"a": [1, "ü"]}
    )
    await client.fetch("plain", request)
    assert server.asked == [
        (
            "POST",
            "/plain/v1/candles",
            {"of": "BTC", "n": "3"},
            "application/json",
            '{"a":[1,"ü"]}'.encode(),
        )
    ]


async def test_a_plain_get_has_no_body_and_its_own_headers(server: Server, client: Rest) -> None:
    """What an adapter puts into headers arrives, and nothing speaks of a body."""
    seen: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers["X-Key"])
        return web.Response()

    server.answer = answer
    await client.fetch("plain", RestRequest(url=OWN, headers={"X-Key": "k"}))
    ((method, _, query, kind, body),) = server.asked
    assert (method, query, kind, body, seen) == ("GET", {}, "", b"", ["k"])


@pytest.mark.parametrize("status", [200, 404, 429, 500])
async def test_any_status_is_a_reply(server: Server, client: Rest, status: int) -> None:
    """Status, headers in lower case and the body's bytes come back, whatever the status."""
    server.answer = saying(status, "text", Retry_After="7", X_MiXed="Yes")
    reply = await client.fetch("plain", RestRequest(url=OWN))
    assert (status, b"text") == (reply.status, reply.body)
    assert (reply.headers["retry-after"], reply.headers["x-mixed"]) == ("7", "Yes")


async def test_nobody_there_is_one_sentence() -> None:
    """Where nothing listens, the sentence names exchange and address, without the query."""
    (port,) = free_ports(1)
    async with Rest(Endpoints(f"http://127.0.0.1:{port}")) as client:
        with pytest.raises(Unreachable) as said:
            await client.fetch("plain", RestRequest(url=f"{OWN}/v1", params={"key": "secret"}))
    assert str(said.value).startswith(f"plain: no answer from http://127.0.0.1:{port}/plain/v1: ")
    assert "secret" not in str(said.value)


async def test_a_server_that_does_not_answer_is_given_up(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the time-out it counts as unreachable, and the sentence is not empty."""
    monkeypatch.setattr(rest, "TIMEOUT", aiohttp.ClientTimeout(total=0.1))
    server.answer = never
    async with Rest(Endpoints(server.url)) as client:
        with pytest.raises(Unreachable, match=r"plain: no answer from .*/plain: \w+"):
            await client.fetch("plain", RestRequest(url=OWN))


async def test_a_body_without_end_is_not_read_to_it(
    server: Server, client: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past the cap the reply is given up: memory does not grow with what a server sends."""
    monkeypatch.setattr(rest, "BODY_BYTES", 100_000)
    server.answer = endless
    with pytest.raises(Unreachable, match="the body is longer than 100000 bytes"):
        await client.fetch("plain", RestRequest(url=OWN))


async def test_a_reply_that_breaks_off_is_no_reply(server: Server, client: Rest) -> None:
    """A connection that is cut within the body gives no half of a body."""

    async def cut(request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse(headers={"Content-Length": "1000"})
        await reply.prepare(request)
        await reply.write(b"half")
        assert request.transport is not None
        request.transport.abort()
        return reply

    server.answer = cut
    with pytest.raises(Unreachable, match="plain: no answer"):
        await client.fetch("plain", RestRequest(url=OWN))


async def test_it_has_to_be_entered_first() -> None:
    """Nothing is opened by making the object."""
    with pytest.raises(RuntimeError, match="enter the context"):
        await Rest(Endpoints()).fetch("plain", RestRequest(url=OWN))


# --- dialogues ------------------------------------------------------------------------------------


def two_steps() -> Generator[RestRequest, RestReply, str]:
    """A dialogue that asks twice, the second time for what the first reply named."""
    first = yield RestRequest(url=f"{OWN}/first")
    second = yield RestRequest(url=f"{OWN}/{first.json()['next']}", method="POST")
    return str(second.json()["name"])


def one_step() -> Generator[RestRequest, RestReply, Any]:
    """A dialogue that reads one reply."""
    reply = yield RestRequest(url=OWN)
    return reply.json()["data"][0]


async def test_a_dialogue_is_led_to_its_end(server: Server, client: Rest) -> None:
    """Each reply is given to it, and what it returns comes back."""
    server.answer = saying(200, '{"next": "second", "name": "done"}')
    assert await client.drive("plain", two_steps()) == "done"
    assert [asked[:2] for asked in server.asked] == [
        ("GET", "/plain/first"),
        ("POST", "/plain/second"),
    ]


async def test_a_dialogues_requests_may_be_made_by_another(client: Rest) -> None:
    """Whoever has more to do about a request than to make it, makes it."""
    asked: list[str] = []

    async def fetch(request: RestRequest) -> RestReply:
        asked.append(request.url)
        return RestReply(200, {}, b'{"next": "second", "name": "done"}')

    assert await client.drive("plain", two_steps(), fetch) == "done"
    assert asked == [f"{OWN}/first", f"{OWN}/second"]


async def test_a_dialogue_may_ask_nothing(server: Server, client: Rest) -> None:
    """An exchange without a dialogue has its answer at once."""

    def nothing() -> Generator[RestRequest, RestReply, int]:
        yield from ()
        return 7

    assert (await client.drive("plain", nothing()), server.asked) == (7, [])


@pytest.mark.parametrize("status", [418, 429])
async def test_too_fast_in_a_dialogue_says_how_long_to_wait(
    server: Server, client: Rest, status: int
) -> None:
    """Retry-After is in the error; without one, no time is invented."""
    server.answer = saying(status, "too fast", Retry_After="12")
    with pytest.raises(SlowDown, match=f"plain: HTTP {status}: too fast") as told:
        await client.drive("plain", two_steps())
    server.answer = saying(status)
    with pytest.raises(SlowDown) as untold:
        await client.drive("plain", two_steps())
    assert (told.value.retry_after, untold.value.retry_after) == (12.0, 0.0)


@pytest.mark.parametrize(
    ("status", "error"),
    [(451, Blocked), (403, Unreachable), (500, Unreachable), (503, Unreachable)],
)
async def test_a_status_that_ends_a_dialogue(
    server: Server, client: Rest, status: int, error: type[Exception]
) -> None:
    """Not served here is not hammered; trouble of the server is tried again later."""
    server.answer = saying(status, "sorry")
    with pytest.raises(error, match=f"plain: HTTP {status}: sorry"):
        await client.drive("plain", two_steps())


@pytest.mark.parametrize("body", ["<html>", "{}", '{"data": []}', '{"data": 3}', "[]", "null", ""])
async def test_garbage_in_a_dialogue_is_tried_again_later(
    server: Server, client: Rest, body: str
) -> None:
    """Whatever a reply does to a dialogue: it cannot be used, and that is said."""
    server.answer = saying(200, body)
    with pytest.raises(Unreachable, match="plain: a reply cannot be used"):
        await client.drive("plain", one_step())


async def test_what_a_dialect_understands_is_left_to_it(server: Server, client: Rest) -> None:
    """A 404 reaches the dialogue, which knows what it means there."""

    def dialogue() -> Generator[RestRequest, RestReply, int]:
        return (yield RestRequest(url=OWN)).status

    server.answer = saying(404)
    assert await client.drive("plain", dialogue()) == 404


# --- whose time it is -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "date"),
    [
        ({"date": "Tue, 22 Sep 2026 07:34:00 GMT"}, 1_790_062_440.0),
        ({"date": "Tue, 22 Sep 2026 09:34:00 +0200"}, 1_790_062_440.0),
        ({"date": "Tue, 22 Sep 2026 07:34:00"}, None),
        ({"date": "yesterday"}, None),
        ({"date": ""}, None),
        ({}, None),
    ],
)
def test_the_date_of_a_reply(headers: dict[str, str], date: float | None) -> None:
    """In UNIX seconds; a header that does not say which zone, or says nothing, is none."""
    assert date_of(RestReply(200, headers, b"")) == date


async def test_a_real_reply_has_a_date(server: Server, client: Rest) -> None:
    """As any server writes it."""
    server.answer = saying(200, Date="Tue, 22 Sep 2026 07:34:00 GMT")
    assert date_of(await client.fetch("plain", RestRequest(url=OWN))) == 1_790_062_440.0
