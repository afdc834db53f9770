"""The suite: outcomes of checks, reasons, and errors of adapters."""
# ruff: noqa: ARG002 - the contract names the arguments

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.conformance import suite
from connectors.conformance.advice import NotApplicable, NotConforming
from connectors.conformance.items import evidence
from connectors.errors import UsageError

from . import toy_items
from .toys import Toy


@pytest.fixture(autouse=True)
def wire(tmp_path: Path) -> Iterator[Path]:
    """A folder with the toy's items, and no others."""
    toy_items.write_items(tmp_path)
    with evidence(tmp_path):
        yield tmp_path


def holds() -> None:
    """A check that passes."""


def fails() -> None:
    """A check that fails."""
    raise NotConforming("one", "two", "add one", "toy_spot/01.json")


def says_nothing() -> None:
    """A check that has nothing to look at."""
    raise NotApplicable("no candles over REST")


def case(run: Callable[[], None]) -> suite.Case:
    """A case of the toy."""
    return suite.Case(Toy, "check_it", run)


REASON = {("toy_spot", "check_it"): "was broken once"}


def test_a_check_that_returns_has_passed() -> None:
    """No news are good news."""
    assert suite.outcome(case(holds), {}).verdict == "passed"


def test_a_failure_says_all_that_is_to_be_said() -> None:
    """Expected, came, the item and the next step, each for itself and together."""
    failure = suite.outcome(case(fails), {}).failure

    assert failure is not None
    told = failure.expected, failure.came, failure.where, failure.then
    assert told == ("one", "two", "toy_spot/01.json", "add one")
    assert all(each in str(failure) for each in told)


def test_a_check_with_nothing_to_look_at_is_not_applicable() -> None:
    """It is neither passed nor failed, and says why."""
    outcome = suite.outcome(case(says_nothing), {})

    assert (outcome.verdict, outcome.reason) == ("not applicable", "no candles over REST")


def test_a_reason_makes_a_failure_not_applicable() -> None:
    """What fails as its reason says does not count as failed."""
    outcome = suite.outcome(case(fails), REASON)

    assert (outcome.verdict, outcome.reason) == ("not applicable", "was broken once")


@pytest.mark.parametrize("run", [holds, says_nothing])
def test_a_reason_no_longer_needed_fails(run: Callable[[], None]) -> None:
    """A reason for a check that does not fail is out of date."""
    outcome = suite.outcome(case(run), REASON)

    assert outcome.failure is not None
    assert "was broken once" in outcome.failure.expected
    assert "remove the check from that exception" in outcome.failure.then


def test_a_reason_for_nothing_is_refused() -> None:
    """A reason that names no check is told; those of other markets are none of ours."""
    with pytest.raises(UsageError, match=r"toy_spot/99 candles\): remove or correct it"):
        suite.outcomes(Toy, {("toy_spot/99", "candles"): "why", ("other/1", "candles"): "why"})


class Stumbling(Toy):
    """Raises an error of its own."""

    def parse_ws_message(self, data: Any) -> Any:
        return {}["figures"]


def test_an_error_of_the_adapter_becomes_advice() -> None:
    """A KeyError out of an adapter fails with item, line, and next step."""
    found = {str(each.case): each for each in suite.outcomes(Stumbling, {})}
    failure = found["toy_spot/01-candle.json, made up, from nowhere (candles)"].failure

    assert failure is not None
    assert re.search(r"KeyError: 'figures', raised in test_suite.py, line \d+", failure.came)
    assert "toy_spot/01-candle.json" in failure.where
    assert "look at that line" in failure.then
    assert isinstance(failure.__cause__, KeyError)


class Demanding(Toy):
    """Cannot be made without an argument."""

    def __init__(self, key: str) -> None:
        super().__init__()


def test_without_an_adapter_nothing_else_is_tried() -> None:
    """One mistake that spoils everything is told once."""
    first, *others = suite.outcomes(Demanding, {})

    assert first.verdict == "failed"
    assert {(each.verdict, each.reason) for each in others} == {
        ("not applicable", "no adapter can be made")
    }


def test_the_whole_toy_passes() -> None:
    """Every check of the contract and of every item is among the cases, and passes."""
    found = suite.outcomes(Toy, {})

    assert [str(each.failure) for each in found if each.failure] == []
    items = {each.case.item.name for each in found if each.case.item}
    assert items == set(toy_items.ITEMS)


@pytest.mark.parametrize(
    ("wrong", "check", "advice"),
    [
        ({"kind": "ws_strange"}, "kind", "correct the item's kind"),
        ({"market": "other_spot"}, "market", "correct the item's market, or move its file"),
    ],
)
def test_an_item_that_is_out_of_place_fails(
    wire: Path, wrong: dict[str, str], check: str, advice: str
) -> None:
    """An unknown kind, and another market than the folder's, is no silent pass."""
    item = {"market": "toy_spot", "kind": "ws_other", "frame": 1, **wrong}
    (wire / "toy_spot" / "99-odd.json").write_text(json.dumps(item), "utf-8")
    failed = [each for each in suite.outcomes(Toy, {}) if each.failure]

    assert [each.case.check for each in failed] == [check]
    assert failed[0].failure is not None
    assert failed[0].failure.then == advice
