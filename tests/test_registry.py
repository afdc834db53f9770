"""A real registry, and stand-ins for the ways in which one fails."""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any

import aiohttp
import fastavro
import orjson
import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from connectors.codec import CandleEncoder, candle_of, encode_coverage
from connectors.coverage import Coverage
from connectors.errors import AccessError, ConnectorError, SetupError, Unreachable, UsageError
from connectors.model import CandleData, CloseReason, Subscription, grid_of
from connectors.records import CoverageRecord
from connectors.registry import SchemaRegistry
from connectors.schema import (
    CANDLE,
    COVERAGE,
    Reader,
    Schema,
    UnknownSchema,
    confluent_prefix,
    packaged,
)

BITCOIN = Subscription("binance_spot", "BTC-USDT", "1m")
PUBLISHED_AT = 1_672_515_841_250
CANDLE_RECORD = {
    "exchange": "binance_spot",
    "trading_pair": "BTC-USDT",
    "interval": "1m",
    "open_time": 1_672_515_780_000,
    "close_time": 1_672_515_840_000,
    "open": 16500.1,
    "high": 16510.2,
    "low": 16490.3,
    "close": 16505.4,
    "volume": 5.123,
    "quote_asset_volume": 84_557.5,
    "n_trades": 150,
    "taker_buy_base_volume": None,
    "taker_buy_quote_volume": None,
    "closed": True,
    "close_reason": "EXCHANGE_FLAG",
    "revision": 1,
    "late": True,
    "event_time": 1_672_515_840_012,
    "published_at": PUBLISHED_AT,
}


def encoded(prefix: bytes) -> bytes:
    """The candle above, as the connector writes it."""
    figures = (16500.1, 16510.2, 16490.3, 16505.4, 5.123, 84_557.5, 150)
    candle = CandleData(1_672_515_780, *figures, event_time=1_672_515_840_012)
    return CandleEncoder(BITCOIN, grid_of("1m"), prefix).encode(
        candle,
        published_at=PUBLISHED_AT,
        closed=True,
        reason=CloseReason.EXCHANGE_FLAG,
        revision=1,
        late=True,
    )


def in_milliseconds(record: dict[str, Any]) -> dict[str, Any]:
    """A record as other libraries decode it, its datetimes as UNIX milliseconds."""
    return {
        name: round(value.timestamp() * 1000) if hasattr(value, "timestamp") else value
        for name, value in record.items()
    }


def by_a_stranger(registry: str, topic: str, value: bytes) -> dict[str, Any]:
    """The record as confluent-kafka's deserializer reads it, with nothing but the registry."""
    with SchemaRegistryClient({"url": registry}) as client:
        found = AvroDeserializer(client)(value, SerializationContext(topic, MessageField.VALUE))
    assert isinstance(found, dict)
    return found


@pytest.fixture
def topic() -> str:
    """A topic whose subject no other test registers."""
    return f"test-{uuid.uuid4().hex[:12]}.binance_spot.closed"


# --- the real one ---------------------------------------------------------------------------------


async def test_a_stranger_reads_our_candle_with_the_registry(registry: str, topic: str) -> None:
    """confluent-kafka's own deserializer reads our candle, knowing nothing but the registry."""
    async with SchemaRegistry(registry) as ours:
        value = encoded(confluent_prefix(await ours.register(topic, CANDLE)))
    expected = CANDLE_RECORD
    assert expected == in_milliseconds(by_a_stranger(registry, topic, value))


async def test_a_stranger_reads_our_coverage_with_the_registry(registry: str, topic: str) -> None:
    """confluent-kafka's own deserializer reads coverage, runs included."""
    coverage = Coverage(1_672_515_780)
    coverage.publish(1_672_515_780, 1_672_515_840, 0, 2**64 - 5)
    record = CoverageRecord(subscription=BITCOIN, coverage=coverage, owner="run-1")
    async with SchemaRegistry(registry) as ours:
        schema_id = await ours.register(topic, COVERAGE)
    value = encode_coverage(record, confluent_prefix(schema_id))
    found = by_a_stranger(registry, topic, value)
    assert found["owner"] == "run-1"
    assert [(r["state"], r["count"], r["digest"]) for r in found["runs"]] == [("SETTLED", 1, -5)]


def test_a_stranger_reads_our_candle_without_a_registry() -> None:
    """fastavro alone reads a candle in single-object encoding with the schema file."""
    value = encoded(CANDLE.prefix)
    body = BytesIO(value[10:])
    found = fastavro.schemaless_reader(body, fastavro.parse_schema(orjson.loads(CANDLE.text)), None)
    assert isinstance(found, dict)
    expected = CANDLE_RECORD
    assert expected == in_milliseconds(found)


async def test_a_reader_looks_a_schema_up_in_the_registry(registry: str, topic: str) -> None:
    """A reader that meets an id reads on as soon as it was given the registry's schema."""
    reader = Reader(CANDLE)
    async with SchemaRegistry(registry) as ours:
        value = encoded(confluent_prefix(await ours.register(topic, CANDLE)))
        with pytest.raises(UnknownSchema) as unknown:
            reader.read(value)
        assert unknown.value.schema_id is not None
        reader.add(unknown.value.prefix, await ours.schema(unknown.value.schema_id))
    expected = CANDLE_RECORD
    assert expected == reader.read(value)
    assert candle_of(reader.read(value)).subscription == BITCOIN


async def test_registering_twice_is_registering_once(registry: str, topic: str) -> None:
    """The id stays; looking it up finds it, and finds nothing before."""
    async with SchemaRegistry(registry) as ours:
        assert await ours.lookup(topic, CANDLE) is None
        first = await ours.register(topic, CANDLE)
        assert first == await ours.register(topic, CANDLE)
        assert first == await ours.lookup(topic, CANDLE)


async def test_the_subject_is_the_topics_value(registry: str, topic: str) -> None:
    """Subjects follow TopicNameStrategy."""
    async with SchemaRegistry(registry) as ours, aiohttp.ClientSession() as session:
        await ours.register(topic, CANDLE)
        async with session.get(f"{registry}/subjects") as reply:
            assert f"{topic}-value" in await reply.json()


async def test_an_incompatible_schema_is_refused(registry: str, topic: str) -> None:
    """Where the registry holds another version that does not fit, one sentence says so."""
    turned = Schema.parse(CANDLE.text.replace('["null","long"]', '["null","string"]'))
    async with SchemaRegistry(registry) as ours, aiohttp.ClientSession() as session:
        level = {"compatibility": "FULL_TRANSITIVE"}
        await ours.register(topic, CANDLE)
        async with session.put(f"{registry}/config/{topic}-value", json=level) as reply:
            assert reply.ok
        with pytest.raises(SetupError, match=r"incompatible version of candles\.CandleData"):
            await ours.register(topic, turned)


async def test_an_unknown_id_is_a_sentence(registry: str) -> None:
    """A record from another registry has an id that this one does not know."""
    async with SchemaRegistry(registry) as ours:
        with pytest.raises(SetupError, match="does not know schema 987654"):
            await ours.schema(987_654)


@pytest.mark.parametrize("name", ["candle_data", "coverage", "subscription", "dead_letter"])
async def test_every_schema_is_accepted(registry: str, topic: str, name: str) -> None:
    """The registry takes each of our schemas, and gives back one with the same fingerprint."""
    async with SchemaRegistry(registry) as ours:
        schema_id = await ours.register(topic, packaged(name))
        assert packaged(name).key == Schema.parse(await ours.schema(schema_id)).key


# --- stand-ins ------------------------------------------------------------------------------------


Answer = Callable[[web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def serving(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """The address of a server that answers everything so."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    server = TestServer(app, host="127.0.0.1", scheme="https" if tls else "http")
    await server.start_server(ssl=tls)
    try:
        yield str(server.make_url("/api"))
    finally:
        await server.close()


@pytest.mark.parametrize(
    ("status", "body", "kind", "sentence"),
    [
        (
            401,
            '{"error_code":401,"message":"Unauthorized"}',
            AccessError,
            "refuses .* Unauthorized",
        ),
        (403, "no", AccessError, "refuses .* HTTP 403"),
        (409, '{"error_code":409,"message":"not so"}', SetupError, "incompatible .* not so"),
        (422, '{"error_code":42201,"message":"not so"}', SetupError, "rejects .* not so"),
        (404, "<html>nothing here</html>", SetupError, "not answer as a schema registry"),
        (404, '{"error_code":40403,"message":"none"}', SetupError, "does not know .* none"),
        (200, "<html>welcome</html>", SetupError, "not answer as a schema registry"),
        (200, '{"it":"works"}', SetupError, "not answer as a schema registry"),
        (200, "[]", SetupError, "not answer as a schema registry"),
        (429, "", Unreachable, "cannot serve .* HTTP 429"),
        (500, '{"error_code":50003,"message":"forwarding"}', Unreachable, "cannot .* forwarding"),
    ],
)
async def test_every_answer_is_a_sentence(
    status: int, body: str, kind: type[ConnectorError], sentence: str
) -> None:
    """What a registry answers becomes an error that says what to do next, in one sentence."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, text=body)

    async with serving(answer) as url, SchemaRegistry(url) as registry:
        with pytest.raises(kind, match=sentence):
            await registry.register("topic", CANDLE)


async def test_credentials_are_sent_and_never_told() -> None:
    """Basic authentication is used, from the URL too, and no message holds the password."""

    async def answer(request: web.Request) -> web.Response:
        ok = request.headers.get("Authorization") == aiohttp.encode_basic_auth("me", "secret")
        return web.json_response({"id": 7}, status=200 if ok else 401)

    right, wrong = "secret", "mistyped"
    async with serving(answer) as url:
        async with SchemaRegistry(url, user="me", password=right) as registry:
            assert await registry.register("topic", CANDLE) == 7
        inside = url.replace("http://", "http://me:secret@")
        async with SchemaRegistry(inside) as registry:
            assert await registry.lookup("topic", CANDLE) == 7
        async with SchemaRegistry(inside, password=wrong) as registry:
            with pytest.raises(AccessError) as refused:
                await registry.register("topic", CANDLE)
    assert not [word for word in (right, wrong) if word in str(refused.value)]


async def test_tls() -> None:
    """A certificate of one's own authority is trusted when it is given, and else refused."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    client = ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"id": 7})

    async with serving(answer, server) as url:
        async with SchemaRegistry(url, tls=client) as registry:
            assert await registry.register("topic", CANDLE) == 7
        async with SchemaRegistry(url) as registry:
            with pytest.raises(AccessError, match="no trusted TLS connection"):
                await registry.register("topic", CANDLE)


async def test_nobody_there(unused_tcp_port: int) -> None:
    """A registry that is not there is unreachable, and the sentence names its address."""
    async with SchemaRegistry(f"http://127.0.0.1:{unused_tcp_port}") as registry:
        with pytest.raises(Unreachable, match=f"127.0.0.1:{unused_tcp_port}/? does not answer"):
            await registry.schema(1)


async def test_a_registry_that_hangs() -> None:
    """A request ends with its time-out."""

    async def answer(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    async with serving(answer) as url, SchemaRegistry(url, timeout=0.1) as registry:
        with pytest.raises(Unreachable, match="does not answer: TimeoutError"):
            await registry.schema(1)


@pytest.mark.parametrize("url", ["localhost:8081", "", "ftp://here", "http://", "http://a:b"])
def test_an_address_that_is_none(url: str) -> None:
    """A mistyped address is refused before anything is asked."""
    with pytest.raises(UsageError, match="address"):
        SchemaRegistry(url)


async def test_it_must_be_open() -> None:
    """Asking a registry that was not opened says how to open it."""
    with pytest.raises(UsageError, match="async with"):
        await SchemaRegistry("http://127.0.0.1").schema(1)
