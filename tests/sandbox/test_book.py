"""A pair's trades, with halts and late reports: exact, for every stretch of time."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.sandbox.book import Book
from connectors.sandbox.tape import DAY, EPOCH, HOUR, MINUTE, STILL, Tape

TAPE = Tape("busy", price=97_000_00, trades_per_minute=60, lots=250)
BEGIN = EPOCH + 300 * DAY + 5 * HOUR
NEVER, EVER = 0.0, float("inf")
edges = st.integers(BEGIN - 2 * HOUR, BEGIN + 6 * HOUR)


def halted() -> Book:
    """A book with two halts."""
    book = Book(lambda: TAPE)
    for start, end in ((0, 37 * MINUTE + 123), (2 * HOUR, 3 * HOUR)):
        book.halt(BEGIN + start)
        book.resume(BEGIN + end)
    return book


def corrected() -> Book:
    """The same book with late reports."""
    book = halted()
    for time, known in ((-HOUR, HOUR), (HOUR, 2 * HOUR), (HOUR, 3 * HOUR)):
        book.report(BEGIN + time, (BEGIN + known) / 1_000, random.Random(time))
    return book


HALTED, BOOK = halted(), corrected()


@settings(derandomize=True, max_examples=200, deadline=None)
@given(
    st.tuples(edges, edges, edges).map(sorted),
    st.sampled_from([NEVER, (BEGIN + 150 * MINUTE) / 1_000, EVER]),
)
def test_stretches_add_up(times: list[int], known: float) -> None:
    """Two stretches that follow each other are the same as both in one."""
    start, middle, end = times
    whole = BOOK.path(start, end, known)

    assert BOOK.path(start, middle, known).then(BOOK.path(middle, end, known)) == whole
    assert BOOK.price(end) == BOOK.price(start) + whole.close


@settings(derandomize=True, max_examples=100, deadline=None)
@given(edges, edges)
def test_reports_leave_what_follows(one: int, other: int) -> None:
    """Prices and trade ids are the same whether trades were reported late or not."""
    start, end = sorted((one, other))

    assert BOOK.price(start) == HALTED.price(start)
    assert BOOK.count(start) == HALTED.count(start)
    assert BOOK.path(start, end, NEVER) == HALTED.path(start, end, EVER)


def test_halt_is_still() -> None:
    """In a halt nothing is traded, and the price goes on from where it stood."""
    book = Book(lambda: TAPE)
    before = book.price(BEGIN)
    book.halt(BEGIN)

    assert book.path(BEGIN, BEGIN + DAY, EVER) == STILL
    assert book.price(BEGIN + DAY) == before
    book.resume(BEGIN + HOUR)
    assert book.path(BEGIN, BEGIN + HOUR, EVER) == STILL
    assert book.path(BEGIN, BEGIN + 2 * HOUR, EVER) == TAPE.path(BEGIN + HOUR, BEGIN + 2 * HOUR)
    assert book.count(BEGIN + HOUR) == TAPE.count(BEGIN)


def test_halts_within_each_other() -> None:
    """Two halts at a time end when the later one ends."""
    book = Book(lambda: TAPE)
    book.halt(BEGIN)
    book.halt(BEGIN + MINUTE)
    book.resume(BEGIN + 2 * MINUTE)

    assert book.path(BEGIN, BEGIN + HOUR, EVER) == STILL
    book.resume(BEGIN + 3 * MINUTE)
    rest = TAPE.path(BEGIN + 3 * MINUTE, BEGIN + HOUR)
    assert book.path(BEGIN, BEGIN + HOUR, EVER) == rest


def test_report_is_known_from_then_on() -> None:
    """A late report changes its moment once it is known, and says when that was."""
    book = Book(lambda: TAPE)
    known, end = BEGIN / 1_000 + 90, BEGIN + MINUTE
    book.report(BEGIN + 30_000, known, random.Random(1))
    before, after = book.path(BEGIN, end, known - 1), book.path(BEGIN, end, known)

    assert before == TAPE.path(BEGIN, end)
    assert after.trades == before.trades + 2
    assert after.volume > before.volume
    assert (after.open, after.close) == (before.open, before.close)
    assert book.reported(BEGIN, end, since=BEGIN / 1_000) == [known]
    assert book.reported(BEGIN, end, since=known) == []
    assert book.reported(BEGIN, BEGIN + 30_000, since=BEGIN / 1_000) == []
    assert book.path(BEGIN, BEGIN + 30_000, EVER) == TAPE.path(BEGIN, BEGIN + 30_000)


def test_last_trade() -> None:
    """The time of the last trade of a stretch is found; a still one has none."""
    last = BOOK.last_trade(BEGIN - MINUTE, BEGIN, EVER)

    assert last is not None
    assert BOOK.path(last, last + 1, EVER).trades
    assert not BOOK.path(last + 1, BEGIN, EVER).trades
    assert BOOK.last_trade(BEGIN, BEGIN + MINUTE, EVER) is None
