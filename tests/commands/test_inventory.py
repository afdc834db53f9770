"""Coverage summed up: counts, holes, totals, and which subscriptions are meant."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.commands.inventory import (
    Hole,
    Summary,
    as_json,
    narrowed,
    newest,
    summed_up,
    total,
    totals_as_json,
)
from connectors.coverage import Coverage
from connectors.errors import SetupError, UsageError
from connectors.model import Grid, Subscription, grid_of
from connectors.records import CoverageRecord, CoverageState

START = 1_795_608_000
ONE = Subscription("binance_spot", "BTC-USDT", "1m")
OTHER = Subscription("okx_spot", "ETH-USDT", "5m")


def at(slot: int) -> int:
    """The open time of a minute's slot that is given by its number."""
    return START + 60 * slot


def covered(*runs: tuple[str, int], start: int = START, step: int = 60) -> Coverage:
    """Coverage of runs of so many slots: published, empty, missing, given up."""
    coverage = Coverage(start)
    for kind, slots in runs:
        end = coverage.head + slots * step
        if kind == "empty":
            coverage.empty(coverage.head, end)
        elif kind == "published":
            for slot in range(coverage.head, end, step):
                coverage.publish(slot, slot + step, 0, slot)
        elif kind == "given up":
            coverage.give_up(coverage.head, end, "too old", START + 7)
        else:
            coverage.miss(coverage.head, end, kind, START + 7)
    return coverage


def record(subscription: Subscription | None = ONE, **more: Any) -> CoverageRecord:
    """A record of coverage."""
    return CoverageRecord(subscription=subscription, **more)


# --- one subscription


def test_everything_is_counted() -> None:
    """Settled slots are published or empty; each missing run is a hole with reason and since."""
    coverage = covered(
        ("published", 3), ("empty", 2), ("away", 4), ("published", 1), ("given up", 5)
    )

    found = summed_up(record(coverage=coverage), grid_of("1m"), at(17))

    assert (found.start, found.head) == (START, at(15))
    assert (found.settled, found.published, found.empty) == (6, 4, 2)
    assert (found.missing, found.given_up, found.behind) == (4, 5, 2)
    assert found.holes == (
        Hole(at(5), at(9), 4, given_up=False, reason="away", since=START + 7),
        Hole(at(10), at(15), 5, given_up=True, reason="too old", since=START + 7),
    )
    assert str(found.holes[0]) == "4 slots missing: away"


runs = st.lists(
    st.tuples(st.sampled_from(["published", "empty", "away", "given up"]), st.integers(1, 5))
)


@given(runs, st.integers(0, 9))
@settings(deadline=None, derandomize=True)
def test_nothing_is_left_out(parts: list[tuple[str, int]], later: int) -> None:
    """Every slot from the start to now is published, empty, missing, given up or behind."""
    coverage = covered(*parts)
    now = coverage.head + 60 * later

    found = summed_up(record(coverage=coverage), grid_of("1m"), now + 59.9)

    counts = found.published, found.empty, found.missing, found.given_up, found.behind
    assert sum(counts) == (now - START) // 60
    for kind, count in zip(("published", "empty", "away", "given up"), counts, strict=False):
        assert count == sum(slots for each, slots in parts if each == kind)


def test_months() -> None:
    """Slots of months are counted by the calendar."""
    january, february, april = 1_767_225_600, 1_769_904_000, 1_775_001_600
    coverage = Coverage(january)
    coverage.empty(january, february)
    coverage.miss(february, april, "away", january)

    found = summed_up(record(coverage=coverage), grid_of("1M"), april)

    assert (found.settled, found.missing, found.behind) == (1, 2, 0)


def test_a_grid_that_must_be_learned() -> None:
    """Coverage itself teaches where the slots of an unknown grid lie."""
    coverage = covered(("empty", 2), start=START + 5, step=60)

    found = summed_up(record(coverage=coverage), Grid(60, None), START + 5 + 180)

    assert (found.settled, found.behind) == (2, 1)


@pytest.mark.parametrize("state", [CoverageState.PAUSED, CoverageState.ENDED])
def test_not_carried(state: CoverageState) -> None:
    """What is paused or has ended is not behind, however late it is."""
    found = summed_up(record(coverage=covered(("empty", 1)), state=state), grid_of("1m"), at(99))

    assert (found.state, found.settled, found.behind) == (state, 1, 0)


def test_refused() -> None:
    """What was refused has a reason and no slots."""
    found = summed_up(
        record(state=CoverageState.REFUSED, reason="no such pair"), grid_of("1m"), at(9)
    )

    assert found == Summary(ONE, CoverageState.REFUSED, "no such pair")
    assert as_json(found)["start"] is None


def test_a_hole_without_reason() -> None:
    """A run without a reason says so."""
    coverage = covered(("", 1))

    assert summed_up(record(coverage=coverage), grid_of("1m"), 0).holes[0].reason == (
        "no reason given"
    )


def test_a_claim_covers_nothing() -> None:
    """A claim is nobody's coverage."""
    with pytest.raises(ValueError, match="a claim"):
        summed_up(record(None), grid_of("1m"), 0)


# --- totals and JSON


def test_totals() -> None:
    """Subscriptions are added up; the sentence says how many slots and holes there are."""
    full = summed_up(record(coverage=covered(("published", 2))), grid_of("1m"), 0)
    holed = summed_up(
        record(coverage=covered(("away", 1), ("empty", 3), ("given up", 2))), grid_of("1m"), 0
    )

    found = total([full, holed, holed])

    assert totals_as_json(found) == {
        "total": {
            "subscriptions": 3,
            "settled": 8,
            "published": 2,
            "empty": 6,
            "missing": 2,
            "given_up": 4,
            "holes": 4,
            "incomplete": 2,
        }
    }
    assert str(found) == (
        "6 slots of 2 subscriptions not published, in 4 holes; 4 of these slots are given up"
    )
    assert str(total([summed_up(record(coverage=covered(("x", 1))), grid_of("1m"), 0)])) == (
        "1 slot of 1 subscription not published, in 1 hole; 0 of these slots are given up"
    )
    assert total([full]).holes == 0


def test_as_json() -> None:
    """JSON has everything, times in UNIX milliseconds."""
    coverage = covered(("published", 2), ("away", 1))

    assert as_json(summed_up(record(coverage=coverage), grid_of("1m"), at(4))) == {
        "subscription": "binance_spot:BTC-USDT:1m",
        "state": "ACTIVE",
        "reason": None,
        "start": START * 1000,
        "head": at(3) * 1000,
        "settled": 2,
        "published": 2,
        "empty": 0,
        "missing": 1,
        "given_up": 0,
        "behind": 1,
        "holes": [
            {
                "start": at(2) * 1000,
                "end": at(3) * 1000,
                "slots": 1,
                "given_up": False,
                "reason": "away",
                "since": (START + 7) * 1000,
            }
        ],
    }


# --- choosing


def test_newest() -> None:
    """Of several records the newest counts, one that has ended only where there is no other."""
    old, new = record(updated_at=1), record(updated_at=2)
    ended = record(updated_at=3, state=CoverageState.ENDED)

    assert newest([new, old]) == newest([old, new]) == newest([ended, new]) == {ONE: new}
    assert newest([ended]) == {ONE: ended}
    assert newest([record(None, owner="somebody")]) == {}


def test_narrowed() -> None:
    """All, an exchange's, or single subscriptions are meant, in order."""
    known = {OTHER: record(OTHER), ONE: record(ONE)}

    assert list(narrowed(known, {}, "p")) == [ONE, OTHER]
    assert list(narrowed(known, {"okx_spot": None}, "p")) == [OTHER]
    assert list(narrowed(known, {"binance_spot": {ONE}, "okx_spot": None}, "p")) == [ONE, OTHER]


def test_nothing_is_known() -> None:
    """No coverage at all is a sentence with the prefix."""
    with pytest.raises(SetupError, match=r"^there is no coverage under the prefix p: nothing was"):
        narrowed({}, {}, "p")


def test_unknown() -> None:
    """What has no coverage is named, and what has that is spelled alike."""
    known = {ONE: record(ONE)}
    wrong = Subscription("binance_spot", "BTC-USDC", "1m")

    with pytest.raises(
        UsageError, match=r"of binance_spot:BTC-USDC:1m under .* mean binance_spot:B"
    ):
        narrowed(known, {"binance_spot": {wrong, ONE}}, "p")
    with pytest.raises(UsageError, match=r"^there is no coverage of kraken under the prefix p$"):
        narrowed(known, {"kraken": None}, "p")
