"""The skin over aiokafka, with a real Kafka; what cannot be provoked there is raised by a fake.

``kafka`` is the plain broker that all tests share. ``own`` is one for this file, which may be
frozen, and which has an authorizer, a listener that wants a password and one that speaks TLS.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, errors
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from connectors.errors import (
    AccessError,
    ConnectorError,
    Fenced,
    RecordRefused,
    SetupError,
    ShardLost,
    Unreachable,
    UsageError,
)
from connectors.kafka import (
    Cluster,
    Limits,
    LivePublisher,
    Record,
    Shard,
    TopicPlan,
    TopicSpec,
    ensure,
    missing,
    probe,
    quieten,
    read_topic,
    refusal,
    watermarks,
)
from connectors.kafka.batches import BATCH_BYTES, LATEST_TIMESTAMP
from connectors.kafka.bounded import end_client, end_producer, within
from connectors.kafka.failures import TABLE, Stage, explain, row_of
from connectors.kafka.quiet import RateLimit
from connectors.sandbox.kafka import LocalKafka
from connectors.sandbox.process import free_ports
from tests.oracle import read_topics

pytestmark = pytest.mark.kafka

SHORT = Limits(start=8.0, read=2.0, send=2.0, commit=2.0, stop=0.5)
PASSWORD = "correct horse"  # noqa: S105 - of a broker that lives for seconds


# --- Kafkas and helpers ---------------------------------------------------------------------------


class _Guarded(LocalKafka):
    """A Kafka with two more listeners, SASL and TLS, and rights that can be taken away."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.sasl, self.tls = (f"localhost:{port}" for port in free_ports(2))
        self.cafile = folder / "ca.pem"
        self._certificate = _certificate(self.cafile)

    def _settings(self, node: Any) -> dict[str, str]:
        settings = super()._settings(node)
        login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        more = f",SASL://{self.sasl},TLS://{self.tls}"
        chain, key = self._certificate
        return {
            **settings,
            "listeners": settings["listeners"] + more,
            "advertised.listeners": settings["advertised.listeners"] + more,
            "listener.security.protocol.map": (
                "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SSL"
            ),
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl.plain.sasl.jaas.config": f'{login} user_alice="{PASSWORD}";',
            "listener.name.tls.ssl.keystore.type": "PEM",
            "listener.name.tls.ssl.keystore.certificate.chain": chain.replace("\n", "\\n"),
            "listener.name.tls.ssl.keystore.key": key.replace("\n", "\\n"),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "true",
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": "200",
        }


def _certificate(file: Path) -> tuple[str, str]:
    """A certificate for ``localhost`` that signs itself, written to ``file``; with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain = certificate.public_bytes(serialization.Encoding.PEM).decode()
    file.write_text(chain)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    return chain, secret


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Guarded]:
    """A Kafka of this file: to be frozen, to take rights away from, to log in to."""
    service = _Guarded(tmp_path_factory.mktemp("tls"))
    try:
        asyncio.run(service.start())
    except SetupError as lacking:
        pytest.fail(str(lacking), pytrace=False)
    yield service
    asyncio.run(service.stop())


@contextmanager
def _frozen(service: LocalKafka) -> Iterator[None]:
    service.pause(1)
    try:
        yield
    finally:
        service.resume(1)


class _World:
    """Topics of one test, and what is to be closed at its end."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.bootstrap = bootstrap
        self.cluster = Cluster(bootstrap)
        self.plan = TopicPlan(prefix, partitions=3)
        self.closed = self.plan.closed("x").name
        self.live = self.plan.live("x").name
        self.coverage = self.plan.fixed_coverage().name
        self._ends: list[Callable[[], Awaitable[None]]] = []

    async def create(self) -> None:
        specs = [self.plan.closed("x"), self.plan.live("x"), self.plan.fixed_coverage()]
        await ensure(self.cluster, specs)

    def shard(self, **options: Any) -> Shard:
        shard = Shard(self.cluster, self.coverage, **options)
        self._ends.append(shard.close)
        return shard

    def publisher(self, **options: Any) -> LivePublisher:
        publisher = LivePublisher(self.cluster, **options)
        self._ends.append(publisher.close)
        publisher.start()
        return publisher

    async def foreigner(self, name: str) -> Any:
        """A transactional producer of somebody else's."""
        producer = AIOKafkaProducer(**self.cluster.options, transactional_id=name)
        self._ends.append(lambda: end_producer(producer))
        await producer.start()
        return producer

    def candle(self, number: int, partition: int = 0) -> Record:
        return Record(self.closed, partition, b"pair", b"candle %d" % number, 1_000 + number)

    def covered(self, text: str, key: str = "x:A-B:1m") -> Record:
        return Record(self.coverage, 0, key.encode(), text.encode(), 1_000)

    async def visible(self, *topics: str) -> list[bytes | None]:
        """The values that an independent read-committed reader finds, topic by topic."""
        topics = topics or (self.closed, self.coverage)
        found = await asyncio.to_thread(read_topics, self.bootstrap, *topics)
        return [each.value for topic in topics for each in found if each.topic == topic]

    async def end(self) -> None:
        for end in self._ends:
            await end()


@pytest.fixture
async def world(kafka: str, prefix: str) -> AsyncIterator[_World]:
    """The topics of one test in the shared Kafka."""
    async with _world(kafka, prefix) as made:
        yield made


@pytest.fixture
async def own_world(own: _Guarded, prefix: str) -> AsyncIterator[_World]:
    """The same in the Kafka of this file."""
    async with _world(own.bootstrap, prefix) as made:
        yield made


@asynccontextmanager
async def _world(bootstrap: str, prefix: str) -> AsyncIterator[_World]:
    world = _World(bootstrap, prefix)
    await world.create()
    try:
        yield world
    finally:
        await world.end()


async def _until(done: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not done():  # noqa: ASYNC110 - a state of aiokafka or of Kafka, without an event
            await asyncio.sleep(0.01)


# --- a shard: all or nothing, exactly once --------------------------------------------------------


async def test_a_commit_is_seen_once_and_in_order(world: _World) -> None:
    """What was committed is found by an independent reader, each record once, in order."""
    shard = world.shard()
    assert await shard.take_over() == []
    for start in (0, 10):
        await shard.commit([world.candle(n) for n in range(start, start + 10)])
    expected = [b"candle %d" % n for n in range(20)]
    assert await world.visible(world.closed) == expected


async def test_many_batches_for_one_partition_keep_their_order(world: _World) -> None:
    """A transaction larger than a batch arrives in the order in which it was given."""
    shard = world.shard()
    await shard.take_over()
    values = [b"%06d" % n + b"x" * 1_000 for n in range(600)]
    records = [
        Record(world.closed, n % 2, b"pair", value, 1_000 + n) for n, value in enumerate(values)
    ]
    offsets = await shard.commit(records)
    assert await world.visible(world.closed) == values[0::2] + values[1::2]
    assert offsets == {(world.closed, 0): 299, (world.closed, 1): 299}


async def test_nothing_is_visible_before_commit_returns(world: _World) -> None:
    """While a commit has not been sent, an independent reader sees none of its records."""
    asked, may = asyncio.Event(), asyncio.Event()

    class Slow(AIOKafkaProducer):  # type: ignore[misc]  # aiokafka has no types
        async def commit_transaction(self) -> None:
            asked.set()
            await may.wait()
            await super().commit_transaction()

    shard = world.shard(new_producer=Slow)
    await shard.take_over()
    commit = asyncio.create_task(shard.commit([world.candle(1), world.covered("one")]))
    await asked.wait()
    assert (await watermarks(world.cluster, world.closed))[0] == (0, 1)
    with pytest.raises(AssertionError, match="an open transaction"):
        await asyncio.to_thread(read_topics, world.bootstrap, world.closed, seconds=1.0)
    may.set()
    await commit
    assert await world.visible() == [b"candle 1", b"one"]


async def test_coverage_is_the_newest_of_each_key_in_the_order_of_the_log(world: _World) -> None:
    """Taking over returns the newest value of each key, tombstones included, in log order."""
    shard = world.shard()
    await shard.take_over()
    await shard.commit([world.covered("a1", "a"), world.covered("b1", "b")])
    await shard.commit([world.covered("c1", "c"), world.covered("a2", "a")])
    await shard.commit([Record(world.coverage, 0, b"b", None, 1_000)])
    assert await world.shard().take_over() == [(b"c", b"c1"), (b"a", b"a2"), (b"b", None)]


async def test_a_successor_fences(world: _World) -> None:
    """Who takes a shard over fences its holder, whose records never become visible."""
    first, second = world.shard(), world.shard()
    await first.take_over()
    await first.commit([world.candle(1), world.covered("first")])
    assert await second.take_over() == [(b"x:A-B:1m", b"first")]
    with pytest.raises(Fenced, match="successor"):
        await first.commit([world.candle(2), world.covered("zombie")])
    await second.commit([world.candle(3), world.covered("second")])
    assert await world.visible() == [b"candle 1", b"candle 3", b"first", b"second"]


async def test_a_zombie_that_has_sent_but_not_committed_is_fenced(world: _World) -> None:
    """A holder that stood still just before its commit is fenced there; nothing of it is seen."""
    asked, may = asyncio.Event(), asyncio.Event()

    class Zombie(AIOKafkaProducer):  # type: ignore[misc]  # aiokafka has no types
        async def commit_transaction(self) -> None:
            asked.set()
            await may.wait()
            await super().commit_transaction()

    zombie, successor = world.shard(new_producer=Zombie), world.shard()
    await zombie.take_over()
    commit = asyncio.create_task(zombie.commit([world.candle(1), world.covered("zombie")]))
    await asked.wait()
    assert await successor.take_over() == []
    may.set()
    with pytest.raises(Fenced):
        await commit
    await successor.commit([world.candle(2), world.covered("successor")])
    assert await world.visible() == [b"candle 2", b"successor"]


async def test_nothing_to_commit_is_fine(world: _World) -> None:
    """An empty commit returns at once and leaves the shard held."""
    shard = world.shard()
    await shard.take_over()
    assert await shard.commit([]) == {}
    assert shard.held


# --- rule 1: a producer lives until its first exception -------------------------------------------


def _scripted(**replaced: Any) -> Callable[..., Any]:
    """What makes producers with some methods replaced; it keeps them, and what they were asked."""
    made: list[Any] = []
    asked: list[str] = []

    class Scripted(AIOKafkaProducer):  # type: ignore[misc]  # aiokafka has no types
        async def start(self) -> None:
            await replaced.get("start", super().start)()

        async def begin_transaction(self) -> None:
            await replaced.get("begin", super().begin_transaction)()

        async def send_batch(self, batch: Any, topic: str, *, partition: int) -> Any:
            asked.append("send")
            send = replaced.get("send", super().send_batch)
            return await send(batch, topic, partition=partition)

        async def commit_transaction(self) -> None:
            asked.append("commit")
            await replaced.get("commit", super().commit_transaction)()

        async def abort_transaction(self) -> None:
            asked.append("abort")
            await super().abort_transaction()

        async def partitions_for(self, topic: str) -> Any:
            if "send" in replaced:
                return {0, 1, 2}
            return await super().partitions_for(topic)

    def make(**options: Any) -> Any:
        made.append(Scripted(**options))
        return made[-1]

    make.made, make.asked = made, asked  # type: ignore[attr-defined]  # for the tests to look at
    return make


async def _a_life(shard: Shard, record: Record) -> None:
    await shard.take_over()
    await shard.commit([record])


async def _failing(error: Exception) -> Any:
    raise error


async def _nothing() -> None:
    pass


async def _answer(error: Exception | None, *_: Any, **__: Any) -> Any:
    future = asyncio.get_running_loop().create_future()
    if error is None:
        future.set_result(SimpleNamespace(offset=0))
    else:
        future.set_exception(error)
    return future


async def test_after_any_exception_the_producer_is_thrown_away(world: _World) -> None:
    """After an exception nothing more is asked of a producer; the next life has a new one."""
    refuse = True
    real = AIOKafkaProducer.send_batch

    async def sometimes(batch: Any, topic: str, *, partition: int) -> Any:
        if refuse:
            return await _answer(errors.OutOfOrderSequenceNumber())
        return await real(make.made[-1], batch, topic, partition=partition)  # type: ignore[attr-defined]

    make = _scripted(send=sometimes)
    shard = world.shard(new_producer=make)
    await shard.take_over()
    with pytest.raises(ShardLost):
        await shard.commit([world.candle(1)])
    assert not shard.held
    with pytest.raises(ShardLost, match="take it over first"):
        await shard.commit([world.candle(1)])
    assert make.asked == ["send"]  # type: ignore[attr-defined]  # no abort, no commit, no more
    refuse = False
    await shard.take_over()
    await shard.commit([world.candle(2), world.covered("two")])
    assert len(make.made) == 2  # type: ignore[attr-defined]
    assert await world.visible() == [b"candle 2", b"two"]


async def test_a_cancelled_commit_ends_the_life_too(world: _World) -> None:
    """A commit that is cancelled half-way leaves no producer to go on with."""
    asked = asyncio.Event()

    async def hang() -> None:
        asked.set()
        await asyncio.Event().wait()

    shard = world.shard(new_producer=_scripted(commit=hang))
    await shard.take_over()
    commit = asyncio.create_task(shard.commit([world.candle(1)]))
    await asked.wait()
    commit.cancel()
    with pytest.raises(asyncio.CancelledError):
        await commit
    assert not shard.held


# --- rule 2: commit only after every future is good -----------------------------------------------


async def test_no_commit_after_a_refused_record(world: _World) -> None:
    """When Kafka refuses the candle, its coverage does not become visible either."""
    small = TopicSpec(f"{world.plan.prefix}.small", 1, {"max.message.bytes": "1000"})
    await ensure(world.cluster, [small])
    shard = world.shard()
    await shard.take_over()
    large = Record(small.name, 0, b"pair", random.Random(1).randbytes(5_000), 1_000)
    with pytest.raises(RecordRefused, match="refuses a record"):
        await shard.commit([world.covered("lie"), large])
    assert await shard.take_over() == []
    assert await world.visible(small.name, world.coverage) == []


async def test_a_timestamp_that_the_topic_refuses(world: _World) -> None:
    """A record too far ahead for its topic is refused, and nothing of its transaction is seen."""
    strict = TopicSpec(
        f"{world.plan.prefix}.strict", 1, {"message.timestamp.after.max.ms": "3600000"}
    )
    await ensure(world.cluster, [strict])
    shard = world.shard()
    await shard.take_over()
    ahead = Record(strict.name, 0, b"pair", b"candle", int(time.time() * 1000) + 7_200_000)
    with pytest.raises(RecordRefused):
        await shard.commit([world.covered("lie"), ahead])
    assert await shard.take_over() == []
    assert await world.visible(strict.name, world.coverage) == []


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        (
            Record("t", 0, b"k", b"x" * BATCH_BYTES, 1_000),
            f"the record b'k' for topic t has {BATCH_BYTES + 1} bytes, the limit is {BATCH_BYTES}",
        ),
        (Record("t", 0, b"k", b"v", -1), "the record b'k' for topic t has the timestamp -1, "),
        (Record("t", 0, b"k", None, LATEST_TIMESTAMP + 1), "the record b'k' for topic t has the t"),
    ],
)
async def test_what_kafka_would_refuse_is_not_sent(
    world: _World, record: Record, sentence: str
) -> None:
    """A record too large or out of time is found before anything is sent; the shard lives on."""
    make = _scripted()
    shard = world.shard(new_producer=make)
    await shard.take_over()
    with pytest.raises(RecordRefused) as refused:
        await shard.commit([world.candle(1), record])
    assert str(refused.value).startswith(sentence)
    assert shard.held
    assert make.asked == []  # type: ignore[attr-defined]
    assert refusal(world.candle(1)) is None


# --- rule 3: nothing is awaited without a limit ---------------------------------------------------


async def test_a_limit_holds_against_work_that_resists() -> None:
    """Work that swallows its cancellation cannot hold up whoever waits for it."""
    may = asyncio.Event()

    async def stubborn() -> None:
        while not may.is_set():
            try:
                await may.wait()
            except asyncio.CancelledError:
                continue

    started = time.monotonic()
    with pytest.raises(TimeoutError):
        await within(0.1, stubborn())
    assert time.monotonic() - started < 1
    may.set()


async def test_a_frozen_kafka_holds_nobody_up(own: _Guarded, own_world: _World) -> None:
    """With a frozen broker commit, take-over and close end within their limits, leaving no task."""
    before = asyncio.all_tasks()
    limits = Limits(start=1.0, read=1.0, send=1.0, commit=1.0, stop=0.3)
    shard, idle = own_world.shard(limits=limits), own_world.shard(limits=limits)
    await shard.take_over()
    await shard.commit([own_world.candle(1), own_world.covered("one")])
    with _frozen(own):
        started = time.monotonic()
        with pytest.raises(ShardLost, match="nothing is committed"):
            await shard.commit([own_world.candle(2), own_world.covered("two")])
        with pytest.raises(Unreachable):
            await idle.take_over()
        await idle.close()
        assert time.monotonic() - started < 5
    assert await shard.take_over() == [(b"x:A-B:1m", b"one")]
    await shard.close()
    await _until(lambda: asyncio.all_tasks() == before)


@pytest.mark.parametrize("stage", ["start", "begin", "send", "commit"])
async def test_a_producer_that_never_answers(world: _World, stage: str) -> None:
    """Whatever call of a producer never returns, the shard says so within its limit."""

    async def never(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    limits = Limits(start=2.0 if stage != "start" else 0.2, send=0.2, commit=0.2, stop=0.2)
    shard = world.shard(limits=limits, new_producer=_scripted(**{stage: never}))
    started = time.monotonic()
    with pytest.raises((ShardLost, Unreachable), match="did not answer in time"):
        await _a_life(shard, world.candle(1))
    assert time.monotonic() - started < 5


# --- rule 4: only a commit that returned counts ---------------------------------------------------


async def test_a_commit_whose_answer_is_lost(world: _World) -> None:
    """A commit that succeeded without our knowing is reported as lost, and found in coverage."""

    async def hidden() -> None:
        await AIOKafkaProducer.commit_transaction(make.made[0])  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    make = _scripted(commit=hidden)
    shard = world.shard(limits=SHORT, new_producer=make)
    await shard.take_over()
    with pytest.raises(ShardLost, match="coverage says whether"):
        await shard.commit([world.candle(1), world.covered("one")])
    assert await world.shard().take_over() == [(b"x:A-B:1m", b"one")]
    assert await world.visible() == [b"candle 1", b"one"]


async def test_a_commit_that_never_arrives(world: _World) -> None:
    """A commit that Kafka never got is reported the same way, and is not in coverage."""

    async def dropped() -> None:
        await asyncio.Event().wait()

    shard = world.shard(limits=SHORT, new_producer=_scripted(commit=dropped))
    await shard.take_over()
    with pytest.raises(ShardLost, match="coverage says whether"):
        await shard.commit([world.candle(1), world.covered("one")])
    assert await world.shard().take_over() == []
    assert await world.visible() == []


# --- rule 5: to the high watermark, taken after initialising --------------------------------------


async def test_coverage_behind_an_open_transaction_is_not_overlooked(world: _World) -> None:
    """With a foreign transaction open in the partition, taking over waits and then tells all."""
    shard = world.shard()
    await shard.take_over()
    foreigner = await world.foreigner(f"{world.plan.prefix}.foreign")
    await foreigner.begin_transaction()
    await foreigner.send_and_wait(world.coverage, b"foreign", b"f", partition=0)
    await shard.commit([world.covered("behind")])
    takes = asyncio.create_task(world.shard().take_over())
    done, _ = await asyncio.wait({takes}, timeout=1.5)
    assert not done, "it returned although it had not reached the high watermark"
    await foreigner.abort_transaction()
    assert await takes == [(b"x:A-B:1m", b"behind")]


async def test_a_transaction_that_stays_open_is_named(world: _World) -> None:
    """Coverage that cannot be read to its end is an error that tells position and watermark."""
    foreigner = await world.foreigner(f"{world.plan.prefix}.foreign")
    await foreigner.begin_transaction()
    await foreigner.send_and_wait(world.coverage, b"foreign", b"f", partition=0)
    shard = world.shard(limits=Limits(read=0.5))
    with pytest.raises(ShardLost, match="at position 0, stable offset 0, watermark 1"):
        await shard.take_over()
    assert not shard.held


async def test_the_watermark_is_taken_after_initialising(world: _World) -> None:
    """What a predecessor commits until the very moment of its fencing is read."""
    predecessor = world.shard()
    await predecessor.take_over()

    class Late(AIOKafkaProducer):  # type: ignore[misc]  # aiokafka has no types
        async def start(self) -> None:
            await predecessor.commit([world.covered("last moment")])
            await super().start()

    assert await world.shard(new_producer=Late).take_over() == [(b"x:A-B:1m", b"last moment")]


async def test_a_predecessors_open_transaction_is_settled(world: _World) -> None:
    """What a dead holder had sent but not committed does not hold the successor up."""
    dead = await world.foreigner(f"{world.coverage}-0")
    await dead.begin_transaction()
    await dead.send_and_wait(world.coverage, b"half", b"k", partition=0)
    shard = world.shard(limits=Limits(read=5.0))
    assert await shard.take_over() == []


# --- the table of exceptions ----------------------------------------------------------------------

PROVOKED_BY_FAKE: list[tuple[Exception, Stage, type[ConnectorError]]] = [
    (errors.ProducerFenced(), Stage.SEND, Fenced),
    (errors.ProducerFenced(), Stage.COMMIT, Fenced),
    (errors.InvalidProducerEpoch(), Stage.SEND, Fenced),
    (errors.OutOfOrderSequenceNumber(), Stage.SEND, ShardLost),
    (errors.UnknownProducerId(), Stage.SEND, ShardLost),
    (errors.InvalidTxnState(), Stage.COMMIT, ShardLost),
    (errors.InvalidProducerIdMapping(), Stage.SEND, ShardLost),
    (errors.InvalidTimestampError(), Stage.SEND, RecordRefused),
    (errors.MessageSizeTooLargeError(), Stage.SEND, RecordRefused),
    (errors.RecordListTooLargeError(), Stage.SEND, RecordRefused),
    (errors.UnknownError(), Stage.SEND, RecordRefused),
    (errors.UnknownError(), Stage.COMMIT, ShardLost),
    (errors.TopicAuthorizationFailedError("t"), Stage.SEND, AccessError),
    (errors.TransactionalIdAuthorizationFailed("i"), Stage.START, AccessError),
    (errors.ClusterAuthorizationFailedError(), Stage.START, AccessError),
    (errors.GroupAuthorizationFailedError("g"), Stage.SEND, AccessError),
    (errors.UnknownTopicOrPartitionError(), Stage.SEND, SetupError),
    (errors.KafkaTimeoutError(), Stage.SEND, ShardLost),
    (TimeoutError(), Stage.START, Unreachable),
    (TimeoutError(), Stage.SEND, ShardLost),
    (TimeoutError(), Stage.COMMIT, ShardLost),
    (AssertionError("Invalid state transition"), Stage.SEND, ShardLost),
    (errors.IllegalOperation("Not in the middle of a transaction"), Stage.COMMIT, ShardLost),
    (errors.ProducerClosed(), Stage.SEND, ShardLost),
    (errors.KafkaError("Unexpected error during batch delivery"), Stage.SEND, ShardLost),
    (errors.KafkaError("Unexpected error during batch delivery"), Stage.COMMIT, ShardLost),
    (AttributeError("a defect"), Stage.SEND, ShardLost),
]


@pytest.mark.parametrize(
    ("raised", "stage", "expected"),
    PROVOKED_BY_FAKE,
    ids=[f"{type(raised).__name__}-{stage.name}" for raised, stage, _ in PROVOKED_BY_FAKE],
)
async def test_every_row_of_the_table(
    raised: Exception, stage: Stage, expected: type[ConnectorError]
) -> None:
    """Each exception becomes the error that the table says, the producer goes, nothing is asked."""
    script: dict[str, Any] = {
        "start": _nothing,
        "begin": _nothing,
        "send": lambda *_, **__: _answer(raised if stage is Stage.SEND else None),
        "commit": lambda: _failing(raised),
    }
    if stage is Stage.START:
        script["start"] = lambda: _failing(raised)
    make = _scripted(**script)
    shard = Shard(Cluster("localhost:1"), "t.coverage.fixed", new_producer=make)
    shard._read = lambda: _answered([])  # type: ignore[method-assign]  # there is no Kafka here
    with pytest.raises(expected) as told:
        await _a_life(shard, Record("t.x.closed", 0, b"k", b"v", 1))
    assert type(told.value) is expected
    assert not shard.held
    assert "abort" not in make.asked  # type: ignore[attr-defined]
    assert ("commit" in make.asked) == (stage is Stage.COMMIT)  # type: ignore[attr-defined]
    assert make.made[0]._closed  # type: ignore[attr-defined]


async def _answered(value: list[tuple[bytes, bytes | None]]) -> list[tuple[bytes, bytes | None]]:
    return value


def test_the_table_is_tested_whole() -> None:
    """Every row and every class of exception in the table is in the list above."""
    tried = {(row_of(raised, stage), type(raised)) for raised, stage, _ in PROVOKED_BY_FAKE}
    listed = {(row, each) for row in TABLE for each in row.raised}
    by_other_tests = {errors.KafkaConnectionError, Exception}  # a closed port; any other
    assert {each for _, each in listed - tried} == by_other_tests


def test_a_hidden_lack_of_rights_is_found() -> None:
    """aiokafka hides a missing right behind the death of its sender; the cause still tells."""
    death = errors.KafkaError("Unexpected error during batch delivery")
    death.__cause__ = errors.TopicAuthorizationFailedError("t")
    assert isinstance(explain(death, Stage.SEND, "shard s"), AccessError)
    death.__cause__ = errors.UnknownError()
    assert isinstance(explain(death, Stage.SEND, "shard s"), ShardLost)


async def test_an_expired_transaction(own_world: _World) -> None:
    """A transaction that took longer than Kafka allows is void, and nothing of it is seen."""

    async def late() -> None:
        await asyncio.sleep(2.5)  # Kafka's own clock cannot be awaited
        await AIOKafkaProducer.commit_transaction(make.made[0])  # type: ignore[attr-defined]

    make = _scripted(commit=late)
    shard = own_world.shard(new_producer=make, settings={"transaction_timeout_ms": 500})
    await shard.take_over()
    with pytest.raises((Fenced, ShardLost)):
        await shard.commit([own_world.candle(1), own_world.covered("one")])
    assert await own_world.visible() == []


async def test_a_topic_that_is_not_there(world: _World) -> None:
    """A record for a topic that does not exist says which command makes it."""
    shard = world.shard(settings={"request_timeout_ms": 500}, limits=SHORT)
    await shard.take_over()
    with pytest.raises(SetupError, match="candles topics"):
        await shard.commit([Record(f"{world.plan.prefix}.nowhere", 0, b"k", b"v", 1)])


async def test_a_coverage_topic_that_is_not_there(kafka: str, prefix: str) -> None:
    """A shard whose coverage topic does not exist says which command makes it."""
    shard = Shard(Cluster(kafka), f"{prefix}.coverage.fixed")
    with pytest.raises(SetupError, match=f"topic {prefix}.coverage.fixed does not exist"):
        await shard.take_over()


async def test_a_partition_that_is_not_there(world: _World) -> None:
    """A record for a partition that its topic does not have is a sentence, not a riddle."""
    shard = world.shard()
    await shard.take_over()
    with pytest.raises(SetupError, match="has 3 partitions and no partition 7"):
        await shard.commit([Record(world.closed, 7, b"k", b"v", 1)])


async def _deny(
    bootstrap: str, kind: ResourceType, name: str, what: AclOperation = AclOperation.WRITE
) -> None:
    """From now on nobody may do this with this topic or transactional id."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    never = AclPermissionType.DENY
    rule = AclBinding(kind, name, ResourcePatternType.LITERAL, "User:*", "*", what, never)
    for done in admin.create_acls([rule]).values():
        done.result()
    any_rule = AclBindingFilter(
        kind,
        name,
        ResourcePatternType.LITERAL,
        None,
        None,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    await _until(lambda: rule in admin.describe_acls(any_rule).result())


async def test_without_the_right_to_write(own_world: _World) -> None:
    """Who may not write to a topic is told so, with its name; it is never retried."""
    await _deny(own_world.bootstrap, ResourceType.TOPIC, own_world.closed)
    shard = own_world.shard(limits=SHORT)
    await shard.take_over()
    with pytest.raises(AccessError, match="lacks a right"):
        await shard.commit([own_world.candle(1), own_world.covered("one")])
    assert await own_world.shard().take_over() == []
    assert await own_world.visible(own_world.coverage) == []


async def test_without_the_right_to_the_transactional_id(own_world: _World) -> None:
    """Who may not use the shard's transactional id is told so when taking over."""
    name = f"{own_world.coverage}-0"
    await _deny(own_world.bootstrap, ResourceType.TRANSACTIONAL_ID, name)
    with pytest.raises(AccessError, match="lacks a right"):
        await own_world.shard(limits=SHORT).take_over()


# --- live updates ---------------------------------------------------------------------------------


def _update(publisher: LivePublisher, world: _World, number: int, token: int) -> None:
    value = b"%d %d" % (token, number)
    publisher.add(world.live, token % 3, b"k%d" % token, value, 1_000, token)


def _numbers(values: list[bytes | None]) -> dict[int, list[int]]:
    """The numbers of each token, in the order in which they were found."""
    found: dict[int, list[int]] = {}
    for value in values:
        token, number = (value or b"").split()
        found.setdefault(int(token), []).append(int(number))
    return found


async def test_live_updates_arrive_all_and_in_order(world: _World) -> None:
    """While Kafka keeps up every update arrives, and no partition is out of order."""
    publisher = world.publisher(tick=0.005)
    for number in range(30_000):
        _update(publisher, world, number, number % 30)
        if number % 300 == 0:
            await asyncio.sleep(0.002)
    assert await publisher.drain(20), publisher.last_error
    values = await world.visible(world.live)
    found = await asyncio.to_thread(read_topics, world.bootstrap, world.live)
    for partition in range(3):
        row = [int((r.value or b"").split()[1]) for r in found if r.partition == partition]
        assert row == sorted(row)
    assert len(values) == 30_000
    assert (publisher.delivered, publisher.conflated, publisher.failed) == (30_000, 0, 0)


async def test_live_updates_are_conflated_while_kafka_is_away(
    own: _Guarded, own_world: _World
) -> None:
    """While Kafka is frozen the buffer stays bounded and nobody waits; then the newest arrive."""
    publisher = own_world.publisher(capacity=500, settings={"request_timeout_ms": 1_000})
    for token in range(30):
        _update(publisher, own_world, 0, token)
    assert await publisher.drain(10)
    with _frozen(own):
        started = time.monotonic()
        for number in range(1, 2_001):
            for token in range(30):
                _update(publisher, own_world, number, token)
            if number % 100 == 0:
                await asyncio.sleep(0.01)
        assert time.monotonic() - started < 3
        assert publisher.full or publisher.pending < 500
        assert publisher.pending <= 3 * 500 + 30
        assert publisher.conflated > 50_000
    assert await publisher.drain(20), publisher.last_error
    numbers = _numbers(await own_world.visible(own_world.live))
    assert {token: row[-1] for token, row in numbers.items()} == dict.fromkeys(range(30), 2_000)
    assert all(row == sorted(row) for row in numbers.values())
    assert publisher.delivered + publisher.conflated + publisher.failed == 30 * 2_001


async def test_a_poisoned_live_producer_is_replaced(world: _World) -> None:
    """After a refused batch a new producer goes on: the old one would fail for ever."""
    small = TopicSpec(f"{world.plan.prefix}.small", 1, {"max.message.bytes": "1000"})
    await ensure(world.cluster, [small])
    make = _scripted()
    publisher = world.publisher(new_producer=make)
    noise = random.Random(1).randbytes(5_000)
    publisher.add(small.name, 0, b"k", noise, 1_000, "large")
    await _until(lambda: publisher.failed == 1)
    publisher.add(small.name, 0, b"k", b"after", 1_000, "small")
    assert await publisher.drain(10), publisher.last_error
    assert await world.visible(small.name) == [b"after"]
    assert len(make.made) == 2  # type: ignore[attr-defined]
    assert isinstance(publisher.last_error, errors.MessageSizeTooLargeError)


async def test_a_live_record_that_can_never_be_sent_harms_no_other(world: _World) -> None:
    """A record too large or out of time is left out and counted; the rest of its batch is sent."""
    make = _scripted()
    publisher = world.publisher(new_producer=make)
    publisher.add(world.live, 0, b"k", b"before", 1_000, 1)
    publisher.add(world.live, 0, b"k", b"x" * 600_000, 1_000, 2)
    publisher.add(world.live, 0, b"k", b"timeless", -5, 3)
    publisher.add(world.live, 99, b"k", b"nowhere", 1_000, 4)
    publisher.add(world.live, 0, b"k", b"y" * 300_000, 1_000, 5)
    publisher.add(world.live, 0, b"k", b"after", 1_000, 6)
    assert await publisher.drain(10), publisher.last_error
    assert await world.visible(world.live) == [b"before", b"y" * 300_000, b"after"]
    assert (publisher.delivered, publisher.failed) == (3, 3)
    assert len(make.made) == 1  # type: ignore[attr-defined]


async def test_a_missing_live_topic_holds_nobody_up(world: _World) -> None:
    """Updates for a topic that does not exist wait aside while all others are sent."""
    publisher = world.publisher()
    publisher.add(f"{world.plan.prefix}.nowhere", 0, b"k", b"lost", 1_000, 1)
    publisher.add(world.live, 0, b"k", b"found", 1_000, 2)
    await _until(lambda: publisher.delivered == 1, seconds=5)
    assert await world.visible(world.live) == [b"found"]


async def test_live_updates_wait_for_a_kafka_that_comes_later(prefix: str) -> None:
    """Without Kafka updates are conflated, ``add`` returns at once, and closing is bounded."""
    publisher = LivePublisher(Cluster(f"127.0.0.1:{free_ports(1)[0]}"), capacity=100)
    publisher.start()
    for number in range(1_000):
        publisher.add(f"{prefix}.x.live", 0, b"k", b"v", 1_000, number % 10)
    await _until(lambda: publisher.last_error is not None)
    assert isinstance(publisher.last_error, errors.KafkaConnectionError)
    assert (publisher.pending, publisher.conflated) == (10, 990)
    assert not await publisher.drain(0.1)
    started = time.monotonic()
    await publisher.close()
    assert time.monotonic() - started < 5


async def test_a_batch_that_is_never_acknowledged(world: _World) -> None:
    """A batch without an answer is given up after its limit, and a new producer goes on."""
    first = True

    async def send(batch: Any, topic: str, *, partition: int) -> Any:
        nonlocal first
        if first:
            first = False
            return asyncio.get_running_loop().create_future()
        real = AIOKafkaProducer.send_batch
        return await real(make.made[-1], batch, topic, partition=partition)  # type: ignore[attr-defined]

    make = _scripted(send=send)
    publisher = world.publisher(new_producer=make, stuck=0.5)
    _update(publisher, world, 1, 0)
    await _until(lambda: publisher.failed == 1)
    _update(publisher, world, 2, 0)
    assert await publisher.drain(10), publisher.last_error
    assert _numbers(await world.visible(world.live)) == {0: [2]}


# --- topics ---------------------------------------------------------------------------------------


async def _configs(cluster: Cluster, name: str) -> dict[str, str]:
    admin = AIOKafkaAdminClient(**cluster.options)
    await admin.start()
    try:
        wanted = ConfigResource(ConfigResourceType.TOPIC, name)
        (answer,) = await admin.describe_configs([wanted])
        return {entry[0]: entry[1] for entry in answer.resources[0][4]}
    finally:
        await end_client(admin)


async def test_topics_are_created_as_they_shall_be(kafka: str, prefix: str) -> None:
    """Every topic of the plan is created with its partitions and settings, and only once."""
    cluster, plan = Cluster(kafka), TopicPlan(prefix, partitions=5, shards=4)
    specs = [
        plan.closed("x"),
        plan.live("x"),
        plan.coverage("websocket"),
        plan.fixed_coverage(),
        plan.subscriptions("rest"),
        plan.dead_letters(),
        plan.schemas(),
    ]
    names = [spec.name for spec in specs]
    assert await missing(cluster, specs) == names
    assert await ensure(cluster, specs) == names
    assert await missing(cluster, specs) == []
    assert await ensure(cluster, specs) == []
    for spec in specs:
        found = await _configs(cluster, spec.name)
        assert {name: found[name] for name in spec.configs} == dict(spec.configs), spec.name
        assert len(await watermarks(cluster, spec.name)) == spec.partitions


def test_the_settings_that_truth_hangs_on() -> None:
    """Closed candles are never deleted nor refused for their time; coverage is compacted."""
    plan = TopicPlan("p")
    closed = plan.closed("x")
    assert (closed.name, closed.partitions) == ("p.x.closed", 12)
    assert closed.configs["retention.ms"] == "-1"
    assert int(closed.configs["segment.ms"]) == 100 * 365 * 86_400_000
    assert closed.configs["message.timestamp.after.max.ms"] == "9223372036854775807"
    assert closed.configs["message.timestamp.before.max.ms"] == "9223372036854775807"
    assert int(closed.configs["max.message.bytes"]) > 4 * BATCH_BYTES
    coverage = plan.fixed_coverage()
    assert (coverage.name, coverage.partitions) == ("p.coverage.fixed", 1)
    assert coverage.configs["cleanup.policy"] == "compact"
    assert coverage.configs["min.cleanable.dirty.ratio"] == "0.05"
    assert coverage.configs["max.compaction.lag.ms"] == "1800000"


async def test_another_number_of_partitions_is_refused(kafka: str, prefix: str) -> None:
    """A topic with another number of partitions is a sentence that names both numbers."""
    cluster = Cluster(kafka)
    await ensure(cluster, [TopicPlan(prefix, partitions=2).closed("x")])
    for check in (ensure, missing):
        with pytest.raises(SetupError, match=r"x\.closed has 2 partitions where 3 are expected"):
            await check(cluster, [TopicPlan(prefix, partitions=3).closed("x")])


async def test_copies_that_the_cluster_cannot_hold(kafka: str, prefix: str) -> None:
    """More copies than there are brokers is a sentence that names the topic."""
    with pytest.raises(SetupError, match=f"does not create topic {prefix}.x.closed: .*replication"):
        await ensure(Cluster(kafka), [TopicPlan(prefix, replication=3).closed("x")])


@pytest.mark.parametrize("prefix_", ["a.b", "", "a b"])
def test_a_prefix_that_cannot_be(prefix_: str) -> None:
    """A prefix with a dot, or none, is refused."""
    with pytest.raises(UsageError, match="without dots"):
        TopicPlan(prefix_)


# --- reading --------------------------------------------------------------------------------------


async def test_a_topic_is_read_to_its_end_and_on(world: _World) -> None:
    """A reader gets every committed record from its offsets on, then what is committed later."""
    shard = world.shard()
    await shard.take_over()
    await shard.commit([world.candle(n, partition=n % 3) for n in range(9)])
    all_of_it = [record.value async for record in read_topic(world.cluster, world.closed)]
    assert sorted(all_of_it) == [b"candle %d" % n for n in range(9)]

    follower = read_topic(world.cluster, world.closed, {0: 2, 1: 3, 2: 3}, follow=True)
    first = await anext(follower)
    assert (first.partition, first.offset, first.value) == (0, 2, b"candle 6")
    await shard.commit([world.candle(9)])
    async with asyncio.timeout(10):
        assert (await anext(follower)).value == b"candle 9"
    await follower.aclose()  # type: ignore[attr-defined]  # an async generator


async def test_an_empty_topic_is_read_at_once(world: _World) -> None:
    """Reading a topic without records ends by itself."""
    assert [record async for record in read_topic(world.cluster, world.closed)] == []


async def test_reading_a_topic_that_is_not_there(kafka: str, prefix: str) -> None:
    """A topic that does not exist is a sentence."""
    with pytest.raises(SetupError, match="does not exist"):
        await watermarks(Cluster(kafka), f"{prefix}.nowhere")


# --- where Kafka is, and why it cannot be reached -------------------------------------------------


async def test_a_reachable_kafka(kafka: str, own: _Guarded) -> None:
    """A Kafka that answers and lets us in is fine, by each of the ways in."""
    await probe(Cluster(kafka))
    await probe(Cluster(own.sasl, "SASL_PLAINTEXT", username="alice", password=PASSWORD))
    await probe(Cluster(own.tls, "SSL", cafile=str(own.cafile)))
    await probe(Cluster(f"127.0.0.1:{free_ports(1)[0]},{kafka}"))


async def test_a_closed_port() -> None:
    """An address where nothing listens is named, and so it is when a shard starts there."""
    address = f"127.0.0.1:{free_ports(1)[0]}"
    sentence = f"nothing answers at {address} .*: start Kafka there, or correct the address"
    with pytest.raises(Unreachable, match=sentence):
        await probe(Cluster(address))
    with pytest.raises(Unreachable, match=sentence):
        await Shard(Cluster(address), "t.coverage.fixed").take_over()
    with pytest.raises(Unreachable, match=sentence):
        await missing(Cluster(address), [])


async def test_an_unknown_host() -> None:
    """A host that does not exist is named."""
    with pytest.raises(Unreachable, match=r"the host kafka\.invalid .* is unknown"):
        await probe(Cluster("kafka.invalid:9092"))


async def test_a_wrong_password(own: _Guarded) -> None:
    """A wrong password is said to be that, by the probe and when a shard starts."""
    wrong = Cluster(own.sasl, "SASL_PLAINTEXT", username="alice", password="wrong")  # noqa: S106
    with pytest.raises(AccessError, match="refuses to log alice in with PLAIN"):
        await probe(wrong)
    with pytest.raises(AccessError, match="refuses to log alice in with PLAIN"):
        await Shard(wrong, "t.coverage.fixed").take_over()


async def test_a_mechanism_that_kafka_does_not_have(own: _Guarded) -> None:
    """A SASL mechanism that is not enabled is said to be that."""
    scram = Cluster(own.sasl, "SASL_PLAINTEXT", "SCRAM-SHA-512", "alice", PASSWORD)
    with pytest.raises(AccessError, match="correct user name, password or mechanism"):
        await probe(scram)


async def test_a_certificate_that_nobody_vouches_for(own: _Guarded) -> None:
    """A certificate that is not to be trusted is said to be that, never accepted."""
    with pytest.raises(AccessError, match=r"certificate of Kafka at .* is not to be trusted"):
        await probe(Cluster(own.tls, "SSL"))


async def test_the_wrong_protocol(own: _Guarded) -> None:
    """TLS towards a plain port, and plain words towards a TLS port, are told as such."""
    with pytest.raises((AccessError, Unreachable), match="is SSL what that port speaks"):
        await probe(Cluster(own.bootstrap, "SSL", cafile=str(own.cafile)), seconds=2)
    with pytest.raises(Unreachable, match="is PLAINTEXT what that port speaks"):
        await probe(Cluster(own.tls), seconds=2)


async def test_a_topic_without_a_right(own_world: _World) -> None:
    """A topic that may not even be described is named by the probe, and not taken for missing."""
    await _deny(own_world.bootstrap, ResourceType.TOPIC, own_world.live, AclOperation.DESCRIBE)
    with pytest.raises(AccessError, match=f"right to topic {own_world.live}"):
        await probe(own_world.cluster, [own_world.live])
    with pytest.raises(AccessError, match=f"right to topic {own_world.live}"):
        await missing(own_world.cluster, [own_world.plan.live("x")])


async def test_a_frozen_kafka_is_told_in_time(own: _Guarded) -> None:
    """A broker that accepts connections and says nothing is told within the limit."""
    with _frozen(own), pytest.raises(Unreachable, match=r"did not answer within 0\.5 s"):
        await probe(Cluster(own.bootstrap), seconds=0.5)


def test_a_password_is_never_shown() -> None:
    """The password is in no text that the cluster's settings make of themselves."""
    cluster = Cluster("k:1", "SASL_SSL", "SCRAM-SHA-256", "alice", PASSWORD)
    assert PASSWORD not in repr(cluster)
    assert PASSWORD not in str(cluster)
    assert cluster.login["sasl_plain_password"] == PASSWORD


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"bootstrap": "host:port"}, "'host:port' is not an address of Kafka: write host:port"),
        ({"bootstrap": " , "}, "Kafka's address is empty"),
        ({"security": "TLS"}, "security 'TLS' is unknown: use PLAINTEXT, SSL"),
        ({"mechanism": "SCRAM"}, "SASL mechanism 'SCRAM' is unknown"),
        ({"security": "SASL_SSL", "username": "alice"}, "needs a user name and a password"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, str], sentence: str) -> None:
    """A setting that cannot be right is a sentence before anything is connected."""
    with pytest.raises(UsageError, match=sentence):
        Cluster(**{"bootstrap": "localhost:9092", **settings})


def test_a_ca_file_that_is_not_there(tmp_path: Path) -> None:
    """A CA file that cannot be read is named."""
    with pytest.raises(UsageError, match=r"the CA file .* cannot be read"):
        _ = Cluster("k:1", "SSL", cafile=str(tmp_path / "nowhere.pem")).options


# --- rule 12: quiet loggers -----------------------------------------------------------------------


def test_a_storm_of_equal_lines_is_a_few() -> None:
    """Of a thousand equal lines three are written, and the next window says how many were not."""
    limit = RateLimit(lines=3, window=60)

    def line(text: str, at: float) -> logging.LogRecord:
        record = logging.makeLogRecord({"name": "aiokafka.conn", "msg": text, "args": ("x",)})
        record.created = at
        return record

    passed = [limit.filter(line("lost %s", at=n / 100)) for n in range(1_000)]
    assert passed == [True] * 3 + [False] * 997
    assert limit.filter(line("other %s", at=10.0))
    later = line("lost %s", at=61.0)
    assert limit.filter(later)
    assert later.getMessage() == "lost x (and 997 more like it before)"


async def test_an_absent_kafka_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Every logger of aiokafka is limited: an absent Kafka writes a few lines, not hundreds."""
    quieten(lines=2, window=3_600)
    publisher = LivePublisher(Cluster(f"127.0.0.1:{free_ports(1)[0]}"))
    for _ in range(10):
        with pytest.raises(errors.KafkaConnectionError):
            await publisher._start()
        await publisher.close()
    lines = [record for record in caplog.records if record.name.startswith("aiokafka")]
    assert 1 <= len(lines) <= 4
    quieten()
