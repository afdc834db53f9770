"""Rows that are lists, of every exchange that sends them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors import exchanges
from connectors.conformance.items import Item, evidence, items_of, recorded_markets
from connectors.conformance.pairs import prepared
from connectors.conformance.wire import receive, request_of
from connectors.model import CandleData

WIRE = Path(__file__).parents[1] / "wire"
BY_COLUMN = ("deribit_perpetual", "mexc_perpetual")  # a list for each column, of equal length
OLDER = {"kucoin_perpetual/33-rest-candles-futures-7col"}  # a column less was a whole row, too


def rows_in(frame: Any) -> Iterator[list[Any]]:
    """The lists in a frame that hold figures: not less than a candle has, and nothing nested."""
    inner = frame.values() if isinstance(frame, dict) else frame if isinstance(frame, list) else ()
    nested = [each for each in inner if isinstance(each, dict | list)]
    if isinstance(frame, list) and len(frame) >= 6 and not nested:
        yield frame
    for each in nested:
        yield from rows_in(each)


def without(frame: Any, column: int) -> Any:
    """The frame, whose rows lack this column."""
    if isinstance(frame, dict):
        return {key: without(value, column) for key, value in frame.items()}
    if not isinstance(frame, list):
        return frame
    if any(frame is row for row in rows_in(frame)):
        return [*frame[:column], *frame[column + 1 :]]
    return [without(each, column) for each in frame]


def candles_of(item: Item) -> list[CandleData]:
    """What the adapter makes of an item; none where it reads no candle."""
    adapter = prepared(exchanges.get(item.market), item)
    try:
        if item.kind == "rest_candles":
            return adapter.parse_rest_response(item.frame, request_of(adapter, item))
        told = receive(adapter, item)
    except (ValueError, TypeError, LookupError):
        return []
    return told if isinstance(told, list) else []


def items() -> Iterator[Item]:
    """Recorded candles in rows that are lists."""
    with evidence(WIRE):
        for market in recorded_markets():
            for item in items_of(market):
                asked = item.kind in ("ws_candle", "ws_snapshot", "rest_candles")
                rows = asked and market not in BY_COLUMN and any(rows_in(item.frame))
                if rows and candles_of(item):
                    yield item


ITEMS = list(items())


def test_the_families_are_found() -> None:
    """Nobody's rows are left out because they were not recognised as such."""
    found = {item.market.partition("_")[0] for item in ITEMS}

    assert found >= {
        "binance", "bitfinex", "bitget", "bybit", "coinbase", "gate", "gemini", "kraken", "kucoin",
        "mexc", "okx", "phemex", "whitebit",
    }  # fmt: skip


@pytest.mark.parametrize("item", [it for it in ITEMS if it.id not in OLDER], ids=lambda it: it.id)
def test_a_row_that_lacks_a_column_is_no_candle(item: Item) -> None:
    """Whichever is missing, no figure is read in place of another: say ``shortest`` in Columns."""
    with evidence(WIRE):
        whole = [candle.figures() for candle in candles_of(item)]
        for column in range(len(next(rows_in(item.frame)))):
            told = candles_of(replace(item, frame=without(item.frame, column)))
            # An older row may end sooner, behind all figures.
            assert [candle.figures() for candle in told] in ([], whole), f"without {column}"
