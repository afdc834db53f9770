"""The skin over aiohttp: makes the requests that adapters and agendas ask for. No decision here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from email.utils import parsedate_to_datetime
from functools import partial
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import aiohttp
import orjson

from connectors.adapter import RestReply, RestRequest, check_status
from connectors.endpoints import Endpoints
from connectors.errors import Unreachable

TIMEOUT: Final = aiohttp.ClientTimeout(total=20.0, connect=10.0)
BODY_BYTES: Final = 64 * 1024 * 1024
"""A longer body is not read: the largest known list of instruments is a quarter of this."""

Result = TypeVar("Result")


class Rest:
    """HTTP to exchanges, proxies of the environment respected. An asynchronous context manager."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=TIMEOUT, trust_env=True)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def fetch(self, exchange: str, request: RestRequest) -> RestReply:
        """Make one request; any status is a reply. Unreachable where there is none."""
        if self._session is None:
            raise RuntimeError("enter the context of Rest first")
        url = self._endpoints.url(exchange, request.url)
        body = None if request.body is None else orjson.dumps(request.body)
        headers = dict(request.headers)
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        try:
            async with self._session.request(
                request.method, url, params=dict(request.params), data=body, headers=headers
            ) as reply:
                return RestReply(reply.status, _lower(reply.headers), await _body(reply))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            said = str(error) or type(error).__name__
            raise Unreachable(
                f"{exchange}: no answer from {url.partition('?')[0]}: {said}"
            ) from error

    async def drive(
        self,
        exchange: str,
        dialogue: Generator[RestRequest, RestReply, Result],
        fetch: Callable[[RestRequest], Awaitable[RestReply]] | None = None,
    ) -> Result:
        """Make the requests of an adapter's dialogue and give it the replies; its result.

        ``fetch`` makes each request, where more is to be done about it than to make it.
        SlowDown, Blocked, Unreachable as the replies say; Unreachable, too, for a reply that the
        adapter cannot use.
        """
        fetch = fetch or partial(self.fetch, exchange)
        reply: RestReply | None = None
        while True:
            try:
                request = next(dialogue) if reply is None else dialogue.send(reply)
            except StopIteration as end:
                result: Result = end.value
                return result
            except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
                raise Unreachable(f"{exchange}: a reply cannot be used: {error!r}") from error
            reply = await fetch(request)
            check_status(exchange, reply)


def date_of(reply: RestReply) -> float | None:
    """When the reply was made by the clock of whoever made it, UNIX seconds; None: it says not."""
    try:
        date = parsedate_to_datetime(reply.headers["date"])
    except (KeyError, ValueError, TypeError):
        return None
    return None if date.tzinfo is None else date.timestamp()


async def _body(reply: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in reply.content.iter_any():
        body += chunk
        if len(body) > BODY_BYTES:
            raise aiohttp.ClientPayloadError(f"the body is longer than {BODY_BYTES} bytes")
    return bytes(body)


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
