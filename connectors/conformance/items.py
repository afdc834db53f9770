"""Recorded items: one JSON file each, in a folder for each market."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import orjson

from connectors.errors import UsageError

FIGURES: Final = {
    "open": "open",
    "high": "high",
    "low": "low",
    "close": "close",
    "volume": "volume",
    "quote_volume": "quote_asset_volume",
    "trades": "n_trades",
    "taker_buy_base": "taker_buy_base_volume",
    "taker_buy_quote": "taker_buy_quote_volume",
}
"""Key of an item's candle -> attribute of CandleData."""

ASKED: Final = ("interval", "start", "end", "limit", "now")
"""What is asked of ``rest_request`` beside the pair."""
CANDLE_KEYS: Final = ("open_time_ms", "interval", "closed", *FIGURES)


@dataclass(frozen=True, kw_only=True)
class Item:
    """What an exchange sent, what was asked, and what a correct parser makes of it."""

    market: str
    name: str
    kind: str
    frame: Any
    source: str = ""
    provenance: str = ""
    request: Any = None
    candles: list[dict[str, Any]] | None = None
    note: str = ""
    http_status: int | None = None
    contract_size: str | None = None
    trading_pair: str | None = None
    """Optional in a file, for frames from which it cannot be told."""
    asked: dict[str, Any] | None = None
    """Optional, of rest_candles: what ``rest_request`` was asked for, by the words of ASKED."""
    binary: bytes | None = field(default=None, repr=False)

    @property
    def id(self) -> str:
        """``binance_spot/01-ws-candle-open``."""
        return f"{self.market}/{self.name}"

    @property
    def text(self) -> str:
        """Everything that was sent and asked, as one text to find words in."""
        return orjson.dumps([self.request, self.frame]).decode()

    @property
    def words(self) -> str:
        """What people wrote about it."""
        return f"{self.source} {self.note or ''}"

    def __str__(self) -> str:
        """Named so in failures."""
        note = f"; note: {self.note}" if self.note else ""
        return f"{self.id}.json, {self.provenance}, from {self.source}{note}"


def read(path: Path) -> Item:
    """One item; numbers are decoded as the engine decodes them. UsageError: it is none."""
    try:
        raw = orjson.loads(path.read_bytes())
        packed = raw.get("frame_base64")
        binary = base64.b64decode(packed, validate=True) if packed else None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} cannot be read as an item: {error}") from None
    missing = [key for key in ("market", "kind") if not isinstance(raw.get(key), str)]
    missing += [] if {"frame", "frame_base64"} & raw.keys() else ["frame or frame_base64"]
    for candle in raw.get("candles") or ():
        missing += [f"{key} of a candle" for key in CANDLE_KEYS if key not in candle]
    asked = raw.get("asked")
    missing += [] if asked is None else [f"{key} of asked" for key in ASKED if key not in asked]
    if missing:
        raise UsageError(f"{path} is no item: it lacks {', '.join(dict.fromkeys(missing))}")
    known = {key: raw[key] for key in raw.keys() & Item.__dataclass_fields__.keys()}
    known |= {"name": path.stem, "note": raw.get("note") or ""}
    known["frame"] = raw.get("frame", raw.get("decoded"))
    return Item(**known, binary=binary)


# --- where they lie -------------------------------------------------------------------------------

_FOLDERS: ContextVar[tuple[Path, ...]] = ContextVar("folders", default=())


@contextmanager
def evidence(*folders: Path) -> Iterator[None]:
    """Within it, items are looked for in these: each holds a folder for each market, or items."""
    before = _FOLDERS.set(folders)
    try:
        yield
    finally:
        _FOLDERS.reset(before)


def folders() -> tuple[Path, ...]:
    """Where items are looked for now."""
    return _FOLDERS.get()


def items_of(market: str) -> tuple[Item, ...]:
    """A market's items in the order of their file names."""
    return _items(market, folders())


@cache
def _items(market: str, places: tuple[Path, ...]) -> tuple[Item, ...]:
    filed = [read(file) for place in places for file in (place / market).glob("*.json")]
    loose = [read(file) for place in places for file in place.glob("*.json")]
    found = [*filed, *(item for item in loose if item.market == market)]
    return tuple(sorted(found, key=lambda item: item.name))


def recorded_markets() -> list[str]:
    """Markets that have a folder."""
    return sorted({path.parent.name for place in folders() for path in place.glob("*/*.json")})
