"""Finding exchanges: by being a file here, or by an entry point."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest

from connectors import exchanges
from connectors.adapter import ExchangeAdapter
from connectors.errors import UsageError


class Outside(ExchangeAdapter):
    """An adapter of somebody else."""

    name = "outside_spot"


class Base(ExchangeAdapter):
    """A base without a name."""


class Point:
    """An entry point that names a thing."""

    def __init__(self, thing: object) -> None:
        self._thing = thing

    def load(self) -> object:
        """The thing."""
        return self._thing


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    """Each test looks anew."""
    exchanges._adapters.cache_clear()
    yield
    exchanges._adapters.cache_clear()


def _installed(monkeypatch: pytest.MonkeyPatch, *things: object) -> None:
    def entry_points(group: str) -> list[Point]:
        assert group == "candle_connectors.exchanges"
        return [Point(thing) for thing in things]

    monkeypatch.setattr(exchanges, "entry_points", entry_points)


def test_names_are_sorted_and_lead_to_their_classes() -> None:
    """Every name leads to a class of that name that can be made without arguments."""
    names = exchanges.names()
    assert names == sorted(set(names))
    assert names
    assert [exchanges.get(name)().name for name in names] == names


def test_bases_are_not_listed() -> None:
    """A class without a name is no exchange."""
    assert "" not in exchanges.names()


def test_unknown_name_is_answered_with_the_nearest() -> None:
    """A mistyped exchange is refused in a sentence that says which was meant."""
    name = exchanges.names()[0]
    with pytest.raises(UsageError, match=f"is not an exchange; did you mean .*{name}"):
        exchanges.get(name[:-1] + "x")


def test_name_that_is_near_to_nothing_is_answered_with_all() -> None:
    """Where nothing is near, all names are told."""
    with pytest.raises(UsageError) as told:
        exchanges.get("§§§§")
    assert all(name in str(told.value) for name in exchanges.names())


def test_entry_point_of_a_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package adds its class."""
    before = exchanges.names()
    exchanges._adapters.cache_clear()
    _installed(monkeypatch, Outside)
    assert exchanges.names() == sorted([*before, "outside_spot"])
    assert exchanges.get("outside_spot") is Outside


def test_entry_point_of_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package adds all named classes of its module, and neither bases nor others."""
    module = ModuleType("somebody_elses")
    module.__dict__.update({"Outside": Outside, "Base": Base, "number": 7, "text": str})
    before = exchanges.names()
    exchanges._adapters.cache_clear()
    _installed(monkeypatch, module)
    assert set(exchanges.names()) - set(before) == {"outside_spot"}
