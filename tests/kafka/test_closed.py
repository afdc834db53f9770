"""Closed candles in a real Kafka: read back, and compared with coverage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from types import SimpleNamespace
from typing import cast

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from connectors import telemetry
from connectors.closed import Newest, Wanted, read_newest
from connectors.codec import candle_key, partition_of
from connectors.coverage import Coverage
from connectors.errors import SetupError
from connectors.flow import Lane
from connectors.kafka import Record, Shard
from connectors.limits import Backoff
from connectors.memory import Published
from connectors.model import CandleData, Subscription, grid_of
from connectors.recall import Recall
from connectors.reconciliation import Account, Reconciliation, account_of
from connectors.schema import CANDLE
from connectors.tasks import end
from connectors.values import Values
from tests.kafka.world import World, until
from tests.plain import START, running_clock, subscription
from tests.written import Written

pytestmark = pytest.mark.kafka

BTC = subscription()


def at(bar: int) -> int:
    """The open time of a bar, numbered from START."""
    return START + 60 * bar


class Topics(Written):
    """The topics of one test, and a shard that writes them."""

    def __init__(self, kafka: str, prefix: str) -> None:
        super().__init__(kafka, prefix)
        self.topic = self.plan.closed("plain").name
        self.partition = partition_of(candle_key(BTC), self.plan.partitions)
        self.values = Values(CANDLE, self.cluster, self.plan)
        self.shard = Shard(self.cluster, self.plan.fixed_coverage().name)
        self.admin = AdminClient({"bootstrap.servers": kafka})

    def bar(self, number: int, revision: int = 0, late: bool = False) -> Record:
        """A closed candle whose price tells its revision."""
        price = 1.0 + revision
        candle = CandleData(at(number), price, price, price, price, 1, closed=True)
        return self.candle(BTC, candle, revision, late)

    async def delete(self) -> None:
        """Delete the closed topic, and wait until it is gone."""
        self.admin.delete_topics([self.topic])[self.topic].result()
        await until(lambda: self.topic not in self.admin.list_topics(timeout=5).topics)

    async def newest(self, start: int, stop: int) -> dict[int, int]:
        """The revision of each of these bars."""
        found = await self.read(self.topic, [self.partition], wanted(start, stop), _never)
        return {(slot - START) // 60: it.revision for slot, it in found[BTC].items()}

    async def read(self, *asked: object) -> Newest:
        """Read in one pass."""
        return await partial(read_newest, self.cluster, self.values)(*asked)  # type: ignore[arg-type]  # handed on


def wanted(start: int, stop: int) -> Wanted:
    """These bars."""
    return Wanted({BTC: [(at(start), at(stop))]}, (at(start + 1), at(stop)))


def _never(*complaint: object) -> None:
    raise AssertionError(complaint)


@pytest.fixture
async def topics(kafka: str, prefix: str) -> AsyncIterator[Topics]:
    """The topics of one test, the shard taken over."""
    made = Topics(kafka, prefix)
    await made.create("plain")
    await made.shard.take_over()
    yield made
    await made.shard.close()


# --- reading back ---------------------------------------------------------------------------------


async def test_the_newest_committed_revisions_are_read_back(topics: Topics, world: World) -> None:
    """Repairs and revisions come late in the log; what is not committed is not told."""
    for number in range(9):
        await topics.shard.commit([topics.bar(number)] if number != 3 else [topics.bar(2, 1)])
    await topics.shard.commit([topics.bar(3, late=True), topics.bar(1, 1)])
    foreigner = await world.foreigner(f"{topics.plan.prefix}.foreign")
    await foreigner.begin_transaction()
    topic, partition, key, value, closes = topics.bar(4, 1)
    await foreigner.send_and_wait(topic, value, key, partition, closes)
    await foreigner.abort_transaction()
    assert await topics.newest(1, 6) == {1: 1, 2: 1, 3: 0, 4: 0, 5: 0}
    assert await topics.newest(20, 30) == {}


async def test_a_pass_goes_on_to_the_high_watermark(topics: Topics, world: World) -> None:
    """What is committed behind somebody's open transaction is waited for, not overlooked."""
    foreigner = await world.foreigner(f"{topics.plan.prefix}.foreign")
    await foreigner.begin_transaction()
    await foreigner.send_and_wait(topics.topic, b"foreign", b"f", partition=topics.partition)
    await topics.shard.commit([topics.bar(0)])
    reading = asyncio.create_task(topics.newest(0, 1))
    done, _ = await asyncio.wait({reading}, timeout=1.5)
    assert not done, "it returned although it had not reached the high watermark"
    await foreigner.abort_transaction()
    assert await reading == {0: 0}


async def test_what_was_cut_off_the_topic_is_not_told(topics: Topics) -> None:
    """Offsets that are out of range are no trouble."""
    await topics.shard.commit([topics.bar(0), topics.bar(1), topics.bar(2)])
    place = TopicPartition(topics.topic, topics.partition, 2)
    (cut,) = topics.admin.delete_records([place]).values()
    cut.result()
    assert await topics.newest(0, 3) == {2: 0}


class Asks:
    """Stands for a ledger that asks."""

    def __init__(self) -> None:
        self.subscription = BTC
        self.grid = grid_of("1m")
        self.begun = True
        self.told: list[list[int] | None] = []

    def recalled(
        self, start: int, end: int, published: list[Published] | None, real: float
    ) -> None:
        del start, end, real
        found = None if published is None else [it.candle.timestamp for it in published]
        self.told.append(found)


async def test_a_deleted_topic_is_told_and_ends_nothing(topics: Topics) -> None:
    """The ledger is told None, and what is asked later is answered as before."""
    telemetry.counts.clear()
    asks = Asks()
    lane = SimpleNamespace(ledger=asks, closed_topic=topics.topic, partition=topics.partition)
    lanes = cast(dict[Subscription, Lane], {BTC: lane})
    recall = Recall(lanes, topics.read, running_clock(), Backoff(lambda: 0.0, 0.1))
    running = asyncio.create_task(recall.run())
    await topics.shard.commit([topics.bar(0)])
    recall.ask(asks, at(0), at(1))
    await until(lambda: len(asks.told) == 1)
    await topics.delete()
    recall.ask(asks, at(0), at(1))
    await until(lambda: len(asks.told) == 2)
    await topics.create("plain")
    recall.ask(asks, at(0), at(1))
    await until(lambda: len(asks.told) == 3)
    assert not running.done()
    await end(running)
    assert asks.told == [[at(0)], None, []]
    assert telemetry.counts["recall.failed", ""] == 1


# --- comparing with coverage ----------------------------------------------------------------------


def account(topics: Topics, coverage: Coverage | None) -> Account:
    """What coverage says of BTC, which is wanted from the first bar on."""
    ledger = SimpleNamespace(subscription=BTC, grid=grid_of("1m"))
    lane = SimpleNamespace(ledger=ledger, closed_topic=topics.topic, partition=topics.partition)
    return account_of(cast(Lane, lane), coverage, START)


async def test_candles_without_coverage_are_found_where_they_lie(topics: Topics) -> None:
    """Markers of transactions take offsets, too: the sentence names the candle's own."""
    coverage = Coverage(START)
    for number in range(3):
        written = await topics.shard.commit([topics.bar(number)])
        coverage.publish(at(number), at(number + 1), 0, number)
    place = topics.topic, topics.partition
    (last,) = written.values()
    reconciliation = Reconciliation(topics.shard, "coverage", topics.values)
    await reconciliation.check([account(topics, coverage)], {place: last})
    await reconciliation.check([account(topics, coverage)], {place: last - 2})
    await reconciliation.check([account(topics, coverage)], {})
    await topics.shard.commit([topics.bar(3)])
    with pytest.raises(SetupError, match=f"offset {last + 2}: a candle of plain:BTC-USDT:1m"):
        await reconciliation.check([account(topics, coverage)], {place: last})
    with pytest.raises(SetupError, match="offset 0: a candle of plain:BTC-USDT:1m"):
        await reconciliation.check([account(topics, None)], {})


async def test_a_recreated_topic_is_found(topics: Topics) -> None:
    """Its offsets begin anew."""
    written = await topics.shard.commit([topics.bar(number) for number in range(3)])
    reconciliation = Reconciliation(topics.shard, "coverage", topics.values)
    await topics.delete()
    await topics.create("plain")
    with pytest.raises(SetupError, match="was recreated or cut short"):
        await reconciliation.check([], written)
