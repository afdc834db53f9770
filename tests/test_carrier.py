"""One exchange's tasks: a real WebSocket server on localhost, and REST as a test says."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import asynccontextmanager
from email.utils import formatdate
from random import Random
from typing import Any

import orjson
import pytest
import structlog
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from connectors import line, market, telemetry
from connectors.adapter import Limits, Opening, Rate, RestReply, RestRequest
from connectors.agenda import AT_ONCE, Errand
from connectors.carrier import Carrier, SteadyBudget
from connectors.codec import CandleEncoder, candle_key
from connectors.dead_letters import DeadLetters
from connectors.endpoints import Endpoints
from connectors.errors import Blocked, SlowDown, Unreachable
from connectors.flow import Flow, Lane
from connectors.kafka import Cluster, LivePublisher
from connectors.ledger import Ledger
from connectors.limits import Budget
from connectors.line import BLOCKED_SECONDS
from connectors.market import pack, rules_of
from connectors.model import Instrument, Subscription, grid_of
from connectors.offset import Offset
from connectors.records import CoverageRecord
from connectors.rest import Rest
from connectors.schema import CANDLE, DEAD_LETTER
from connectors.websocket import converse
from tests.plain import START, Plain, running_clock, subscription, unanswered, until

BTC, ETH, POLLED = subscription("BTC-USDT"), subscription("ETH-USDT"), subscription(interval="5m")


class Answers(Rest):
    """REST that answers as ``reply`` says, or raises, and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(Endpoints())
        self.asked: list[RestRequest] = []
        self.reply: Callable[[RestRequest], RestReply] = lambda _: RestReply(200, {}, b"[]")
        self.may = asyncio.Event()
        self.may.set()

    async def fetch(self, exchange: str, request: RestRequest) -> RestReply:
        del exchange
        self.asked.append(request)
        await self.may.wait()
        return self.reply(request)


class Exchange:
    """A WebSocket server that confirms what it is asked for, or refuses it, and sends candles."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[list[str]] = []
        self.connections: list[ServerConnection] = []
        self.refused: set[str] = set()

    async def serve(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        try:
            async for text in connection:
                wanted = orjson.loads(text)
                self.asked.append(wanted["subscribe"])
                for channel in self.refused.intersection(wanted["subscribe"]):
                    await connection.send(json.dumps({"no": channel, "why": "unknown pair"}))
        except ConnectionClosed:
            return

    async def send(self, *candles: Sequence[Any]) -> None:
        await self.connections[-1].send(json.dumps({"candles": candles}))


class World:
    """A carrier of some subscriptions, and all around it."""

    def __init__(self, exchange: Exchange, **facts: Any) -> None:
        self.exchange = exchange
        self.out = io.StringIO()
        telemetry.configure("json", stream=self.out)
        self.clock = running_clock()
        self.rest = Answers()
        self.live = LivePublisher(Cluster("localhost:1"))
        letters = DeadLetters(self.live, "dead", DEAD_LETTER.prefix, self.clock)
        made = type("Made", (Plain,), {"ws_url": exchange.url, **facts})
        instruments = [Instrument("BTC-USDT", "BTCUSDT", contract_size=0.01)]
        self.carrier = Carrier(made, self.rest, Endpoints(), self.clock, lambda: 0.0)
        self.carrier.use_instruments(instruments)
        self.flow = Flow(self.live, letters, self.carrier.clock)
        self.lanes: list[Lane] = []

    def lane(self, wanted: Subscription) -> Lane:
        encoder = CandleEncoder(wanted, grid_of(wanted.interval), CANDLE.prefix)
        ledger = Ledger(
            wanted,
            grid_of(wanted.interval),
            rules_of(self.carrier.adapter, wanted.interval),
            self.clock,
            wake=self.carrier.wake,
            touch=lambda _: None,
            recall=unanswered,
        )
        lane = Lane(
            ledger,
            candle_key(wanted),
            0,
            "closed",
            encoder,
            "live",
            encoder,
            CoverageRecord(subscription=wanted),
        )
        self.lanes.append(lane)
        return lane

    @asynccontextmanager
    async def carrying(self, *wanted: Subscription) -> AsyncIterator[asyncio.Task[None]]:
        """The carrier runs; its ledgers begin a minute ago, so that REST is asked."""
        lanes = [self.lane(each) for each in wanted]
        packs = pack(self.carrier.adapter, wanted)
        task = asyncio.create_task(self.carrier.run(self.flow, packs, lanes))
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait({task})

    def begin(self, ago: float = 0.0) -> None:
        for lane in self.lanes:
            lane.ledger.begin(None, START - ago, self.clock.real())

    def told(self, event: str) -> list[dict[str, Any]]:
        """The log's lines of one event."""
        lines = map(json.loads, self.out.getvalue().splitlines())
        return [line for line in lines if line["event"] == event]


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    """One that listens."""
    made = Exchange()
    async with serve(
        made.serve, "127.0.0.1", 0, compression=None, ping_interval=None, close_timeout=0.1
    ) as server:
        made.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        yield made
    structlog.reset_defaults()


# --- connections ----------------------------------------------------------------------------------


async def test_what_is_streamed_reaches_the_flow(exchange: Exchange) -> None:
    """A connection is made, all channels are asked for, and candles find their lanes."""
    world = World(exchange)
    async with world.carrying(BTC, ETH):
        world.begin()
        await until(lambda: bool(exchange.asked))
        await exchange.send(["BTC-USDT@1m", START, 1, False], ["ETH-USDT@1m", START, 2, False])
        await until(lambda: world.flow.tally.received == 2)
    assert exchange.asked == [["BTC-USDT@1m", "ETH-USDT@1m"]]
    assert [line["channels"] for line in world.told("connection.opened")] == [2]


async def test_an_only_subscription_gets_candles_without_a_channel(exchange: Exchange) -> None:
    """Where a connection carries one thing, a frame need not say which."""
    world = World(exchange)
    async with world.carrying(BTC):
        world.begin()
        await until(lambda: bool(exchange.asked))
        await exchange.send([None, START, 1, False])
        await until(lambda: world.flow.tally.received == 1)


async def test_a_lost_connection_is_made_again(exchange: Exchange) -> None:
    """After a drop everything is subscribed anew, and the log says why it was."""
    world = World(exchange)
    async with world.carrying(BTC):
        await until(lambda: len(exchange.asked) == 1)
        await exchange.connections[0].close(1012, "restart")
        await until(lambda: len(exchange.asked) == 2)
    (lost,) = world.told("connection.lost")
    assert lost["reason"] == "closed by the other side: 1012 restart"


async def test_each_failure_waits_longer(exchange: Exchange) -> None:
    """The back-off doubles while no connection stands."""
    world = World(exchange, ws_url="ws://127.0.0.1:1")
    async with world.carrying(BTC):
        await until(lambda: len(world.told("connection.lost")) == 3)
    assert [line["again_in"] for line in world.told("connection.lost")] == [0.2, 0.5, 1.0]


@pytest.mark.parametrize(("lasts", "expected"), [(True, [0.2] * 3), (False, [0.2, 0.5, 1.0])])
async def test_only_a_connection_that_lasted_ends_the_back_off(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch, lasts: bool, expected: list[float]
) -> None:
    """One that stood for a while was good; one that ends at once may be our own fault."""
    monkeypatch.setattr(line, "STABLE_SECONDS", 0.05)
    world = World(exchange)

    async def drop() -> None:
        for number in range(1, 4):
            await until(lambda number=number: len(exchange.asked) == number)  # type: ignore[misc]  # its default
            if lasts:
                await asyncio.sleep(0.1)  # what is tested is a duration
            await exchange.connections[-1].close()

    async with world.carrying(BTC):
        await drop()
        await until(lambda: len(world.told("connection.lost")) == 3)
    assert [line["again_in"] for line in world.told("connection.lost")] == expected


async def test_failing_slowly_is_no_good_connection(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dialogue or handshake that takes long to fail does not end the back-off."""
    monkeypatch.setattr(line, "STABLE_SECONDS", 0.05)
    world = World(exchange)

    async def slow(*_: Any, **__: Any) -> str:
        await asyncio.sleep(0.1)
        raise Unreachable("timed out during opening handshake")

    monkeypatch.setattr(line, "converse", slow)
    async with world.carrying(BTC):
        await until(lambda: len(world.told("connection.lost")) == 3)
    assert [line["again_in"] for line in world.told("connection.lost")] == [0.2, 0.5, 1.0]


@pytest.mark.parametrize(
    ("error", "wait", "silence"),
    [
        (Blocked("not here"), BLOCKED_SECONDS, 0.0),
        (SlowDown("too many", 77.0), 77.0, 77.0),
        (SlowDown("too many", 0.0), 0.2, 0.5),
        (KeyError("a defect"), 0.2, 0.0),
    ],
)
async def test_what_the_exchange_says_decides_how_long_to_wait(
    exchange: Exchange,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    wait: float,
    silence: float,
) -> None:
    """Blocked is not hammered, Retry-After is kept, and what is unforeseen is tried again."""
    world = World(exchange)

    async def refuse(*_: Any, **__: Any) -> str:
        raise error

    monkeypatch.setattr(line, "converse", refuse)
    async with world.carrying(BTC):
        await until(lambda: bool(world.told("connection.lost")))
        hushed = world.carrier.agenda.budget.free_at(world.clock.market()) - world.clock.market()
    assert world.told("connection.lost")[0]["again_in"] == wait
    assert hushed == pytest.approx(silence, abs=0.2), "who is too fast asks nothing over REST"
    assert len(world.told("task.failed")) == isinstance(error, KeyError)


async def test_dialogues_are_paid_for_from_the_budget_of_rest(exchange: Exchange) -> None:
    """A token that every connection needs waits like any request, and counts like one."""

    def opening(_: Plain, group: str = "") -> Generator[RestRequest, RestReply, Opening]:
        yield RestRequest(url="http://plain.example/token", weight=50.0)
        return Opening(url=exchange.url)

    world = World(exchange, opening=opening)
    budget = world.carrier.agenda.budget
    budget.close(world.clock.market() + 0.2)
    async with world.carrying(BTC):
        await until(lambda: bool(exchange.asked))
    assert world.clock.market() - START > 0.2
    assert budget.free_at(world.clock.market(), 50.0) > world.clock.market()


async def test_a_dialogue_waits_for_an_answer_that_frees_the_budget(exchange: Exchange) -> None:
    """While a request that takes the whole budget is under way, nobody knows when it is free."""

    def opening(_: Plain, group: str = "") -> Generator[RestRequest, RestReply, Opening]:
        yield RestRequest(url="http://plain.example/token")
        return Opening(url=exchange.url)

    limits = Limits(source="nowhere: invented", checked="", rest=(Rate(1.2, 0.1),))
    world = World(exchange, limits=limits, opening=opening)
    budget = world.carrier.agenda.budget
    assert budget.begin(world.clock.market())
    async with world.carrying(BTC):
        await asyncio.sleep(0.05)
        assert world.rest.asked == []
        budget.end(world.clock.market())
        await until(lambda: bool(exchange.asked))


async def test_one_connections_failure_harms_no_other(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two connections one fails again and again, and the other goes on delivering."""
    limits = Limits(source="nowhere: invented", checked="", subscriptions=1, attempts=Rate(100))
    world = World(exchange, limits=limits)
    real, failures = converse, 0

    async def failing(url: str, session: Any, *more: Any, **named: Any) -> str:
        nonlocal failures
        if "BTC-USDT@1m" in session.desired:
            failures += 1
            raise RuntimeError("a defect")
        return await real(url, session, *more, **named)

    monkeypatch.setattr(line, "converse", failing)
    async with world.carrying(BTC, ETH):
        world.begin()
        await until(lambda: failures > 1 and bool(exchange.asked))
        await exchange.send(["ETH-USDT@1m", START, 2, False])
        await until(lambda: world.flow.tally.received == 1)


async def test_attempts_keep_within_the_limit(exchange: Exchange) -> None:
    """However many connections are to be made, the exchange's rate of attempts is kept."""
    limits = Limits(source="nowhere: invented", checked="", subscriptions=1, attempts=Rate(2, 0.5))
    world = World(exchange, limits=limits)
    began = time.monotonic()
    async with world.carrying(*(subscription(f"A{n}-B") for n in range(3))):
        await until(lambda: len(exchange.connections) == 3)
    assert time.monotonic() - began > 0.5


async def test_a_refused_channel_stays_in_quarantine_over_a_reconnect(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new connection does not ask for what was refused, before its time has come."""
    monkeypatch.setattr(market, "QUARANTINE", (2.0, 60.0))
    exchange.refused = {"BTC-USDT@1m"}
    world = World(exchange)
    async with world.carrying(BTC, ETH):
        await until(lambda: bool(world.told("subscription.rejected")))
        await exchange.connections[0].close()
        await until(lambda: len(exchange.asked) == 3)
    assert exchange.asked == [["BTC-USDT@1m", "ETH-USDT@1m"], ["ETH-USDT@1m"], ["BTC-USDT@1m"]]
    (told, *_) = world.told("subscription.rejected")
    assert (told["channel"], told["reason"], told["again_in"]) == (
        "BTC-USDT@1m",
        "unknown pair",
        1.0,
    )


# --- REST -----------------------------------------------------------------------------------------


async def test_what_is_polled_is_asked_for_when_it_is_due(exchange: Exchange) -> None:
    """A ledger that says what it needs gets it, without any connection."""
    world = World(exchange)
    bar = grid_of("5m").floor(START - 300)
    world.rest.reply = lambda _: RestReply(200, {}, orjson.dumps([[bar, 7]]))
    async with world.carrying(POLLED):
        world.begin(ago=300)
        ledger = world.lanes[0].ledger
        await until(lambda: bool(ledger.pending))
    assert world.rest.asked[0].interval == "5m"
    assert [it.candle.close for it in ledger.pending][:1] == [7]
    assert exchange.connections == []


@pytest.mark.parametrize("error", [Unreachable("no answer"), KeyError("a defect")])
async def test_a_request_that_fails_is_made_again(exchange: Exchange, error: Exception) -> None:
    """Whatever goes wrong with it, it does not stay under way for ever."""
    world = World(exchange)

    def fail(_: RestRequest) -> RestReply:
        raise error

    world.rest.reply = fail
    async with world.carrying(*(subscription(f"A{n}-B", "5m") for n in range(AT_ONCE + 1))):
        world.begin(ago=300)
        await until(lambda: len(world.rest.asked) > 2 * AT_ONCE)
    assert world.told("rest.failed")


async def test_a_few_requests_are_under_way_at_once(exchange: Exchange) -> None:
    """One slow answer does not keep the others waiting, and there are not too many of them."""
    world = World(exchange)
    world.rest.may.clear()
    async with world.carrying(*(subscription(f"A{n}-B", "5m") for n in range(AT_ONCE + 3))):
        world.begin(ago=300)
        await until(lambda: len(world.rest.asked) == AT_ONCE)
        await asyncio.sleep(0.05)
        assert len(world.rest.asked) == AT_ONCE
        world.rest.may.set()
        await until(lambda: len(world.rest.asked) >= AT_ONCE + 3)


async def test_nothing_runs_on_after_the_end(exchange: Exchange) -> None:
    """Cancelled, a carrier leaves neither connection nor request behind."""
    world = World(exchange)
    world.rest.may.clear()
    before = asyncio.all_tasks()
    async with world.carrying(BTC, POLLED):
        world.begin(ago=300)
        await until(lambda: bool(exchange.asked) and bool(world.rest.asked))
    await until(lambda: exchange.connections[0].close_code is not None)
    ours = [task for task in asyncio.all_tasks() - before if "Carrier" in repr(task)]
    assert ours == []


async def test_a_defect_in_the_agenda_is_not_hidden(exchange: Exchange) -> None:
    """Without an agenda nothing is repaired, so the carrier ends with the error."""
    world = World(exchange)

    def fail(market: float, real: float) -> list[Errand]:
        raise KeyError("a defect")

    world.carrier.agenda.next_requests = fail  # type: ignore[method-assign]  # a defect to be
    async with world.carrying(BTC) as task:
        await asyncio.wait({task}, timeout=5)
    error = task.exception()
    assert isinstance(error, BaseExceptionGroup)
    assert isinstance(error.exceptions[0], KeyError)


# --- whose time it is -----------------------------------------------------------------------------


def dated(at: float, **headers: str) -> RestReply:
    """A reply without rows, that was written at this time."""
    return RestReply(200, {"date": formatdate(at, usegmt=True), **headers}, b"[]")


async def test_every_reply_tells_of_the_exchanges_clock(exchange: Exchange) -> None:
    """It is three minutes behind: so are its bars, and the log says so once."""
    world = World(exchange)
    world.rest.reply = lambda _: dated(world.clock.market() - 180)
    async with world.carrying(POLLED):
        world.begin(ago=600)
        await until(lambda: len(world.rest.asked) > 2)
    assert world.clock.market() - world.carrier.clock.market() == pytest.approx(180, abs=1.5)
    (told,) = world.told("clock.offset")
    assert (told["exchange"], told["correction"]) == ("plain", told["offset"])
    assert told["offset"] == pytest.approx(-180, abs=1.5)


async def test_what_a_cache_says_is_no_evidence(exchange: Exchange) -> None:
    """A reply that has an age was not made now."""
    world = World(exchange)
    world.rest.reply = lambda _: dated(world.clock.market() - 180, age="180")
    async with world.carrying(POLLED):
        world.begin(ago=600)
        await until(lambda: len(world.rest.asked) > 2)
    assert world.told("clock.offset") == []


async def test_the_list_of_instruments_is_the_first_evidence(exchange: Exchange) -> None:
    """Before anything is connected, the exchange's time is known."""

    def instruments(_: Plain) -> Generator[RestRequest, RestReply, list[Instrument]]:
        yield RestRequest(url="http://plain.example/instruments")
        return []

    world = World(exchange, instruments=instruments)
    world.rest.reply = lambda _: dated(world.clock.market() - 180)
    await world.carrier.list_instruments()
    assert world.carrier.clock.offset.correction == pytest.approx(-180, abs=1.5)


async def test_a_connection_lives_as_long_whatever_the_clocks_say(exchange: Exchange) -> None:
    """A correction that ends lets market time jump; no connection grows older by that."""
    limits = Limits(
        source="nowhere: invented",
        checked="",
        subscriptions=9,
        attempts=Rate(100),
        lifetime=100.0,
    )
    world = World(exchange, limits=limits)
    offset = world.carrier.clock.offset
    offset.correction = -180.0
    async with world.carrying(BTC, ETH):
        await until(lambda: bool(exchange.asked))
        offset.correction = 0.0
        await exchange.connections[0].send(json.dumps({"no": "ETH-USDT@1m", "why": "unknown"}))
        await until(lambda: bool(world.told("subscription.rejected")))
        await asyncio.sleep(0.05)  # what is tested is that nothing happens
        assert len(exchange.connections) == 1


def test_a_budget_is_what_it_is_however_time_is_corrected() -> None:
    """Told and telling corrected times, it allows what one in steady time allows, to the letter."""
    for seed in range(50):
        random, offset, now = Random(seed), Offset(), 1_000.0
        rates = [Rate(10, 60.0), Rate(30, 300.0)]
        steady, told = Budget(rates), SteadyBudget(rates, 1.0, offset)
        for _ in range(300):
            now += random.expovariate(0.3)
            if random.random() < 0.1:
                offset.correction = -random.choice((0.0, 180.0, 3_600.0))
            market, weight = now + offset.correction, random.choice((1.0, 2.0, 8.0))
            if random.random() < 0.02:
                steady.close(now + 50)
                told.close(market + 50)
            free = steady.free_at(now, weight)
            assert told.free_at(market, weight) - market == pytest.approx(free - now), f"{seed=}"
            act = random.choice(("take", "begin"))
            allowed = getattr(steady, act)(now, weight)
            assert getattr(told, act)(market, weight) is allowed, f"{seed=}"
            if allowed and act == "begin":
                now += random.random()
                steady.end(now, weight)
                told.end(now + offset.correction, weight)


# --- facts ----------------------------------------------------------------------------------------


async def test_contract_sizes_are_the_instruments() -> None:
    """A listed pair has the size that the exchange says, another none."""
    world = World(Exchange())
    assert world.carrier.contract_size("BTC-USDT") == 0.01
    assert world.carrier.contract_size("XYZ-USDT") is None
