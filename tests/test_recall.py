"""Reading published candles back: which questions share a pass, and what becomes of trouble."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from connectors import recall, telemetry
from connectors.closed import Complain, Newest, Wanted
from connectors.codec import candle_key
from connectors.errors import AccessError, BadFrame, SetupError, Unreachable
from connectors.flow import Lane
from connectors.kafka import Stored
from connectors.kafka.batches import Place
from connectors.limits import Backoff
from connectors.memory import Published
from connectors.model import CandleData, CloseReason, Subscription, grid_of
from connectors.recall import Recall
from connectors.records import CandleRecord
from connectors.tasks import end
from tests.plain import START, running_clock, subscription, until

BTC, ETH, DOT = (subscription(f"{base}-USDT") for base in ("BTC", "ETH", "DOT"))
HERE, THERE = ("p.plain.closed", 1), ("p.plain.closed", 2)
Answer = tuple[int, int, list[tuple[int, int]] | None]
"""Bars asked for, and the (bar, revision) told of."""


def at(bar: int) -> int:
    """The open time of a bar, numbered from START."""
    return START + 60 * bar


class Asks:
    """Stands for a ledger: keeps what it is told, and may do something then."""

    def __init__(self, wanted: Subscription) -> None:
        self.subscription = wanted
        self.grid = grid_of(wanted.interval)
        self.begun = True
        self.told: list[Answer] = []
        self.published: list[Published] = []
        self.then: Callable[[], object] = lambda: None

    def recalled(
        self, start: int, end: int, published: list[Published] | None, real: float
    ) -> None:
        del real
        self.published = published or []
        found = None
        if published is not None:
            found = [((it.candle.timestamp - START) // 60, it.revision) for it in published]
        self.told.append(((start - START) // 60, (end - START) // 60, found))
        self.then()


class World:
    """A recall, whose reading is done by hand; BTC and ETH share a partition."""

    def __init__(self) -> None:
        self.asks = {each: Asks(each) for each in (BTC, ETH, DOT)}
        lanes = {
            each: SimpleNamespace(
                ledger=asks,
                closed_topic=HERE[0],
                partition=(THERE if each is DOT else HERE)[1],
            )
            for each, asks in self.asks.items()
        }
        self.passes: list[tuple[Place, Wanted]] = []
        self.fails: deque[Exception] = deque()
        self.unreadable: list[bytes] = []
        self.kept: dict[Subscription, list[CandleRecord]] = {}
        self.may = asyncio.Event()
        self.may.set()
        self.recall = Recall(
            cast(dict[Subscription, Lane], lanes),
            self._read,
            running_clock(),
            Backoff(lambda: 0.0, 0.01, 0.02),
        )

    async def _read(
        self, topic: str, partitions: Sequence[int], wanted: Wanted, complain: Complain
    ) -> Newest:
        (partition,) = partitions
        place = topic, partition
        self.passes.append((place, wanted))
        await self.may.wait()
        if self.fails:
            raise self.fails.popleft()
        for key in self.unreadable:
            complain(Stored(*place, 0, key, b"", 0), BadFrame("no candle"))
        return {
            each: {it.candle.timestamp: it for it in self.kept.get(each, []) if wanted.has(it)}
            for each in wanted.spans
        }

    def keeps(self, wanted: Subscription, *bars: int, **more: Any) -> None:
        """These candles lie in Kafka."""
        self.kept.setdefault(wanted, []).extend(kept(wanted, bar, **more) for bar in bars)

    def ask(self, wanted: Subscription, start: int, stop: int) -> None:
        """A ledger asks for bars ``[start, stop)``."""
        self.recall.ask(self.asks[wanted], at(start), at(stop))

    async def told(self, wanted: Subscription, times: int = 1) -> list[Answer]:
        """What a ledger was told, when it was told so many times."""
        await until(lambda: len(self.asks[wanted].told) >= times)
        return self.asks[wanted].told


def kept(wanted: Subscription, bar: int, revision: int = 0, late: bool = False) -> CandleRecord:
    """A closed candle as it is read from Kafka."""
    candle = CandleData(at(bar), 1, 1, 1, 1, 1, closed=True)
    candle.event_time = 7
    reason = CloseReason.REST_ROW
    return CandleRecord(wanted, candle, at(bar + 1), True, reason, revision, late, 0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A recall that runs."""
    telemetry.counts.clear()
    made = World()
    running = asyncio.create_task(made.recall.run())
    yield made
    assert not running.done(), "the task of recall has ended"
    await end(running)


# --- answers --------------------------------------------------------------------------------------


async def test_a_ledger_is_told_what_is_published_of_the_slots_it_named(world: World) -> None:
    """In order of open times, with figures, event time, reason, revision and late; no others."""
    world.keeps(BTC, 5, 2, 3)
    world.keeps(BTC, 4, revision=2, late=True)
    world.ask(BTC, 3, 5)
    assert await world.told(BTC) == [(3, 5, [(3, 0), (4, 2)])]
    third, fourth = world.asks[BTC].published
    assert fourth == Published(kept(BTC, 4).candle, CloseReason.REST_ROW, 2, late=True)
    assert (fourth.candle.event_time, third.late) == (7, False)


async def test_a_pass_looks_between_the_earliest_and_the_latest_close_in_question(
    world: World,
) -> None:
    """Candles are stamped with their close: nothing older has to be read, nothing newer decoded."""
    world.may.clear()
    world.ask(DOT, 0, 1)
    await until(lambda: len(world.passes) == 1)
    world.ask(BTC, 9, 10)
    world.ask(ETH, 4, 6)
    world.may.set()
    await world.told(ETH)
    place, wanted = world.passes[1]
    assert (place, wanted.closes) == (HERE, (at(5), at(10)))
    assert wanted.spans == {BTC: [(at(9), at(10))], ETH: [(at(4), at(6))]}


async def test_what_is_asked_during_a_pass_waits_for_the_next(world: World) -> None:
    """One pass serves all that was asked before it, and nothing that was asked later."""
    world.may.clear()
    world.ask(BTC, 0, 1)
    await until(lambda: len(world.passes) == 1)
    world.ask(BTC, 0, 1)
    world.ask(BTC, 1, 2)
    world.ask(ETH, 2, 3)
    world.ask(DOT, 3, 4)
    world.may.set()
    await asyncio.gather(world.told(BTC, 3), world.told(ETH), world.told(DOT))
    assert [(place, sum(map(len, wanted.spans.values()))) for place, wanted in world.passes] == [
        (HERE, 1),
        (HERE, 3),
        (THERE, 1),
    ]
    assert [answer[:2] for answer in world.asks[BTC].told] == [(0, 1), (0, 1), (1, 2)]


async def test_questions_of_a_ledger_are_answered_one_by_one(world: World) -> None:
    """Each with its own slots, though one pass has found them all."""
    world.may.clear()
    world.ask(DOT, 0, 1)
    await until(lambda: len(world.passes) == 1)
    world.ask(BTC, 0, 2)
    world.ask(BTC, 1, 4)
    world.keeps(BTC, 0, 1, 2, 3, 4)
    world.may.set()
    assert await world.told(BTC, 2) == [
        (0, 2, [(0, 0), (1, 0)]),
        (1, 4, [(1, 0), (2, 0), (3, 0)]),
    ]


async def test_a_pass_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many slots are kept at once; a single larger question has a pass of its own."""
    monkeypatch.setattr(recall, "PASS_SLOTS", 10)
    world.may.clear()
    world.ask(DOT, 0, 1)
    await until(lambda: len(world.passes) == 1)
    for start, stop in [(0, 6), (6, 10), (10, 11), (11, 99), (99, 100)]:
        world.ask(BTC, start, stop)
    world.may.set()
    await world.told(BTC, 5)
    assert [wanted.spans[BTC] for _, wanted in world.passes[1:]] == [
        [(at(0), at(6)), (at(6), at(10))],
        [(at(10), at(11))],
        [(at(11), at(99))],
        [(at(99), at(100))],
    ]


async def test_a_ledger_may_ask_again_when_it_is_told(world: World) -> None:
    """A question that is asked in answer to an answer is answered, too."""
    asks = world.asks[BTC]

    def once() -> None:
        asks.then = lambda: None
        world.ask(BTC, 1, 2)

    asks.then = once
    world.ask(BTC, 0, 1)
    assert [answer[:2] for answer in await world.told(BTC, 2)] == [(0, 1), (1, 2)]


# --- a shard that is taken over anew --------------------------------------------------------------


async def test_after_a_take_over_nobody_is_told_what_was_asked_before_it(world: World) -> None:
    """Neither what a pass finds that was under way, nor what waited for the next."""
    world.may.clear()
    world.ask(BTC, 0, 1)
    await until(lambda: len(world.passes) == 1)
    world.ask(ETH, 0, 1)
    world.recall.drop()
    world.ask(BTC, 0, 1)
    world.may.set()
    await world.told(BTC)
    await until(lambda: not world.recall._asked.is_set())
    assert (len(world.asks[BTC].told), len(world.passes)) == (1, 2)
    assert world.asks[ETH].told == []


async def test_what_failed_before_a_take_over_is_not_read_again(world: World) -> None:
    """A question that waits for another try is dropped with the others."""
    world.fails.append(Unreachable("no broker"))
    world.ask(BTC, 0, 1)
    await until(lambda: telemetry.counts["recall.failed", ""] == 1)
    world.recall.drop()
    world.ask(ETH, 0, 1)
    await world.told(ETH)
    assert [list(wanted.spans) for _, wanted in world.passes] == [[BTC], [ETH]]


async def test_a_ledger_that_has_not_begun_is_told_nothing(world: World) -> None:
    """One that was quarantined, say."""
    world.asks[BTC].begun = False
    world.ask(BTC, 0, 1)
    world.ask(ETH, 0, 1)
    await world.told(ETH)
    assert world.asks[BTC].told == []


# --- trouble --------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [Unreachable("no broker"), KeyError("a defect")])
async def test_trouble_is_got_over_by_reading_again(world: World, error: Exception) -> None:
    """With back-off, told each time, other partitions first; and in the end the answer is there."""
    world.may.clear()
    world.fails.extend([error, error])
    world.ask(BTC, 0, 1)
    await until(lambda: len(world.passes) == 1)
    world.ask(DOT, 0, 1)
    world.keeps(BTC, 0)
    world.may.set()
    assert await world.told(BTC) == [(0, 1, [(0, 0)])]
    assert [place for place, _ in world.passes] == [HERE, THERE, HERE, THERE]
    assert telemetry.counts["recall.failed", ""] == 2
    assert await world.told(DOT) == [(0, 1, [])]


@pytest.mark.parametrize("error", [SetupError("no such topic"), AccessError("no right")])
async def test_what_cannot_be_had_is_told_as_that(world: World, error: Exception) -> None:
    """A deleted topic is no reason to end or to read again: the ledger is told None."""
    world.fails.append(error)
    world.ask(BTC, 0, 1)
    assert await world.told(BTC) == [(0, 1, None)]
    assert telemetry.counts["recall.failed", ""] == 1


async def test_among_unreadable_records_nothing_is_certain(world: World) -> None:
    """What is no candle may hide one of its pair: that pair is told None, others their candles."""
    world.keeps(BTC, 0)
    world.keeps(ETH, 0)
    world.unreadable.append(candle_key(BTC))
    world.ask(BTC, 0, 1)
    world.ask(ETH, 0, 1)
    assert await world.told(BTC) == [(0, 1, None)]
    assert await world.told(ETH) == [(0, 1, [(0, 0)])]


async def test_a_ledger_that_fails_harms_no_other(world: World) -> None:
    """Its question is spent, and the others of the same pass are answered."""

    def fail() -> None:
        raise ValueError("a defect of a ledger")

    world.asks[BTC].then = fail
    world.ask(BTC, 0, 1)
    world.ask(ETH, 0, 1)
    await world.told(ETH)
    assert len(world.asks[BTC].told) == 1
    assert telemetry.counts["recall.failed", ""] == 1


async def test_a_recall_can_be_cancelled_while_it_reads() -> None:
    """Stopping does not wait for a pass."""
    world = World()
    world.may.clear()
    running = asyncio.create_task(world.recall.run())
    world.ask(BTC, 0, 1)
    await until(lambda: len(world.passes) == 1)
    await asyncio.wait_for(end(running), 1)
    assert running.cancelled()
