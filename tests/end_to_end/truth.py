"""What lies in Kafka against what is true, with no code of the connector's.

Expected is every true closed bar of every wish that was running or yet to open when the wish was
accepted, and that closed before the end. The newest revision counts.
"""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import isclose
from pathlib import Path
from typing import Any

import aiohttp
import fastavro

from tests.oracle import Record

SCHEMAS = {
    file.stem: fastavro.parse_schema(json.loads(file.read_text()))
    for file in (Path(__file__).parents[2] / "schemas").glob("*.avsc")
}
SCHEMA = SCHEMAS["candle_data"]
PRICES = ("open", "high", "low", "close")
VOLUMES = (
    "volume",
    "quote_asset_volume",
    "n_trades",
    "taker_buy_base_volume",
    "taker_buy_quote_volume",
)
NOMINAL = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "M": 31 * 86_400}

Candle = dict[str, Any]
"""A record's fields by their names in the schema; times in UNIX milliseconds."""
Bar = dict[str, Any]
"""A row of ``/-/truth``; times in UNIX seconds."""


def single_object(record: Record) -> Candle:
    """The candle in a record that is framed as Avro single objects are."""
    assert record.value is not None, f"a tombstone in {record.topic}: candles are never deleted"
    marker, body = record.value[:2], record.value[10:]
    assert marker == b"\xc3\x01", f"no Avro single object in {record.topic}: it begins {marker!r}"
    return in_milliseconds(fastavro.schemaless_reader(io.BytesIO(body), SCHEMA, SCHEMA))


def in_milliseconds(fields: Any) -> Candle:
    """A record as other libraries decode it, its datetimes as UNIX milliseconds."""
    return {
        name: round(value.timestamp() * 1000) if isinstance(value, datetime) else value
        for name, value in fields.items()
    }


def name_of(candle: Candle) -> str:
    """The subscription, as it is written: ``binance_spot:BTC-USDT:1m``."""
    return f"{candle['exchange']}:{candle['trading_pair']}:{candle['interval']}"


@dataclass
class Findings:
    """What a comparison found; ``amiss`` are sentences, one for each thing that is not right."""

    expected: int = 0
    equal: int = 0
    late: int = 0
    revisions: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    unordered: list[str] = field(default_factory=list)

    @property
    def amiss(self) -> list[str]:
        """Everything that is not right."""
        return [*self.lost, *self.doubled, *self.wrong, *self.unordered]

    def __str__(self) -> str:
        return (
            f"closed {self.expected} · equal {self.equal} · lost {len(self.lost)} · "
            f"doubled {len(self.doubled)} · wrong {len(self.wrong)} · "
            f"out of order {len(self.unordered)} · late {self.late} · revisions {self.revisions}"
        )


def compare(
    wishes: Mapping[str, float],
    truth: Mapping[str, Iterable[Bar]],
    candles: Iterable[Candle],
    until: float,
) -> Findings:
    """Compare closed candles, in the order of each partition, with the truth.

    ``wishes`` gives the market time at which each was accepted; what closes after ``until`` need
    not be there, but must be true where it is.
    """
    findings = Findings()
    found: dict[str, list[Candle]] = defaultdict(list)
    for candle in candles:
        found[name_of(candle)].append(candle)
    for name in {*wishes, *found}:
        bars = {bar["open_time"]: bar for bar in truth.get(name, ())}
        newest = _in_order(findings, name, found[name])
        _against(findings, name, newest, bars)
        if name in wishes:
            expected = {
                slot for slot, bar in bars.items() if wishes[name] < bar["close_time"] <= until
            }
            findings.expected += len(expected)
            missing = sorted(expected - newest.keys())
            findings.lost += [f"lost: {name} at {slot}" for slot in missing]
            findings.equal += sum(not difference(newest[s], bars[s]) for s in expected & {*newest})
    return findings


def _in_order(findings: Findings, name: str, candles: list[Candle]) -> dict[int, Candle]:
    """The newest revision of each slot; notes what is doubled and what is out of order."""
    newest: dict[int, Candle] = {}
    seen: set[tuple[int, int]] = set()
    last = -1
    for candle in candles:
        slot, revision = candle["open_time"] // 1000, candle["revision"]
        if (slot, revision) in seen:
            findings.doubled.append(f"doubled: {name} at {slot}, revision {revision}")
        elif revision:
            findings.revisions += 1
        elif candle["late"]:
            findings.late += 1
        elif slot < last:
            findings.unordered.append(f"out of order: {name} at {slot} comes after {last}")
        else:
            last = slot
        seen.add((slot, revision))
        if slot not in newest or newest[slot]["revision"] <= revision:
            newest[slot] = candle
    return newest


def _against(
    findings: Findings, name: str, newest: dict[int, Candle], bars: Mapping[int, Bar]
) -> None:
    for slot, candle in newest.items():
        if slot not in bars:
            findings.wrong.append(f"wrong: {name} at {slot}: the exchange has no such candle")
        elif reason := difference(candle, bars[slot]):
            findings.wrong.append(f"wrong: {name} at {slot}: {reason}")


def difference(candle: Candle, bar: Bar) -> str | None:
    """What of a closed candle is not as the truth has it; None where all is."""
    if not candle["closed"]:
        return "it is not marked closed"
    if candle["close_time"] != bar["close_time"] * 1000:
        return f"close time {candle['close_time']}, truth {bar['close_time']}"
    for name in (*PRICES, *VOLUMES):
        mine, true = candle[name], bar[name]
        if mine is None or true is None:
            same = true is None  # the exchange never sends it
        else:
            same = mine == true if name in PRICES else isclose(mine, true, rel_tol=1e-9)
        if not same:
            return f"{name} is {mine}, truth {true}"
    return None


async def fetch(sandbox: str, since: Mapping[str, float]) -> dict[str, list[Bar]]:
    """The closed bars of each subscription from the one that ran at ``since`` until now."""
    async with aiohttp.ClientSession() as http:
        return {
            name: [row async for row in _rows(http, sandbox, name, since[name])] for name in since
        }


async def _rows(http: aiohttp.ClientSession, sandbox: str, name: str, since: float) -> Any:
    exchange, pair, interval = name.split(":")
    start = since - int(interval[:-1]) * NOMINAL[interval[-1]]
    url = f"{sandbox}/-/truth/{exchange}/{pair}/{interval}"
    async with http.get(url, params={"start": str(start)}) as reply:
        assert reply.status == 200, f"{url} says {reply.status}: name a pair that is listed there"
        rows = (await reply.json())["candles"]
    for row in rows:
        if row["close_time"] > since:
            yield row


def by_name(candles: Iterable[Candle]) -> Iterator[tuple[str, list[Candle]]]:
    """The candles of each subscription, in their order."""
    found: dict[str, list[Candle]] = defaultdict(list)
    for candle in candles:
        found[name_of(candle)].append(candle)
    yield from found.items()
