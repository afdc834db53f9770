"""Picking wanted candles from the records of a closed topic."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from math import inf

from connectors.closed import Wanted, pick
from connectors.codec import CandleEncoder, candle_key
from connectors.errors import BadFrame
from connectors.kafka import Cluster, Stored, TopicPlan
from connectors.model import CandleData, CloseReason, Subscription, grid_of
from connectors.schema import CANDLE
from connectors.values import Values
from tests.plain import START, subscription

BTC, ETH, HOURLY = subscription(), subscription("ETH-USDT"), subscription(interval="1h")
HOUR = START - START % 3600
VALUES = Values(CANDLE, Cluster("localhost:1"), TopicPlan())


def at(bar: int) -> int:
    """The open time of a bar, numbered from START."""
    return START + 60 * bar


def lying(wanted: Subscription, open_time: int, offset: int = 0, revision: int = 0) -> Stored:
    """A candle as it lies in Kafka."""
    grid = grid_of(wanted.interval)
    value = CandleEncoder(wanted, grid, CANDLE.prefix).encode(
        CandleData(open_time, 1, 1, 1, 1, 1),
        published_at=0,
        closed=True,
        reason=CloseReason.REST_ROW,
        revision=revision,
    )
    return Stored("t", 0, offset, candle_key(wanted), value, grid.after(open_time) * 1000)


class Log:
    """Records, and whether their reader was closed."""

    def __init__(self, *records: Stored) -> None:
        self.records = records
        self.closed = False
        self.complaints: list[tuple[int, str]] = []

    async def _read(self) -> AsyncGenerator[Stored, None]:
        try:
            for record in self.records:
                yield record
        finally:
            self.closed = True

    def _complain(self, stored: Stored, bad: BadFrame) -> None:
        self.complaints.append((stored.offset, str(bad)))

    async def picked(self, wanted: Wanted) -> list[tuple[Subscription, int, int]]:
        """Subscription, open time and offset of what is picked."""
        return [
            (record.subscription, record.candle.timestamp, stored.offset)
            async for stored, record in pick(self._read(), wanted, VALUES, self._complain)
        ]


async def test_only_wanted_slots_of_wanted_subscriptions_are_picked() -> None:
    """Other pairs, intervals and times share the partition; order is the log's."""
    log = Log(
        lying(BTC, at(3), 0),
        lying(ETH, at(2), 1),
        lying(HOURLY, HOUR, 2),
        lying(BTC, at(1), 3),
        lying(BTC, at(2), 4, revision=1),
        lying(BTC, at(4), 5),
        lying(BTC, at(0), 6),
        lying(BTC, at(8), 7),
    )
    wanted = Wanted({BTC: [(at(1), at(4)), (at(8), inf)]}, (at(2), inf))
    assert await log.picked(wanted) == [
        (BTC, at(3), 0),
        (BTC, at(1), 3),
        (BTC, at(2), 4),
        (BTC, at(8), 7),
    ]
    assert log.closed


async def test_what_closes_at_another_time_is_not_even_decoded() -> None:
    """A record is stamped with its close: most need not be looked into."""
    broken = lying(BTC, at(0))._replace(value=b"hello, world")
    late = broken._replace(timestamp=at(3) * 1000)
    log = Log(broken, broken._replace(key=candle_key(ETH), timestamp=at(2) * 1000), late)
    assert await log.picked(Wanted({BTC: [(at(1), at(2))]}, (at(2), at(2)))) == []
    assert log.complaints == []


async def test_what_is_no_candle_is_told_and_harms_nothing() -> None:
    """With its place; what comes behind it is picked."""
    log = Log(lying(BTC, at(1))._replace(value=b"hello, world"), lying(BTC, at(1), 1))
    assert await log.picked(Wanted({BTC: [(at(1), at(2))]}, (at(2), at(2)))) == [(BTC, at(1), 1)]
    ((offset, said),) = log.complaints
    assert offset == 0
    assert said.startswith("t, partition 0, offset 0: neither")


async def test_a_reader_that_is_left_early_is_closed() -> None:
    """Who has seen enough leaves no consumer behind."""
    log = Log(lying(BTC, at(1)), lying(BTC, at(1), 1))
    picked = pick(
        log._read(), Wanted({BTC: [(at(1), at(2))]}, (at(2), at(2))), VALUES, log._complain
    )
    await anext(picked)
    await picked.aclose()
    assert log.closed


def test_intervals_of_a_pair_share_its_key() -> None:
    """Each pair is looked for once."""
    assert Wanted({BTC: [], HOURLY: [], ETH: []}, (0, inf)).pairs == {
        candle_key(BTC),
        candle_key(ETH),
    }
