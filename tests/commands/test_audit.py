"""The comparison of Kafka with REST: which slots, what differs, what lacks, and the verdict."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.adapter import QuietBars, RestPages
from connectors.commands.audit import (
    SLACK,
    SLOTS,
    Bounds,
    Difference,
    Findings,
    Lack,
    as_json,
    asked,
    bounds_of,
    compare,
    span_of,
    verdict,
)
from connectors.coverage import Coverage
from connectors.errors import UsageError
from connectors.model import CandleData, CloseReason, Grid, Subscription, grid_of
from connectors.records import CandleRecord
from connectors.rules import AUDIT, LAG
from tests.commands.test_inventory import START, at, covered
from tests.plain import START as NOW
from tests.plain import Hands, Plain

ONE = Subscription("plain", "BTC-USDT", "1m")
MINUTES = grid_of("1m")


def bar(slot: int, close: float = 2.0, volume: float = 1.0, **more: Any) -> CandleData:
    """A bar of this slot."""
    return CandleData(at(slot), 2, 3, 1, close, volume, **more)


def flat(slot: int) -> CandleData:
    """A bar without trades."""
    return CandleData(at(slot), 2, 2, 2, 2, 0)


def kept(*bars: CandleData, revision: int = 0) -> dict[int, CandleRecord]:
    """These bars as Kafka has them."""
    why = CloseReason.EXCHANGE_FLAG
    return {
        each.timestamp: CandleRecord(
            ONE, each, each.timestamp + 60, True, why, revision, late=False, published_at=0
        )
        for each in bars
    }


def rows(*bars: CandleData) -> dict[int, CandleData]:
    """These bars as REST has them."""
    return {each.timestamp: each for each in bars}


def compared(
    kafka: dict[int, CandleRecord],
    rest: dict[int, CandleData],
    coverage: Coverage,
    slots: int = 4,
    quiet: QuietBars = QuietBars(),  # noqa: B008 - frozen
) -> Findings:
    """The findings in the first so many slots."""
    return compare(ONE, (START, at(slots)), MINUTES, quiet, coverage, kafka, rest)


# --- the times


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-25T12:00", 1_795_608_000),
        ("2026-11-25T13:00+01:00", 1_795_608_000),
        ("2026-11-25T12:00:00Z", 1_795_608_000),
        ("2026-11-25", 1_795_564_800),
        ("1795608000", 1_795_608_000),
        ("1795608000.5", 1_795_608_000.5),
        ("1795608000000", 1_795_608_000),
    ],
)
def test_times(text: str, seconds: float) -> None:
    """A time is ISO 8601, in UTC where no zone is told, or UNIX seconds."""
    assert asked(text, None) == (seconds, None)
    assert asked(None, text) == (None, seconds)


@pytest.mark.parametrize("text", ["yesterday", "", "-5", "nan", "inf", "2026-13-01", "12:00"])
def test_no_time(text: str) -> None:
    """What is no time is refused with the flag and what would be right."""
    with pytest.raises(UsageError, match=r"^--to '.*' is no time: write it in ISO 8601, like 2026"):
        asked(None, text)


def test_backwards() -> None:
    """A range must begin before it ends."""
    for since in ("2026-11-25", "2026-11-26"):
        with pytest.raises(UsageError, match=f"^--from {since} is not before --to 2026-11-25: "):
            asked(since, "2026-11-25")


# --- which slots


def test_bounds() -> None:
    """The newest bars are left out until the connector must have had its last word about them."""
    hands = Hands()
    settling = Plain.close_grace + LAG + AUDIT + SLACK
    assert bounds_of(Plain(), "1m", MINUTES, hands.clock()) == Bounds(
        0, MINUTES.floor(NOW - settling)
    )
    assert bounds_of(Plain(), "1m", MINUTES, hands.clock(60)).over == MINUTES.floor(
        NOW - settling - 59 * SLACK
    )


def test_reach() -> None:
    """Where REST does not reach back for ever, nine tenths of its reach are relied on."""

    class Short(Plain):
        def rest_pages(self, interval: str) -> RestPages:
            del interval
            return RestPages(100, rows=1000)

    bounds = bounds_of(Short(), "1m", MINUTES, Hands().clock())

    assert bounds.first == MINUTES.floor(NOW) - 900 * 60


@pytest.mark.parametrize(
    ("between", "expected"),
    [
        ((None, None), (500, 1000)),
        ((at(100), None), (100, 1000)),
        ((at(100) + 1, at(200) + 1), (101, 201)),
        ((None, at(600)), (100, 600)),
        ((at(-5), at(5)), (0, 5)),
        ((None, at(2000)), (500, 1000)),
        ((at(1000), at(2000)), (1000, 1000)),
    ],
)
def test_span(between: tuple[float | None, float | None], expected: tuple[int, int]) -> None:
    """Of what is asked for, the slots in coverage that closed long ago; else the newest 500."""
    span = span_of(between, covered(("empty", 900)), False, MINUTES, Bounds(0, at(1000)))

    assert span == tuple(map(at, expected))
    assert SLOTS == 500


def test_span_has_an_end() -> None:
    """What is not carried any more is asked up to its head; nothing beyond the reach of REST."""
    coverage = covered(("empty", 900))

    assert span_of((None, None), coverage, True, MINUTES, Bounds(0, at(1000))) == (at(400), at(900))
    reached = span_of((None, None), coverage, False, MINUTES, Bounds(at(990), at(1000)))
    assert reached == (at(990), at(1000))


def test_span_of_months() -> None:
    """A month that was asked for from its midst on is left out."""
    january, february, april = 1_767_225_600, 1_769_904_000, 1_775_001_600
    coverage = Coverage(january)

    assert span_of((january + 1, None), coverage, False, grid_of("1M"), Bounds(0, april)) == (
        february,
        april,
    )


# --- comparing


def test_agreement() -> None:
    """Where both sides have the same bars everything agrees."""
    bars = [bar(slot) for slot in range(4)]

    found = compared(kept(*bars), rows(*bars), covered(("published", 4)))

    assert (found.compared, found.agreeing, found.rate, found.amiss) == (4, 4, 1.0, False)
    assert (found.start, found.end) == (START, at(4))
    assert verdict([found]) is None


def test_equality_is_the_connectors_own() -> None:
    """Volumes may differ by 1e-9, prices not at all; what one side lacks is not compared."""
    mine = kept(bar(0, volume=1.0, n_trades=7), bar(1), bar(2, close=2.0))
    theirs = rows(bar(0, volume=1.0 + 1e-10), bar(1, n_trades=3), bar(2, close=2.0000001))

    found = compared(mine, theirs, covered(("published", 3)), slots=3)

    assert found.differing == (Difference(at(2), 0, {"close": (2.0, 2.0000001)}),)
    assert (found.compared, found.agreeing) == (3, 2)


def test_what_differs_is_told() -> None:
    """A difference names the figures on both sides and the revision that Kafka has."""
    mine = kept(bar(0, close=2.5, volume=9, quote_asset_volume=5), revision=2)

    found = compared(mine, rows(bar(0)), covered(("published", 1)), slots=1)

    (difference,) = found.differing
    assert str(difference) == ("Kafka (revision 2) has close 2.5, REST 2.0; volume 9.0, REST 1.0")
    assert as_json(found)["differing"] == [
        {
            "open_time": START * 1000,
            "revision": 2,
            "figures": {
                "close": {"kafka": 2.5, "rest": 2.0},
                "volume": {"kafka": 9.0, "rest": 1.0},
            },
        }
    ]
    assert found.rate == 0
    assert found.amiss


def test_declared_and_undeclared() -> None:
    """What Kafka lacks is a hole; what coverage says about it makes it a declared one or not."""
    coverage = covered(("published", 1), ("away", 2), ("given up", 1), ("empty", 2))
    bars = [bar(slot) for slot in range(7)]

    found = compared(kept(bars[0]), rows(*bars), coverage, slots=7)

    assert found.lacking == (
        Lack(at(1), at(3), 2, "away"),
        Lack(at(3), at(4), 1, "too old"),
        Lack(at(4), at(7), 3, None),
    )
    assert (found.declared, found.undeclared, found.amiss) == (3, 3, True)


def test_a_declared_hole_is_not_amiss() -> None:
    """A hole that coverage declares is told, whether or not REST has the candle, and no failure."""
    coverage = covered(("published", 1), ("away", 2), ("published", 1))

    found = compared(kept(bar(0), bar(3)), rows(bar(0), bar(1), bar(3)), coverage)

    assert found.lacking == (Lack(at(1), at(3), 2, "away"),)
    assert not found.amiss
    assert verdict([found]) is None


def test_repaired_meanwhile() -> None:
    """A candle that came after coverage was read is no hole."""
    found = compared(kept(bar(0)), rows(bar(0)), covered(("away", 1)), slots=1)

    assert (found.lacking, found.compared) == ((), 1)


def test_beyond_the_head() -> None:
    """A bar that closed long ago and of which coverage says nothing is an undeclared hole."""
    found = compared({}, rows(bar(0)), Coverage(START), slots=1)

    assert found.lacking == (Lack(at(0), at(1), 1, None),)


def test_denied() -> None:
    """A candle that REST does not have is amiss."""
    found = compared(kept(bar(1), bar(2)), {}, covered(("empty", 1), ("published", 2)))

    assert found.not_on_rest == (Lack(at(1), at(3), 2),)
    assert (found.denied, found.compared, found.rate, found.amiss) == (2, 0, None, True)


@pytest.mark.parametrize(("stream", "undeclared"), [("skipped", 0), ("sent", 1), ("unknown", 1)])
def test_a_bar_without_trades_over_rest(stream: Any, undeclared: int) -> None:
    """A flat row without volume lacks in Kafka only where the stream would have told of it."""
    quiet = QuietBars(stream=stream)

    found = compared({}, rows(flat(0)), covered(("empty", 1)), 1, quiet)

    assert found.undeclared == undeclared
    assert compared({}, rows(bar(0, volume=0)), covered(("empty", 1)), 1, quiet).undeclared == 1


@pytest.mark.parametrize(("rest", "denied"), [("skipped", 0), ("sent", 1), ("unknown", 0)])
def test_a_bar_without_trades_in_kafka(rest: Any, denied: int) -> None:
    """A candle without volume lacks over REST only where REST is known to have such."""
    found = compared(kept(flat(0)), {}, covered(("published", 1)), 1, QuietBars(rest=rest))

    assert found.denied == denied


def test_empty_on_both_sides() -> None:
    """A slot that neither side has, and that is settled, is nothing to tell of."""
    found = compared({}, {}, covered(("empty", 4)))

    assert (found.compared, found.lacking, found.not_on_rest, found.amiss) == (0, (), (), False)


def test_outside() -> None:
    """Only slots of the span count, whatever either side has besides."""
    mine, theirs = kept(bar(0), bar(5)), rows(bar(-1), bar(0), bar(9))
    coverage = covered(("published", 1), ("empty", 3), ("away", 6))

    found = compared(mine, theirs, coverage)

    assert (found.compared, found.lacking, found.not_on_rest) == (1, (), ())


def test_a_grid_of_its_own() -> None:
    """Slots are those of the grid, wherever it is anchored."""
    grid = Grid(60, 5)
    candle = CandleData(START + 5, 2, 3, 1, 2, 1)
    span = (START + 5, START + 65)

    coverage = Coverage(START + 5)
    found = compare(ONE, span, grid, QuietBars(), coverage, kept(candle), rows(candle))

    assert found.agreeing == 1


sides = st.lists(
    st.tuples(st.sampled_from("pea"), st.sampled_from(["", "same", "other"])), max_size=12
)


@given(sides)
@settings(deadline=None, derandomize=True)
def test_every_slot_is_judged(slots: list[tuple[str, str]]) -> None:
    """Each slot is agreeing, differing, declared, undeclared, denied, or empty on both sides."""
    words = {"p": "published", "e": "empty", "a": "away"}
    coverage = covered(*((words[kind], 1) for kind, _ in slots))
    mine = [bar(slot) for slot, (kind, _) in enumerate(slots) if kind == "p"]
    theirs = [
        bar(slot, close=2.0 if told == "same" else 2.5)
        for slot, (_, told) in enumerate(slots)
        if told
    ]

    found = compared(kept(*mine), rows(*theirs), coverage, len(slots))

    def count(kinds: str, told: Iterable[str]) -> int:
        return sum(kind in kinds and said in told for kind, said in slots)

    assert found.agreeing == count("p", ["same"])
    assert len(found.differing) == count("p", ["other"])
    assert found.declared == count("a", ["", "same", "other"])
    assert found.undeclared == count("e", ["same", "other"])
    assert found.denied == count("p", [""])


# --- the result


def test_verdict() -> None:
    """The sentence counts what is amiss, and only that."""
    lack = Lack(START, at(2), 2)
    bad = Findings(
        ONE, START, at(9), 3, (Difference(START, 0, {}),), lacking=(lack,), not_on_rest=(lack, lack)
    )

    assert verdict([bad, bad]) == (
        "Kafka and the exchange do not agree: 2 differing, "
        "4 missing in Kafka without being declared, 8 in Kafka only"
    )
    assert verdict([Findings(ONE, unread="no answer")]) == "1 subscription could not be compared"
    assert verdict([Findings(ONE, lacking=(lack,)), Findings(ONE, unread="no answer")]) == (
        "Kafka and the exchange do not agree: 2 missing in Kafka without being declared; "
        "1 subscription could not be compared"
    )


def test_nothing_to_compare() -> None:
    """That there is nothing to compare at all is a failure; one idle subscription is none."""
    idle = Findings(ONE, idle="too early")

    assert not idle.amiss
    assert verdict([idle]) == "there was nothing to compare: see why with each subscription"
    assert verdict([idle, Findings(ONE, START, at(1), 1)]) is None


def test_as_json() -> None:
    """JSON has everything, times in UNIX milliseconds."""
    lacking = (Lack(START, at(2), 2, "away"),)
    found = Findings(ONE, START, at(9), 4, lacking=lacking, not_on_rest=(Lack(at(3), at(4), 1),))

    assert as_json(found) == {
        "subscription": "plain:BTC-USDT:1m",
        "from": START * 1000,
        "to": at(9) * 1000,
        "compared": 4,
        "agreeing": 4,
        "agreement": 1.0,
        "differing": [],
        "lacking_in_kafka": [
            {"from": START * 1000, "to": at(2) * 1000, "slots": 2, "declared": "away"}
        ],
        "lacking_on_rest": [
            {"from": at(3) * 1000, "to": at(4) * 1000, "slots": 1, "declared": None}
        ],
        "not_compared": None,
    }
