"""Recorded items: one JSON file each under ``tests/wire/{market}/``; also where to add folders."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import orjson

FOLDERS: list[Path] = [Path(__file__).parent.parent / "wire"]
"""Where market folders are looked for; an outside adapter appends its own before the first use."""

CANDLE_KINDS = ("ws_candle", "ws_snapshot", "rest_candles")


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
    """One item; numbers are decoded as the engine decodes them."""
    raw = orjson.loads(path.read_bytes())
    packed = raw.get("frame_base64")
    known = {key: raw[key] for key in raw.keys() & Item.__dataclass_fields__.keys()}
    known |= {"name": path.stem, "note": raw.get("note") or ""}
    known["frame"] = raw.get("frame", raw.get("decoded"))
    return Item(**known, binary=base64.b64decode(packed) if packed else None)


@cache
def items_of(market: str) -> tuple[Item, ...]:
    """A market's items in the order of their file names."""
    files = [file for folder in FOLDERS for file in (folder / market).glob("*.json")]
    return tuple(read(file) for file in sorted(files, key=lambda file: file.name))


def recorded_markets() -> list[str]:
    """Markets that have a folder."""
    return sorted({path.parent.name for folder in FOLDERS for path in folder.glob("*/*.json")})
