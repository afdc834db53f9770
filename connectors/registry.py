"""Thin skin over aiohttp for a schema registry that speaks Confluent's API.

    async with SchemaRegistry("https://registry:8081", user="candles", password=…) as registry:
        prefix = confluent_prefix(await registry.register(topic, CANDLE))

Subjects follow TopicNameStrategy: the values of a topic have the subject ``{topic}-value``.
Nothing is tried twice here. Errors, each one sentence: Unreachable (try again later), AccessError
(credentials, rights, certificate), SetupError (an incompatible schema, an unknown id, no registry).
"""

from __future__ import annotations

import ssl
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import orjson
from yarl import URL

from connectors.errors import AccessError, ConnectorError, SetupError, Unreachable, UsageError
from connectors.schema import Schema

_MEDIA_TYPE: Final = "application/vnd.schemaregistry.v1+json"
_NOT_FOUND: Final = (40401, 40402, 40403)
"""Subject, version, schema not found, in Confluent's own error codes."""


class SchemaRegistry:
    """A schema registry at ``url``, of which a path may be part.

    ``user`` and ``password`` (basic authentication) may also stand in the URL; they are never in a
    message. ``tls`` is for a certificate authority or client certificate of one's own; ``timeout``
    is in seconds, for a whole request.
    """

    def __init__(
        self,
        url: str,
        *,
        user: str | None = None,
        password: str | None = None,
        tls: ssl.SSLContext | None = None,
        timeout: float = 10.0,
    ) -> None:
        address = _address(url)
        user, password = user or address.user, password or address.password
        self._url = address.with_user(None)
        self._headers = {"Accept": _MEDIA_TYPE, "Content-Type": _MEDIA_TYPE}
        if user is not None:
            self._headers["Authorization"] = aiohttp.encode_basic_auth(user, password or "")
        self._tls: ssl.SSLContext | bool = tls or True
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls),
            headers=self._headers,
            timeout=self._timeout,
            trust_env=True,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def register(self, topic: str, schema: Schema) -> int:
        """The id of the schema of a topic's values; registers it where it is not yet there."""
        path = f"subjects/{topic}-value/versions"
        found = await self._ask("POST", path, {"schema": schema.text}, f"{schema.name} of {topic}")
        return _id_in(found, self._url)

    async def lookup(self, topic: str, schema: Schema) -> int | None:
        """The id of the schema of a topic's values, or None where it is not registered."""
        path = f"subjects/{topic}-value"
        try:
            return _id_in(
                await self._ask("POST", path, {"schema": schema.text}, f"{schema.name} of {topic}"),
                self._url,
            )
        except _NotFound:
            return None

    async def schema(self, schema_id: int) -> str:
        """The JSON text of the schema with this id."""
        found = await self._ask("GET", f"schemas/ids/{schema_id}", None, f"schema {schema_id}")
        if not isinstance(found.get("schema"), str):
            raise _no_registry(self._url)
        return str(found["schema"])

    async def _ask(
        self, method: str, path: str, body: dict[str, str] | None, what: str
    ) -> dict[str, Any]:
        if self._session is None:
            raise UsageError("this schema registry is not open: use it in async with")
        data = None if body is None else orjson.dumps(body)
        try:
            async with self._session.request(method, self._url / path, data=data) as reply:
                status, text = reply.status, await reply.read()
        except (aiohttp.ClientError, TimeoutError) as problem:
            raise _no_answer(self._url, problem) from problem
        return _reading(self._url, status, text, what)


class _NotFound(SetupError):  # noqa: N818 - an answer, not a mistake
    """The registry knows no such subject or schema."""


def _address(url: str) -> URL:
    try:
        address = URL(url)
    except ValueError as problem:
        raise UsageError(f"the schema registry's address is no URL: {problem}") from None
    if address.scheme not in {"http", "https"} or not address.host:
        raise UsageError("the schema registry's address must begin with http:// or https://")
    return address


def _no_answer(url: URL, problem: Exception) -> ConnectorError:
    if isinstance(problem, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return AccessError(f"no trusted TLS connection to the schema registry at {url}: {problem}")
    reason = str(problem) or type(problem).__name__
    return Unreachable(f"the schema registry at {url} does not answer: {reason}")


def _reading(url: URL, status: int, text: bytes, what: str) -> dict[str, Any]:
    """The decoded reply, or the error that it stands for."""
    body = _json(text)
    if status == 200 and body is not None:
        return body
    said = str((body or {}).get("message") or f"HTTP {status}")
    if status in (401, 403):
        raise AccessError(
            f"the schema registry at {url} refuses {what} to this user: {said} (HTTP {status})"
        )
    if status == 429 or status >= 500:
        raise Unreachable(f"the schema registry at {url} cannot serve {what} now: {said}")
    if status == 404 and (body or {}).get("error_code") in _NOT_FOUND:
        raise _NotFound(f"the schema registry at {url} does not know {what}: {said}")
    if status == 409:
        raise SetupError(
            f"the schema registry at {url} holds an incompatible version of {what}: {said}"
        )
    if status in (400, 422) and body is not None:
        raise SetupError(f"the schema registry at {url} rejects {what}: {said}")
    raise _no_registry(url)


def _json(text: bytes) -> dict[str, Any] | None:
    try:
        body = orjson.loads(text)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _id_in(found: dict[str, Any], url: URL) -> int:
    if not isinstance(found.get("id"), int):
        raise _no_registry(url)
    return int(found["id"])


def _no_registry(url: URL) -> SetupError:
    return SetupError(f"{url} does not answer as a schema registry: check its address and path")
