"""The writer of a shard: real ledgers, and a shard that commits or fails as a test says."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Collection,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager

import pytest

from connectors import telemetry, writer
from connectors.clock import Clock
from connectors.codec import (
    COVERAGE_FORMAT,
    OWNER_KEY,
    CandleEncoder,
    candle_key,
    candle_of,
    coverage_of,
    encode_coverage,
    subscription_key,
)
from connectors.coverage import Coverage, RunState, digest_of
from connectors.errors import (
    AccessError,
    ConnectorError,
    Fenced,
    RecordRefused,
    SetupError,
    ShardLost,
    Unreachable,
)
from connectors.flow import Lane, Tally
from connectors.kafka import Cluster, Record, Shard, Stored, TopicPlan
from connectors.kafka.batches import Place
from connectors.ledger import Ledger
from connectors.limits import Backoff
from connectors.model import CandleData, Subscription, grid_of
from connectors.records import CandleRecord, CoverageRecord
from connectors.rules import HOLD
from connectors.schema import CANDLE, COVERAGE, Reader
from connectors.tasks import end
from connectors.values import Values
from connectors.writer import Writer
from tests.plain import START, ledger_of, subscription, until

BTC, ETH, DOT = (subscription(f"{base}-USDT") for base in ("BTC", "ETH", "DOT"))
CLOSED, COVERED = "p.plain.closed", "p.coverage.fixed"
OURS = "this run"


class Pretend(Shard):
    """Keeps what is committed. ``fails`` and ``doubts`` say what becomes of the next commits.

    A failure commits nothing, a doubt commits and then raises. ``refused`` says which records
    Kafka would not have. While ``pause`` is not set, commits wait.
    """

    def __init__(self) -> None:
        super().__init__(Cluster("localhost:1"), COVERED)
        self.committed: list[list[Record]] = []
        self.fails: deque[Exception | None] = deque()
        self.doubts: deque[Exception | None] = deque()
        self.take_over_fails: deque[Exception | None] = deque()
        self.peek_fails: deque[Exception | None] = deque()
        self.refused: Callable[[Record], bool] = lambda _: False
        self.may = asyncio.Event()
        self.may.set()
        self.taken = 0
        self.deleted: set[str] = set()
        self.read: list[tuple[str, int, int]] = []

    async def take_over(self) -> list[tuple[bytes, bytes | None]]:
        _raise_next(self.take_over_fails)
        self.taken += 1
        return self.coverage()

    async def peek(self) -> list[tuple[bytes, bytes | None]]:
        _raise_next(self.peek_fails)
        return self.coverage()

    async def commit(self, records: Sequence[Record]) -> dict[Place, int]:
        await self.may.wait()
        if any(map(self.refused, records)):
            raise RecordRefused("Kafka refuses a record for its size")
        _raise_next(self.fails)
        self.committed.append(list(records))
        _raise_next(self.doubts)
        return {
            (topic, partition): len(self._stored(topic, partition)) - 1
            for topic, partition, *_ in records
        }

    async def ends(self, topic: str, partitions: Collection[int]) -> dict[int, int]:
        return {each: len(self._stored(topic, each)) for each in partitions}

    async def offsets_since(self, topic: str, timestamps: Mapping[int, int]) -> dict[int, int]:
        return {each: self._since(topic, each, at) for each, at in timestamps.items()}

    async def stored(self, topic: str, starts: Mapping[int, int]) -> AsyncGenerator[Stored, None]:
        for partition, start in starts.items():
            self.read.append((topic, partition, start))
            for stored in self._stored(topic, partition)[start:]:
                yield stored

    def _since(self, topic: str, partition: int, timestamp: int) -> int:
        stored = self._stored(topic, partition)
        return next((it.offset for it in stored if it.timestamp >= timestamp), len(stored))

    def _stored(self, topic: str, partition: int) -> list[Stored]:
        """A partition: what was committed, unless it was deleted."""
        records = [it for it in self.records(topic) if it.partition == partition]
        return [
            Stored(topic, partition, offset, it.key, it.value, it.timestamp)
            for offset, it in enumerate([] if topic in self.deleted else records)
        ]

    async def close(self) -> None:
        return

    def coverage(self) -> list[tuple[bytes, bytes | None]]:
        latest: dict[bytes, bytes | None] = {}
        for record in self.records(COVERED):
            latest[record.key] = record.value
        return list(latest.items())

    def records(self, topic: str) -> list[Record]:
        return [it for records in self.committed for it in records if it.topic == topic]

    def candles(self, wanted: Subscription | None = None) -> list[CandleRecord]:
        """What the closed topic holds, decoded."""
        found = [candle(record) for record in self.records(CLOSED)]
        return [it for it in found if wanted in (None, it.subscription)]

    def slots(self, wanted: Subscription | None = None) -> list[int]:
        """Which slots the closed topic holds, as numbers of bars after START."""
        return [(it.candle.timestamp - START) // 60 for it in self.candles(wanted)]

    def of(self, wanted: Subscription) -> Coverage:
        """What the coverage topic says."""
        value = dict(self.coverage())[subscription_key(wanted)]
        coverage = covered(value).coverage
        assert coverage is not None
        return coverage


def _raise_next(errors: deque[Exception | None]) -> None:
    error = errors.popleft() if errors else None
    if error is not None:
        raise error


def candle(record: Record) -> CandleRecord:
    """A record of the closed topic."""
    return candle_of(Reader(CANDLE).read(record.value or b""))


def covered(value: bytes | None) -> CoverageRecord:
    """A value of the coverage topic."""
    return coverage_of(Reader(COVERAGE).read(value or b""))


def claim_of(owner: str) -> Record:
    """What another run writes first."""
    claim = CoverageRecord(subscription=None, owner=owner)
    return Record(COVERED, 0, OWNER_KEY, encode_coverage(claim), 0)


class World:
    """A writer, its pretend shard, and a lane for each subscription.

    It is accepted ``later`` than START, in seconds.
    """

    def __init__(
        self,
        *wanted: Subscription,
        later: float = 0.0,
        since: float | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self.clock = Clock(1.0, time.monotonic(), START + later)
        self.shard = Pretend()
        self.tally = Tally()
        self.forgotten: list[bool] = []
        self.lanes: dict[Subscription, Lane] = {}
        self.writer = Writer(
            self.shard,
            self.lanes,
            self.tally,
            self.clock,
            backoff or Backoff(lambda: 0.0, 0.01, 0.01),
            owner=OURS,
            coverage=(COVERED, COVERAGE.prefix),
            values=Values(COVERAGE, Cluster("localhost:1"), TopicPlan()),
            candles=Values(CANDLE, Cluster("localhost:1"), TopicPlan()),
            accepted=START + later,
            since=since,
            forgotten=lambda: self.forgotten.append(self.begun),
        )
        for each in wanted or (BTC,):
            self.lanes[each] = self._lane(each)
        self.running: asyncio.Task[None] | None = None

    def _lane(self, wanted: Subscription) -> Lane:
        encoder = CandleEncoder(wanted, grid_of(wanted.interval), CANDLE.prefix)
        return Lane(
            ledger=ledger_of(wanted, self.clock, touch=self.writer.touch),
            key=candle_key(wanted),
            partition=1,
            closed_topic=CLOSED,
            closed_encoder=encoder,
            live_topic="",
            live_encoder=None,
            facts=CoverageRecord(subscription=wanted, symbol="X", closed_partitions=3),
        )

    def closes(self, *bars: int, of: Subscription = BTC) -> None:
        """The exchange flags these bars (after START) as closed."""
        for bar in bars:
            state = CandleData(START + 60 * bar, 1, 1, 1, 1, 1, closed=True)
            self.lanes[of].ledger.settle(state, self.clock.real())

    @property
    def begun(self) -> bool:
        return all(lane.ledger.begun for lane in self.lanes.values())

    async def written(self) -> None:
        """Until nothing is left to write, or the run has ended."""
        await until(lambda: self.begun or self.ended)
        settled = asyncio.create_task(self.writer.settled())
        assert self.running is not None
        done, _ = await asyncio.wait(
            {settled, self.running}, timeout=5, return_when=asyncio.FIRST_COMPLETED
        )
        settled.cancel()
        assert done, "nothing is settled within 5 s"

    @property
    def ended(self) -> bool:
        return self.running is not None and self.running.done()

    async def verdict(self) -> BaseException | None:
        """What ended the run."""
        assert self.running is not None
        await asyncio.wait({self.running}, timeout=5)
        return self.running.exception()


@asynccontextmanager
async def running(*wanted: Subscription, world: World | None = None) -> AsyncIterator[World]:
    """A writer that runs and has written how its subscriptions begin."""
    world = world or World(*wanted)
    world.running = asyncio.create_task(world.writer.run())
    try:
        await world.written()
        yield world
    finally:
        world.running.cancel()
        await asyncio.wait({world.running})


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "CLAIM_SECONDS", 0.05)


# --- what is written ------------------------------------------------------------------------------


async def test_the_claim_is_the_first_record() -> None:
    """A run that takes a shard over says who it is before it writes anything else."""
    async with running() as world:
        first = world.shard.committed[0]
    assert first[0].key == OWNER_KEY
    claim = covered(first[0].value)
    assert (claim.subscription, claim.owner, claim.coverage) == (None, OURS, None)


async def test_a_new_subscription_writes_where_its_coverage_starts() -> None:
    """With the claim, before any candle is closed, coverage begins with the running bar."""
    async with running() as world:
        ((_, record),) = world.shard.committed
    told = covered(record.value)
    assert (record.topic, record.partition, record.key) == (COVERED, 0, b"plain:BTC-USDT:1m")
    assert told.coverage == Coverage(START)
    assert (told.subscription, told.owner, told.symbol, told.closed_partitions) == (
        BTC,
        OURS,
        "X",
        3,
    )


async def test_a_transaction_is_all_that_is_ready_with_the_coverage_that_speaks_of_it() -> None:
    """Closed candles of a subscription go out in order, the coverage behind them says just them."""
    async with running(BTC, ETH) as world:
        before = len(world.shard.committed)
        world.closes(0, 1, 2)
        world.closes(0, of=ETH)
        await world.written()
        (transaction,) = world.shard.committed[before:]
    assert [(it.topic, it.key) for it in transaction] == [
        (CLOSED, b"plain:BTC-USDT"),
        (CLOSED, b"plain:BTC-USDT"),
        (CLOSED, b"plain:BTC-USDT"),
        (COVERED, b"plain:BTC-USDT:1m"),
        (CLOSED, b"plain:ETH-USDT"),
        (COVERED, b"plain:ETH-USDT:1m"),
    ]
    assert world.shard.slots(BTC) == [0, 1, 2]
    (run,) = world.shard.of(BTC).runs
    digest = sum(digest_of(it.candle) for it in world.shard.candles(BTC)) % 2**64
    assert (run.start, run.end, run.count, run.digest) == (START, START + 180, 3, digest)
    assert world.shard.of(ETH).head == START + 60


async def test_a_closed_candle_says_why_and_when() -> None:
    """The record's time is the bar's end; the value says why the bar is thought closed."""
    async with running() as world:
        world.closes(0)
        await world.written()
        (record,) = world.shard.records(CLOSED)
    told = candle(record)
    assert (record.partition, record.timestamp) == (1, (START + 60) * 1000)
    assert (told.closed, told.close_reason, told.revision) == (True, "EXCHANGE_FLAG", 0)


async def test_what_is_ready_during_a_commit_goes_with_the_next() -> None:
    """One transaction at a time; candles that come meanwhile are not in its coverage."""
    async with running() as world:
        world.shard.may.clear()
        before = len(world.shard.committed)
        world.closes(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        world.closes(1, 2)
        world.shard.may.set()
        await world.written()
        first, second = world.shard.committed[before:]
    assert [[record.topic for record in it] for it in (first, second)] == [
        [CLOSED, COVERED],
        [CLOSED, CLOSED, COVERED],
    ]
    told = covered(first[-1].value).coverage
    assert told is not None
    assert told.head == START + 60


async def test_a_transaction_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is more than fits into one is written in several, a subscription never in parts."""
    monkeypatch.setattr(writer, "TRANSACTION_BYTES", 1_000)
    wanted = [subscription(f"A{n}-B") for n in range(10)]
    async with running(*wanted) as world:
        before = len(world.shard.committed)
        for each in wanted:
            world.closes(0, 1, 2, of=each)
        await world.written()
        transactions = world.shard.committed[before:]
    assert len(transactions) > 3
    for transaction in transactions:
        size = sum(len(record.key) + len(record.value or b"") for record in transaction)
        assert size < 1_000 + 1_000
    assert all(world.shard.slots(each) == [0, 1, 2] for each in wanted)


async def test_the_tally_counts_what_is_committed() -> None:
    """Closed candles and transactions count when a commit has returned."""
    async with running() as world:
        start = world.tally.transactions
        world.closes(0, 1)
        await world.written()
        world.shard.fails.append(ShardLost("gone"))
        world.closes(2)
        await until(lambda: world.shard.taken == 2)
        await world.written()
    assert world.shard.slots() == [0, 1, 2]
    assert (world.tally.closed, world.tally.transactions - start) == (3, 2)


# --- a run that is stopped at once ----------------------------------------------------------------


async def test_between_two_short_runs_nothing_is_lost() -> None:
    """The second run repairs or declares from the bar on in which the first one was accepted."""
    async with running() as first:
        pass
    second = World(later=620.0)
    second.shard.committed = first.shard.committed
    async with running(world=second):
        in_vain = second.clock.real() + HOLD + 1.0
        second.lanes[BTC].ledger.tick(second.clock.market_at(in_vain), in_vain)
        await second.written()
    (run,) = second.shard.of(BTC).runs
    assert (run.start, run.end, run.state) == (START, START + 600, RunState.MISSING)


async def test_settled_waits_for_the_first_take_over() -> None:
    """A run that is stopped before it holds its shard first leaves behind that it was there."""
    world = World()
    world.shard.may.clear()
    settled = asyncio.create_task(world.writer.settled())
    world.running = asyncio.create_task(world.writer.run())
    await until(lambda: world.begun)
    assert not settled.done()
    world.shard.may.set()
    await asyncio.wait_for(settled, 5)
    await end(world.running)
    assert world.shard.of(BTC) == Coverage(START)


async def test_a_run_that_is_to_end_has_no_patience() -> None:
    """The wait before a lost shard is taken over again is cut short, and stays short."""
    world = World(backoff=Backoff(lambda: 0.0, 60.0))
    world.shard.take_over_fails.extend([Unreachable("no broker")] * 2)
    world.running = asyncio.create_task(world.writer.run())
    await until(lambda: len(world.shard.take_over_fails) == 1)
    await asyncio.wait_for(world.writer.settled(), 5)
    await end(world.running)
    assert world.shard.of(BTC) == Coverage(START)


# --- nothing but a commit counts ------------------------------------------------------------------


LOST: list[Exception] = [ShardLost("void"), Unreachable("no broker"), RecordRefused("too large")]


@pytest.mark.parametrize("error", LOST, ids=lambda error: type(error).__name__)
async def test_after_a_failed_commit_everything_begins_again_from_coverage(
    error: Exception,
) -> None:
    """All ledgers are begun again where Kafka says: what was lost is written, nothing twice."""
    async with running(BTC, ETH) as world:
        world.closes(0)
        world.closes(0, of=ETH)
        await world.written()
        world.shard.fails.append(error)
        world.closes(1, 2, 3, 4)
        world.closes(1, of=ETH)
        await until(lambda: world.shard.taken == 2 and world.begun)
        world.closes(0, 1, 2, 3, 4, 5)  # as REST tells it again
        world.closes(0, 1, of=ETH)
        await world.written()
    assert world.forgotten == [False], "say so when all ledgers are forgotten, and only then"
    assert world.shard.slots(BTC) == [0, 1, 2, 3, 4, 5]
    assert world.shard.slots(ETH) == [0, 1]
    claims = [record for record in world.shard.records(COVERED) if record.key == OWNER_KEY]
    assert len(claims) == 2


@pytest.mark.parametrize("happened", [True, False])
async def test_an_uncertain_commit_neither_doubles_nor_loses(happened: bool) -> None:
    """Whether a commit without an answer took place is for coverage to say."""
    async with running() as world:
        unsure = ShardLost("Kafka did not answer in time, coverage says whether")
        (world.shard.doubts if happened else world.shard.fails).append(unsure)
        world.closes(0, 1)
        await until(lambda: world.shard.taken == 2 and world.begun)
        world.closes(0, 1, 2)  # as REST tells it again
        await world.written()
    assert world.shard.slots() == [0, 1, 2]
    assert world.shard.of(BTC).runs[0].count == 3


async def test_only_a_commit_that_returned_is_told_to_the_ledger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a ledger may rely on for good it hears of behind the commit, else never."""
    told: list[Subscription] = []
    monkeypatch.setattr(Ledger, "committed", lambda ledger: told.append(ledger.subscription))
    async with running(BTC, ETH) as world:
        assert told == [BTC, ETH]
        world.shard.doubts.append(ShardLost("it was committed, and nobody knows"))
        world.closes(0)
        await until(lambda: world.shard.taken == 2 and world.begun)
        await world.written()
        assert told == [BTC, ETH]
        world.closes(1)
        await world.written()
    assert told == [BTC, ETH, BTC]


async def test_taking_over_is_tried_until_it_works() -> None:
    """Kafka may be away when a run begins, and the claim may fail."""
    world = World()
    world.shard.take_over_fails.extend([Unreachable("no broker"), ShardLost("stalled")])
    world.shard.fails.append(ShardLost("the claim is lost"))
    async with running(world=world):
        world.closes(0)
        await world.written()
    assert world.shard.slots() == [0]


async def test_a_run_goes_on_where_the_one_before_it_ended() -> None:
    """A second run begins with the first one's coverage, whoever wrote it."""
    async with running() as first:
        first.closes(0, 1)
        await first.written()
    second = World()
    second.shard.committed = first.shard.committed
    second.closes(1)
    async with running(world=second):
        await until(lambda: second.begun)
        second.closes(1, 2)
        await second.written()
    assert second.shard.slots() == [0, 1, 2]


async def test_a_recreated_topic_ends_the_run_with_a_sentence() -> None:
    """What coverage calls published is not there any more: nothing is written over the hole."""
    async with running() as world:
        world.closes(0)
        await world.written()
        world.closes(1)
        await world.written()
    world.shard.deleted.add(CLOSED)
    async with running(world=world) as again:
        error = await again.verdict()
    assert isinstance(error, SetupError)
    assert str(error) == (
        f"topic {CLOSED} was recreated or cut short: coverage speaks of offset 1 in partition 1, "
        f"which is not there; restore the topic together with {COVERED}, or use another --prefix"
    )
    assert world.shard.read == []


async def test_an_older_copy_of_coverage_ends_the_run_with_a_sentence() -> None:
    """What was published behind it would be published again: nothing is written."""
    async with running() as world:
        world.closes(0)
        await world.written()
        before = world.shard.coverage()
        world.closes(1)
        await world.written()
    older = [Record(COVERED, 0, key, value, 0) for key, value in before]
    again = World()
    again.shard.committed = [*world.shard.committed, older]
    async with running(world=again):
        error = await again.verdict()
    assert isinstance(error, SetupError)
    assert f"topic {CLOSED}, partition 1, offset 1: a candle of {BTC} that opens at" in str(error)
    assert again.shard.committed[-1] is older
    assert not again.begun


@pytest.mark.parametrize(("since", "ends"), [(None, False), (START, True)])
async def test_deleted_coverage_ends_the_run_where_it_would_double(
    since: float | None, ends: bool
) -> None:
    """A subscription begins anew behind what is published, but not upon it."""
    async with running() as world:
        world.closes(0, 1)
        await world.written()
    anew = World(later=120.0, since=since)
    anew.shard.committed = [world.shard.records(CLOSED)]
    async with running(world=anew):
        assert anew.ended is ends
    assert (anew.shard.records(COVERED) == []) is ends


async def test_a_shard_is_taken_over_behind_what_it_last_wrote() -> None:
    """Of the closed topic only what may not be accounted for is read."""
    async with running() as world:
        for bar in range(5):
            world.closes(bar)
            await world.written()
        world.shard.fails.append(ShardLost("gone"))
        world.closes(5)
        await until(lambda: world.shard.taken == 2)
        await world.written()
    assert world.shard.read == []
    again = World()
    again.shard.committed = world.shard.committed
    async with running(world=again):
        assert again.begun
    assert again.shard.read == [(CLOSED, 1, 5)]


async def test_coverage_keeps_the_last_offset_before_it() -> None:
    """The first transaction knows none; each later one keeps what the one before it wrote."""
    async with running() as world:
        for bar in range(3):
            world.closes(bar)
            await world.written()
    records = [record for record in world.shard.records(COVERED) if record.key != OWNER_KEY]
    offsets = [covered(record.value).last_closed_offset for record in records]
    assert offsets[-3:] == [None, 0, 1]


async def test_a_tombstone_of_coverage_is_none() -> None:
    """A subscription whose coverage was deleted begins anew."""
    world = World()
    world.shard.committed = [[Record(COVERED, 0, subscription_key(BTC), None, 0)]]
    async with running(world=world):
        world.closes(0)
        await world.written()
    assert world.shard.of(BTC).start == START


@pytest.mark.parametrize("error", [AccessError("no right"), SetupError("no topic")])
async def test_what_a_person_has_to_correct_ends_the_run(error: ConnectorError) -> None:
    """Rights and topics do not come by waiting."""
    async with running() as world:
        world.shard.fails.append(error)
        world.closes(0)
        assert await world.verdict() is error


async def test_coverage_of_a_newer_release_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this release cannot understand it does not overwrite."""
    world = World()
    newer = CoverageRecord(subscription=BTC, coverage=Coverage(START))
    monkeypatch.setattr("connectors.codec.COVERAGE_FORMAT", COVERAGE_FORMAT + 1)
    value = encode_coverage(newer)
    monkeypatch.undo()
    world.shard.committed = [[Record(COVERED, 0, subscription_key(BTC), value, 0)]]
    async with running(world=world):
        said = await world.verdict()
    assert isinstance(said, SetupError)
    assert "newer release" in str(said)
    assert len(world.shard.committed) == 1


# --- fenced ---------------------------------------------------------------------------------------


async def test_fenced_by_a_successor_the_run_ends_with_what_to_do() -> None:
    """A foreign claim behind ours: the sentence names the topic and both ways out."""
    async with running() as world:
        world.shard.committed.append([claim_of("another run")])
        world.shard.fails.append(Fenced("fenced"))
        world.closes(0)
        said = await world.verdict()
    assert isinstance(said, Fenced)
    assert str(said) == (
        "another run has taken p.coverage.fixed over: stop that one, "
        "or run this one under another --prefix"
    )
    assert world.shard.slots() == []
    assert not world.begun, "a fenced run goes on deciding"


async def test_fenced_by_its_own_time_out_the_run_takes_over_again() -> None:
    """Without a foreign claim it was our own transaction that timed out."""
    async with running() as world:
        world.shard.fails.append(Fenced("fenced"))
        world.closes(0)
        await until(lambda: world.shard.taken == 2 and world.begun)
        world.closes(0)
        await world.written()
    assert world.shard.slots() == [0]


async def test_the_claim_of_a_dead_predecessor_is_no_successors() -> None:
    """A claim that was there before ours, our own lost since, ends nothing."""
    world = World()
    world.shard.committed = [[claim_of("the run before")]]
    world.shard.fails.append(Fenced("while claiming"))
    async with running(world=world):
        world.closes(0)
        await world.written()
    assert world.shard.slots() == [0]


async def test_whether_there_is_a_successor_is_asked_although_kafka_falters() -> None:
    """Trouble while looking for a claim is no reason to end; a claim found later is."""
    async with running() as world:
        world.shard.peek_fails.extend([Unreachable("no broker"), ShardLost("stalled")])
        world.shard.committed.append([claim_of("another run")])
        world.shard.fails.append(Fenced("fenced"))
        world.closes(0)
        assert isinstance(await world.verdict(), Fenced)


# --- refused records ------------------------------------------------------------------------------


async def test_a_record_that_kafka_refuses_stops_its_subscription_alone() -> None:
    """The culprit is found among those it was written with, and quarantined; the others go on."""
    telemetry.counts.clear()
    async with running(BTC, ETH, DOT) as world:
        world.shard.refused = lambda record: (
            record.topic == CLOSED and record.key.endswith(b"ETH-USDT")
        )
        for _ in range(4):
            taken = world.shard.taken
            for each in (BTC, ETH, DOT):
                world.closes(0, 1, of=each)
            await until(
                lambda taken=taken: world.shard.taken > taken or not world.writer._touched  # type: ignore[misc]  # its default
            )
            await until(lambda: world.lanes[BTC].ledger.begun and world.lanes[DOT].ledger.begun)
        await world.writer.settled()
    assert world.shard.slots(BTC) == world.shard.slots(DOT) == [0, 1]
    assert world.shard.slots(ETH) == []
    assert not world.lanes[ETH].ledger.begun
    assert telemetry.counts["subscription.quarantined", ""] == 1


async def test_a_refusal_that_does_not_come_again_quarantines_nobody() -> None:
    """Suspects that are written well alone are suspects no more."""
    async with running(BTC, ETH) as world:
        world.shard.fails.append(RecordRefused("once"))
        world.closes(0)
        world.closes(0, of=ETH)
        await until(lambda: world.shard.taken == 2 and world.begun)
        world.closes(0)
        world.closes(0, of=ETH)
        await world.written()
        before = len(world.shard.committed)
        world.closes(1)
        world.closes(1, of=ETH)
        await world.written()
    assert world.shard.slots(BTC) == world.shard.slots(ETH) == [0, 1]
    assert len(world.shard.committed) == before + 1


async def test_coverage_of_other_slots_quarantines_its_subscription() -> None:
    """What is covered under this name opens where no bar does: nothing is written over it."""
    world = World(BTC, ETH)
    wrong = CoverageRecord(subscription=BTC, coverage=Coverage(START + 7))
    world.shard.committed = [[Record(COVERED, 0, subscription_key(BTC), encode_coverage(wrong), 0)]]
    world.running = asyncio.create_task(world.writer.run())
    await until(lambda: world.lanes[ETH].ledger.begun)
    world.closes(0)
    world.closes(0, of=ETH)
    await world.writer.settled()
    world.running.cancel()
    assert (world.shard.slots(BTC), world.shard.slots(ETH)) == ([], [0])
    assert world.shard.of(BTC) == wrong.coverage


# --- settled --------------------------------------------------------------------------------------


async def test_settled_waits_for_the_commit() -> None:
    """What is being committed is not settled before it is."""
    async with running() as world:
        world.shard.may.clear()
        world.closes(0)
        settled = asyncio.create_task(world.writer.settled())
        await asyncio.sleep(0.02)
        assert not settled.done()
        world.shard.may.set()
        await asyncio.wait_for(settled, 5)
        assert world.shard.slots() == [0]


async def test_settled_waits_for_a_lost_shard_to_come_back() -> None:
    """What was lost with it is written after the next take-over, and then all is settled."""
    async with running() as world:
        world.shard.fails.append(ShardLost("gone"))
        world.shard.take_over_fails.extend([Unreachable("no broker")] * 5)
        world.closes(0)
        await until(lambda: not world.begun)
        await asyncio.wait_for(world.writer.settled(), 5)
        assert world.shard.slots() == [0]


async def test_after_a_take_over_without_anything_new_all_is_settled() -> None:
    """A shard that was lost after everything was written is settled when it is back."""
    async with running() as world:
        world.shard.doubts.append(ShardLost("it was committed"))
        world.closes(0)
        await until(lambda: world.shard.taken == 2 and world.begun)
        await asyncio.wait_for(world.writer.settled(), 5)
    assert world.shard.slots() == [0]
