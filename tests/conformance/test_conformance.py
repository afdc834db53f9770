"""Runs every check for every adapter and item that is found. Nothing here names an exchange."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connectors import exchanges
from connectors.conformance import suite
from connectors.conformance.exceptions import reasons
from connectors.conformance.items import evidence, recorded_markets

WIRE = Path(__file__).parent.parent / "wire"
EXCEPTIONS = Path(__file__).with_name("exceptions.toml")

REASONS = reasons(EXCEPTIONS)
with evidence(WIRE):
    CASES = [case for name in exchanges.names() for case in suite.cases(exchanges.get(name))]


@pytest.fixture(autouse=True)
def _our_items() -> Iterator[None]:
    with evidence(WIRE):
        yield


@pytest.mark.parametrize("case", CASES, ids=[f"{case.where}-{case.check}" for case in CASES])
def test_adapter(case: suite.Case, record_property: Callable[[str, object], None]) -> None:
    """The adapter keeps the contract, and makes of a recorded item what the item says."""
    outcome = suite.outcome(case, REASONS)
    kind = "contract" if case.item is None else "item"
    listed = REASONS.get((case.where, case.check))
    record_property("conformance", (kind, case.where, case.check, listed))
    if outcome.failure is not None:
        raise outcome.failure


def test_every_folder_of_items_has_an_adapter() -> None:
    """Recorded items belong to an exchange that exists."""
    strangers = sorted(set(recorded_markets()) - set(exchanges.names()))
    assert not strangers, (
        f"tests/wire/ has items of {strangers}, but no adapter has such a name\n"
        "do next:  write connectors/exchanges/<family>.py, or correct the folder's name"
    )


def test_every_exception_names_a_check() -> None:
    """The list of exceptions has no entry for something that does not exist."""
    unknown = sorted(suite.unneeded(REASONS, CASES))
    assert not unknown, (
        f"{EXCEPTIONS.name} names what does not exist: {unknown}; remove or correct it"
    )
