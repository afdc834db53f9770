"""Pure: what two states of the same bar say about each other."""

from __future__ import annotations

from math import isclose
from typing import Final

from connectors.model import CandleData

FILLABLE: Final = (
    "quote_asset_volume",
    "n_trades",
    "taker_buy_base_volume",
    "taker_buy_quote_volume",
    "event_time",
)


def equal(one: CandleData, other: CandleData) -> bool:
    """Whether two states of a closed bar say the same.

    Prices as doubles, volumes within 1e-9 relative; figures that one side lacks are not compared.
    """
    a, b = one.figures(), other.figures()
    return a[:4] == b[:4] and all(
        mine is None or theirs is None or isclose(mine, theirs, rel_tol=1e-9)
        for mine, theirs in zip(a[4:], b[4:], strict=True)
    )


def behind(row: CandleData, state: CandleData) -> bool:
    """Whether ``row`` lacks trades that ``state`` tells of."""
    fewer = (
        row.n_trades is not None and state.n_trades is not None and row.n_trades < state.n_trades
    )
    return fewer or (row.volume < state.volume and not isclose(row.volume, state.volume))


def filled(row: CandleData, state: CandleData) -> CandleData:
    """The row; where the stream's state says the same, with the figures and times it knows more."""
    if not equal(row, state):
        return row
    for name in FILLABLE:
        if getattr(row, name) is None:
            setattr(row, name, getattr(state, name))
    return row
