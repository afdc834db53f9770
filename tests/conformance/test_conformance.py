"""Runs every check for every adapter and item that is found. Nothing here names an exchange."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from connectors import exchanges

from . import contract, wire
from .exceptions import FILE, hold_to_reason, reasons
from .items import Item, items_of, recorded_markets

REASONS = reasons()
ITEMS = [item for name in exchanges.names() for item in items_of(name)]
CONTRACT = [(name, check) for name in exchanges.names() for check in contract.CHECKS]
WIRE = [(item, name) for item in ITEMS for name in wire.checks_of(item)]

Record = Callable[[str, object], None]


@pytest.mark.parametrize(
    ("name", "check"), CONTRACT, ids=[f"{name}-{check.__name__}" for name, check in CONTRACT]
)
def test_contract(name: str, check: contract.Check, record_property: Record) -> None:
    """The adapter keeps the contract."""
    reason = REASONS.get((name, check.__name__))
    record_property("conformance", ("contract", name, check.__name__, reason))
    hold_to_reason(lambda: check(exchanges.get(name)), reason, f"{name} {check.__name__}")


@pytest.mark.parametrize(
    ("item", "check"), WIRE, ids=[f"{item.id}-{check}" for item, check in WIRE]
)
def test_item(item: Item, check: str, record_property: Record) -> None:
    """The adapter makes of a recorded item what the item says."""
    reason = REASONS.get((item.id, check))
    record_property("conformance", ("item", item.id, check, reason))
    run = wire.checks_of(item)[check]
    hold_to_reason(lambda: run(exchanges.get(item.market), item), reason, f"{item} ({check})")


def test_every_folder_of_items_has_an_adapter() -> None:
    """Recorded items belong to an exchange that exists."""
    strangers = sorted(set(recorded_markets()) - set(exchanges.names()))
    assert not strangers, (
        f"tests/wire/ has items of {strangers}, but no adapter has such a name\n"
        "do next:  write connectors/exchanges/<family>.py, or correct the folder's name"
    )


def test_items_lie_in_the_folder_of_their_market() -> None:
    """An item's market is its folder."""
    astray = [str(item) for market in recorded_markets() for item in items_of(market)
              if item.market != market]  # fmt: skip
    assert not astray, (
        f"{astray}: these items name another market than their folder: correct one of them"
    )


def test_every_exception_names_a_check() -> None:
    """The list of exceptions has no entry for something that does not exist."""
    known = {(item.id, check) for item, check in WIRE}
    known |= {(name, check.__name__) for name, check in CONTRACT}
    unknown = sorted(set(REASONS) - known)
    assert not unknown, f"{FILE.name} names what does not exist: {unknown}; remove or correct it"
