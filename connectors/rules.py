"""Pure: the facts and the times by which the slots of an interval are decided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

HOLD: Final = 10.0
"""Real seconds that a slot may hold newer closed candles before it is declared missing."""
CONFIRM: Final = 2.0
"""Real seconds that an inferred close waits for REST to confirm its values."""
LAG: Final = 3.0
"""Market seconds after close and grace in which REST may still lag behind the socket."""
AUDIT: Final = 300.0
"""Market seconds after which REST is thought to have caught up, whatever held it up."""
BATCH: Final = (10, 300.0, 3600.0)
"""An audit waits for so many bars to be read at once, but so many market seconds at least, at
most."""
SPARE: Final = 16
"""So many candles more than an audit in time needs are remembered when it is not in time."""
REREAD: Final = 2
"""So many bars before the head every poll reads again; as many published ones are remembered."""
FUTURE: Final = 3600.0
"""Market seconds beyond the clock from which on an open time cannot be right."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The facts of an exchange and interval by which slots are decided.

    ``streamed``: candles come over a WebSocket; ``flagged``: its frames say closed; ``rest``: REST
    has the interval, ``page`` slots at a time; ``stream_skips``, ``rest_skips``: bars without
    trades are left out; ``grace``: market seconds after the close in which late frames and rows are
    to be expected; ``reach``: so many bars back from now REST has (None: all). ``confirm``: an
    inferred close waits for REST, which the exchange's limits can bear.
    """

    streamed: bool
    flagged: bool
    rest: bool
    rest_skips: bool
    grace: float
    page: int
    stream_skips: bool = False
    reach: int | None = None
    confirm: bool = True

    @property
    def sure(self) -> float:
        """Market seconds after a close from which on a row that REST has is its last word."""
        return self.grace + LAG

    @property
    def proven(self) -> float:
        """The same, whatever held REST up."""
        return self.sure + AUDIT


def batch_of(step: int) -> float:
    """For so many market seconds an audit of bars of ``step`` seconds waits for more of them."""
    bars, least, most = BATCH
    return min(max(bars * step, least), most)
