"""Frames and replies as items: what was seen of each sort first, in files that others can check.

Bodies stand in them as they came, and nothing is made of them: what a correct parser gives is for
a person to fill in.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from connectors.adapter import Message, RestReply, RestRequest
from connectors.conformance.pairs import spelled_in
from connectors.errors import SetupError, UsageError

LARGE: Final = 100_000
"""A longer list of instruments is cut down to a few rows."""
LONG: Final = 20
"""A longer list is one of instruments, not the columns of one."""
ROWS: Final = 3
"""So many rows of a long list are kept beside those of the pair in question."""

KINDS: Final = (
    *("ws_candle", "ws_snapshot", "ws_confirm", "ws_error", "ws_ping", "ws_pong", "ws_other"),
    *("rest_candles", "rest_error", "rest_token", "rest_instruments"),
)
"""In the order of their files."""

Json = bytes
"""JSON text."""


class Sort(NamedTuple):
    """What only one item is kept of."""

    kind: str
    label: str


class Recorder:
    """Collects items of one market. ``provenance`` and ``source`` say where from."""

    def __init__(self, market: str, provenance: str, source: str) -> None:
        self._facts = {"market": market, "provenance": provenance, "source": source}
        self._items: dict[Sort, dict[str, Json]] = {}

    def frame(
        self,
        sort: Sort,
        frame: bytes,
        unpacked: str | bytes | None,
        request: Message | None,
        trading_pair: str,
    ) -> None:
        """A WebSocket message; ``unpacked`` is what a binary one was unpacked to, else None."""
        if unpacked is None:
            body = {"frame": json_of(frame)}
        else:
            packed = base64.b64encode(frame).decode()
            body = {"frame_base64": orjson.dumps(packed), "decoded": json_of(unpacked)}
        asked = None if isinstance(request, str) else request
        self._keep(sort, orjson.dumps(asked), body, trading_pair=trading_pair)

    def reply(self, sort: Sort, request: RestRequest, reply: RestReply, **facts: Any) -> None:
        """A REST reply in JSON; what is none is not kept."""
        if _is_json(reply.body):
            body = {"frame": reply.body}
            self._keep(sort, orjson.dumps(_asked(request)), body, **facts)

    def instruments(self, request: RestRequest, reply: RestReply, symbol: str) -> None:
        """The list of instruments; of a long one the pair's rows and the first few."""
        if _is_json(reply.body) and len(reply.body) > LARGE:
            short = orjson.dumps(shortened(orjson.loads(reply.body), symbol))
            note = f"cut down from {len(reply.body)} bytes"
            reply = RestReply(reply.status, reply.headers, short)
            self.reply(Sort("rest_instruments", ""), request, reply, note=note)
        else:
            self.reply(Sort("rest_instruments", ""), request, reply)

    def _keep(self, sort: Sort, request: Json, body: Mapping[str, Json], **facts: Any) -> None:
        told = {key: orjson.dumps(value) for key, value in {**self._facts, **facts}.items()}
        kind = {"kind": orjson.dumps(sort.kind), "request": request}
        self._items.setdefault(sort, {**told, **kind, **body, "candles": b"null"})

    def has(self, sort: Sort) -> bool:
        """Whether there is one of this sort."""
        return sort in self._items

    def write(self, place: Path) -> int:
        """Write every item into its market's folder; how many there are."""
        try:
            ordered = sorted(self._items.items(), key=lambda it: KINDS.index(it[0].kind))
            for number, (sort, item) in enumerate(ordered, 1):
                (place / f"{number:02}-{_name(sort)}.json").write_bytes(_text(item))
        except OSError as error:
            raise SetupError(f"the items cannot be written to {place}: {error}") from None
        return len(ordered)


def new_folder(folder: Path, market: str) -> Path:
    """The market's folder in this one, made; UsageError where it holds anything or cannot be had.

    Old and new items are not to be mixed, and nobody is to look at an exchange for nothing.
    """
    place = folder / market
    try:
        place.mkdir(parents=True, exist_ok=True)
        empty = not any(place.iterdir())
    except OSError as error:
        raise UsageError(f"items cannot be written to {place}: {error}") from None
    if not empty:
        raise UsageError(f"{place} is not empty: name another folder, or empty this one")
    return place


def _name(sort: Sort) -> str:
    return "-".join(filter(None, (sort.kind.replace("_", "-"), sort.label)))


def _text(item: Mapping[str, Json]) -> bytes:
    lines = b",\n".join(b'  "%s": %s' % (key.encode(), value) for key, value in item.items())
    return b"{\n" + lines + b"\n}\n"


def json_of(frame: str | bytes) -> Json:
    """A message as it came where it is JSON, else its text."""
    raw = frame.encode() if isinstance(frame, str) else frame
    return raw if _is_json(raw) else orjson.dumps(raw.decode("utf-8", "replace"))


def _is_json(body: bytes) -> bool:
    try:
        orjson.loads(body)
    except ValueError:
        return False
    return True


def _asked(request: RestRequest) -> dict[str, Any]:
    told = {"method": request.method, "url": request.url, "params": dict(request.params)}
    return told if request.body is None else {**told, "body": request.body}


def shortened(value: Any, symbol: str) -> Any:
    """Every long list in it is cut down to its first rows and those in which the symbol stands."""
    if isinstance(value, dict):
        return {key: shortened(inner, symbol) for key, inner in value.items()}
    if not isinstance(value, list) or len(value) <= LONG:
        return value
    rows = [
        row
        for place, row in enumerate(value)
        if place < ROWS or spelled_in(symbol, orjson.dumps(row).decode())
    ]
    return [shortened(row, symbol) for row in rows]
