"""Reading published candles back for ledgers that ask for them, beside the writer.

A ledger knows only digests of what it published some time ago; the figures lie in the closed
topic. ``ask`` is what it asks with, ``Ledger.recalled`` is how it is answered: with the newest
committed revision of each slot that it named, or with None where Kafka cannot tell.

What is asked of one partition is answered by one pass over it, and what is asked meanwhile waits
for the next: so every pass begins after its questions, and sees all that was committed before.
There is one pass at a time. It keeps only wanted slots, and of those a bounded number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from connectors.clock import Clock
from connectors.closed import Complain, Newest, Span, Wanted
from connectors.codec import candle_key
from connectors.errors import AccessError, BadFrame, SetupError
from connectors.flow import Lane
from connectors.kafka import Stored
from connectors.kafka.batches import Place
from connectors.limits import Backoff
from connectors.memory import Published
from connectors.model import Grid, Subscription
from connectors.records import CandleRecord
from connectors.telemetry import RecallFailed

PASS_SLOTS: Final = 20_000
"""So many slots are wanted of one pass, unless a single question names more."""

Read = Callable[[str, Sequence[int], Wanted, Complain], Awaitable[Newest]]
"""Reads partitions of a closed topic: ``read_newest`` of ``connectors.closed``."""


class Asker(Protocol):
    """What a ledger is to a recall."""

    subscription: Subscription
    grid: Grid
    begun: bool

    def recalled(
        self, start: int, end: int, published: list[Published] | None, real: float
    ) -> None:
        """The answer, oldest first; None where Kafka cannot tell. ``real`` is now."""


class Question(NamedTuple):
    """What is published of the slots ``[start, end)``? Both are open times of the grid."""

    ledger: Asker
    start: int
    end: int

    @property
    def slots(self) -> int:
        """How many it names."""
        return self.ledger.grid.count(self.start, self.end)


class Recall:
    """See the head of the module. ``run`` is a task; the other methods never wait."""

    def __init__(
        self, lanes: Mapping[Subscription, Lane], read: Read, clock: Clock, backoff: Backoff
    ) -> None:
        self._lanes = lanes
        self._read = read
        self._clock = clock
        self._backoff = backoff
        self._waiting: dict[Place, dict[Question, None]] = {}
        self._under_way: dict[Question, None] = {}
        self._asked = asyncio.Event()

    def ask(self, ledger: Asker, start: int, end: int) -> None:
        """Have ``ledger`` told, later, what is published of the slots in ``[start, end)``.

        Both are open times of its grid.
        """
        lane = self._lanes[ledger.subscription]
        place = lane.closed_topic, lane.partition
        self._waiting.setdefault(place, {})[Question(ledger, start, end)] = None
        self._asked.set()

    def drop(self) -> None:
        """The ledgers were forgotten: nobody waits for an answer any more."""
        self._waiting.clear()
        self._under_way.clear()

    async def run(self) -> None:
        """Answer what is asked, for ever. Trouble of whatever kind is got over by reading again."""
        while True:
            await self._asked.wait()
            if not self._waiting:
                self._asked.clear()
                continue
            place = next(iter(self._waiting))
            self._under_way = self._next_pass(place)
            try:
                await self._answer(place)
            except Exception as error:  # noqa: BLE001 - nothing ends it: ledgers wait for answers
                await self._put_off(place, error)

    def _next_pass(self, place: Place) -> dict[Question, None]:
        waiting = self._waiting.pop(place)
        wanted, slots = dict[Question, None](), 0
        for question in list(waiting):
            if wanted and slots + question.slots > PASS_SLOTS:
                break
            slots += question.slots
            wanted[question] = waiting.pop(question)
        if waiting:
            self._waiting[place] = waiting
        return wanted

    async def _answer(self, place: Place) -> None:
        found, unread = await self._found(place)
        self._backoff.reset()
        while self._under_way:
            question = next(iter(self._under_way))
            del self._under_way[question]
            ledger, start, end = question
            if ledger.begun:
                published = None
                if found is not None and candle_key(ledger.subscription) not in unread:
                    published = _published(found[ledger.subscription], start, end)
                ledger.recalled(start, end, published, self._clock.real())

    async def _found(self, place: Place) -> tuple[Newest | None, set[bytes | None]]:
        """What one pass finds (None: it cannot be had), and the keys of what cannot be read."""
        topic, partition = place
        unread: set[bytes | None] = set()

        def complain(stored: Stored, bad: BadFrame) -> None:
            unread.add(stored.key)
            _tell(place, bad)

        try:
            wanted = _wanted(self._under_way)
            return await self._read(topic, [partition], wanted, complain), unread
        except (SetupError, AccessError) as error:  # asking again cannot help
            _tell(place, error)
            return None, unread

    async def _put_off(self, place: Place, error: Exception) -> None:
        """Other places are read before this one is tried again."""
        self._waiting[place] = {**self._under_way, **self._waiting.pop(place, {})}
        self._under_way = {}
        delay = self._backoff.delay()
        _tell(place, error, delay)
        await asyncio.sleep(delay)


def _tell(place: Place, error: Exception, again_in: float | None = None) -> None:
    topic, partition = place
    wait = None if again_in is None else round(again_in, 1)
    RecallFailed(topic=topic, partition=partition, reason=str(error), again_in=wait).tell()


def _wanted(questions: Collection[Question]) -> Wanted:
    spans: dict[Subscription, list[Span]] = {}
    for ledger, start, end in questions:
        spans.setdefault(ledger.subscription, []).append((start, end))
    first = min(ledger.grid.after(start) for ledger, start, _ in questions)
    return Wanted(spans, (first, max(end for _, _, end in questions)))


def _published(newest: Mapping[int, CandleRecord], start: int, end: int) -> list[Published]:
    return [
        Published(record.candle, record.close_reason, record.revision, record.late)
        for slot, record in sorted(newest.items())
        if start <= slot < end
    ]
