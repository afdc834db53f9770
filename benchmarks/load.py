"""The messages: each a pure function of its number, in the shape of a recorded frame.

Message ``seq`` is an update of pair ``seq % PAIRS``; every ``UPDATES``-th update of a pair closes
its bar. The number travels in the candle's volume, so a reader can tell which records are there.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

EXCHANGE: Final = "binance_spot"
INTERVAL: Final = "1m"
STEP: Final = 60
PAIRS: Final = 200
UPDATES: Final = 20
BARS: Final = PAIRS * UPDATES
"""Messages after which every pair's bar has closed."""

SYMBOLS: Final = [f"C{pair:03d}USDT" for pair in range(PAIRS)]
TRADING_PAIRS: Final = [f"C{pair:03d}-USDT" for pair in range(PAIRS)]
CHANNELS: Final = [f"{symbol.lower()}@kline_{INTERVAL}" for symbol in SYMBOLS]

RECORDING: Final = (
    Path(__file__).parents[1] / "tests/wire/binance_spot/06-ws-candle-raw-stream.json"
)


class State(NamedTuple):
    """What a record of a message has to say; times in UNIX seconds."""

    trading_pair: str
    open_time: int
    close: float
    volume: float
    closed: bool


@dataclass(frozen=True)
class Load:
    """So many messages, the first bars opening at ``start`` (UNIX seconds)."""

    messages: int
    start: int

    @classmethod
    def until_now(cls, messages: int) -> Load:
        """The last bars end about now."""
        return cls(messages, (int(time.time()) // STEP - -(-messages // BARS)) * STEP)

    def state(self, seq: int) -> State:
        """What message ``seq`` says."""
        turn, pair = divmod(seq, PAIRS)
        bar, update = divmod(turn, UPDATES)
        close = round(10 + 3.5 * pair + (37 * turn + pair) % 201 / 100, 2)
        opened = self.start + bar * STEP
        return State(TRADING_PAIRS[pair], opened, close, seq / 1000, update == UPDATES - 1)

    def frame(self, seq: int) -> bytes:
        """Message ``seq`` as the exchange writes it."""
        state = self.state(seq)
        turn, pair = divmod(seq, PAIRS)
        opened, closes = state.open_time * 1000, (state.open_time + STEP) * 1000
        told = opened + (turn % UPDATES + 1) * STEP * 1000 // UPDATES
        middle, trades = 10 + 3.5 * pair, 10 + turn % UPDATES * 7
        kline = {
            "t": opened,
            "T": closes - 1,
            "s": SYMBOLS[pair],
            "i": INTERVAL,
            "f": 100_000_000 + turn * 8,
            "L": 100_000_000 + turn * 8 + trades,
            "o": _text(middle),
            "c": _text(state.close),
            "h": _text(middle + 3),
            "l": _text(middle - 1),
            "v": _text(state.volume),
            "n": trades,
            "x": state.closed,
            "q": _text(state.volume * state.close),
            "V": _text(state.volume / 2),
            "Q": _text(state.volume * state.close / 2),
        }
        event = self._recorded
        moment = told if state.closed else told - 1
        kline = {**event["k"], **kline}
        return orjson.dumps({**event, "E": moment, "s": SYMBOLS[pair], "k": kline})

    @cached_property
    def _recorded(self) -> dict[str, Any]:
        return dict(orjson.loads(RECORDING.read_bytes())["frame"])


def _text(figure: float) -> str:
    return f"{figure:.8f}"


def instruments() -> dict[str, Any]:
    """The list of symbols, as far as anybody reads it here."""
    rows = [
        {"symbol": symbol, "status": "TRADING", "baseAsset": pair[:-5], "quoteAsset": "USDT"}
        for symbol, pair in zip(SYMBOLS, TRADING_PAIRS, strict=True)
    ]
    return {"timezone": "UTC", "symbols": rows}
