"""A worker without Kafka: what it checks, how it runs, and that it always ends in time."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Generator,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import replace
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

import pytest
import structlog
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from connectors import carrier, exchanges, instruments, telemetry, worker
from connectors.adapter import Limits, Rate, RestReply, RestRequest
from connectors.agenda import AT_ONCE
from connectors.carrier import Carrier
from connectors.codec import OWNER_KEY, subscription_key
from connectors.endpoints import Endpoints
from connectors.errors import Blocked, ConnectorError, Fenced, SlowDown, Unreachable, UsageError
from connectors.instruments import TRIES
from connectors.kafka import Cluster, LivePublisher, Record, Shard, TopicSpec
from connectors.kafka.batches import Place
from connectors.limits import Backoff
from connectors.line import BLOCKED_SECONDS
from connectors.model import CandleData, Instrument, Subscription, grid_of
from connectors.plan import refusals
from connectors.registry import SchemaRegistry
from connectors.rest import Rest
from connectors.sandbox.process import free_ports
from connectors.schema import CANDLE, COVERAGE, DEAD_LETTER, Schema, confluent_prefix
from connectors.worker import Options, Worker
from tests.plain import START, Plain, running_clock, subscription, until

POLLED = subscription(interval="5m")
LONGER = 1.0
"""Seconds that the end may take beyond the time for draining: cancelling on a busy machine."""


class Listed(Plain):
    """Lists two pairs over REST."""

    def instruments(self) -> Generator[RestRequest, RestReply, list[Instrument]]:
        yield RestRequest(url="http://plain.example/instruments")
        return [Instrument("BTC-USDT", "BTCUSDT"), Instrument("ETH-USDT", "ETHUSDT")]


class Published(LivePublisher):
    """Delivers at once what it is given, or (``deaf``) never."""

    deaf = False

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.added: list[tuple[Any, ...]] = []
        self.closed = False

    def start(self) -> None:
        return

    def add(self, *state: Any) -> None:
        self.added.append(state)
        if self.deaf:
            super().add(*state)
        else:
            self.delivered += 1

    async def close(self) -> None:
        self.closed = True


class Pretend(Shard):
    """Commits when it may; ``fails`` is what a commit raises."""

    def __init__(self, cluster: Cluster, topic: str) -> None:
        super().__init__(cluster, topic)
        self.records: list[Record] = []
        self.done: list[str] = []
        self.may = asyncio.Event()
        self.may.set()
        self.fails: Exception | None = None

    async def take_over(self) -> list[tuple[bytes, bytes | None]]:
        return []

    async def peek(self) -> list[tuple[bytes, bytes | None]]:
        return []

    async def ends(self, topic: str, partitions: Collection[int]) -> dict[int, int]:
        del topic
        return dict.fromkeys(partitions, 0)

    async def offsets_since(self, topic: str, timestamps: Mapping[int, int]) -> dict[int, int]:
        del topic
        return dict.fromkeys(timestamps, 0)

    async def commit(self, records: Sequence[Record]) -> dict[Place, int]:
        await self.may.wait()
        if self.fails is not None:
            raise self.fails
        self.records += records
        self.done.append("commit")
        return {}

    async def close(self) -> None:
        self.done.append("close")

    def candles(self) -> list[Record]:
        return [record for record in self.records if record.topic.endswith(".closed")]


class Registered(SchemaRegistry):
    """A registry that knows every schema, and is nowhere."""

    def __init__(self) -> None:
        super().__init__("http://registry.example")
        self.asked: list[tuple[str, str]] = []

    async def register(self, topic: str, schema: Schema) -> int:
        self.asked.append((topic, schema.name))
        return len(self.asked)


class World:
    """What is around a worker, and what was done to it, in order."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.topics: list[TopicSpec] = []
        self.adapters: dict[str, type[Plain]] = {"plain": Listed}
        self.reply: Callable[[RestRequest], RestReply] = lambda _: RestReply(200, {}, b"[]")
        self.out = io.StringIO()
        self.shard: Pretend | None = None
        telemetry.configure("json", stream=self.out)

    async def probe(self, _: Cluster) -> None:
        self.done.append("probe")

    async def ensure(self, _: Cluster, topics: Sequence[TopicSpec]) -> None:
        self.done.append("ensure")
        self.topics = list(topics)

    async def fetch(self, exchange: str, request: RestRequest) -> RestReply:
        self.done.append(f"fetch {exchange} {request.url.rpartition('/')[2]}")
        return self.reply(request)

    def new_shard(self, cluster: Cluster, topic: str) -> Pretend:
        self.shard = Pretend(cluster, topic)
        return self.shard

    def told(self, event: str) -> list[dict[str, Any]]:
        lines = map(json.loads, self.out.getvalue().splitlines())
        return [line for line in lines if line["event"] == event]

    @asynccontextmanager
    async def worker(self, *wanted: Subscription, **options: Any) -> AsyncIterator[Worker]:
        chosen = Options(prefix="p", partitions=3, **{"drain": 0.3, **options})
        made = Worker(
            Cluster("localhost:1"),
            wanted or (POLLED,),
            running_clock(),
            Endpoints(),
            chosen,
            seed=1,
        )
        async with made:
            yield made

    @asynccontextmanager
    async def running(self, *wanted: Subscription, **options: Any) -> AsyncIterator[Run]:
        """A worker that runs; it is stopped at the end, where it still does."""
        async with self.worker(*wanted, **options) as made:
            await made.prepare()
            run = Run(made, self)
            try:
                await until(lambda: run.begun or run.task.done())
                yield run
            finally:
                run.task.cancel()
                await asyncio.wait({run.task})


class Run:
    """A run, its shard, and its ledgers."""

    def __init__(self, made: Worker, world: World) -> None:
        self.worker = made
        self.task = asyncio.create_task(made.run())
        self._world = world

    @property
    def shard(self) -> Pretend:
        assert self._world.shard is not None
        return self._world.shard

    @property
    def begun(self) -> bool:
        lanes = self.worker._lanes.values()
        return bool(lanes) and all(lane.ledger.begun for lane in lanes)

    def closes(self, wanted: Subscription = POLLED) -> None:
        """The running bar closes."""
        ledger = self.worker._lanes[wanted].ledger
        slot = ledger.coverage.head
        ledger.settle(CandleData(slot, 1, 1, 1, 1, 1, closed=True), time.monotonic())

    async def stop(self) -> tuple[Any, float]:
        """What it returns, and how long that takes."""
        began = time.monotonic()
        self.worker.stop()
        return await asyncio.wait_for(self.task, 10), time.monotonic() - began


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Kafka, REST and the exchanges, all pretended."""
    made = World()

    def get(name: str) -> type[Plain]:
        if name not in made.adapters:
            raise UsageError(f"{name!r} is not an exchange; did you mean plain?")
        return made.adapters[name]

    monkeypatch.setattr(exchanges, "get", get)
    monkeypatch.setattr(worker, "probe", made.probe)
    monkeypatch.setattr(worker, "ensure", made.ensure)
    monkeypatch.setattr(worker, "LivePublisher", Published)
    monkeypatch.setattr(worker, "Shard", made.new_shard)
    monkeypatch.setattr(worker, "Backoff", lambda random, *_: Backoff(random, 0.01, 0.02))
    monkeypatch.setattr(carrier, "Backoff", lambda random, *_: Backoff(random, 0.01, 0.02))
    monkeypatch.setattr(instruments, "Backoff", lambda random, *_: Backoff(random, 0.01, 0.02))
    monkeypatch.setattr(Rest, "fetch", lambda _, *asked: made.fetch(*asked))
    yield made
    structlog.reset_defaults()


async def refusal(world: World, *wanted: Subscription, **options: Any) -> ConnectorError:
    """Why these are not carried."""
    async with world.worker(*wanted, **options) as made:
        with pytest.raises(ConnectorError) as said:
            await made.prepare()
    return said.value


# --- prepare --------------------------------------------------------------------------------------


async def test_nothing_to_carry_is_a_mistake() -> None:
    """A run without subscriptions is refused in a sentence."""
    with pytest.raises(UsageError, match="name at least one subscription"):
        Worker(Cluster("localhost:1"), [], running_clock())


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (
            Subscription("plane", "BTC-USDT", "1m"),
            "'plane' is not an exchange; did you mean plain?",
        ),
        (
            subscription(interval="3m"),
            "plain:BTC-USDT:3m: plain has no interval 3m; it has 1m 5m 1h",
        ),
    ],
)
async def test_what_the_adapter_knows_is_checked_before_anything_is_asked(
    world: World, wanted: Subscription, sentence: str
) -> None:
    """Unknown exchange, interval: neither Kafka nor an exchange hears of it."""
    assert str(await refusal(world, POLLED, wanted)) == sentence
    assert world.done == []


async def test_kafka_is_asked_before_any_exchange(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Kafka cannot be reached, its own sentence says so, and no exchange is bothered."""

    async def fail(_: Cluster) -> None:
        raise Unreachable("nothing answers at localhost:1")

    monkeypatch.setattr(worker, "probe", fail)
    assert str(await refusal(world)) == "nothing answers at localhost:1"
    assert world.done == []


async def test_an_unreachable_kafka_is_one_sentence() -> None:
    """The real thing, at a port where nothing listens."""
    (port,) = free_ports(1)
    wanted = Subscription("binance_spot", "BTC-USDT", "1m")
    async with Worker(Cluster(f"127.0.0.1:{port}"), [wanted], running_clock()) as made:
        with pytest.raises(Unreachable, match=f"nothing answers at 127.0.0.1:{port}"):
            await made.prepare()


async def test_an_unknown_pair_is_refused_before_a_topic_is_made(world: World) -> None:
    """Of the exchange only the instruments were asked for, of Kafka only whether it is there."""
    said = await refusal(world, subscription("BTC-USD"))
    assert str(said) == "plain:BTC-USD:1m: plain lists no BTC-USD; did you mean BTC-USDT?"
    assert world.done == ["probe", "fetch plain instruments"]


async def test_too_many_connections_are_refused_before_a_topic_is_made(world: World) -> None:
    """What does not fit into the exchange's limits is never begun."""
    tight = Limits(source="nowhere: invented", checked="", subscriptions=1, connections=1)
    world.adapters["plain"] = type("Tight", (Listed,), {"limits": tight})
    said = await refusal(world, subscription(), subscription("ETH-USDT"))
    assert "need 2 connections and the exchange allows 1" in str(said)
    assert "ensure" not in world.done


async def test_too_much_rest_is_refused_before_a_topic_is_made(world: World) -> None:
    """Polls that never could be made in time are never begun."""
    tight = Limits(source="nowhere: invented", checked="", rest=(Rate(1, 600),))
    world.adapters["plain"] = type("Tight", (Listed,), {"limits": tight})
    wanted = subscription(interval="5m")
    said = await refusal(world, wanted)
    (planned,) = refusals(world.adapters["plain"](), [wanted])
    assert str(said) == planned
    assert "of the 1 in 600 s that the exchange allows (nowhere: invented)" in planned
    assert "ensure" not in world.done


async def test_instruments_are_asked_for_again_where_that_may_help(world: World) -> None:
    """An outage of a moment is got over, and told."""
    replies = [RestReply(503, {}, b"busy"), RestReply(429, {}, b""), RestReply(200, {}, b"[]")]
    world.reply = lambda _: replies.pop(0)
    async with world.worker() as made:
        await made.prepare()
    failed = [line["reason"] for line in world.told("instruments.failed")]
    assert failed == ["plain: HTTP 503: busy", "plain: HTTP 429: "]


@pytest.mark.parametrize(
    ("status", "error", "times"), [(503, Unreachable, 4), (429, SlowDown, 4), (451, Blocked, 1)]
)
async def test_instruments_that_cannot_be_had_end_it(
    world: World, status: int, error: type[Exception], times: int
) -> None:
    """After a few tries what the exchange says is the sentence; who is blocked asks once."""
    world.reply = lambda _: RestReply(status, {}, b"sorry")
    said = await refusal(world)
    assert isinstance(said, error)
    assert str(said).startswith(f"plain: HTTP {status}: sorry")
    assert len(world.done) == 1 + times


class Other(Plain):
    """A second exchange, with one pair."""

    name = "other"

    def instruments(self) -> Generator[RestRequest, RestReply, list[Instrument]]:
        yield RestRequest(url="http://other.example/instruments")
        return [Instrument("BTC-USDT", "BTC_USDT", contract_size=10.0)]


OTHERS = Subscription("other", "BTC-USDT", "5m")


class Away:
    """The other exchange fails until it is told to answer."""

    def __init__(self, world: World, status: int = 503) -> None:
        world.adapters["other"] = Other
        self.status = status
        world.reply = lambda request: RestReply(
            self.status if "other" in request.url else 200, {}, b"[]"
        )


async def test_a_wrong_pair_ends_what_is_asked_of_others(world: World) -> None:
    """A refusal is told at once; nothing goes on in the background behind it."""
    Away(world, 200)
    asked = asyncio.all_tasks()
    said = await refusal(world, POLLED, Subscription("other", "XYZ-QQQ", "1m"))
    assert "other lists no XYZ-QQQ" in str(said)
    assert asyncio.all_tasks() == asked


@pytest.mark.parametrize("status", [503, 429, 451])
async def test_one_bad_exchange_harms_no_other(world: World, status: int) -> None:
    """The others begin; why that one does not is told, and it is accepted like all of them."""
    Away(world, status)
    async with world.running(POLLED, OTHERS) as run:
        run.closes()
        await until(lambda: bool(run.shard.candles()))
        await until(lambda: bool(world.told("instruments.failed")))
        await run.stop()
    assert [line["subscriptions"] for line in world.told("subscriptions.accepted")] == [2]
    reasons = {line["reason"].partition(" (")[0] for line in world.told("instruments.failed")}
    assert reasons == {f"other: HTTP {status}: []"}
    assert subscription_key(OTHERS) in {record.key for record in run.shard.records}
    (accepted,) = (line["market"] for line in world.told("subscriptions.accepted"))
    assert run.worker._lanes[OTHERS].ledger.coverage.start == accepted // 300 * 300


async def test_a_wrong_pair_of_a_good_exchange_is_still_refused(world: World) -> None:
    """The run refuses what is wrong by itself, whatever else cannot be asked."""
    Away(world)
    said = await refusal(world, subscription("BTC-USD"), OTHERS)
    assert str(said) == "plain:BTC-USD:1m: plain lists no BTC-USD; did you mean BTC-USDT?"


async def test_an_exchange_that_comes_late_is_covered_from_the_acceptance_on(world: World) -> None:
    """It is asked for candles when it has listed its instruments, and for those before, too."""
    away = Away(world)
    async with world.running(POLLED, OTHERS, since=START - 600) as run:
        await until(lambda: len(world.told("instruments.failed")) > TRIES)
        assert "fetch other candles" not in world.done
        away.status = 200
        await until(lambda: "fetch other candles" in world.done)
        lane = run.worker._lanes[OTHERS]
        assert (lane.ledger.coverage.start, lane.facts.contract_size) == (START - 840, 10.0)
        await run.stop()


async def test_a_pair_that_turns_out_unknown_harms_no_other(world: World) -> None:
    """Found when the run has long begun, it is told and left out; its exchange is carried."""
    away = Away(world)
    unknown = Subscription("other", "XYZ-QQQ", "5m")
    async with world.running(POLLED, OTHERS, unknown, since=START - 600) as run:
        away.status = 200
        await until(lambda: "fetch other candles" in world.done)
        tally, _ = await run.stop()
    (refused,) = world.told("subscription.refused")
    assert refused["reason"] == "other:XYZ-QQQ:5m: other lists no XYZ-QQQ"
    assert tally.balanced


async def test_the_instruments_are_paid_for_from_the_budget_of_rest(world: World) -> None:
    """A list that costs the whole budget leaves nothing for candles, for a while."""

    class Dear(Listed):
        limits = replace(Listed.limits, rest=(Rate(10.0, 60.0),))

        def instruments(self) -> Generator[RestRequest, RestReply, list[Instrument]]:
            yield RestRequest(url="http://plain.example/instruments", weight=9.0)
            return [Instrument("BTC-USDT", "BTCUSDT")]

    world.adapters["plain"] = Dear
    async with world.worker() as made:
        await made.prepare()
        budget = made._carriers["plain"].agenda.budget
        now = made._clock.market()
        assert budget.free_at(now) - now > 50


async def test_topics_are_made_and_schemas_are_published_before_use(world: World) -> None:
    """All topics with their partitions, then every writer schema under its fingerprint."""
    async with world.worker() as made:
        await made.prepare()
        published = {state[2].decode(): state[:2] for state in made._notes.added}  # type: ignore[attr-defined]  # pretended
    assert [(topic.name, topic.partitions) for topic in world.topics] == [
        ("p.plain.closed", 3),
        ("p.plain.live", 3),
        ("p.coverage.fixed", 1),
        ("p.dead-letters", 1),
        ("p.schemas", 1),
    ]
    expected = {schema.key for schema in (CANDLE, COVERAGE, DEAD_LETTER)}
    assert published == dict.fromkeys(expected, ("p.schemas", 0))


async def test_schemas_that_kafka_does_not_take_are_one_sentence(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its schemas in Kafka nothing that is written could be read."""
    monkeypatch.setattr(Published, "deaf", True)
    said = await refusal(world, drain=0.05)
    assert str(said) == "Kafka has not taken the schemas within 0.05 s: no broker answers"


async def test_with_a_registry_every_topic_has_its_schema_there(world: World) -> None:
    """Values bear the registry's id, and Kafka needs no schemas."""
    registry = Registered()
    async with world.running(registry=registry) as run:
        run.closes()
        await run.stop()
    assert [topic for topic, _ in registry.asked] == [
        "p.plain.closed",
        "p.plain.live",
        "p.coverage.fixed",
        "p.dead-letters",
    ]
    prefixes = {record.topic: (record.value or b"")[:5] for record in run.shard.records}
    assert prefixes == {
        "p.plain.closed": confluent_prefix(1),
        "p.coverage.fixed": confluent_prefix(3),
    }


async def test_leaving_closes_everything_although_preparing_failed(world: World) -> None:
    """A refused run leaves no publisher behind."""
    async with world.worker(subscription("BTC-USD")) as made:
        with pytest.raises(UsageError):
            await made.prepare()
    assert [publisher.closed for publisher in (made._live, made._notes)] == [True, True]  # type: ignore[attr-defined]  # pretended


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS, "sorry"),
        (HTTPStatus.FORBIDDEN, "unavailable in your country"),
    ],
)
async def test_an_exchange_that_does_not_serve_us_is_left_in_peace(
    world: World, status: HTTPStatus, body: str
) -> None:
    """Handshake and candles are refused for where we are: each is asked once, and said once."""
    shakes = 0

    def refuse(connection: ServerConnection, _: Request) -> Response:
        nonlocal shakes
        shakes += 1
        return connection.respond(status, body)

    world.reply = lambda request: RestReply(
        200 if "instruments" in request.url else status, {}, body.encode()
    )
    async with serve(lambda _: asyncio.sleep(0), "127.0.0.1", 0, process_request=refuse) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        world.adapters["plain"] = type("Far", (Listed,), {"ws_url": f"ws://127.0.0.1:{port}"})
        wanted = subscription(), POLLED, subscription("ETH-USDT", "5m")
        async with world.running(*wanted, since=START - 900) as run:
            await until(lambda: bool(world.told("connection.lost") and world.told("rest.failed")))
            await asyncio.sleep(0.5)  # what is tested is that nothing happens
            await run.stop()
    (lost,) = world.told("connection.lost")
    assert (shakes, lost["again_in"]) == (1, BLOCKED_SECONDS)
    assert f"HTTP {status.value}: {body} (this address is not served: " in lost["reason"]
    asked = [each for each in world.done if each.endswith("candles")]
    assert len(asked) <= AT_ONCE, "those that were under way together are answered together"
    (failed,) = world.told("rest.failed")
    assert failed["reason"] == f"HTTP {status.value}: {body}"


async def test_coverage_begins_with_the_bar_that_runs_by_the_slower_clock(world: World) -> None:
    """The list of instruments says that the exchange's clock is behind: so is its running bar."""
    headers = {"date": formatdate(START - 600, usegmt=True)}
    world.reply = lambda _: RestReply(200, headers, b"[]")
    async with world.running() as run:
        ledger = run.worker._lanes[POLLED].ledger
        assert ledger.coverage.start == grid_of("5m").floor(START - 600)
        left = ledger.due() - time.monotonic()
        assert left > 50, "by our own clock that bar is over, by the slower one it has a minute"
    (accepted,) = world.told("subscriptions.accepted")
    assert accepted["market"] == pytest.approx(START - 600, abs=3.0)


@pytest.mark.parametrize("requests", [2, 9])
async def test_that_closes_are_not_confirmed_is_told(world: World, requests: int) -> None:
    """Where the exchange allows too few requests a minute, ledgers do not wait for REST."""
    limits = replace(Plain.limits, rest=(Rate(requests, 60),))
    world.adapters["plain"] = type("Few", (Listed,), {"close_flag": False, "limits": limits})
    wanted = subscription("BTC-USDT"), subscription("ETH-USDT")
    async with world.running(*wanted) as run:
        rules = {run.worker._lanes[each].ledger.rules.confirm for each in wanted}
        await run.stop()
    assert rules == {requests == 9}
    told = [line["subscriptions"] for line in world.told("closes.unconfirmed")]
    assert told == ([] if requests == 9 else [2])


# --- run and drain --------------------------------------------------------------------------------


async def test_a_run_claims_its_shard_and_begins_its_subscriptions(world: World) -> None:
    """Each subscription once, however often it was named."""
    async with world.running(POLLED, subscription("ETH-USDT", "5m"), POLLED) as run:
        tally, _ = await run.stop()
    keys = [record.key for record in run.shard.records]
    assert keys == [OWNER_KEY, subscription_key(POLLED), b"plain:ETH-USDT:5m"]
    assert [line["subscriptions"] for line in world.told("subscriptions.accepted")] == [2]
    assert tally.balanced


async def test_what_is_decided_is_written_before_a_run_ends(world: World) -> None:
    """A candle that closed just before the stop is committed, though Kafka takes its time."""
    async with world.running(drain=5.0) as run:
        run.shard.may.clear()
        run.closes()
        run.worker.stop()
        await asyncio.sleep(0.1)
        assert not run.task.done()
        run.shard.may.set()
        tally, seconds = await run.stop()
    assert tally.closed == 1
    assert seconds < LONGER
    assert [record.topic for record in run.shard.records][-2:] == [
        "p.plain.closed",
        "p.coverage.fixed",
    ]


async def test_a_run_that_ends_closes_its_producers(world: World) -> None:
    """What is decided is committed first, then the shard is let go, and the publishers end."""
    async with world.worker() as made:
        await made.prepare()
        run = Run(made, world)
        await until(lambda: run.begun)
        run.closes()
        await run.stop()
        assert run.shard.done[-2:] == ["commit", "close"]
        publishers = made._live, made._notes
    assert [publisher.closed for publisher in publishers] == [True, True]  # type: ignore[attr-defined]  # pretended


async def test_a_run_ends_in_time_although_kafka_does_not_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commit hangs and live updates wait: draining takes its time once, and that is all."""
    async with world.running(drain=0.5) as run:
        run.shard.may.clear()
        run.closes()
        monkeypatch.setattr(Published, "deaf", True)
        run.worker._live.add("p.plain.live", 0, b"k", b"v", 0, "token")
        run.worker._notes.add("p.dead-letters", 0, b"k", b"v", 0, "token")
        tally, seconds = await run.stop()
    assert 0.5 <= seconds < 0.5 + LONGER
    assert (tally.closed, tally.failed) == (0, 1)


async def test_a_run_without_anything_to_write_ends_at_once(world: World) -> None:
    """Draining waits for what there is, not for its time."""
    async with world.running(drain=5.0) as run:
        _, seconds = await run.stop()
    assert seconds < LONGER


@pytest.mark.parametrize(
    ("error", "told", "sentence"),
    [
        (Blocked("not here"), Blocked, "not here"),
        (KeyError("a defect"), RuntimeError, "plain ended: KeyError('a defect')"),
    ],
)
async def test_a_source_that_fails_ends_the_run_with_its_error(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    told: type[Exception],
    sentence: str,
) -> None:
    """Rather than carrying on with less, silently; and what is decided is written first."""
    fail = asyncio.Event()

    async def carry(*_: Any) -> None:
        await fail.wait()
        raise ExceptionGroup("tasks", [error])

    monkeypatch.setattr(Carrier, "run", carry)
    async with world.running(subscription()) as run:
        run.closes(subscription())
        fail.set()
        await asyncio.wait({run.task}, timeout=5)
        said = run.task.exception()
    assert isinstance(said, told)
    assert str(said) == sentence
    assert run.shard.records[-2].topic == "p.plain.closed"


async def test_a_fenced_run_ends_with_its_sentence(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the writer raises is what the run raises, and nothing is waited for."""
    async with world.running(drain=5.0) as run:

        async def claimed(_: Shard) -> list[tuple[bytes, bytes | None]]:
            raise Fenced("another run has taken it over")

        monkeypatch.setattr(Pretend, "peek", claimed)
        run.shard.fails = Fenced("fenced")
        began = time.monotonic()
        run.closes()
        await asyncio.wait({run.task}, timeout=5)
        assert isinstance(run.task.exception(), Fenced)
    assert time.monotonic() - began < LONGER


async def test_cancelling_a_run_leaves_no_task_behind(world: World) -> None:
    """A second signal cancels: carriers and writer end with the run."""
    before = asyncio.all_tasks()
    async with world.running() as run:
        run.task.cancel()
        await asyncio.wait({run.task}, timeout=5)
        assert run.task.cancelled()
        assert asyncio.all_tasks() == before


@pytest.mark.parametrize(
    ("live", "keeps", "encodes"),
    [("all", True, True), ("newest", False, True), ("none", True, False)],
)
async def test_live_updates_are_as_wished(
    world: World, live: str, keeps: bool, encodes: bool
) -> None:
    """All of them, the newest alone, or none."""
    async with world.running(subscription(interval="5m"), live=live) as run:
        capacity = run.worker._live._outbox.capacity
        assert (capacity > 1) is keeps
        assert (run.worker._lanes[POLLED].live_encoder is not None) is encodes
