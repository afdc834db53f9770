"""Reading closed candles over REST: pages, budget, waiting, and whom to believe."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import orjson
import pytest

from connectors.adapter import Limits, Rate, RestPages, RestReply, RestRequest
from connectors.commands.history import TRIES, History
from connectors.errors import Blocked, SlowDown, Unreachable, UsageError
from connectors.model import CandleData, grid_of
from tests.plain import START, Hands, Plain

MINUTES = grid_of("1m")

Answer = Callable[[RestRequest], RestReply]


def page(request: RestRequest) -> RestReply:
    """What the exchange has: a bar for every minute."""
    return rows(range(request.start, request.end, 60))


def rows(slots: Iterable[int]) -> RestReply:
    """A reply with these bars."""
    return RestReply(200, {}, orjson.dumps([[slot, 1.0] for slot in slots]))


def says(status: int, body: bytes = b"no", **headers: str) -> Answer:
    """The same reply to whatever is asked."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: RestReply(status, told, body)


class World:
    """An exchange that answers with ``answers``, then as it should; time passes by sleeping."""

    def __init__(self, *answers: Answer, adapter: Plain | None = None, speed: float = 1.0) -> None:
        self.hands = Hands()
        self.asked: list[tuple[float, RestRequest]] = []
        self._began = self.hands.real
        self._answers = list(answers)
        self.history = History(
            adapter or Plain(), self._fetch, self.hands.clock(speed), lambda: 1.0, self._sleep
        )

    async def _fetch(self, request: RestRequest) -> RestReply:
        self.asked.append((self.hands.real - self._began, request))
        return (self._answers.pop(0) if self._answers else page)(request)

    async def _sleep(self, seconds: float) -> None:
        self.hands.real += seconds

    async def read(self, slots: int) -> dict[int, CandleData]:
        """So many minutes."""
        return await self.history.read("BTC-USDT", "1m", MINUTES, START, START + 60 * slots)

    @property
    def pages(self) -> list[tuple[int, int, int]]:
        """What was asked for: first slot, the one after the last, and how many, by number."""
        return [
            ((each.start - START) // 60, (each.end - START) // 60, each.limit)
            for _, each in self.asked
        ]

    @property
    def times(self) -> list[float]:
        """When it was asked, in real seconds."""
        return [round(at, 2) for at, _ in self.asked]


async def test_pages() -> None:
    """A range is read in the exchange's biggest pages, each slot once."""
    world = World()

    found = await world.read(230)

    assert world.pages == [(0, 100, 100), (100, 200, 100), (200, 230, 30)]
    assert sorted(found) == [START + 60 * slot for slot in range(230)]


async def test_nothing_to_read() -> None:
    """An empty range asks nothing."""
    world = World()

    assert await world.read(0) == {}
    assert world.asked == []


async def test_budget() -> None:
    """A tenth of the exchange's budget is spent, counted in market time."""

    class Poor(Plain):
        limits = Limits(source="", checked="", rest=(Rate(20, 60),))

        def rest_pages(self, interval: str) -> RestPages:
            del interval
            return RestPages(10)

    world, fast = World(adapter=Poor()), World(adapter=Poor(), speed=60)
    await world.read(50)
    await fast.read(50)

    assert world.times == pytest.approx([0, 0, 60, 60, 120], abs=0.1)
    assert fast.times == pytest.approx([0, 0, 1, 1, 2], abs=0.1)


async def test_slow_down() -> None:
    """After a 429 nothing is asked before the time that the exchange tells."""
    world = World(page, says(429, retry_after="7"), says(429, retry_after="2"))

    assert len(await world.read(150)) == 150

    assert world.times == pytest.approx([0, 0, 7, 9], abs=0.1)
    assert world.pages[1] == world.pages[2] == world.pages[3]


async def test_backing_off() -> None:
    """Where it does not tell a time, and where it fails, it is asked later and later."""
    world = World(says(429), says(500), says(502, b"<html>"), says(200, b"{]"))

    assert len(await world.read(3)) == 3

    assert world.times == [0, 1, 3, 7, 15]


async def test_giving_up() -> None:
    """After many tries the last reason is told."""
    for answer, kind in ((says(503), Unreachable), (says(429), SlowDown)):
        world = World(*[answer] * 20)
        with pytest.raises(kind, match=r"^plain: HTTP \d+: no"):
            await world.read(3)
        assert len(world.asked) == TRIES


async def test_no_use_to_ask_again() -> None:
    """A refusal, and an address that is not served, are told at once."""
    for answer, kind in ((says(400), UsageError), (says(451), Blocked)):
        world = World(answer)
        with pytest.raises(kind, match="plain: "):
            await world.read(3)
        assert len(world.asked) == 1


async def test_another_page() -> None:
    """Rows that were not asked for are left out; a reply of nothing else is no answer."""
    world = World(
        lambda request: rows([request.start - 60]),
        lambda request: rows(range(request.start - 120, request.end + 120, 60)),
    )

    assert sorted(await world.read(3)) == [START, START + 60, START + 120]
    assert len(world.asked) == 2


async def test_no_rows() -> None:
    """No rows are an answer: the exchange has none."""
    assert await World(lambda _: rows([])).read(3) == {}


async def test_unreadable() -> None:
    """Whatever a body does to the adapter is told in a sentence."""
    world = World(*[says(200, b'[["x", null]]')] * TRIES)

    with pytest.raises(Unreachable, match="plain: a REST reply cannot be read: ValueError"):
        await world.read(3)
