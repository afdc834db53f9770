"""Pure: what the topics carry <-> bytes: values, keys, and the partition of a key.

* Candles on their way out: one ``CandleEncoder(subscription, grid, prefix)`` per subscription and
  ``encoder.encode(candle, published_at=ms)`` for an open one, with ``closed=True, reason=…`` (and
  ``revision=…, late=…``) for a closed one.
* The rest, which is rare: ``encode_coverage(record)``, ``encode_wish(wish)``,
  ``encode_dead_letter(letter)``.
* Back: ``reader = Reader(CANDLE)``, ``candle_of(reader.read(value))``; likewise ``coverage_of``,
  ``wish_of``, ``dead_letter_of`` with a Reader of COVERAGE, WISH, DEAD_LETTER.
* Keys: ``candle_key(subscription)``, ``subscription_key(subscription)``, ``OWNER_KEY``;
  ``partition_of(key, count)``.

``prefix`` names the schema in the value (`connectors.schema`): ``CANDLE.prefix`` without a schema
registry, ``confluent_prefix(id)`` with one. The types of the records are in `connectors.records`.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from connectors.coverage import Closed, Coverage, Run, RunState
from connectors.errors import SetupError
from connectors.model import CandleData, CloseReason, Grid, Subscription
from connectors.records import (
    CandleRecord,
    CoverageRecord,
    CoverageState,
    DeadLetter,
    Wish,
)
from connectors.schema import CANDLE, COVERAGE, DEAD_LETTER, WISH, encode

COVERAGE_FORMAT: Final = 1
"""The highest meaning of coverage records that this release knows, and the one that it writes."""

OWNER_KEY: Final = b"#owner"
"""The key of a claim in a partition of coverage."""

FRAME_LIMIT: Final = 262_144
"""So many bytes of an unreadable message are kept."""

# --- keys and partitions --------------------------------------------------------------------------


def candle_key(subscription: Subscription) -> bytes:
    """All candles of one trading pair of an exchange share a key, hence a partition and order."""
    return f"{subscription.exchange}:{subscription.trading_pair}".encode()


def subscription_key(subscription: Subscription) -> bytes:
    """The key of a subscription's wish and of its coverage."""
    return str(subscription).encode()


def coverage_key(record: CoverageRecord) -> bytes:
    """The key of a coverage record, a claim included."""
    return OWNER_KEY if record.subscription is None else subscription_key(record.subscription)


def partition_of(key: bytes, count: int) -> int:
    """Kafka's default partition of a key among ``count``: as its Java clients reckon it."""
    return (_murmur2(key) & 0x7FFFFFFF) % count


def _murmur2(data: bytes) -> int:
    """32 bits of MurmurHash 2 with Kafka's seed."""
    multiplier, mask = 0x5BD1E995, 0xFFFFFFFF
    whole = len(data) & ~3
    state = 0x9747B28C ^ len(data)
    for (word,) in struct.iter_unpack("<I", data[:whole]):
        mixed = word * multiplier & mask
        mixed = (mixed ^ mixed >> 24) * multiplier & mask
        state = state * multiplier & mask ^ mixed
    if whole < len(data):
        state = (state ^ int.from_bytes(data[whole:], "little")) * multiplier & mask
    state = (state ^ state >> 13) * multiplier & mask
    return state ^ state >> 15


# --- candles out: the hot path --------------------------------------------------------------------

_LAYOUT: Final = (
    "exchange: string",
    "trading_pair: string",
    "interval: string",
    "open_time: long",
    "close_time: long",
    "open: double",
    "high: double",
    "low: double",
    "close: double",
    "volume: double",
    "quote_asset_volume: null or double",
    "n_trades: null or long",
    "taker_buy_base_volume: null or double",
    "taker_buy_quote_volume: null or double",
    "closed: boolean",
    "close_reason: enum",
    "revision: int",
    "late: boolean",
    "event_time: null or long",
    "published_at: long",
)
"""What ``CandleEncoder`` packs, in its order."""


def _layout(fields: list[dict[str, Any]]) -> tuple[str, ...]:
    return tuple(f"{field['name']}: {_shape(field['type'])}" for field in fields)


def _shape(avro_type: Any) -> str:
    if isinstance(avro_type, list):
        return " or ".join(_shape(branch) for branch in avro_type)
    return str(avro_type["type"]) if isinstance(avro_type, dict) else str(avro_type)


def _check(layout: tuple[str, ...], fields: list[dict[str, Any]], file: str, packer: str) -> None:
    """SetupError where the packing would lie."""
    if _layout(fields) != layout:
        raise SetupError(
            f"{file} was changed: teach {packer} to pack "
            + "; ".join(sorted(set(_layout(fields)) ^ set(layout)) or ["the new order"])
        )


def _symbols(fields: list[dict[str, Any]], name: str) -> list[str]:
    return list(next(field["type"]["symbols"] for field in fields if field["name"] == name))


def _reasons(fields: list[dict[str, Any]]) -> dict[CloseReason, int]:
    """Each close reason's index in the schema's enum; SetupError where the packing would lie."""
    _check(_LAYOUT, fields, "candle_data.avsc", "CandleEncoder")
    symbols = _symbols(fields, "close_reason")
    if set(symbols) != set(CloseReason):
        raise SetupError("candle_data.avsc and CloseReason do not name the same reasons")
    return {CloseReason(symbol): index for index, symbol in enumerate(symbols)}


_REASONS: Final = _reasons(CANDLE.parsed["fields"])
_NULL: Final = b"\x00"
_SOME: Final = b"\x02"
_FIVE_NULL: Final = struct.Struct("<5dB").pack
_FIVE_SOME: Final = struct.Struct("<5dBd").pack
_TWO_SOME: Final = struct.Struct("<BdBd").pack
_DOUBLE: Final = struct.Struct("<d").pack
_UNKNOWN: Final = CloseReason.UNKNOWN


def _seven_bits(left: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    packed = bytearray()
    while left > 0x7F:
        packed.append(left & 0x7F | 0x80)
        left >>= 7
    packed.append(left)
    return bytes(packed)


_above = lru_cache(maxsize=1024)(_seven_bits)


@lru_cache(maxsize=1024)
def _long(number: int) -> bytes:
    """Zigzag, then seven bits a byte."""
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError(f"{number} does not fit into 64 bits")
    return _above(number << 1 if number >= 0 else ~(number << 1))


@lru_cache(maxsize=8192)
def _some_long(number: int) -> bytes:
    return _SOME + _long(number)


_LOWEST: Final = [bytes((low << 1 | 0x80,)) for low in range(64)]


@lru_cache(maxsize=256)
def _moment(time: int) -> bytes:
    """As ``_long``, for times, which repeat within a burst and else move on a little."""
    if 0x3F < time < 0x7FFF_FFFF_FFFF:
        return _LOWEST[time & 0x3F] + _above(time >> 6)
    return _long(time)


@lru_cache(maxsize=256)
def _some_moment(time: int) -> bytes:
    return _SOME + _moment(time)


def _string(text: str) -> bytes:
    data = text.encode()
    return _long(len(data)) + data


def _optional_string(text: str | None) -> bytes:
    return _NULL if text is None else _SOME + _string(text)


def _optional_long(number: int | None) -> bytes:
    return _NULL if number is None else _some_long(number)


def _takers(base: float | None, quote: float | None) -> bytes:
    return (_NULL if base is None else _SOME + _DOUBLE(base)) + (
        _NULL if quote is None else _SOME + _DOUBLE(quote)
    )


@lru_cache(maxsize=1024)
def _ending(closed: bool, reason: CloseReason, revision: int, late: bool) -> bytes:
    return b"".join((bytes((closed,)), _long(_REASONS[reason]), _long(revision), bytes((late,))))


_OPEN: Final = _ending(False, _UNKNOWN, 0, False)


class CandleEncoder:
    """Packs the candles of one subscription as its schema says, what never changes only once."""

    __slots__ = ("_after", "_constants", "_open_time", "_slot")

    def __init__(self, subscription: Subscription, grid: Grid, prefix: bytes) -> None:
        self._constants = prefix + b"".join(_string(text) for text in subscription)
        self._after = grid.after
        self._open_time: int | None = None
        self._slot = b""

    def encode(
        self,
        candle: CandleData,
        *,
        published_at: int,
        closed: bool = False,
        reason: CloseReason = CloseReason.UNKNOWN,
        revision: int = 0,
        late: bool = False,
    ) -> bytes:
        """The value for one state of a bar; ``published_at`` in UNIX milliseconds."""
        if candle.timestamp != self._open_time:
            self._turn(candle.timestamp)
        quote, trades, event = (
            candle.quote_asset_volume,
            candle.n_trades,
            candle.event_time,
        )
        base, taken = candle.taker_buy_base_volume, candle.taker_buy_quote_volume
        o, h, low, c, v = (
            candle.open,
            candle.high,
            candle.low,
            candle.close,
            candle.volume,
        )
        return b"".join(
            (
                self._slot,
                _FIVE_NULL(o, h, low, c, v, 0)
                if quote is None
                else _FIVE_SOME(o, h, low, c, v, 2, quote),
                _NULL if trades is None else _some_long(trades),
                _TWO_SOME(2, base, 2, taken)
                if base is not None and taken is not None
                else _takers(base, taken),
                _OPEN
                if not (closed or revision or late) and reason is _UNKNOWN
                else _ending(closed, reason, revision, late),
                _NULL if event is None else _some_moment(event),
                _moment(published_at),
            )
        )

    def _turn(self, open_time: int) -> None:
        close_time = self._after(open_time)
        self._slot = self._constants + _long(open_time * 1000) + _long(close_time * 1000)
        self._open_time = open_time


# --- candles in -----------------------------------------------------------------------------------


def candle_of(record: dict[str, Any]) -> CandleRecord:
    """A candle, from what a Reader of CANDLE has read."""
    candle = CandleData(
        record["open_time"] // 1000,
        record["open"],
        record["high"],
        record["low"],
        record["close"],
        record["volume"],
        record["quote_asset_volume"],
        record["n_trades"],
        record["taker_buy_base_volume"],
        record["taker_buy_quote_volume"],
        closed=record["closed"],
    )
    candle.event_time = record["event_time"]
    return CandleRecord(
        _subscription_of(record),
        candle,
        record["close_time"] // 1000,
        record["closed"],
        CloseReason(record["close_reason"]),
        record["revision"],
        record["late"],
        record["published_at"],
    )


def _subscription_of(record: dict[str, Any]) -> Subscription:
    return Subscription(record["exchange"], record["trading_pair"], record["interval"])


# --- coverage -------------------------------------------------------------------------------------

_COVERAGE_LAYOUT: Final = (
    "format: int",
    "exchange: string",
    "trading_pair: string",
    "interval: string",
    "state: enum",
    "reason: null or string",
    "start: null or long",
    "runs: array",
    "recent: bytes",
    "symbol: null or string",
    "contract_size: null or double",
    "closed_partitions: int",
    "last_closed_offset: null or long",
    "owner: null or string",
    "wished_at: null or long",
    "updated_at: long",
)
_RUN_LAYOUT: Final = (
    "start: long",
    "end: long",
    "state: enum",
    "count: long",
    "digest: long",
    "reason: null or string",
    "since: null or long",
)
"""What ``encode_coverage`` packs, in its order: one record goes with every closed candle."""


def _states(fields: list[dict[str, Any]]) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The packed states of coverage and of runs; SetupError where the packing would lie."""
    _check(_COVERAGE_LAYOUT, fields, "coverage.avsc", "encode_coverage")
    run = next(field["type"]["items"]["fields"] for field in fields if field["name"] == "runs")
    _check(_RUN_LAYOUT, run, "coverage.avsc", "encode_coverage")
    states, run_states = (
        {symbol: _long(index) for index, symbol in enumerate(_symbols(each, "state"))}
        for each in (fields, run)
    )
    return states, run_states


_STATES, _RUN_STATES = _states(COVERAGE.parsed["fields"])
_RECENT: Final = struct.Struct(">qIQ")
_WORD: Final = 1 << 64
_NOBODY: Final = Subscription("", "", "")


def encode_coverage(record: CoverageRecord, prefix: bytes = COVERAGE.prefix) -> bytes:
    """The value of a coverage record."""
    coverage = record.coverage
    return b"".join(
        (
            prefix,
            _long(COVERAGE_FORMAT),
            _heading(record.subscription or _NOBODY, record.state, record.reason),
            _NOTHING_BEGUN if coverage is None else _begun(coverage),
            _facts(record.symbol, record.contract_size, record.closed_partitions),
            _optional_long(record.last_closed_offset),
            _optional_string(record.owner),
            _optional_long(record.wished_at),
            _moment(record.updated_at),
        )
    )


_NOTHING_BEGUN: Final = bytes(3)  # neither start nor runs nor recent


@lru_cache(maxsize=16_384)
def _heading(subscription: Subscription, state: CoverageState, reason: str | None) -> bytes:
    """What hardly ever changes of a subscription."""
    return b"".join((*map(_string, subscription), _STATES[state], _optional_string(reason)))


@lru_cache(maxsize=16_384)
def _facts(symbol: str | None, contract_size: float | None, partitions: int) -> bytes:
    size = _NULL if contract_size is None else _SOME + _DOUBLE(contract_size)
    return _optional_string(symbol) + size + _long(partitions)


def _begun(coverage: Coverage) -> bytes:
    recent = _pack_recent(coverage)
    runs = coverage.runs
    return b"".join(
        (
            _some_moment(coverage.start * 1000),
            *((_long(len(runs)), *map(_run, runs)) if runs else ()),
            _NULL,  # no more runs
            _long(len(recent)),
            recent,
        )
    )


def _digest(digest: int) -> bytes:
    """As a signed number; not remembered, for it never comes again."""
    return _seven_bits(digest << 1 if digest < _WORD // 2 else ~((digest - _WORD) << 1))


def _run(run: Run) -> bytes:
    return b"".join(
        (
            _moment(run.start * 1000),
            _moment(run.end * 1000),
            _RUN_STATES[run.state],
            _long(run.count),
            _digest(run.digest),
            _optional_string(run.reason),
            _optional_long(None if run.since is None else run.since * 1000),
        )
    )


def coverage_of(record: dict[str, Any]) -> CoverageRecord:
    """Coverage, from what a Reader of COVERAGE has read; SetupError for a newer release's."""
    if record["format"] > COVERAGE_FORMAT:
        raise SetupError(
            f"the coverage of {_subscription_of(record)} was written by a newer release "
            f"(format {record['format']}, this one knows {COVERAGE_FORMAT}): upgrade this worker"
        )
    return CoverageRecord(
        subscription=_subscription_of(record) if record["exchange"] else None,
        coverage=None if record["start"] is None else _coverage_of(record),
        state=CoverageState(record["state"]),
        reason=record["reason"],
        symbol=record["symbol"],
        contract_size=record["contract_size"],
        closed_partitions=record["closed_partitions"],
        last_closed_offset=record["last_closed_offset"],
        owner=record["owner"],
        wished_at=record["wished_at"],
        updated_at=record["updated_at"],
    )


def _run_of(record: dict[str, Any]) -> Run:
    return Run(
        record["start"] // 1000,
        record["end"] // 1000,
        RunState(record["state"]),
        record["count"],
        record["digest"] % _WORD,
        record["reason"],
        None if record["since"] is None else record["since"] // 1000,
    )


def _coverage_of(record: dict[str, Any]) -> Coverage:
    return Coverage(
        record["start"] // 1000,
        [_run_of(run) for run in record["runs"]],
        {
            open_time // 1000: Closed(open_time // 1000, revision, digest)
            for open_time, revision, digest in _RECENT.iter_unpack(record["recent"])
        },
    )


def _pack_recent(coverage: Coverage) -> bytes:
    return b"".join(
        _RECENT.pack(closed.open_time * 1000, closed.revision, closed.digest)
        for _, closed in sorted(coverage.recent.items())
    )


# --- wishes and dead letters ----------------------------------------------------------------------


def encode_wish(wish: Wish, prefix: bytes = WISH.prefix) -> bytes:
    """The value of a wish."""
    exchange, trading_pair, interval = wish.subscription
    fields = {
        "exchange": exchange,
        "trading_pair": trading_pair,
        "interval": interval,
        "origin": wish.origin,
        "since": None if wish.since is None else wish.since * 1000,
        "paused": wish.paused,
        "cap": wish.cap,
        "written_at": wish.written_at,
    }
    return encode(WISH, fields, prefix)


def wish_of(record: dict[str, Any]) -> Wish:
    """A wish, from what a Reader of WISH has read."""
    return Wish(
        subscription=_subscription_of(record),
        origin=record["origin"],
        since=None if record["since"] is None else record["since"] // 1000,
        paused=record["paused"],
        cap=record["cap"],
        written_at=record["written_at"],
    )


def encode_dead_letter(letter: DeadLetter, prefix: bytes = DEAD_LETTER.prefix) -> bytes:
    """The value of a dead letter: a long frame is cut, what may be secret in the URL left out."""
    fields = {
        "exchange": letter.exchange,
        "reason": letter.reason,
        "frame": letter.frame[:FRAME_LIMIT],
        "size": letter.size,
        "binary": letter.binary,
        "transport": letter.transport,
        "url": None if letter.url is None else _without_secrets(letter.url),
        "received_at": letter.received_at,
        "omitted": letter.omitted,
    }
    return encode(DEAD_LETTER, fields, prefix)


def dead_letter_of(record: dict[str, Any]) -> DeadLetter:
    """A dead letter, from what a Reader of DEAD_LETTER has read."""
    return DeadLetter(**record)


def _without_secrets(url: str) -> str:
    """Scheme, host, port and path: a token is in the query, a password before the host."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
