"""The exchanges: one file per family, found by being here.

A market is a class with a ``name``. Others add theirs by an entry point of the group
``candle_connectors.exchanges`` that names a module or a class.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from importlib.metadata import entry_points
from types import ModuleType

from connectors.adapter import ExchangeAdapter
from connectors.errors import UsageError

ENTRY_POINTS = "candle_connectors.exchanges"


def names() -> list[str]:
    """Every market's name, sorted."""
    return sorted(_adapters())


def get(name: str) -> type[ExchangeAdapter]:
    """The adapter class of a market; UsageError with the nearest names for an unknown one."""
    found = _adapters().get(name)
    if found is None:
        near = difflib.get_close_matches(name, _adapters(), 3, 0.5) or names()
        raise UsageError(f"{name!r} is not an exchange; did you mean {' or '.join(near)}?")
    return found


@cache
def _adapters() -> dict[str, type[ExchangeAdapter]]:
    return {adapter.name: adapter for found in _places() for adapter in named(found)}


def _places() -> Iterator[ModuleType | type]:
    for module in pkgutil.iter_modules(__path__):
        yield importlib.import_module(f"{__name__}.{module.name}")
    for point in entry_points(group=ENTRY_POINTS):
        yield point.load()


def named(found: ModuleType | type) -> Iterator[type[ExchangeAdapter]]:
    """The markets of a class or module: classes with a name."""
    candidates = [found] if isinstance(found, type) else list(vars(found).values())
    for candidate in candidates:
        if (
            isinstance(candidate, type)
            and issubclass(candidate, ExchangeAdapter)
            and candidate.name
        ):
            yield candidate
