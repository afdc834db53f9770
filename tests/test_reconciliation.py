"""Closed topics and coverage, compared before a shard goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping
from types import SimpleNamespace
from typing import cast

import pytest

from connectors import reconciliation
from connectors.codec import CandleEncoder, candle_key
from connectors.coverage import Coverage
from connectors.errors import SetupError, Unreachable
from connectors.flow import Lane
from connectors.kafka import Cluster, Shard, Stored, TopicPlan
from connectors.model import CandleData, CloseReason, Grid, Subscription, grid_of
from connectors.reconciliation import Account, Reconciliation, account_of
from connectors.schema import CANDLE
from connectors.values import Values
from tests.plain import START, subscription

BTC, ETH, HOURLY = subscription(), subscription("ETH-USDT"), subscription(interval="1h")
ELSEWHERE = Subscription("other", "BTC-USDT", "1m")
HERE = "p.plain.closed"
HOUR = START - START % 3600


def at(bar: int) -> int:
    """The open time of a bar, numbered from START."""
    return START + 60 * bar


def lane(wanted: Subscription, partition: int = 0, grid: Grid | None = None) -> Lane:
    """What is needed of a lane."""
    ledger = SimpleNamespace(subscription=wanted, grid=grid or grid_of(wanted.interval))
    topic = f"p.{wanted.exchange}.closed"
    made = SimpleNamespace(ledger=ledger, closed_topic=topic, partition=partition)
    return cast(Lane, made)


def account(
    wanted: Subscription,
    coverage: Coverage | None = None,
    since: float = START,
    partition: int = 0,
) -> Account:
    """One that is wanted from ``since`` on."""
    return account_of(lane(wanted, partition), coverage, since)


def settled(start: int, *bars: int) -> Coverage:
    """Coverage of these bars, which are published."""
    coverage = Coverage(at(start))
    for bar in bars:
        coverage.publish(at(bar), at(bar + 1), 0, bar)
    return coverage


class Lying(Shard):
    """What lies in closed topics; keeps from where on it was read."""

    def __init__(self) -> None:
        super().__init__(Cluster("localhost:1"), "p.coverage.fixed")
        self.places: dict[tuple[str, int], list[Stored]] = {}
        self.read: list[tuple[str, int, int]] = []
        self.left_open = 0
        self.fails: Exception | None = None
        self.may = asyncio.Event()
        self.may.set()

    def put(self, wanted: Subscription, *bars: int, partition: int = 0) -> None:
        """Behind what lies there: these bars of a subscription."""
        for bar in bars:
            slot = at(bar) if wanted is not HOURLY else HOUR + 3600 * bar
            grid = grid_of(wanted.interval)
            value = CandleEncoder(wanted, grid, CANDLE.prefix).encode(
                CandleData(slot, 1, 1, 1, 1, 1),
                published_at=0,
                closed=True,
                reason=CloseReason.REST_ROW,
            )
            self.add(
                candle_key(wanted),
                value,
                grid.after(slot),
                f"p.{wanted.exchange}.closed",
                partition,
            )

    def add(self, key: bytes, value: bytes, closes: int, topic: str, partition: int) -> None:
        """Behind what lies there: any record."""
        place = self.places.setdefault((topic, partition), [])
        place.append(Stored(topic, partition, len(place), key, value, closes * 1000))

    async def ends(self, topic: str, partitions: Collection[int]) -> dict[int, int]:
        if self.fails is not None:
            raise self.fails
        return {each: len(self.places.get((topic, each), ())) for each in partitions}

    async def offsets_since(self, topic: str, timestamps: Mapping[int, int]) -> dict[int, int]:
        return {
            each: next((it.offset for it in place if it.timestamp >= at), len(place))
            for each, at in timestamps.items()
            if (place := self.places.get((topic, each), [])) is not None
        }

    async def stored(self, topic: str, starts: Mapping[int, int]) -> AsyncGenerator[Stored, None]:
        self.left_open += 1
        try:
            await self.may.wait()
            for partition, start in starts.items():
                self.read.append((topic, partition, start))
                for stored in self.places[topic, partition][start:]:
                    yield stored
        finally:
            self.left_open -= 1


async def verdict(
    shard: Lying, *accounts: Account, last: dict[tuple[str, int], int] | None = None
) -> str | None:
    """The sentence that ends the run, or None."""
    values = Values(CANDLE, Cluster("localhost:1"), TopicPlan())
    try:
        await Reconciliation(shard, "p.coverage.fixed", values).check(accounts, last or {})
    except SetupError as error:
        return str(error)
    finally:
        assert shard.left_open == 0, "a reader was left open"
    return None


@pytest.fixture
def shard() -> Lying:
    """Empty topics."""
    return Lying()


# --- behind the last known offset -----------------------------------------------------------------


async def test_what_is_settled_may_lie_there(shard: Lying) -> None:
    """Only what lies behind the last known offset is read, and revisions of it are fine."""
    shard.put(BTC, 0, 1, 2, 2)
    assert await verdict(shard, account(BTC, settled(0, 0, 1, 2)), last={(HERE, 0): 1}) is None
    assert shard.read == [(HERE, 0, 2)]


async def test_a_candle_that_coverage_does_not_know_ends_the_run(shard: Lying) -> None:
    """An older copy of coverage: the sentence says where the candle lies and what to do."""
    shard.put(BTC, 0, 1, 2)
    said = await verdict(shard, account(BTC, settled(0, 0, 1)), last={(HERE, 0): 0})
    assert said == (
        "topic p.plain.closed, partition 0, offset 2: a candle of plain:BTC-USDT:1m that opens at "
        "2026-09-21 14:16:00 UTC lies there, of which p.coverage.fixed knows nothing; restore "
        "the topic together with p.coverage.fixed, or use another --prefix"
    )


async def test_a_candle_whose_slot_is_missing_ends_the_run(shard: Lying) -> None:
    """Its slot would be repaired, and the candle be there twice."""
    coverage = settled(0, 0)
    coverage.miss(at(1), at(2), "REST has not given it", at(2))
    shard.put(BTC, 0, 1)
    said = await verdict(shard, account(BTC, coverage), last={(HERE, 0): 0})
    assert said is not None
    assert "offset 1" in said


async def test_what_others_published_is_not_looked_at(shard: Lying) -> None:
    """Pairs and intervals that are not carried, bars before coverage, and what is no candle."""
    shard.put(BTC, 0)
    shard.put(ETH, 1, 2)
    shard.put(HOURLY, 0)
    shard.put(BTC, -2)
    shard.add(candle_key(BTC), b"hello, world", at(9), HERE, 0)
    assert await verdict(shard, account(BTC, settled(0, 0)), last={(HERE, 0): 0}) is None
    assert shard.read == [(HERE, 0, 1)]


async def test_where_no_offset_is_known_all_since_coverage_began_is_looked_at(
    shard: Lying,
) -> None:
    """The first transaction with candles knows of none before it."""
    shard.put(ETH, -3, -2)
    shard.put(BTC, 0, 1)
    assert await verdict(shard, account(BTC, settled(0, 0, 1))) is None
    assert shard.read == [(HERE, 0, 2)]
    assert await verdict(shard, account(BTC, settled(0, 0))) is not None


async def test_where_nothing_lies_nothing_is_read(shard: Lying) -> None:
    """A new topic, and one with nothing behind the last known offset."""
    shard.put(BTC, 0, partition=1)
    accounts = account(ETH), account(BTC, settled(0, 0), partition=1)
    assert await verdict(shard, *accounts, last={(HERE, 1): 0}) is None
    assert shard.read == []


async def test_a_recreated_topic_is_told_before_anything_is_read(shard: Lying) -> None:
    """What coverage calls published is not there any more."""
    shard.put(BTC, 0)
    shard.put(ETH, 9, partition=1)
    said = await verdict(shard, account(ETH, partition=1), last={(HERE, 0): 1})
    assert said == (
        "topic p.plain.closed was recreated or cut short: coverage speaks of offset 1 in partition "
        "0, which is not there; restore the topic together with p.coverage.fixed, or use another "
        "--prefix"
    )
    assert shard.read == []


# --- what is to begin -----------------------------------------------------------------------------


async def test_what_begins_must_not_have_candles_already(shard: Lying) -> None:
    """The topic of coverage was deleted: its candles from the first bar on would be doubled."""
    shard.put(BTC, -2, -1)
    assert await verdict(shard, account(BTC)) is None
    shard.put(BTC, 0)
    said = await verdict(shard, account(BTC))
    assert said is not None
    assert "offset 2" in said
    assert shard.read == [(HERE, 0, 2)]


async def test_each_is_looked_for_from_its_own_begin_on(shard: Lying) -> None:
    """Of those that share a partition the earliest counts, whichever is named first."""
    shard.put(ETH, 0)
    shard.put(BTC, 1)
    late, early = account(ETH, since=at(5)), account(BTC)
    for accounts in ((late, early), (early, late)):
        said = await verdict(shard, *accounts)
        assert said is not None
        assert "offset 1" in said
    assert await verdict(shard, late) is None


async def test_history_must_not_have_been_published_already(shard: Lying) -> None:
    """Coverage that is to reach back further than it does is looked at from there on."""
    shard.put(BTC, -3, -2, -1, 0)
    coverage = settled(0, 0)
    assert await verdict(shard, account(BTC, coverage), last={(HERE, 0): 2}) is None
    said = await verdict(shard, account(BTC, coverage, since=at(-2)), last={(HERE, 0): 2})
    assert said is not None
    assert "offset 1" in said
    assert shard.read == [(HERE, 0, 3), (HERE, 0, 1)]


async def test_a_grid_that_is_not_known_yet(shard: Lying) -> None:
    """Every slot that may contain the time of acceptance is in question, and none before."""
    learned = Grid(60, None)

    async def said(accepted: float) -> str | None:
        return await verdict(shard, account_of(lane(BTC, grid=learned), None, accepted))

    shard.put(BTC, 0)
    assert await said(at(1) - 0.5) is not None
    assert await said(at(1)) is None


async def test_a_search_ends_in_time(shard: Lying, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than can be read in time is a sentence, and its reader is closed."""
    monkeypatch.setattr(reconciliation, "SEARCH_SECONDS", 0.05)
    shard.put(BTC, 5)
    shard.may.clear()
    said = await verdict(shard, account(BTC))
    assert said == (
        "topic p.plain.closed holds too much to see within 0.05 s whether it has candles of what "
        "is to begin: begin later, or use another --prefix"
    )


async def test_what_went_on_before_is_given_its_time(
    shard: Lying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow Kafka ends no run: behind the last known offset lies little."""
    monkeypatch.setattr(reconciliation, "SEARCH_SECONDS", 0.01)
    shard.put(BTC, 0, 1)
    shard.may.clear()
    asyncio.get_running_loop().call_later(0.05, shard.may.set)
    assert await verdict(shard, account(BTC, settled(0, 0, 1)), last={(HERE, 0): 0}) is None


# --- several topics -------------------------------------------------------------------------------


async def test_every_topic_and_partition_is_looked_at(shard: Lying) -> None:
    """Exchanges have topics of their own, pairs partitions."""
    shard.put(BTC, 0, 1)
    shard.put(ETH, 0, 1, partition=1)
    shard.put(ELSEWHERE, 0, 1)
    coverage = settled(0, 0, 1)
    good = [account(BTC, coverage), account(ETH, coverage, partition=1)]
    last = {(HERE, 0): 0, (HERE, 1): 0, ("p.other.closed", 0): 0}
    assert await verdict(shard, *good, account(ELSEWHERE, coverage), last=last) is None
    assert sorted(shard.read) == [("p.other.closed", 0, 1), (HERE, 0, 1), (HERE, 1, 1)]
    said = await verdict(shard, *good, account(ELSEWHERE, settled(0, 0)), last=last)
    assert said is not None
    assert said.startswith("topic p.other.closed, partition 0, offset 1: ")


async def test_what_kafka_says_comes_through(shard: Lying) -> None:
    """Trouble is told as it is, so that the shard is taken over again."""
    shard.fails = Unreachable("no broker")
    with pytest.raises(Unreachable, match="no broker"):
        await verdict(shard, account(BTC))
