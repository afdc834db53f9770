"""What is kept in Kafka, read from outside: the newest coverage, the newest revisions."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.codec import candle_key, partition_of
from connectors.commands.kept import Kept
from connectors.errors import SetupError
from connectors.kafka import Record
from connectors.model import CandleData, Subscription
from connectors.records import CoverageRecord, CoverageState
from tests.commands.test_inventory import START, at, covered
from tests.written import Written

pytestmark = pytest.mark.kafka

ONE = Subscription("binance_spot", "BTC-USDT", "1m")
HOURLY = Subscription("binance_spot", "BTC-USDT", "1h")
OTHER = Subscription("binance_spot", "ETH-USDT", "1m")


@pytest.fixture
async def topics(kafka: str, prefix: str) -> Written:
    """The topics of one test."""
    written = Written(kafka, prefix)
    await written.create("binance_spot", transports=["websocket"])
    return written


def reader(topics: Written, complaints: list[str] | None = None) -> Kept:
    """A reader of them."""
    complain = ([] if complaints is None else complaints).append
    return Kept(topics.cluster, topics.plan, None, complain)


def record(subscription: Subscription | None = ONE, **more: Any) -> CoverageRecord:
    """A record of coverage."""
    return CoverageRecord(subscription=subscription, **more)


def bar(slot: int, close: float = 2.0) -> CandleData:
    """A closed bar."""
    return CandleData(at(slot), 2, 3, 1, close, 1, closed=True)


# --- coverage


async def test_coverage(topics: Written) -> None:
    """The newest record of each subscription counts; claims and what was deleted are not told."""
    old, new = record(coverage=covered(("away", 1))), record(coverage=covered(("empty", 2)))
    gone = topics.coverage(record(OTHER))
    topics.write(
        topics.coverage(record(None, owner="me")),
        topics.coverage(old),
        gone,
        topics.coverage(new),
        gone._replace(value=None),
    )

    assert await reader(topics).coverage() == {ONE: new}


async def test_coverage_of_all_transports(topics: Written) -> None:
    """Coverage of every transport is read; a subscription that moved counts where it lives."""
    ended = record(state=CoverageState.ENDED, updated_at=2)
    moved, other = record(updated_at=1), record(OTHER)
    websocket = topics.plan.coverage("websocket").name
    topics.write(
        topics.coverage(ended),
        topics.coverage(moved, websocket, 1),
        topics.coverage(other, websocket, 0),
    )

    assert await reader(topics).coverage() == {ONE: moved, OTHER: other}


async def test_unreadable_coverage(topics: Written) -> None:
    """What is no coverage is told with its place and harms nothing else."""
    good = topics.coverage(record())
    topics.write(good, good._replace(key=b"nonsense", value=b"hello, world"))
    complaints: list[str] = []

    assert list(await reader(topics, complaints).coverage()) == [ONE]
    (complaint,) = complaints
    assert complaint.startswith(f"{good.topic}, partition 0, offset 1: neither single-object nor")


async def test_no_coverage_topic(kafka: str, prefix: str) -> None:
    """Where nothing was ever carried there is no topic, which is a sentence."""
    with pytest.raises(SetupError, match=f"has no topic {prefix}.coverage.fixed or .*--prefix"):
        await reader(Written(kafka, prefix)).coverage()


# --- closed candles


async def test_newest_revisions(topics: Written) -> None:
    """Of each slot the newest revision is found, in whatever order they lie."""
    topics.write(
        topics.candle(ONE, bar(1)),
        topics.candle(ONE, bar(2, close=2.2), revision=2),
        topics.candle(ONE, bar(1, close=2.5), revision=1),
        topics.candle(ONE, bar(2, close=2.1), revision=1),
        topics.candle(ONE, bar(0), late=True),
    )

    found = (await reader(topics).closed("binance_spot", {ONE: (START, at(9))}))[ONE]

    assert {slot: (each.revision, each.candle.close) for slot, each in found.items()} == {
        at(0): (0, 2.0),
        at(1): (1, 2.5),
        at(2): (2, 2.2),
    }
    assert found[at(0)].late


async def test_only_what_is_asked_for(topics: Written) -> None:
    """Other pairs, intervals and times are left out, though they share the topic."""
    topics.write(
        *(topics.candle(ONE, bar(slot)) for slot in range(6)),
        *(topics.candle(OTHER, bar(slot)) for slot in range(6)),
        topics.candle(HOURLY, bar(0)),
    )

    found = await reader(topics).closed(
        "binance_spot", {ONE: (at(2), at(4)), OTHER: (at(5), at(6))}
    )

    assert {each: sorted(slots) for each, slots in found.items()} == {
        ONE: [at(2), at(3)],
        OTHER: [at(5)],
    }
    assert await reader(topics).closed("binance_spot", {}) == {}


async def test_history_behind_newer_ones(topics: Written) -> None:
    """Repaired candles are found although they lie behind much newer ones."""
    topics.write(
        *(topics.candle(ONE, bar(slot)) for slot in (0, 5, 6, 7)),
        topics.candle(ONE, bar(2), late=True),
    )

    found = await reader(topics).closed("binance_spot", {ONE: (at(1), at(4))})

    assert list(found[ONE]) == [at(2)]


async def test_unreadable_candle(topics: Written) -> None:
    """What is no candle is told with its place and harms nothing else."""
    key = candle_key(ONE)
    topic = topics.plan.closed("binance_spot")
    place = partition_of(key, topic.partitions)
    bad = Record(topic.name, place, key, b"hello, world", at(1) * 1000)
    topics.write(bad, topics.candle(ONE, bar(1)))
    complaints: list[str] = []

    found = await reader(topics, complaints).closed("binance_spot", {ONE: (at(0), at(9))})

    assert list(found[ONE]) == [at(1)]
    assert [each.partition(": ")[0] for each in complaints] == [
        f"{topic.name}, partition {place}, offset 0"
    ]
