"""Candles in rows: lists, objects, lists by column."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import attrgetter, itemgetter
from typing import Any

from connectors.model import CandleData
from connectors.plain.symbols import Code


class Columns:
    """Where a row's figures stand: list indices or dict keys, in the order of CandleData.

    Time, open, high, low, close, volume; then, as far as they are sent, quote volume, trades,
    taker base, taker quote, with None for a gap. ``read(row)`` gives the values, to be unpacked
    into CandleData: LookupError where one of the first six is missing, None for another.

    A list that lacks a column would be read shifted: ValueError for one of fewer than ``shortest``.
    That is as far as the indices reach, unless it is told: more where columns follow that are not
    read, fewer where older rows end sooner. A longer one is read: columns are added at the end.
    """

    __slots__ = ("read",)

    def __init__(self, *keys: Code | None, shortest: int | None = None) -> None:
        reach = max((key + 1 for key in keys if isinstance(key, int)), default=0)
        # Not a method: that is slower.
        self.read: Callable[[Any], tuple[Any, ...]] = _reader(
            keys, reach if shortest is None else shortest
        )


def _reader(keys: Sequence[Code | None], shortest: int) -> Callable[[Any], tuple[Any, ...]]:
    whole = _with_gaps(keys) if None in keys else itemgetter(*keys)
    partly = _as_far_as_sent(keys)

    def read(row: Any) -> tuple[Any, ...]:
        if type(row) is str:  # its characters would be figures
            raise TypeError(f"text instead of a row: {row[:200]!r}")
        if len(row) < shortest:
            raise ValueError(
                f"a row of {len(row)} columns cannot be read, it has {shortest} or more: "
                f"{str(row)[:200]}"
            )
        try:
            return whole(row)
        except LookupError:
            return partly(row)

    return read


def _as_far_as_sent(keys: Sequence[Code | None]) -> Callable[[Any], tuple[Any, ...]]:
    needed, optional = itemgetter(*keys[:6]), keys[6:]
    return lambda row: (*needed(row), *(_value_or_none(row, key) for key in optional))


def _with_gaps(keys: Sequence[Code | None]) -> Callable[[Any], tuple[Any, ...]]:
    sent = [key for key in keys if key is not None]
    values = itemgetter(*sent)
    placed = itemgetter(*(-1 if key is None else sent.index(key) for key in keys))
    return lambda row: placed((*values(row), None))


def _value_or_none(row: Any, key: Code | None) -> Any:
    try:
        return None if key is None else row[key]
    except LookupError:
        return None


def at(data: Any, *path: Code) -> Any:
    """What stands at a path of keys: ``at(data, "result", "list")``."""
    for key in path:
        data = data[key]
    return data


def rows_of_columns(data: Mapping[str, list[Any]], *names: str) -> list[tuple[Any, ...]]:
    """A reply that has a list for each column, as rows; ValueError for unequal lengths."""
    return list(zip(*(data[name] for name in names), strict=True))


def oldest_first(candles: list[CandleData]) -> list[CandleData]:
    """The candles in the order of their open times."""
    if len(candles) > 1:
        candles.sort(key=attrgetter("timestamp"))
    return candles


@contextmanager
def malformed(what: str, data: Any) -> Iterator[None]:
    """ValueError, with the beginning of the data, for whatever is missing or of another shape."""
    try:
        yield
    except (TypeError, LookupError, AttributeError) as problem:
        text = data.decode("utf-8", "replace") if isinstance(data, bytes) else str(data)
        raise ValueError(f"{what} cannot be read: {problem!r} in {text[:200]}") from problem
