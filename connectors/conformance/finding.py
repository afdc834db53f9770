"""The adapter classes that somebody means: by name, module, class, or entry point."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from types import ModuleType

from connectors import exchanges
from connectors.adapter import ExchangeAdapter
from connectors.errors import UsageError


def find(text: str) -> list[type[ExchangeAdapter]]:
    """Every market that ``text`` means; UsageError, where there is none, says what was tried.

    An exchange's name; the name of an entry point of the group ``candle_connectors.exchanges``;
    a module, with all markets that it or its package has; or ``module:Class``.
    """
    if text in exchanges.names():
        return [exchanges.get(text)]
    points = entry_points(group=exchanges.ENTRY_POINTS, name=text)
    found = [_imported(point.value) for point in points] or [_imported(text)]
    markets = {market.name: market for each in found for market in _markets(each)}
    if not markets:
        raise UsageError(
            f"{text} has no adapter: write a class with a name that inherits from "
            "connectors.plain.PlainAdapter or connectors.adapter.ExchangeAdapter"
        )
    return list(markets.values())


def _markets(found: ModuleType | type) -> list[type[ExchangeAdapter]]:
    """Those of its own package: what a module imports to build upon is another's."""
    if isinstance(found, type):
        return list(exchanges.named(found))
    package = found.__name__.partition(".")[0]
    return [each for each in exchanges.named(found) if each.__module__.partition(".")[0] == package]


def _imported(text: str) -> ModuleType | type:
    name, _, attribute = text.partition(":")
    try:
        module = importlib.import_module(name)
        found = getattr(module, attribute) if attribute else module
    except Exception as error:
        raise UsageError(
            f"{text!r} is no exchange, no entry point of {exchanges.ENTRY_POINTS}, and cannot be "
            f"imported as a module or module:Class: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(found, ModuleType | type):
        raise UsageError(f"{text!r} is no class: name a module, or module:Class")
    return found
