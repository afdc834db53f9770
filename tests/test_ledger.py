"""The ledger, behaviour by behaviour: told the time, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from connectors.clock import Clock
from connectors.comparison import behind, equal, filled
from connectors.coverage import Coverage, Run, RunState
from connectors.inquiry import Kind, Span
from connectors.ledger import Ledger
from connectors.memory import Published
from connectors.model import CandleData, CloseReason, Grid, Subscription, grid_of
from connectors.rules import AUDIT, CONFIRM, HOLD, LAG, Rules

STEP = 60
FIRST = 1_700_000_040
"""The bar that is running when a test begins, ten seconds old."""
GRACE = 4.0
FLAGGED = Rules(streamed=True, flagged=True, rest=True, rest_skips=False, grace=GRACE, page=10)
UNFLAGGED = replace(FLAGGED, flagged=False)
POLLED = replace(FLAGGED, streamed=False, flagged=False)
SKIPPING = replace(UNFLAGGED, rest_skips=True)
ALONE = replace(FLAGGED, rest=False)


def slot(number: int) -> int:
    """Open time of a bar, counted from the running one."""
    return FIRST + number * STEP


def bar(
    number: int, volume: float = 5.0, *, closed: bool | None = None, trades: int | None = None
) -> CandleData:
    """A state of a bar."""
    return CandleData(slot(number), 10, 12, 9, 11, volume, n_trades=trades, closed=closed)


class Desk:
    """A ledger with a clock in hand. Real and market seconds pass alike; real ones begin at 0."""

    def __init__(
        self,
        rules: Rules,
        grid: Grid | None = None,
        *,
        begin: bool = True,
        since: float | None = None,
    ) -> None:
        self.now = 0.0
        self.clock = Clock(1.0, 0.0, FIRST + 10)
        self.woken: list[float] = []
        self.touched = 0
        self.recalls: list[tuple[int, int]] = []
        self.book = Ledger(
            Subscription("nowhere_spot", "BTC-USD", "1m"),
            grid or Grid(STEP),
            rules,
            self.clock,
            lambda _, real: self.woken.append(real),
            self._touch,
            lambda _, start, end: self.recalls.append((start, end)),
            since,
        )
        if begin:
            self.begin(None)

    def _touch(self, ledger: Ledger) -> None:
        assert ledger is self.book
        self.touched += 1

    @property
    def market(self) -> float:
        return self.clock.market_at(self.now)

    def begin(self, coverage: Coverage | None) -> None:
        self.book.begin(coverage, self.market, self.now)

    def at(self, number: int, seconds: float = 0.0) -> Desk:
        """Go to so many seconds after a bar's opening; nobody ticks on the way."""
        self.now = self.clock.real_at(slot(number) + seconds)
        return self

    def after(self, seconds: float) -> Desk:
        """Let real time pass; nobody ticks on the way."""
        self.now += seconds
        return self

    def hear(self, *candles: CandleData) -> list[bool]:
        """Frames come."""
        return [self.book.settle(candle, self.now) for candle in candles]

    def tick(self) -> Span | None:
        return self.book.tick(self.market, self.now)

    def ask(self) -> Span:
        """Tick; REST is to be asked."""
        span = self.tick()
        assert span is not None, f"nothing is asked at {self.market - FIRST:.1f} s"
        return span

    def reply(self, span: Span, *rows: CandleData) -> None:
        self.book.rows(list(rows), span, self.market, self.now)

    def recalled(self, *candles: CandleData) -> None:
        """Kafka has these, for what was to be recalled last."""
        start, end = self.recalls.pop()
        kept = [Published(it, CloseReason.EXCHANGE_FLAG, 0, late=False) for it in candles]
        self.book.recalled(start, end, kept, self.now)

    def took(self) -> list[tuple[int, str, int, bool]]:
        """What is published: bar, reason, revision, late."""
        return [
            ((it.candle.timestamp - FIRST) // STEP, it.reason.name, it.revision, it.late)
            for it in self.book.take()
        ]

    def runs(self) -> list[tuple[int, int, str, int]]:
        """Coverage: from bar to bar, state, how many published."""
        return [
            ((run.start - FIRST) // STEP, (run.end - FIRST) // STEP, run.state.name, run.count)
            for run in self.book.coverage.runs
        ]

    def kept(self) -> Coverage:
        """Coverage as Kafka gives it back: nothing shared."""
        known = self.book.coverage
        return Coverage(known.start, [replace(run) for run in known.runs], dict(known.recent))


# --- the stream's flag ----------------------------------------------------------------------------


def test_a_flagged_close_is_published_at_once() -> None:
    """The exchange's flag decides, without any REST request."""
    desk = Desk(FLAGGED)
    assert desk.hear(bar(0), bar(0, 6.0), bar(0, 7.0, closed=True)) == [True, True, False]
    assert desk.took() == [(0, "EXCHANGE_FLAG", 0, False)]
    assert desk.at(1, 1).tick() is None
    assert desk.runs() == [(0, 1, "SETTLED", 1)]


def test_a_repeated_closing_frame_is_ignored() -> None:
    """The same closed candle twice is published once."""
    desk = Desk(FLAGGED)
    desk.hear(bar(0, closed=True), bar(0, closed=True))
    assert desk.took() == [(0, "EXCHANGE_FLAG", 0, False)]
    desk.hear(bar(0, closed=True))
    assert desk.took() == []
    assert desk.book.ignored == 2


def test_a_different_closing_frame_is_a_revision() -> None:
    """What the exchange changes after the close is published again, numbered."""
    desk = Desk(FLAGGED)
    desk.hear(bar(0, 5.0, closed=True), bar(0, 4.0, closed=True), bar(0, 6.0, closed=True))
    assert desk.took() == [(0, "EXCHANGE_FLAG", number, False) for number in range(3)]


def test_a_frame_after_the_flag_changes_nothing() -> None:
    """A late open state of a closed bar is no update, and no candle."""
    desk = Desk(FLAGGED)
    desk.hear(bar(0, 5.0, closed=True))
    assert desk.hear(bar(0, 4.0), bar(0, 5.0)) == [False, False]
    assert desk.took() == [(0, "EXCHANGE_FLAG", 0, False)]
    assert desk.hear(bar(1)) == [True]


def test_a_stale_frame_takes_no_trades_back() -> None:
    """A repeated or reordered frame of the open bar is no update."""
    desk = Desk(replace(UNFLAGGED, rest=False))
    assert desk.hear(bar(0, 3.0), bar(0, 5.0), bar(0, 3.0)) == [True, True, False]
    desk.at(1, 1).hear(bar(1))
    desk.at(1, GRACE).tick()
    assert [it.candle.volume for it in desk.book.take()] == [5.0]


def test_a_lost_flag_is_made_good_by_rest() -> None:
    """Where the closing frame is garbled, REST is asked once it must have caught up."""
    desk = Desk(FLAGGED)
    desk.hear(bar(0, 5.0))
    desk.at(1, 0.5).hear(bar(1))
    assert desk.book.due() <= desk.clock.real_at(slot(1) + GRACE + LAG)
    assert desk.at(1, GRACE + LAG - 0.1).tick() is None
    span = desk.at(1, GRACE + LAG).ask()
    assert span[:3] == (slot(0), slot(2), Kind.HEAD)
    desk.reply(span, bar(0, 5.5), bar(1))
    assert desk.took() == [(0, "REST_CONFIRMED", 0, False)]


def test_a_flag_that_comes_late_decides_before_rest() -> None:
    """Where the closing frame is only slow, its word counts and REST's row repeats it."""
    desk = Desk(FLAGGED)
    desk.hear(bar(0, 5.0))
    span = desk.at(1, GRACE + LAG).ask()
    desk.hear(bar(0, 6.0, closed=True))
    desk.reply(span, bar(0, 6.0), bar(1))
    assert desk.took() == [(0, "EXCHANGE_FLAG", 0, False)]


def test_a_reply_does_not_contradict_what_was_published_after_it_was_asked_for() -> None:
    """However late it comes, and although the figures are long forgotten."""
    desk = Desk(FLAGGED)
    desk.hear(bar(0, 5.0))
    span = desk.at(1, GRACE + LAG).ask()
    desk.hear(
        bar(0, 6.0, closed=True), bar(1, closed=True), bar(2, closed=True), bar(3, closed=True)
    )
    desk.at(4).reply(span, bar(0, 5.0))
    assert desk.took() == [(number, "EXCHANGE_FLAG", 0, False) for number in range(4)]


def test_a_row_behind_the_flag_never_regresses() -> None:
    """REST may lag: fewer trades than the stream told are no revision."""
    desk = Desk(FLAGGED)
    desk.hear(bar(0, 6.0, closed=True, trades=3))
    desk.at(1, 40)
    span = Span(slot(0), slot(1), Kind.REPAIR, desk.market, 1)
    desk.reply(span, bar(0, 5.0, trades=2))
    assert desk.took() == [(0, "EXCHANGE_FLAG", 0, False)]
    desk.reply(span, bar(0, 7.0, trades=4))
    assert desk.took() == [(0, "REST_ROW", 1, False)]


def test_a_row_behind_an_earlier_row_is_a_correction_only_long_after_the_close() -> None:
    """REST's replicas lag behind each other: less volume soon after the close is no news."""
    desk = Desk(POLLED)
    desk.reply(desk.at(1, GRACE + LAG).ask(), bar(0, 6.0), bar(1))
    desk.reply(desk.at(2, GRACE).ask(), bar(0, 5.0), bar(1), bar(2))
    assert desk.took()[0] == (0, "REST_ROW", 0, False)
    desk.reply(audit_of(desk, 0), bar(0, 5.0))
    assert (0, "REST_ROW", 1, False) in desk.took()


# --- inferred closes ------------------------------------------------------------------------------


def test_a_close_by_the_next_candle_is_confirmed_by_rest() -> None:
    """The last update may lack the last trades: REST's values are published."""
    desk = Desk(UNFLAGGED)
    desk.hear(bar(0, 5.0))
    desk.at(1, 0.2).hear(bar(1, 1.0))
    assert min(desk.woken) <= desk.now
    span = desk.ask()
    assert desk.took() == []
    desk.reply(span, bar(0, 5.5), bar(1))
    (published,) = desk.book.take()
    assert (published.candle.volume, published.reason.name) == (5.5, "REST_CONFIRMED")


def test_a_confirmation_keeps_what_only_the_stream_knew() -> None:
    """Figures that the row lacks are taken from the stream where the two agree."""
    desk = Desk(UNFLAGGED)
    desk.hear(bar(0, 5.0, trades=3))
    desk.at(1, 0.2).hear(bar(1))
    desk.reply(desk.ask(), bar(0, 5.0), bar(1))
    assert desk.book.take()[0].candle.n_trades == 3


def test_a_close_by_the_clock_is_confirmed_by_rest() -> None:
    """In a quiet market the clock and the grace say that the bar is over."""
    desk = Desk(UNFLAGGED)
    desk.hear(bar(0, 5.0))
    assert desk.book.due() == desk.clock.real_at(slot(1) + GRACE)
    span = desk.at(1, GRACE).ask()
    desk.reply(span, bar(0, 5.0))
    assert desk.took() == [(0, "REST_CONFIRMED", 0, False)]


def test_a_close_without_confirmation_is_published_on_the_streams_word_and_revised() -> None:
    """The wait for REST is bounded; later it is read again, and revised if it differs."""
    desk = Desk(UNFLAGGED)
    desk.hear(bar(0, 5.0))
    desk.at(1, 3).hear(bar(1, 1.0))
    desk.book.failed(desk.ask(), desk.now, retry_at=1e9)
    desk.after(CONFIRM - 0.01).tick()
    assert desk.took() == []
    desk.after(0.01).tick()
    assert desk.took() == [(0, "NEXT_CANDLE", 0, False)]
    audit = desk.at(1, GRACE + LAG).ask()
    assert (audit.start, audit.kind) == (slot(0), Kind.REPAIR)
    desk.reply(audit, bar(0, 7.0))
    assert desk.took() == [(0, "REST_ROW", 1, False)]


def test_the_streams_word_waits_for_late_frames() -> None:
    """Before close and grace nothing is published without confirmation."""
    desk = Desk(replace(UNFLAGGED, grace=20.0))
    desk.hear(bar(0, 5.0))
    desk.at(1, 0.2).hear(bar(1))
    desk.book.failed(desk.ask(), desk.now, retry_at=1e9)
    desk.after(CONFIRM + 5).tick()
    desk.hear(bar(0, 6.0))
    assert desk.took() == []
    desk.at(1, 20).tick()
    assert [it.candle.volume for it in desk.book.take()] == [6.0]


def test_a_row_behind_the_stream_is_asked_for_again() -> None:
    """A REST row with less volume than the stream told confirms nothing."""
    desk = Desk(UNFLAGGED)
    desk.hear(bar(0, 5.0))
    desk.at(1, 0.2).hear(bar(1))
    desk.reply(desk.ask(), bar(0, 4.0))
    assert desk.took() == []
    desk.reply(desk.at(1, 1).ask(), bar(0, 5.0))
    assert desk.took() == [(0, "REST_CONFIRMED", 0, False)]


def test_an_audit_that_lags_still_is_asked_for_again() -> None:
    """An unconfirmed candle stays unsure until REST has caught up with it."""
    desk = Desk(UNFLAGGED)
    desk.hear(bar(0, 5.0))
    desk.book.failed(desk.at(1, GRACE).ask(), desk.now, retry_at=1e9)
    desk.after(CONFIRM).tick()
    desk.reply(desk.at(1, GRACE + LAG).ask(), bar(0, 4.0))
    desk.reply(desk.after(1).ask(), bar(0, 5.0))
    assert desk.after(1).tick() is None
    assert desk.took() == [(0, "CLOCK", 0, False)]


def test_an_early_confirmation_is_read_again_by_the_next_page() -> None:
    """What REST says right after the close may be incomplete: the next page includes it."""
    desk = Desk(UNFLAGGED)
    desk.hear(bar(0, 5.0))
    desk.at(1, 0.2).hear(bar(1))
    desk.reply(desk.ask(), bar(0, 5.0), bar(1))
    desk.at(2, 0.2).hear(bar(2))
    span = desk.ask()
    assert span.start == slot(0)
    desk.reply(span, bar(0, 6.0), bar(1), bar(2))
    assert desk.took() == [
        (0, "REST_CONFIRMED", 0, False),
        (0, "REST_ROW", 1, False),
        (1, "REST_CONFIRMED", 0, False),
    ]


def test_an_early_confirmation_of_a_long_bar_does_not_wait_for_the_next() -> None:
    """Where the next page is far away, what is unsure is read again by itself."""
    desk = Desk(UNFLAGGED, Grid(86_400, FIRST % 86_400))
    desk.hear(bar(0, 5.0))
    day = 86_400 - 10
    desk.now = day + 0.2
    desk.hear(CandleData(FIRST + 86_400, 1, 1, 1, 1, 1))
    desk.reply(desk.ask(), bar(0, 5.0))
    assert desk.book.due() == day + GRACE + LAG + AUDIT
    desk.now = desk.book.due()
    assert desk.ask()[:3] == (FIRST, FIRST + 2 * 86_400, Kind.REPAIR)


def test_a_late_frame_after_an_inferred_close_is_a_revision() -> None:
    """Trades that come after the close was published are never passed over in silence."""
    desk = Desk(replace(UNFLAGGED, rest=False))
    desk.hear(bar(0, 5.0))
    desk.at(1, GRACE).tick()
    assert desk.hear(bar(0, 6.0), bar(0, 5.0)) == [False, False]
    assert desk.took() == [(0, "CLOCK", 0, False), (0, "NEXT_CANDLE", 1, False)]


def test_a_slow_reply_is_judged_by_the_time_of_asking() -> None:
    """A row of a bar that was open when REST was asked is not final, however late it arrives."""
    desk = Desk(UNFLAGGED)
    desk.hear(bar(0, 5.0))
    desk.at(1, 0.2).hear(bar(1, 1.0))
    span = desk.ask()
    desk.at(2, 0.3).hear(bar(2, 1.0))
    desk.reply(span, bar(0, 5.0), bar(1, 1.0))
    assert desk.took() == [(0, "REST_CONFIRMED", 0, False)]


# --- polling --------------------------------------------------------------------------------------


def test_a_polled_bar_is_published_after_close_and_grace() -> None:
    """REST is asked once a bar is past; its running bar proves that earlier ones are complete."""
    desk = Desk(POLLED)
    assert desk.book.due() == desk.clock.real_at(slot(1) + GRACE)
    assert desk.at(1, GRACE - 1).tick() is None
    span = desk.at(1, GRACE).ask()
    assert span[:3] == (slot(0), slot(2), Kind.HEAD)
    desk.reply(span, bar(0), bar(1))
    assert desk.took() == [(0, "REST_ROW", 0, False)]


def test_each_poll_reads_the_last_two_bars_again() -> None:
    """A late correction becomes a revision; what did not change is ignored."""
    desk = Desk(POLLED)
    for number in range(3):
        span = desk.at(number + 1, GRACE).ask()
        assert span.start == slot(max(0, number - 2))
        desk.reply(span, *[bar(it, 6.0 if number == 2 and it == 1 else 5.0) for it in range(4)])
    assert desk.took() == [
        (0, "REST_ROW", 0, False),
        (1, "REST_ROW", 0, False),
        (1, "REST_ROW", 1, False),
        (2, "REST_ROW", 0, False),
    ]


def test_a_row_that_says_it_is_open_is_not_final() -> None:
    """Where rows tell whether they are closed, that counts, and not the clock."""
    desk = Desk(POLLED)
    desk.reply(desk.at(1, GRACE).ask(), bar(0, closed=False))
    assert desk.took() == []
    desk.reply(desk.after(1).ask(), bar(0, closed=True), bar(1, closed=False))
    assert desk.took() == [(0, "REST_ROW", 0, False)]


def test_a_long_absence_is_paged() -> None:
    """Never more slots than a page at once; pages follow each other without delay."""
    desk = Desk(POLLED)
    desk.at(25, GRACE)
    desk.begin(desk.kept())
    pages = []
    while span := desk.tick():
        pages.append((span.end - span.start) // STEP)
        desk.reply(span, *[bar(it) for it in range(26)])
    assert max(pages) <= POLLED.page
    assert desk.took() == [(number, "REST_ROW", 0, False) for number in range(25)]


# --- skipped slots, holds, holes ------------------------------------------------------------------


def test_newer_candles_are_held_until_a_skipped_one_is_fetched() -> None:
    """A skipped slot is asked for; newer ones wait and are published after it."""
    desk = Desk(FLAGGED)
    desk.at(2, 0.2).begin(desk.kept())
    desk.hear(bar(1, closed=True))
    assert desk.took() == []
    desk.hear(bar(2))
    desk.reply(desk.ask(), bar(0), bar(1), bar(2))
    assert desk.took() == [(0, "REST_ROW", 0, False), (1, "EXCHANGE_FLAG", 0, False)]


def test_the_hold_is_bounded_and_the_hole_declared_and_repaired_late() -> None:
    """When REST gives nothing in time, newer ones go on; the slot is missing until repaired."""
    desk = Desk(FLAGGED)
    desk.at(2, 0.2).begin(desk.kept())
    desk.hear(bar(1, closed=True))
    span = desk.ask()
    repair = desk.after(HOLD).ask()
    assert desk.took() == [(1, "EXCHANGE_FLAG", 0, False)]
    assert desk.runs() == [(0, 1, "MISSING", 0), (1, 2, "SETTLED", 1)]
    desk.book.failed(span, desk.now)
    assert repair[:3] == (slot(0), slot(2), Kind.REPAIR)
    desk.reply(repair, bar(0), bar(1))
    assert desk.took() == [(0, "REST_ROW", 0, True)]
    assert desk.runs() == [(0, 2, "SETTLED", 2)]
    assert desk.after(1).tick() is None


def test_an_outage_is_one_run() -> None:
    """Coverage does not grow with every bar that is missing for the same reason."""
    desk = Desk(POLLED)
    for number in range(1, 9):
        span = desk.at(number, GRACE + HOLD).tick()
        if span is not None:
            desk.book.failed(span, desk.now)
    assert desk.runs() == [(0, 8, "MISSING", 0)]
    assert desk.book.coverage.runs[0].since == slot(1) + GRACE + HOLD


def test_known_candles_after_a_hole_are_not_taken_into_it() -> None:
    """A slot that the stream has told of is published on its word when the hold is over."""
    desk = Desk(replace(UNFLAGGED, rest=False))
    desk.at(1, 1).hear(bar(1, 3.0))
    desk.at(3, 30).hear(bar(3, 1.0))
    while desk.book.due() <= desk.now:
        desk.tick()
    assert desk.took() == [(1, "NEXT_CANDLE", 0, False)]
    assert desk.runs() == [(0, 1, "MISSING", 0), (1, 2, "SETTLED", 1), (2, 3, "MISSING", 0)]


def test_a_bad_page_does_not_starve_other_repairs() -> None:
    """After some vain attempts at the newest hole, an older one is tried."""
    desk = Desk(POLLED)
    coverage = desk.kept()
    coverage.miss(slot(0), slot(1), "away", 0)
    coverage.empty(slot(1), slot(30))
    coverage.miss(slot(30), slot(31), "away", 0)
    desk.at(31)
    desk.begin(coverage)
    asked = set()
    for _ in range(20):
        desk.now = max(desk.now, desk.book.due())
        span = desk.tick()
        if span is not None and span.kind is Kind.REPAIR:
            asked.add(span.start)
            desk.book.failed(span, desk.now)
        elif span is not None:
            desk.book.failed(span, desk.now, retry_at=1e9)
    assert slot(0) in asked


# --- empty slots ----------------------------------------------------------------------------------


def test_a_later_row_proves_that_a_slot_is_empty() -> None:
    """REST that has a newer candle has all the older ones."""
    desk = Desk(SKIPPING)
    desk.reply(desk.at(2, GRACE).ask(), bar(2))
    assert desk.runs() == [(0, 2, "SETTLED", 0)]
    assert desk.took() == []


@pytest.mark.parametrize("number", [1, 3])
def test_nothing_twice_proves_that_slots_are_empty(number: int) -> None:
    """Without a later row it takes two replies, a lag apart."""
    desk = Desk(SKIPPING)
    desk.at(number, GRACE).begin(desk.kept())
    desk.reply(desk.ask())
    assert desk.runs() == []
    desk.reply(desk.after(1).ask())
    assert desk.runs() == []
    desk.reply(desk.after(GRACE).ask())
    assert desk.runs() == [(0, number, "SETTLED", 0)]


def test_a_bar_is_not_empty_because_the_one_before_was() -> None:
    """Each bar is asked for twice after its own close."""
    desk = Desk(POLLED)
    for seconds in (GRACE, GRACE + 5):
        desk.reply(desk.at(1, seconds).ask())
    assert desk.runs() == [(0, 1, "SETTLED", 0)]
    desk.reply(desk.at(2, GRACE).ask())
    assert desk.runs() == [(0, 1, "SETTLED", 0)]
    desk.reply(desk.after(GRACE).ask(), bar(1))
    assert desk.took() == [(1, "REST_ROW", 0, False)]


def test_pages_that_move_on_prove_what_they_share() -> None:
    """Of a growing hole, what two replies did not have is empty, though they began elsewhere."""
    desk = Desk(POLLED)
    coverage = desk.kept()
    coverage.miss(slot(0), slot(12), "away", 0)
    desk.at(12, 10).begin(coverage)
    first = Span(slot(0), slot(10), Kind.REPAIR, desk.market)
    desk.reply(first)
    second = Span(slot(3), slot(12), Kind.REPAIR, desk.market + 60)
    desk.after(60).reply(second, bar(4))
    assert desk.took() == [(4, "REST_ROW", 0, True)]
    assert desk.runs() == [(0, 3, "MISSING", 0), (3, 10, "SETTLED", 1), (10, 12, "MISSING", 0)]


def test_a_single_missing_slot_without_candle_is_settled() -> None:
    """A hole that turns out to be a quiet bar does not stay missing."""
    desk = Desk(POLLED)
    coverage = desk.kept()
    coverage.miss(slot(0), slot(1), "away", 0)
    desk.at(1, 10)
    desk.begin(coverage)
    desk.reply(desk.ask())
    desk.reply(desk.after(GRACE + 1).ask())
    assert desk.runs() == [(0, 1, "SETTLED", 0)]


def test_rows_outside_of_what_was_asked_prove_nothing() -> None:
    """A wrong page neither publishes nor empties anything."""
    desk = Desk(POLLED)
    for seconds in (GRACE, GRACE + 4.5):
        desk.reply(desk.at(1, seconds).ask(), bar(-3), bar(5))
    assert (desk.took(), desk.runs()) == ([], [])


def test_a_slot_of_which_the_stream_told_is_not_empty() -> None:
    """Trades that were heard of are not denied by a REST that lacks them."""
    desk = Desk(UNFLAGGED)
    desk.hear(bar(0, 5.0))
    desk.at(1, 0.2).hear(bar(1))
    desk.reply(desk.ask(), bar(1))
    assert desk.runs() == []


def test_a_candle_in_an_empty_slot_is_late() -> None:
    """Where REST had nothing and later has, that is revision 0, late."""
    desk = Desk(POLLED)
    desk.reply(desk.at(2, GRACE).ask(), bar(1), bar(2))
    desk.reply(desk.at(3, GRACE).ask(), bar(0), bar(1), bar(2), bar(3))
    assert desk.took() == [
        (1, "REST_ROW", 0, False),
        (0, "REST_ROW", 0, True),
        (2, "REST_ROW", 0, False),
    ]
    assert desk.runs() == [(0, 3, "SETTLED", 3)]


def test_a_quiet_bar_that_the_stream_sends_is_empty_where_rest_skips_it() -> None:
    """A flat state without volume is not published if REST will never confirm it."""
    desk = Desk(SKIPPING)
    desk.hear(bar(0, 0.0))
    desk.at(1, 0.2).hear(bar(1, 1.0))
    assert desk.tick() is None
    desk.reply(desk.at(1, GRACE).ask(), bar(1, 1.0))
    assert (desk.took(), desk.runs()) == ([], [(0, 1, "SETTLED", 0)])


def test_a_quiet_bar_that_rest_has_too_is_a_candle() -> None:
    """Where quiet bars are sent, they are published like others."""
    desk = Desk(UNFLAGGED)
    desk.hear(bar(0, 0.0))
    desk.at(1, 0.2).hear(bar(1))
    desk.reply(desk.ask(), bar(0, 0.0), bar(1))
    assert desk.took() == [(0, "REST_CONFIRMED", 0, False)]


# --- intervals without REST -----------------------------------------------------------------------


def test_without_rest_an_inferred_close_stands_after_the_grace() -> None:
    """There is nobody to confirm: the next candle, then the grace, decide."""
    desk = Desk(replace(UNFLAGGED, rest=False))
    desk.hear(bar(0, 5.0))
    desk.at(1, 0.2).hear(bar(1))
    assert desk.tick() is None
    assert desk.took() == []
    assert desk.book.due() == desk.clock.real_at(slot(1) + GRACE)
    desk.at(1, GRACE).tick()
    assert desk.took() == [(0, "NEXT_CANDLE", 0, False)]


def test_without_rest_a_lost_flag_is_a_declared_hole() -> None:
    """A bar without its closing frame is not guessed; a late flag still counts."""
    desk = Desk(ALONE)
    desk.hear(bar(0, 5.0))
    desk.at(1, GRACE + HOLD).tick()
    assert desk.took() == []
    assert [run.reason for run in desk.book.coverage.runs] == ["REST has no such interval"]
    desk.hear(bar(0, 6.0, closed=True))
    assert desk.took() == [(0, "EXCHANGE_FLAG", 0, True)]


def test_without_rest_nothing_is_ever_asked() -> None:
    """Not for the head, not for holes, not for the grid."""
    desk = Desk(ALONE, Grid(STEP, None), begin=False)
    desk.begin(None)
    assert desk.tick() is None
    assert desk.book.due() == float("inf")
    desk.hear(bar(0))
    for number in range(1, 5):
        assert desk.at(number, 30).tick() is None
    assert desk.runs() == [(0, 4, "MISSING", 0)]


# --- the grid -------------------------------------------------------------------------------------


def test_a_grid_is_learned_from_rest() -> None:
    """Until a row tells where bars open, nothing is covered and nothing missing."""
    desk = Desk(POLLED, Grid(STEP, None))
    assert (desk.book.begun, desk.touched) == (False, 0)
    span = desk.ask()
    desk.reply(span, bar(-1), bar(0))
    assert desk.book.begun
    assert desk.book.coverage.start == slot(0)
    assert desk.touched == 1


def test_a_grid_is_learned_from_the_stream() -> None:
    """The first frame tells it too."""
    desk = Desk(UNFLAGGED, Grid(STEP, None))
    desk.hear(bar(0))
    assert desk.book.coverage.start == slot(0)


def test_a_grid_is_learned_from_coverage() -> None:
    """A successor knows it at once."""
    desk = Desk(UNFLAGGED, Grid(STEP, None), begin=False)
    desk.begin(Coverage(slot(-5)))
    assert desk.book.grid == Grid(STEP, FIRST % STEP)


def test_open_times_that_cannot_be_are_refused() -> None:
    """Off the grid or in the far future: a dead letter, and nothing has changed."""
    desk = Desk(FLAGGED)
    with pytest.raises(ValueError, match="no bar opens at"):
        desk.hear(CandleData(FIRST + 7, 1, 1, 1, 1, 1))
    with pytest.raises(ValueError, match="future"):
        desk.hear(bar(10_000))
    with pytest.raises(ValueError, match="no bar opens at"):
        desk.reply(Span(FIRST, FIRST + 60, Kind.HEAD, 0.0), CandleData(FIRST + 7, 1, 1, 1, 1, 1))
    assert desk.hear(bar(0, closed=True), bar(1)) == [False, True]
    assert desk.took() == [(0, "EXCHANGE_FLAG", 0, False)]


def test_months_follow_the_calendar() -> None:
    """February closes after 28 days."""
    desk = Desk(UNFLAGGED, grid_of("1M"), begin=False)
    february, march = 1_675_209_600, 1_677_628_800
    desk.clock = Clock(1.0, 0.0, march - 5)
    desk.book._clock = desk.clock
    desk.begin(None)
    assert desk.book.coverage.start == february
    desk.hear(CandleData(february, 1, 1, 1, 1, 1))
    desk.now = 5.5
    desk.hear(CandleData(march, 1, 1, 1, 1, 1))
    desk.reply(desk.ask(), CandleData(february, 1, 1, 1, 1, 1))
    assert desk.book.coverage.head == march


# --- begin and forget -----------------------------------------------------------------------------


def test_the_first_thing_written_is_where_coverage_starts() -> None:
    """From the running bar on, before any candle."""
    desk = Desk(FLAGGED)
    assert (desk.touched, desk.took(), desk.book.coverage.start) == (1, [], slot(0))
    desk.hear(bar(-1, closed=True))
    assert desk.took() == []


def test_nothing_is_decided_before_the_beginning() -> None:
    """Frames that come before coverage was read are no candles yet."""
    desk = Desk(FLAGGED, begin=False)
    assert desk.hear(bar(0), bar(0, closed=True)) == [True, False]
    assert (desk.took(), desk.touched, desk.tick()) == ([], 0, None)
    assert desk.book.due() == float("inf")


def test_a_successor_goes_on_exactly_where_coverage_ends() -> None:
    """Everything after the committed head is fetched; nothing before it is published again."""
    desk = Desk(FLAGGED)
    desk.hear(bar(0, closed=True))
    desk.took()
    coverage = desk.kept()
    successor = Desk(FLAGGED, begin=False)
    successor.at(4, 30).begin(coverage)
    successor.hear(bar(0, closed=True), bar(4))
    span = successor.ask()
    assert span.start == slot(1)
    successor.reply(span, *[bar(number) for number in range(1, 5)])
    assert successor.took() == [(number, "REST_ROW", 0, False) for number in range(1, 4)]
    assert successor.runs() == [(0, 4, "SETTLED", 4)]


def test_a_successor_reads_again_what_it_cannot_be_sure_of() -> None:
    """Nobody knows whether the predecessor's newest polled candles were the last word."""
    desk = Desk(POLLED)
    desk.reply(desk.at(1, GRACE).ask(), bar(0, 5.0), bar(1))
    coverage = desk.kept()
    successor = Desk(POLLED, begin=False)
    successor.at(1, 30).begin(coverage)
    successor.reply(successor.ask(), bar(0, 6.0), bar(1))
    assert (successor.took(), successor.tick()) == ([], None)
    assert successor.recalls == [(slot(0), slot(1))]
    successor.recalled(bar(0, 5.0))
    assert successor.took() == [(0, "REST_ROW", 1, False)]


@pytest.mark.parametrize("committed", [False, True])
def test_a_failed_transaction_neither_loses_nor_doubles(committed: bool) -> None:
    """Coverage says whether the candles of an uncertain transaction are there."""
    desk = Desk(ALONE)
    before = desk.kept()
    desk.hear(bar(0, closed=True))
    desk.took()
    after = desk.kept()
    desk.book.forget()
    desk.begin(after if committed else before)
    assert desk.took() == ([] if committed else [(0, "EXCHANGE_FLAG", 0, False)])
    desk.hear(bar(0, closed=True))
    assert desk.took() == []


def test_a_revision_survives_a_failed_transaction() -> None:
    """The stream does not say it again."""
    desk = Desk(FLAGGED)
    desk.hear(bar(0, 5.0, closed=True))
    before = desk.kept()
    desk.hear(bar(0, 6.0, closed=True))
    desk.took()
    desk.begin(before)
    assert desk.took() == [(0, "EXCHANGE_FLAG", 1, False)]


def test_what_the_stream_closes_between_two_shards_is_kept() -> None:
    """A flag that comes while nothing may be written counts when it may be again."""
    desk = Desk(ALONE)
    coverage = desk.kept()
    desk.book.forget()
    desk.hear(bar(0, closed=True))
    assert desk.took() == []
    desk.begin(coverage)
    assert desk.took() == [(0, "EXCHANGE_FLAG", 0, False)]


def test_memory_does_not_undo_a_successor() -> None:
    """A newer revision that somebody else committed is not overwritten by what we remember."""
    desk = Desk(FLAGGED)
    desk.hear(bar(0, 5.0, closed=True))
    other = Desk(FLAGGED)
    other.hear(bar(0, 5.0, closed=True), bar(0, 6.0, closed=True))
    desk.begin(other.kept())
    assert desk.took() == []


def test_pending_candles_are_forgotten() -> None:
    """What was not taken is not published by accident later."""
    desk = Desk(FLAGGED)
    desk.hear(bar(0, closed=True))
    desk.book.forget()
    assert desk.took() == []
    assert not desk.book.begun


# --- time -----------------------------------------------------------------------------------------


def test_failures_are_repeated_later_and_later() -> None:
    """REST that fails is asked after 0.5, 1, 2 … 30 seconds, or when it said."""
    desk = Desk(POLLED, Grid(STEP, None))
    waits = []
    for _ in range(9):
        span = desk.ask()
        desk.book.failed(span, desk.now)
        waits.append(desk.book._inquiries[Kind.HEAD].retry_at - desk.now)
        desk.now = desk.book._inquiries[Kind.HEAD].retry_at
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    desk.book.failed(desk.ask(), desk.now, retry_at=desk.now + 100)
    assert desk.book._inquiries[Kind.HEAD].retry_at == desk.now + 100


def test_one_request_of_a_kind_at_a_time() -> None:
    """While REST is asked for the head, it is not asked again; holes do not wait for that."""
    desk = Desk(POLLED)
    coverage = desk.kept()
    coverage.miss(slot(0), slot(1), "away", 0)
    desk.at(2, GRACE).begin(coverage)
    assert [desk.ask().kind, desk.ask().kind] == [Kind.HEAD, Kind.REPAIR]
    assert desk.after(1).tick() is None


def test_an_older_reply_does_not_contradict_a_newer_one() -> None:
    """Replies may overtake each other: the one that was asked later is believed."""
    desk = Desk(POLLED)
    desk.reply(desk.at(1, GRACE).ask(), bar(0, 5.0))
    older = Span(slot(0), slot(1), Kind.REPAIR, slot(1) + 30, 1)
    newer = Span(slot(0), slot(1), Kind.HEAD, slot(1) + 31, 1)
    desk.at(1, 40).reply(newer, bar(0, 6.0))
    desk.reply(older, bar(0, 5.0))
    assert desk.took() == [(0, "REST_ROW", 0, False), (0, "REST_ROW", 1, False)]


def test_a_reply_of_a_former_time_does_not_end_the_present_request() -> None:
    """A reply that comes after a failed transaction counts, but the new request is still out."""
    desk = Desk(POLLED)
    old = desk.at(1, GRACE).ask()
    desk.begin(desk.kept())
    desk.after(0.1).ask()
    desk.reply(old, bar(0), bar(1))
    assert desk.took() == [(0, "REST_ROW", 0, False)]
    assert desk.tick() is None


RULES = [
    FLAGGED,
    UNFLAGGED,
    POLLED,
    SKIPPING,
    ALONE,
    replace(UNFLAGGED, rest=False),
    replace(FLAGGED, stream_skips=True),
    replace(SKIPPING, stream_skips=True, reach=12, confirm=False),
]


def snapshot(desk: Desk) -> tuple[object, ...]:
    """Everything that a tick may change."""
    book = desk.book
    state = None if book._state is None else book._state.timestamp
    asked = [inquiry.asked for inquiry in book._inquiries.values()]
    told = book._slot, state, book._recalling
    return desk.runs(), len(book.pending), asked, dict(book._over), told


class Chance:
    """Lets something happen to a ledger, whatever it is."""

    def __init__(self, desk: Desk, random: Random) -> None:
        self.desk = desk
        self.random = random
        self.asked: list[Span] = []
        self.streams = 0
        self.happenings: list[Callable[[], None]] = [
            self.hear,
            self.hear,
            self.answer,
            self.restart,
            self.connect,
            self.recall,
        ]

    def strike(self) -> None:
        self.random.choice(self.happenings)()

    def hear(self) -> None:
        desk, random = self.desk, self.random
        number = max(0, int(desk.market - FIRST) // STEP - random.choice((0, 0, 0, 1, 2)))
        flag = random.random() < 0.3 if desk.book.rules.flagged else None
        desk.hear(bar(number, random.choice((0.0, 1.0, desk.now)), closed=flag))

    def answer(self) -> None:
        if not self.asked:
            return
        span, desk = self.asked.pop(), self.desk
        numbers = range((span.start - FIRST) // STEP - 1, (span.end - FIRST) // STEP + 1)
        if self.random.random() < 0.4:
            desk.book.failed(span, desk.now)
        else:
            desk.reply(span, *[bar(it) for it in numbers if self.random.random() < 0.8])

    def restart(self) -> None:
        if self.desk.book.begun and self.random.random() < 0.2:
            self.desk.recalls.clear()
            self.desk.begin(self.desk.kept())

    def connect(self) -> None:
        begins = self.streams < self.random.choice((1, 2))
        self.streams += 1 if begins else -1
        (self.desk.book.stream_begins if begins else self.desk.book.stream_ends)(self.desk.now)

    def recall(self) -> None:
        if self.desk.recalls:
            kept: list[Published] | None = self.random.choice((None, []))
            self.desk.book.recalled(*self.desk.recalls.pop(), kept, self.desk.now)


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("seed", range(15))
def test_due_is_neither_too_late_nor_in_vain(rules: Rules, seed: int) -> None:
    """Before ``due`` a tick changes nothing; at ``due`` it changes something."""
    random = Random(seed)
    desk = Desk(rules, Grid(STEP, None if seed % 5 == 0 else 0))
    chance = Chance(desk, random)
    for step in range(300):
        desk.now += random.choice((0.0, 0.1, 3.0, 20.0))
        if rules.streamed or step % 2:
            chance.strike()
        for _ in range(30):
            due, before = desk.book.due(), snapshot(desk)
            span = desk.tick()
            chance.asked += [span] if span else []
            changed = snapshot(desk) != before
            assert changed == (due <= desk.now), f"seed {seed} step {step} due {due} at {desk.now}"
            if not changed:
                break
        else:
            pytest.fail(f"seed {seed}: the ledger is never content")


# --- audit ----------------------------------------------------------------------------------------

BATCHED = 10 * STEP
"""How long an audit of one-minute bars waits for more of them."""


def closed_until(desk: Desk, count: int) -> None:
    """The stream closes so many bars by its flag."""
    for number in range(count):
        desk.at(number + 1, 0.1).hear(bar(number, closed=True))
        if span := desk.tick():
            desk.book.failed(span, desk.now)
    desk.took()


def audit_of(desk: Desk, number: int) -> Span:
    """The audit that begins with this bar, in time; what else is asked gets no answer."""
    due = desk.clock.real_at(slot(number + 1) + GRACE + LAG + AUDIT + BATCHED)
    desk.now = max(due, desk.now)
    while (span := desk.ask()).kind is not Kind.AUDIT:
        desk.book.failed(span, desk.now)
    assert (span.start, span.kind) == (slot(number), Kind.AUDIT)
    return span


def test_closed_candles_are_read_again_in_one_page_after_a_while() -> None:
    """An audit takes all that are old enough; the next one begins where it ended."""
    desk = Desk(FLAGGED)
    closed_until(desk, 15)
    span = audit_of(desk, 0)
    assert span.end == slot(10), "as many as a page holds"
    desk.reply(span, *[bar(number) for number in range(10)])
    assert (desk.took(), desk.book.agreement()) == ([], (10, 0))
    audit_of(desk, 10)


def test_an_audit_revises_what_differs() -> None:
    """Although the slot is no longer one of the newest: its figures were remembered."""
    desk = Desk(FLAGGED)
    closed_until(desk, 15)
    desk.reply(audit_of(desk, 0), bar(0), bar(1, 7.0), *[bar(it) for it in range(2, 10)])
    assert desk.took() == [(1, "REST_ROW", 1, False)]
    assert desk.book.agreement() == (9, 1)
    assert desk.runs() == [(0, 15, "SETTLED", 15)]


def test_an_audit_that_agrees_in_all_that_both_tell_revises_nothing() -> None:
    """Figures that one side lacks are not compared."""
    desk = Desk(FLAGGED)
    desk.hear(bar(0, closed=True, trades=3))
    desk.took()
    desk.reply(audit_of(desk, 0), bar(0))
    assert desk.took() == []


def test_an_audit_finds_a_late_candle() -> None:
    """REST said that there was none, and has it after all."""
    desk = Desk(FLAGGED)
    desk.hear(bar(0, closed=True))
    desk.at(3, 1).hear(bar(2, closed=True))
    desk.reply(desk.ask(), bar(0), bar(2))
    assert [number for number, *_ in desk.took()] == [0, 2]
    desk.reply(audit_of(desk, 0), bar(0), bar(1), bar(2))
    assert desk.took() == [(1, "REST_ROW", 0, True)]


def test_an_audit_without_answer_is_asked_for_again() -> None:
    """Nothing that was not read again is taken for agreed."""
    desk = Desk(FLAGGED)
    desk.hear(bar(0, closed=True))
    desk.took()
    desk.book.failed(audit_of(desk, 0), desk.now)
    assert desk.tick() is None
    desk.reply(audit_of(desk.after(60), 0), bar(0, 7.0))
    assert desk.took() == [(0, "REST_ROW", 1, False)]


def test_what_too_long_an_outage_made_forgotten_is_recalled() -> None:
    """Memory is bounded; the audit still finds what differs, with the help of Kafka."""
    desk = Desk(FLAGGED)
    closed_until(desk, 200)
    assert len(desk.book._memory.published) < 50
    desk.reply(audit_of(desk.after(60), 0), bar(0, 7.0), bar(1), bar(2))
    assert (desk.took(), desk.tick(), desk.recalls) == ([], None, [(slot(0), slot(3))])
    desk.recalled(bar(0), bar(2))
    assert desk.took() == [(0, "REST_ROW", 1, False), (1, "REST_ROW", 0, True)]


def test_where_kafka_cannot_tell_nothing_is_revised() -> None:
    """A word that cannot be compared proves nothing."""
    desk = Desk(FLAGGED)
    closed_until(desk, 200)
    desk.reply(audit_of(desk.after(60), 0), bar(0, 7.0))
    desk.tick()
    desk.book.recalled(*desk.recalls.pop(), None, desk.now)
    assert desk.took() == []
    assert desk.ask().kind is Kind.AUDIT, "the audit goes on"


def test_a_successor_revises_nothing_for_figures_that_the_stream_lacked() -> None:
    """Digests differ, candles do not: what is published is recalled and compared."""
    desk = Desk(ALONE)
    desk.hear(bar(0, closed=True, trades=3))
    successor = Desk(ALONE, begin=False)
    successor.at(1, 1).begin(desk.kept())
    successor.hear(bar(0, closed=True))
    successor.tick()
    successor.recalled(bar(0, trades=3))
    assert successor.took() == []
    successor.hear(bar(0, 7.0, closed=True))
    assert successor.took() == [(0, "EXCHANGE_FLAG", 1, False)]


@pytest.mark.parametrize("committed", [False, True])
def test_what_an_audit_found_survives_a_failed_transaction(committed: bool) -> None:
    """It is forgotten only when Kafka has it: else the audit is made again."""
    desk = Desk(FLAGGED)
    closed_until(desk, 15)
    desk.book.committed()
    before = desk.kept()
    desk.reply(audit_of(desk, 0), bar(0, 7.0), *[bar(number) for number in range(1, 10)])
    assert desk.took() == [(0, "REST_ROW", 1, False)]
    if committed:
        desk.book.committed()
    desk.begin(desk.kept() if committed else before)
    desk.reply(audit_of(desk, 10 if committed else 0), bar(0, 7.0), bar(10))
    desk.tick()
    if not committed:
        desk.recalled(bar(0))
    assert desk.took() == ([] if committed else [(0, "REST_ROW", 1, False)])


def test_a_successor_audits_what_its_predecessor_could_not() -> None:
    """Nobody else would find what REST did not have then, or had otherwise."""
    desk = Desk(FLAGGED)
    desk.hear(bar(0, closed=True))
    desk.at(3, 1).hear(bar(2, closed=True))
    desk.reply(desk.ask(), bar(0), bar(2))
    successor = Desk(FLAGGED, begin=False)
    successor.at(4).begin(desk.kept())
    successor.reply(audit_of(successor, 0), bar(0), bar(1), bar(2, 7.0))
    successor.tick()
    successor.recalled(bar(2))
    assert successor.took() == [(1, "REST_ROW", 0, True), (2, "REST_ROW", 1, False)]


def test_history_is_not_audited() -> None:
    """Rows that REST gave long after their close are proven."""
    desk = Desk(FLAGGED, since=slot(-30))
    while span := desk.tick():
        numbers = range((span.start - FIRST) // STEP, (span.end - FIRST) // STEP)
        desk.reply(span, *[bar(number) for number in numbers if number < 0])
        desk.took()
    assert desk.runs() == [(-30, 0, "SETTLED", 30)]
    assert slot(-7) <= desk.book._memory.audited, "only what was closed of late"


def test_no_more_is_repaired_than_kafka_takes() -> None:
    """While a page is not written yet, the next one is not asked for."""
    desk = Desk(FLAGGED, since=slot(-30))
    for _ in range(2):
        span = desk.ask()
        numbers = range((span.start - FIRST) // STEP, (span.end - FIRST) // STEP)
        desk.reply(span, *[bar(number) for number in numbers if number < 0])
    assert len(desk.book.pending) >= desk.book.rules.page
    assert desk.tick() is None
    desk.took()
    assert desk.woken[-1] <= desk.now
    assert desk.ask().kind is Kind.REPAIR


def test_the_lesson_of_a_grid_settles_whole_slots_of_history() -> None:
    """It is asked for before it is known where bars begin."""
    desk = Desk(FLAGGED, Grid(STEP, None), since=slot(-5) + 7)
    desk.now += 3
    span = desk.ask()
    assert span.start % STEP != FIRST % STEP
    desk.reply(span, bar(-2), bar(0))
    assert [(start, end) for start, end, state, _ in desk.runs() if state == "SETTLED"] == [(-2, 0)]


def test_what_the_history_does_not_reach_is_given_up() -> None:
    """Slots older than the exchange keeps are declared so, and not asked for any more."""
    desk = Desk(replace(FLAGGED, reach=20), since=slot(-30))
    span = desk.ask()
    assert span.start >= slot(-20)
    assert desk.runs()[0] == (-30, -20, "GIVEN_UP", 0)


def test_beyond_its_history_rest_does_not_say_that_a_bar_is_empty() -> None:
    """After too long an absence no rows come of what is too old: it is given up, not settled."""
    desk = Desk(replace(FLAGGED, reach=20), begin=False)
    desk.at(40).begin(Coverage(slot(0), [Run(slot(0), slot(1), count=1, digest=1)]))
    for _ in range(15):
        if span := desk.tick():
            numbers = range((span.start - FIRST) // STEP, (span.end - FIRST) // STEP)
            desk.reply(span, *[bar(number) for number in numbers if 20 <= number < 40])
            desk.took()
        desk.after(3)
    assert desk.runs() == [
        (0, 1, "SETTLED", 1),
        (1, 20, "GIVEN_UP", 0),
        (20, 40, "SETTLED", 20),
    ]


# --- streams that leave out bars without trades ---------------------------------------------------

LEAVING_OUT = replace(FLAGGED, stream_skips=True)


def test_a_gap_of_an_unbroken_stream_is_presumed_empty() -> None:
    """It holds nothing, and is declared until REST has said so."""
    desk = Desk(LEAVING_OUT)
    desk.book.stream_begins(desk.now - 20)
    desk.hear(bar(0, closed=True))
    desk.at(3, 1).hear(bar(3))
    desk.at(3, 2).hear(bar(3, closed=True))
    assert desk.took() == [(0, "EXCHANGE_FLAG", 0, False), (3, "EXCHANGE_FLAG", 0, False)]
    assert desk.runs()[1] == (1, 3, "MISSING", 0)
    assert desk.book.coverage.runs[1].reason == "presumed empty"
    desk.reply(desk.at(4, 10).ask(), bar(2), bar(3))
    assert desk.took() == [(2, "REST_ROW", 0, True)]
    assert desk.runs() == [(0, 4, "SETTLED", 3)]


def test_a_gap_is_not_presumed_before_its_grace() -> None:
    """The closing frame of a bar may come after the first one of the next."""
    desk = Desk(LEAVING_OUT)
    desk.book.stream_begins(desk.now - 20)
    desk.at(1, 1).hear(bar(1))
    assert desk.runs() == []
    desk.hear(bar(0, closed=True))
    assert desk.took() == [(0, "EXCHANGE_FLAG", 0, False)]


@pytest.mark.parametrize("broken", ["never begun", "interrupted"])
def test_a_gap_of_a_broken_stream_holds_newer_candles(broken: str) -> None:
    """Nobody knows what was not told."""
    desk = Desk(LEAVING_OUT)
    if broken == "interrupted":
        desk.book.stream_begins(desk.now - 20)
        desk.book.stream_ends(desk.now + 1)
        desk.book.stream_begins(desk.now + 2)
    desk.at(1, 5).hear(bar(1, closed=True))
    assert desk.took() == []
    desk.reply(desk.at(1, GRACE + LAG).ask(), bar(0), bar(1))
    assert [number for number, *_ in desk.took()] == [0, 1]


def test_what_was_told_before_a_take_over_is_not_presumed_empty() -> None:
    """The ledger has forgotten it: whether there were trades, only REST can say."""
    desk = Desk(LEAVING_OUT)
    desk.book.stream_begins(desk.now - 20)
    desk.hear(bar(0))
    desk.begin(desk.kept())
    desk.at(1, 5).hear(bar(1, closed=True))
    assert desk.took() == []


def test_two_connections_are_one_unbroken_stream() -> None:
    """A rotation makes before it breaks."""
    desk = Desk(LEAVING_OUT)
    desk.book.stream_begins(desk.now - 20)
    desk.book.stream_begins(desk.now)
    desk.book.stream_ends(desk.now)
    desk.hear(bar(0, closed=True))
    desk.at(3, 5).hear(bar(3))
    assert desk.runs() == [(0, 1, "SETTLED", 1), (1, 3, "MISSING", 0)]


def test_a_quiet_market_is_not_asked_about_bar_by_bar() -> None:
    """One empty bar is asked for, the others wait for news or for the audit."""
    desk = Desk(LEAVING_OUT)
    desk.book.stream_begins(desk.now - 20)
    desk.reply(desk.at(1, GRACE + LAG).ask(), bar(1))
    assert desk.runs() == [(0, 1, "SETTLED", 0)]
    assert desk.at(9).tick() is None
    span = desk.at(2, GRACE + LAG + AUDIT + BATCHED).ask()
    assert (span.start, span.kind) == (slot(1), Kind.HEAD)


def test_a_quiet_market_is_asked_about_when_its_stream_breaks() -> None:
    """Then silence means nothing any more."""
    desk = Desk(LEAVING_OUT)
    desk.book.stream_begins(desk.now - 20)
    desk.reply(desk.at(1, GRACE + LAG).ask(), bar(1))
    desk.at(9).book.stream_ends(desk.now)
    assert desk.woken[-1] == desk.now
    assert desk.ask().start == slot(1)


def test_a_bar_of_a_quiet_market_whose_flag_is_lost_does_not_wait() -> None:
    """The stream has told of trades in it: it is no quiet bar."""
    desk = Desk(LEAVING_OUT)
    desk.book.stream_begins(desk.now - 20)
    desk.reply(desk.at(1, GRACE + LAG).ask(), bar(1))
    desk.at(2, 1).hear(bar(2))
    desk.reply(desk.at(2, GRACE).ask(), bar(1), bar(2))
    span = desk.at(3, GRACE + LAG).ask()
    assert (span.start, span.kind) == (slot(2), Kind.HEAD)


def test_a_flat_row_of_a_bar_that_the_stream_leaves_out_is_no_candle() -> None:
    """REST fills bars without trades; the stream says that there are none."""
    desk = Desk(LEAVING_OUT)
    flat = CandleData(slot(0), 9, 9, 9, 9, 0.0)
    desk.reply(desk.at(1, GRACE + LAG).ask(), flat, bar(1))
    assert (desk.took(), desk.runs()) == ([], [(0, 1, "SETTLED", 0)])


# --- interrupted bars -----------------------------------------------------------------------------


def test_the_last_state_before_an_interruption_waits_for_rest() -> None:
    """It may lack trades: where REST does not answer, the bar is missing, not invented."""
    desk = Desk(UNFLAGGED)
    desk.book.stream_begins(desk.now)
    desk.hear(bar(0, 5.0))
    desk.book.stream_ends(desk.now + 5)
    desk.book.failed(desk.at(1, GRACE).ask(), desk.now, retry_at=1e9)
    desk.after(HOLD + 1).tick()
    desk.tick()
    assert (desk.took(), desk.runs()) == ([], [(0, 1, "MISSING", 0)])


def test_a_state_after_an_interruption_is_whole() -> None:
    """States tell of the whole bar: the first one after a reconnect makes it good."""
    desk = Desk(UNFLAGGED)
    desk.book.stream_begins(desk.now)
    desk.hear(bar(0, 5.0))
    desk.book.stream_ends(desk.now + 5)
    desk.book.stream_begins(desk.now + 7)
    desk.hear(bar(0, 6.0))
    desk.book.failed(desk.at(1, GRACE).ask(), desk.now, retry_at=1e9)
    desk.after(CONFIRM).tick()
    assert desk.took() == [(0, "CLOCK", 0, False)]


def test_an_interrupted_bar_that_rest_does_not_have_is_missing() -> None:
    """Nobody can say what it was."""
    desk = Desk(replace(UNFLAGGED, rest=False))
    desk.book.stream_begins(desk.now)
    desk.hear(bar(0, 5.0))
    desk.book.stream_ends(desk.now + 5)
    desk.at(1, GRACE).tick()
    desk.after(HOLD).tick()
    assert (desk.took(), desk.runs()) == ([], [(0, 1, "MISSING", 0)])


def test_without_confirmation_the_streams_word_stands_at_once() -> None:
    """Where the limits cannot bear it, nothing waits for REST, and the audit looks again."""
    desk = Desk(replace(UNFLAGGED, confirm=False))
    desk.hear(bar(0, 5.0))
    desk.at(1, GRACE).tick()
    assert desk.took() == [(0, "CLOCK", 0, False)]
    assert desk.at(2).tick() is None
    desk.reply(audit_of(desk, 0), bar(0, 6.0))
    assert desk.took() == [(0, "REST_ROW", 1, False)]


# --- comparison -----------------------------------------------------------------------------------


def test_equal_passes_over_what_one_side_lacks() -> None:
    """Prices as doubles, volumes within 1e-9, absent figures not at all."""
    assert equal(bar(0, 5.0), bar(0, 5.0 + 1e-12, trades=3))
    assert not equal(bar(0, 5.0), bar(0, 5.0001))
    assert not equal(bar(0, trades=3), bar(0, trades=4))


def test_behind_means_fewer_trades_or_less_volume() -> None:
    """Noise in the last digits is not less."""
    assert behind(bar(0, 4.0), bar(0, 5.0))
    assert behind(bar(0, trades=2), bar(0, trades=3))
    assert not behind(bar(0, 5.0 - 1e-12), bar(0, 5.0))
    assert not behind(bar(0, 6.0), bar(0, 5.0))


def test_filled_takes_nothing_from_a_state_that_differs() -> None:
    """Figures of two different states are never mixed."""
    assert filled(bar(0, 5.0), bar(0, 5.0, trades=3)).n_trades == 3
    assert filled(bar(0, 6.0), bar(0, 5.0, trades=3)).n_trades is None


def test_a_slot_given_up_is_not_asked_for() -> None:
    """History that the exchange no longer has is left alone, and taken if it comes."""
    desk = Desk(POLLED)
    coverage = desk.kept()
    coverage.give_up(slot(0), slot(1), "too old", 0)
    desk.at(1, 5).begin(coverage)
    assert desk.tick() is None
    assert desk.book.coverage.runs[0].state is RunState.GIVEN_UP


# --- history --------------------------------------------------------------------------------------


def test_history_is_old_missing_slots() -> None:
    """With a ``since``, what lies between it and the running bar is declared missing at once."""
    desk = Desk(FLAGGED, since=slot(-25) + 30.0)
    assert desk.runs() == [(-25, 0, "MISSING", 0)]
    assert desk.touched > 0


def test_history_is_fetched_newest_first_and_published_late() -> None:
    """Page by page backwards, behind everything fresher, until nothing is missing."""
    desk = Desk(FLAGGED, since=slot(-25))
    pages: list[tuple[int, int]] = []
    took: list[tuple[int, str, int, bool]] = []
    while any(run[2] == "MISSING" for run in desk.runs()):
        span = desk.ask()
        pages.append(((span.start - FIRST) // STEP, (span.end - FIRST) // STEP))
        desk.reply(span, *(bar(n) for n in range(*pages[-1]) if n < 0))
        took += desk.took()
        desk.after(1.0)
    assert [start for start, _ in pages] == sorted((start for start, _ in pages), reverse=True)
    assert desk.runs() == [(-25, 0, "SETTLED", 25)]
    assert sorted(number for number, *_ in took) == list(range(-25, 0))
    assert {(reason, revision, late) for _, reason, revision, late in took} == {
        ("REST_ROW", 0, True)
    }


def test_history_of_a_known_coverage() -> None:
    """An earlier ``since`` reaches back before what is covered; a later one changes nothing."""
    covered = Desk(FLAGGED, begin=False, since=slot(-9))
    covered.begin(Coverage(slot(-5), [Run(slot(-5), slot(0), count=5)]))
    assert covered.runs() == [(-9, -5, "MISSING", 0), (-5, 0, "SETTLED", 5)]
    later = Desk(FLAGGED, begin=False, since=slot(-2))
    later.begin(Coverage(slot(-5), [Run(slot(-5), slot(0), count=5)]))
    assert later.runs() == [(-5, 0, "SETTLED", 5)]


# --- REST that is back ----------------------------------------------------------------------------


def test_an_answer_at_the_head_ends_the_back_off_of_repairs() -> None:
    """Repairs that nobody answered are asked again as soon as REST answers anything at all."""
    desk = Desk(FLAGGED, since=slot(-3))
    for _ in range(6):
        desk.book.failed(desk.ask(), desk.now)
        desk.now = max(desk.now, desk.book.due())
    waits = desk.book._inquiries[Kind.REPAIR].retry_at - desk.now
    desk.book.failed(desk.ask(), desk.now)
    assert desk.book._inquiries[Kind.REPAIR].retry_at - desk.now > max(10.0, waits), (
        "it has backed off for long"
    )

    desk.book.rows(
        [bar(0)], Span(slot(0), slot(2), Kind.HEAD, desk.market, 0), desk.market, desk.now
    )

    span = desk.ask()
    assert (span.kind, span.start) == (Kind.REPAIR, slot(-3))


def test_an_answer_at_the_head_does_not_shorten_a_wait_that_was_told() -> None:
    """Where the exchange said how long to wait, that is kept whatever else it answers."""
    desk = Desk(FLAGGED, since=slot(-3))
    desk.book.failed(desk.ask(), desk.now, desk.now + 60.0)
    told = desk.book._inquiries[Kind.REPAIR].retry_at
    desk.book.rows(
        [bar(0)], Span(slot(0), slot(2), Kind.HEAD, desk.market, 0), desk.market, desk.now
    )
    assert desk.book._inquiries[Kind.REPAIR].retry_at == told


def test_a_page_without_reply_starves_no_other_while_the_head_is_answered() -> None:
    """However often the head is answered, a page that never is gives way to the older ones."""
    desk = Desk(FLAGGED, since=slot(-25))
    asked = set()
    for _ in range(12):
        span = desk.ask()
        asked.add(span.start)
        desk.book.failed(span, desk.now)
        head = Span(slot(0), slot(2), Kind.HEAD, desk.market, 0)
        desk.book.rows([bar(0)], head, desk.market, desk.now)
        desk.after(1.0)
    assert len(asked) > 1, "only the newest page was asked for, again and again"
