"""What is asked over REST, and when: no asyncio, no clock, ledgers that do as they are told."""

# ruff: noqa: ARG002 - the ledger names the arguments

from __future__ import annotations

from collections import Counter
from math import inf

import pytest

from connectors.adapter import (
    Rate,
    RestAnswer,
    RestRefused,
    RestRequest,
    RestSlowDown,
    RestUnavailable,
    Rows,
)
from connectors.agenda import AT_ONCE, BLOCKED, REFUSED, SOONEST, Agenda, Errand
from connectors.inquiry import Kind, Span
from connectors.ledger import Ledger
from connectors.limits import Backoff, Budget
from connectors.model import CandleData, grid_of
from tests.plain import NO_REST, RULES, START, Hands, Plain, ledger_of, subscription, unanswered

PLENTY = Rate(1_000)


class Weighty(Plain):
    """Every row that is asked for costs one of the budget."""

    def rest_weight(self, limit: int) -> float:
        return float(limit)


class Book(Ledger):
    """A ledger that wants what a test wants, and notes what became of it."""

    def __init__(self, name: str, world: World) -> None:
        self.wants: list[Span] = []
        self.ticks: list[float] = []
        self.next_due = inf
        self.got: list[list[CandleData]] = []
        self.failures: list[tuple[float, float]] = []
        self.wrong: Exception | None = None
        super().__init__(
            subscription(name),
            grid_of("1m"),
            NO_REST,
            world.clock,
            world.agenda.wake,
            lambda _: None,
            unanswered,
        )

    def tick(self, market: float, real: float) -> Span | None:
        self.ticks.append(real)
        return self.wants.pop(0) if self.wants else None

    def due(self) -> float:
        return self.next_due

    def rows(self, rows: list[CandleData], asked: Span, market: float, real: float) -> None:
        if self.wrong:
            raise self.wrong
        self.got.append(rows)

    def failed(self, asked: Span, real: float, retry_at: float = -inf) -> None:
        self.failures.append((real, retry_at))


class World:
    """One agenda, its ledgers, and the time."""

    def __init__(self, *rates: Rate, speed: float = 1.0, adapter: Plain | None = None) -> None:
        self.hands = Hands()
        self.clock = self.hands.clock(speed)
        budget = Budget(rates or [PLENTY])
        backoff = Backoff(lambda: 1.0, 1.0)
        self.agenda = Agenda(adapter or Plain(), budget, backoff, self.clock)

    @property
    def now(self) -> float:
        return self.hands.real

    def book(self, name: str, *, kind: Kind = Kind.HEAD, slots: int = 1) -> Book:
        """A ledger that wants something at once."""
        book = Book(name, self)
        self.ask(book, kind=kind, slots=slots)
        return book

    def ask(self, book: Book, *, kind: Kind = Kind.HEAD, slots: int = 1) -> None:
        book.wants.append(Span(START, START + 60 * slots, kind, START))
        self.agenda.wake(book, self.now)

    def requests(self) -> list[Errand]:
        return self.agenda.next_requests(self.clock.market(), self.now)

    def asked(self) -> list[str]:
        """The pairs that are asked for now, and answered at once."""
        errands = self.requests()
        for errand in errands:
            self.answer(errand, Rows([]))
        return [errand.request.trading_pair for errand in errands]

    def answered(self) -> list[str]:
        """The same, and each is answered at once."""
        errands = self.requests()
        for errand in errands:
            self.answer(errand, Rows([]))
        return [errand.request.trading_pair for errand in errands]

    def due_in(self) -> float:
        return self.agenda.due(self.clock.market()) - self.now

    def answer(self, errand: Errand, answer: RestAnswer) -> str | None:
        return self.agenda.answered(errand, answer, self.clock.market(), self.now)

    def next_requests(self) -> list[Errand]:
        """Let time pass until something is asked."""
        while not (errands := self.requests()):
            self.wait()
        return errands

    def wait(self) -> None:
        """Let time pass until the agenda wants to be looked at."""
        assert self.due_in() < inf, "it waits for nothing"
        self.hands.real += max(0.0, self.due_in())


# --- waking ---------------------------------------------------------------------------------------


def test_a_ledger_is_ticked_when_it_wanted_to_be_woken_and_not_before() -> None:
    """Nothing is due before the time that a ledger named, and then it is ticked once."""
    world = World()
    book = Book("A-B", world)
    world.agenda.wake(book, world.now + 5)
    assert (world.requests(), book.ticks, world.due_in()) == ([], [], 5)
    world.wait()
    world.requests()
    assert book.ticks == [1_005.0]
    assert world.due_in() == inf


def test_only_the_earliest_waking_counts() -> None:
    """Of several wishes to be woken the earliest is fulfilled, the others are as good as that."""
    world = World()
    book = Book("A-B", world)
    for delay in (5, 2, 9):
        world.agenda.wake(book, world.now + delay)
    assert world.due_in() == 2
    for _ in range(10):
        world.hands.real += 1
        world.requests()
    assert book.ticks == [1_002.0]


def test_a_ledger_that_is_always_due_does_not_keep_the_agenda_busy() -> None:
    """Between two ticks of one ledger there is a pause, whatever it says."""
    world = World()
    book = Book("A-B", world)
    book.next_due = -inf
    world.agenda.wake(book, -inf)
    world.requests()
    assert world.due_in() == pytest.approx(SOONEST)
    world.requests()
    assert len(book.ticks) == 1


def test_a_ledger_is_woken_again_when_it_says() -> None:
    """After a tick, what a ledger says of its next one holds."""
    world = World()
    book = Book("A-B", world)
    book.next_due = world.now + 30
    world.agenda.wake(book, world.now)
    world.requests()
    assert world.due_in() == 30


# --- what is asked --------------------------------------------------------------------------------


def test_a_request_is_the_adapters_and_asks_for_all_slots_of_the_span() -> None:
    """Pair, interval, range and the number of slots reach the adapter."""
    world = World(adapter=Weighty())
    world.book("A-B", slots=7)
    (errand,) = world.requests()
    assert errand.request == RestRequest(
        url=Plain.rest_url,
        params={"of": "A-B@1m", "from": START, "to": START + 7 * 60 - 1},
        weight=7.0,
        trading_pair="A-B",
        interval="1m",
        start=START,
        end=START + 7 * 60,
        limit=7,
    )


def test_at_most_a_few_requests_are_under_way() -> None:
    """However much is wanted, no more than AT_ONCE are asked until one is answered."""
    world = World()
    books = [world.book(f"A{n}-B") for n in range(AT_ONCE + 2)]
    errands = world.requests()
    assert (len(errands), world.requests(), world.due_in()) == (AT_ONCE, [], inf)
    world.answer(errands[0], Rows([]))
    assert world.asked() == [books[AT_ONCE].subscription.trading_pair]


def test_what_is_urgent_goes_before_what_is_patient() -> None:
    """Heads of books are asked for before repairs, even such as waited longer."""
    world = World(Rate(1, 10))
    world.book("OLD-B", kind=Kind.REPAIR)
    world.book("NEW-B")
    assert world.answered() == ["NEW-B"]
    world.wait()
    assert world.asked() == ["OLD-B"]


def test_nobody_starves() -> None:
    """Where the budget allows less than all want, everybody has the same share of it."""
    world = World(Rate(1, 1))
    books = [world.book(f"A{n}-B") for n in range(5)]
    asked: Counter[str] = Counter()
    while asked.total() < 50:
        world.wait()
        for errand in world.requests():
            asked[errand.request.trading_pair] += 1
            world.answer(errand, Rows([]))
            world.ask(next(book for book in books if book is errand.ledger))
    assert set(asked.values()) == {10}


def test_rows_go_to_the_ledger_that_asked() -> None:
    """An answer of candles is handed to the ledger, and gives no reason to complain."""
    world = World()
    one, other = world.book("A-B"), world.book("C-D")
    first, _ = world.requests()
    candle = CandleData(START, 1, 1, 1, 1, 1)
    assert world.answer(first, Rows([candle])) is None
    assert (one.got, other.got, world.agenda.under_way) == ([[candle]], [], 1)


@pytest.mark.parametrize("wrong", [ValueError("no bar opens there"), KeyError("a defect")])
def test_rows_that_a_ledger_cannot_take_count_as_a_failure(wrong: Exception) -> None:
    """Whatever a ledger raises is handed on, and it may ask again: nothing stays under way."""
    world = World()
    book = world.book("A-B")
    book.wrong = wrong
    (errand,) = world.requests()
    with pytest.raises(type(wrong)):
        world.answer(errand, Rows([]))
    assert (world.agenda.under_way, len(book.failures)) == (0, 1)


# --- budget, and what the exchange says -----------------------------------------------------------


def test_the_budget_is_kept_in_market_time() -> None:
    """Where market time runs sixty times as fast, a minute's budget is free again in a second."""
    world = World(Rate(2, 60), speed=60.0)
    for n in range(3):
        world.book(f"A{n}-B")
    assert world.answered() == ["A0-B", "A1-B"]
    assert world.due_in() == pytest.approx(1.0)
    world.wait()
    assert world.asked() == ["A2-B"]


def test_a_heavy_request_is_waited_for_until_it_fits() -> None:
    """The next look is when the weight of the waiting request is free, not when anything is."""
    world = World(Rate(10, 60), adapter=Weighty())
    for name in ("A-B", "C-D"):
        world.book(name, slots=8)
    assert world.answered() == ["A-B"]
    assert world.due_in() == pytest.approx(60)
    world.wait()
    assert world.asked() == ["C-D"]


def test_one_limit_met_by_several_requests_is_one_failure() -> None:
    """Requests that were under way together do not double the back-off each."""
    world = World()
    for n in range(AT_ONCE):
        world.book(f"A{n}-B")
    for errand in world.requests():
        world.answer(errand, RestSlowDown("too fast", None))
    assert world.agenda.budget.free_at(world.clock.market()) - world.clock.market() == 1.0


@pytest.mark.parametrize(("told", "wait"), [(30.0, 30.0), (None, 1.0)])
def test_slow_down_hushes_everybody_of_the_exchange(told: float | None, wait: float) -> None:
    """After a 429 nobody asks before Retry-After has passed, or where none is told, a back-off."""
    world = World()
    book = world.book("A-B")
    (errand,) = world.requests()
    assert world.answer(errand, RestSlowDown("too fast", told)) == "too fast"
    assert book.failures == [(world.now, world.now)], "the budget is closed, for all alike"
    world.book("C-D")
    assert world.asked() == []
    assert world.due_in() == pytest.approx(wait)
    world.wait()
    assert world.asked() == ["C-D"]


def test_the_back_off_grows_until_an_answer_is_good() -> None:
    """Each 429 without Retry-After doubles the silence; candles end that."""
    world = World()
    waits = []
    no = RestSlowDown("no")
    world.book("A-B")
    for answer in (no, no, no, Rows([]), no):
        (errand,) = world.next_requests()
        world.answer(errand, answer)
        waits.append(world.agenda.budget.free_at(world.clock.market()) - world.clock.market())
        world.book("A-B")
    assert waits == pytest.approx([1, 2, 4, 0, 1])


def test_an_exchange_that_does_not_serve_us_is_not_hammered() -> None:
    """After an HTTP 451 the whole exchange is left alone for a quarter of an hour."""
    world = World()
    world.book("A-B")
    (errand,) = world.requests()
    assert world.answer(errand, RestUnavailable("not here", blocked=True)) == "not here"
    world.book("C-D")
    assert world.asked() == []
    assert world.due_in() == pytest.approx(BLOCKED)


def test_an_outage_of_one_request_holds_nobody_up() -> None:
    """A server error is the ledger's to get over; others are asked for meanwhile."""
    world = World()
    book = world.book("A-B")
    (errand,) = world.requests()
    assert world.answer(errand, RestUnavailable("HTTP 500")) == "HTTP 500"
    assert book.failures == [(world.now, world.now)]
    world.book("C-D")
    assert world.asked() == ["C-D"]


def test_what_is_refused_is_asked_for_later() -> None:
    """A refusal keeps its ledger away for a minute, and nobody else."""
    world = World()
    book = world.book("A-B")
    (errand,) = world.requests()
    assert world.answer(errand, RestRefused("unknown pair")) == "unknown pair"
    assert book.failures == [(world.now, world.now + REFUSED)]
    world.book("C-D")
    assert world.asked() == ["C-D"]


# --- forgotten ledgers ----------------------------------------------------------------------------


def test_a_forgotten_ledger_waits_in_the_queue_only_once() -> None:
    """Begun again and again, while nothing may be asked, it leaves one request of each kind."""
    world = World()
    world.agenda.budget.close(START + 100)
    book = Book("A-B", world)
    for kind in (Kind.HEAD, Kind.REPAIR, Kind.HEAD, Kind.HEAD):
        world.ask(book, kind=kind)
        world.requests()
        world.hands.real += 1
    world.hands.real += 100
    assert world.asked() == ["A-B", "A-B"]
    assert (world.asked(), world.due_in()) == ([], inf)


def test_the_answer_for_a_forgotten_ledger_harms_nothing() -> None:
    """Rows that come after a ledger was forgotten publish nothing; begun again, it asks anew."""
    world = World()
    ledger = ledger_of(subscription(), world.clock, RULES, world.agenda.wake)
    ledger.begin(None, START, world.now)
    (errand,) = world.next_requests()
    ledger.forget()
    candle = CandleData(START, 1, 1, 1, 1, 1)
    world.answer(errand, Rows([candle]))
    assert (ledger.pending, world.agenda.under_way) == ([], 0)
    ledger.begin(None, START, world.now)
    (errand,) = world.next_requests()
    world.answer(errand, Rows([candle, CandleData(START + 60, 1, 1, 1, 1, 1)]))
    assert [published.candle for published in ledger.pending] == [candle]


def test_a_ledger_that_has_not_begun_asks_nothing() -> None:
    """Between forgetting and beginning again nothing is asked, however often it is looked at."""
    world = World()
    ledger = ledger_of(subscription(), world.clock, RULES, world.agenda.wake)
    ledger.begin(None, START, world.now)
    ledger.forget()
    world.hands.real += 1_000
    assert (world.requests(), world.due_in()) == ([], inf)
