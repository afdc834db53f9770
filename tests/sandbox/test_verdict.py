"""The verdict: each of its numbers can be other than it should be, and is then seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from connectors.errors import Unreachable
from connectors.model import CandleData, CloseReason, Subscription
from connectors.records import CandleRecord
from connectors.sandbox.server import Sandbox
from connectors.sandbox.verdict import TrueBar, Verdict, compare, fetch_truth, grace, judge
from tests.sandbox.pretend import NOON

ONE = Subscription("binance_spot", "BTC-USDT", "1m")
OTHER = Subscription("okx_spot", "BTC-USDT", "1m")
FIGURES = {
    "open": 10.0,
    "high": 12.0,
    "low": 9.0,
    "close": 11.0,
    "volume": 3.0,
    "quote_asset_volume": 33.0,
    "n_trades": 7,
    "taker_buy_base_volume": None,
    "taker_buy_quote_volume": None,
}


def bar(minute: int, **other: float | None) -> TrueBar:
    """The true bar that opens so many minutes after noon."""
    start = NOON + 60 * minute
    return TrueBar(start, start + 60, {**FIGURES, **other})


def record(minute: int, subscription: Subscription = ONE, **other: Any) -> CandleRecord:
    """A published candle that equals the true one, but for ``other``."""
    start = NOON + 60 * minute
    figures = {**FIGURES, **{name: other.pop(name) for name in FIGURES if name in other}}
    found = CandleRecord(
        subscription,
        CandleData(start, closed=True, **figures),
        start + 60,
        closed=True,
        close_reason=CloseReason.EXCHANGE_FLAG,
        revision=0,
        late=False,
        published_at=0,
    )
    return replace(found, **other)


def verdict(*found: CandleRecord, minutes: int = 3, until: int = 3) -> Verdict:
    """What is said of these, where ``minutes`` bars are true and ``until`` of them expected."""
    truth = {ONE: [bar(minute) for minute in range(minutes)]}
    return compare({ONE: NOON + 30.0}, truth, found, NOON + 60 * until)


def test_all_is_well() -> None:
    """Everything expected was found once and equal: passed, and nothing is to be noted."""
    found = verdict(record(0), record(1), record(2))

    assert str(found) == "closed 3 · equal 3 · lost 0 · doubled 0 · wrong 0"
    assert (found.passed, found.notes()) == (True, [])


def test_nothing_expected() -> None:
    """Where nothing was expected nothing was shown: not passed."""
    found = verdict(until=0)

    assert str(found) == "closed 0 · equal 0 · lost 0 · doubled 0 · wrong 0"
    assert not found.passed


def test_lost() -> None:
    """An expected bar that was not found is lost, and named."""
    found = verdict(record(0), record(2))

    assert str(found) == "closed 3 · equal 2 · lost 1 · doubled 0 · wrong 0"
    assert (found.passed, found.notes()) == (False, [f"lost: {ONE} at {NOON + 60}"])


def test_lost_whole_subscription() -> None:
    """A wish of which nothing was found has lost everything."""
    truth = {ONE: [bar(0)], OTHER: [bar(0), bar(1)]}

    found = compare(dict.fromkeys(truth, NOON), truth, [record(0)], NOON + 120)

    assert (found.closed, found.equal, found.lost) == (3, 1, 2)


def test_doubled() -> None:
    """The same slot and revision twice is doubled, equal or not."""
    found = verdict(record(0), record(0), record(1), record(2))

    assert str(found) == "closed 3 · equal 3 · lost 0 · doubled 1 · wrong 0"
    assert (found.passed, found.notes()) == (
        False,
        [f"doubled: {ONE} at {NOON}, revision 0"],
    )


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"open": 10.000000000000002}, "open 10.000000000000002, truth 10.0"),
        ({"high": 12.5}, "high 12.5, truth 12.0"),
        ({"low": 8.0}, "low 8.0, truth 9.0"),
        ({"close": 10.0}, "close 10.0, truth 11.0"),
        ({"volume": 3.0000001}, "volume 3.0000001, truth 3.0"),
        ({"quote_asset_volume": 33.1}, "quote_asset_volume 33.1, truth 33.0"),
        ({"quote_asset_volume": None}, "quote_asset_volume None, truth 33.0"),
        ({"n_trades": 6}, "n_trades 6, truth 7"),
        ({"close_time": NOON + 59}, f"close time {NOON + 59}, truth {NOON + 60}"),
        ({"closed": False}, "it is not marked closed"),
    ],
)
def test_wrong(other: dict[str, Any], reason: str) -> None:
    """A candle that differs from the truth in any figure is wrong, and the figure is named."""
    found = verdict(record(0, **other), record(1), record(2))

    assert str(found) == "closed 3 · equal 2 · lost 0 · doubled 0 · wrong 1"
    assert not found.passed
    assert found.notes() == [f"wrong: {ONE} at {NOON}: {reason}"]


def test_not_compared() -> None:
    """Volumes may differ in the tenth digit, and figures that the truth lacks are not compared."""
    found = verdict(record(0, volume=3.0000000001), record(1, taker_buy_base_volume=1.0), record(2))

    assert found.passed


def test_invented() -> None:
    """A candle that the truth does not have is wrong, expected or not."""
    found = verdict(record(0), record(1), record(2), record(5))

    assert str(found) == "closed 3 · equal 3 · lost 0 · doubled 0 · wrong 1"
    assert found.notes() == [f"wrong: {ONE} at {NOON + 300}: the exchange has no such candle"]


def test_not_wished() -> None:
    """A candle of a subscription that nobody wished is wrong."""
    found = verdict(record(0), record(1), record(2), record(0, OTHER))

    assert (found.passed, found.wrong) == (False, 1)


def test_not_expected_but_there() -> None:
    """Bars before the wish and after the end need not be there; where they are, they are true."""
    truth = {ONE: [bar(minute) for minute in range(4)]}
    wishes = {ONE: NOON + 60.0}

    right = compare(wishes, truth, [record(minute) for minute in range(4)], NOON + 180)
    none = compare(wishes, truth, [record(1), record(2)], NOON + 180)
    wrong = compare(wishes, truth, [record(0, low=1.0), record(1), record(2)], NOON + 180)

    assert str(right) == str(none) == "closed 2 · equal 2 · lost 0 · doubled 0 · wrong 0"
    assert str(wrong) == "closed 2 · equal 2 · lost 0 · doubled 0 · wrong 1"


def test_running_bar_is_expected() -> None:
    """The bar that was running when the wish was accepted is expected, the one before is not."""
    truth = {ONE: [bar(0), bar(1)]}

    assert compare({ONE: NOON + 59.9}, truth, [], NOON + 120).lost == 2
    assert compare({ONE: NOON + 60.0}, truth, [], NOON + 120).lost == 1


def test_newest_revision_counts() -> None:
    """A revision replaces what was published before, and is counted apart."""
    wrong = record(0, close=10.0)

    healed = verdict(wrong, record(1), record(0, revision=1), record(2))
    spoilt = verdict(record(0), record(1), record(2), replace(wrong, revision=1))

    assert str(healed) == "closed 3 · equal 3 · lost 0 · doubled 0 · wrong 0"
    assert (healed.passed, healed.notes()) == (True, ["revisions 1"])
    assert (spoilt.passed, spoilt.wrong, spoilt.revisions) == (False, 1, 1)


def test_late() -> None:
    """A late candle may be older than the one before; it is counted apart."""
    found = verdict(record(0), record(2), record(1, late=True))

    assert (found.passed, found.notes()) == (True, ["late 1"])


def test_out_of_order() -> None:
    """An older candle that is not marked late breaks the order, and the verdict."""
    found = verdict(record(0), record(2), record(1))

    assert str(found) == "closed 3 · equal 3 · lost 0 · doubled 0 · wrong 0"
    assert not found.passed
    assert found.notes()[-1] == "out of order 1"


def test_reasons_are_bounded() -> None:
    """However much is amiss, only the first reasons are kept."""
    found = verdict(minutes=100, until=100)

    assert (found.lost, len(found.reasons)) == (100, 20)


def test_grace() -> None:
    """The grace is market time: lateness of the exchanges, and a few real seconds at this speed."""
    assert (grace(1.0), grace(60.0)) == (33.0, 210.0)


# --- the truth


async def test_truth_is_fetched() -> None:
    """The truth reaches from the bar that runs at ``since`` to now; unknown pairs have none."""
    unknown = Subscription("binance_spot", "NOPE-USDT", "1m")
    month = Subscription("binance_spot", "BTC-USDT", "1M")
    async with Sandbox(0, speed=1.0, start=NOON + 150) as sandbox:
        truth = await fetch_truth(sandbox.url, {ONE: NOON + 30, unknown: NOON, month: NOON})

    assert [row.open_time for row in truth[ONE]] == [NOON, NOON + 60]
    assert set(truth[ONE][0].figures) == set(FIGURES)
    assert (truth[unknown], truth[month]) == ([], [])


async def test_truth_of_months() -> None:
    """The month that runs at ``since`` is there, whatever its length."""
    month = Subscription("binance_spot", "BTC-USDT", "1M")
    last_of_october, december = 1_793_491_199, 1_796_083_200
    async with Sandbox(0, speed=1.0, start=december + 5) as sandbox:
        truth = await fetch_truth(sandbox.url, {month: last_of_october})

    assert [row.close_time for row in truth[month]] == [last_of_october + 1, december]


async def test_judge() -> None:
    """What the sandbox tells is equal to itself, older bars than the wish included."""
    async with Sandbox(0, speed=1.0, start=NOON + 150) as sandbox:
        truth = await fetch_truth(sandbox.url, {ONE: NOON - 60})
        found = [record((row.open_time - NOON) // 60, ONE, **row.figures) for row in truth[ONE]]
        said = await judge(sandbox.url, {ONE: NOON + 30.0}, found, NOON + 120)

    assert len(found) == 3
    assert str(said) == "closed 2 · equal 2 · lost 0 · doubled 0 · wrong 0"


def test_flat_bars_may_be_left_out_where_the_stream_leaves_them_out() -> None:
    """History fills bars without trades; nobody can lose them, but they are true."""
    flat = {"open_time": NOON, "close_time": NOON + 60, **FIGURES, "volume": 0.0}
    for skips, closed in ((True, 0), (False, 1)):
        truth = {ONE: [TrueBar.read(flat, skips=skips)]}
        assert compare({ONE: NOON + 30.0}, truth, [], NOON + 60).lost == closed
        assert compare({ONE: NOON + 30.0}, truth, [record(0, volume=0.0)], NOON + 60).wrong == 0


async def test_the_markets_own_habit_is_asked_for() -> None:
    """A quiet pair's flat bars are needed where its stream sends them, too."""
    needed = {}
    for market in ("binance_spot", "binance_perpetual"):
        quiet = Subscription(market, "ALGO-USDT", "1m")
        async with Sandbox(0, speed=1.0, start=NOON + 1_800) as sandbox:
            truth = await fetch_truth(sandbox.url, {quiet: NOON})
        needed[market] = {bar.needed for bar in truth[quiet] if not bar.figures["volume"]}
    assert needed == {"binance_spot": {True}, "binance_perpetual": {False}}


async def test_no_sandbox() -> None:
    """Where no sandbox answers, that is the sentence."""
    with pytest.raises(Unreachable, match=r"^the sandbox at http://127.0.0.1:9 does not tell"):
        await fetch_truth("http://127.0.0.1:9", {ONE: NOON})
