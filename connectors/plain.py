"""The plain base of an adapter: what exchanges have in common, as data and small pieces.

An adapter states facts as class attributes and writes what is its exchange's own. It always writes
``parse_ws_message`` and, with WebSocket candles, ``control``. Where an exchange differs
from the attributes, it overrides the method that reads them; every method of ``ExchangeAdapter``
may be overridden as ever. The pieces serve such methods, too:

    codes, codes_in_seconds, codes_in_minutes    interval -> the exchange's code
    Spelling     trading pair <-> symbol, by rule; listed instruments override it
    Columns      a row's figures in the order of CandleData
    Query        the parameters of a REST request for candles
    Listing      the request for the instruments, and the keys of their rows
    Envelope     errors that stand in the body, whatever the HTTP status
    no_object, parts, at, rows_of_columns, oldest_first, malformed, gunzip
"""
# ruff: noqa: ARG002, D102 - the contract names the arguments and describes the methods

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fractions import Fraction
from operator import attrgetter, itemgetter
from typing import Any, ClassVar
from urllib.parse import quote, urljoin

from connectors.adapter import (
    ExchangeAdapter,
    Message,
    Opening,
    Parsed,
    RestAnswer,
    RestPages,
    RestRefused,
    RestReply,
    RestRequest,
    RestSlowDown,
    RestUnavailable,
    Rows,
    answer_of_status,
    retry_after,
)
from connectors.errors import UsageError
from connectors.model import CandleData, Grid, Instrument, Interval, Subscription, grid_of

UNPACKED_BYTES = 16 * 1024 * 1024
"""A packed frame may not become larger than this."""

Code = str | int


# --- intervals ------------------------------------------------------------------------------------


def codes(table: str) -> dict[str, str]:
    """``"1m 1h=60 1d=D"`` -> ``{"1m": "1m", "1h": "60", "1d": "D"}``."""
    pairs = (entry.partition("=") for entry in table.split())
    return {interval: code or interval for interval, _, code in pairs}


def codes_in_seconds(intervals: str) -> dict[str, int]:
    """``"1m 1h"`` -> ``{"1m": 60, "1h": 3600}``."""
    return {interval: Interval.parse(interval).seconds for interval in intervals.split()}


def codes_in_minutes(intervals: str) -> dict[str, int]:
    """``"1m 1h"`` -> ``{"1m": 1, "1h": 60}``."""
    return {interval: code // 60 for interval, code in codes_in_seconds(intervals).items()}


# --- symbols --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Spelling:
    """The rule by which a trading pair becomes a symbol.

    ``renamed`` maps our names of currencies to the exchange's (``{"BTC": "XBT"}``).
    """

    prefix: str = ""
    separator: str = ""
    suffix: str = ""
    lower: bool = False
    renamed: Mapping[str, str] = field(default_factory=dict)

    def symbol(self, trading_pair: str) -> str:
        """``BTC-USDT`` -> ``XBT_USDT``, say."""
        base, _, quoted = trading_pair.partition("-")
        base, quoted = self.renamed.get(base, base), self.renamed.get(quoted, quoted)
        symbol = f"{self.prefix}{base}{self.separator}{quoted}{self.suffix}"
        return symbol.lower() if self.lower else symbol

    def pair(self, symbol: str) -> str:
        """The reverse; ValueError where nothing separates base and quote."""
        names = symbol.upper().removeprefix(self.prefix.upper()).removesuffix(self.suffix.upper())
        base, quoted = names.split(self.separator)
        return self.joined(base, quoted)

    def joined(self, base: str, quoted: str) -> str:
        """The trading pair of two currencies that are spelled as the exchange spells them."""
        ours = {theirs: name for name, theirs in self.renamed.items()}
        return "-".join(ours.get(name, name).upper() for name in (base, quoted))


# --- rows -----------------------------------------------------------------------------------------


class Columns:
    """Where a row's figures stand: list indices or dict keys, in the order of CandleData.

    Time, open, high, low, close, volume; then, as far as they are sent, quote volume, trades,
    taker base, taker quote, with None for a gap. ``read(row)`` gives the values, to be unpacked
    into CandleData: LookupError where one of the first six is missing, None for another.
    """

    __slots__ = ("read",)

    def __init__(self, *keys: Code | None) -> None:
        self.read: Callable[[Any], tuple[Any, ...]] = _reader(keys)  # not a method: that is slower


def _reader(keys: Sequence[Code | None]) -> Callable[[Any], tuple[Any, ...]]:
    whole = _with_gaps(keys) if None in keys else itemgetter(*keys)
    needed, optional = itemgetter(*keys[:6]), keys[6:]

    def read(row: Any) -> tuple[Any, ...]:
        try:
            return whole(row)
        except LookupError:
            return (*needed(row), *(_value_or_none(row, key) for key in optional))

    return read


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


def no_object(data: Any, *texts: str) -> Parsed:
    """What ``parse_ws_message`` makes of a frame that is no JSON object: None.

    ValueError for a text that is none of ``texts``: it is a broken frame.
    """
    if type(data) is str and data not in texts:
        expected = " or ".join(("JSON", *texts))
        raise ValueError(f"a frame is to be {expected}, not {data[:200]!r}")
    return None


def parts(channel: str) -> tuple[str, str]:
    """Code and symbol of a channel as ``PlainAdapter.channel_of`` makes it."""
    code, _, symbol = channel.partition(":")
    return code, symbol


def gunzip(frame: bytes) -> bytes:
    """A gzip, zlib or raw deflate frame unpacked; ValueError for a broken or a huge one."""
    window = zlib.MAX_WBITS | 32 if frame[:1] in (b"\x1f", b"\x78") else -zlib.MAX_WBITS
    packed = zlib.decompressobj(window)
    try:
        unpacked = packed.decompress(frame, UNPACKED_BYTES)
    except zlib.error as problem:
        raise ValueError(f"a frame cannot be unpacked: {problem}") from problem
    if not packed.eof:
        raise ValueError(f"a packed frame is cut off or has more than {UNPACKED_BYTES} bytes")
    return unpacked


# --- REST -----------------------------------------------------------------------------------------


def in_seconds(time: int) -> int:
    """A time as UNIX seconds."""
    return time


def in_milliseconds(time: int) -> int:
    """A time as UNIX milliseconds."""
    return time * 1000


def in_iso(time: int) -> str:
    """A time as ``2026-09-21T14:13:20Z``."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Query:
    """Names of the parameters of a REST request, "" for one that is not sent.

    ``time`` writes a bound; ``fixed`` are parameters that are always the same. ``exclusive``: bars
    that open at a bound are left out, so the bounds lie a second beyond.
    """

    symbol: str
    interval: str
    start: str
    end: str
    limit: str = ""
    time: Callable[[int], Code] = in_milliseconds
    fixed: Mapping[str, Code] = field(default_factory=dict)
    exclusive: bool = False

    def params(self, symbol: str, code: Code, start: int, end: int, limit: int) -> dict[str, Code]:
        """For bars that open in ``start`` .. ``end``, both included (UNIX seconds)."""
        start, end = (start - 1, end + 1) if self.exclusive else (start, end)
        values = {
            self.symbol: symbol,
            self.interval: code,
            self.start: self.time(max(0, start)),
            self.end: self.time(end),
            self.limit: limit,
        }
        return {**self.fixed, **{name: value for name, value in values.items() if name}}


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The request for the list of instruments, and the keys of what it returns.

    ``url`` may be relative to ``rest_url``. ``rows`` is the path to the rows, a list or an object
    of them. Without ``base`` and ``quote`` the symbol is taken apart by the Spelling. ``live`` are
    the values of ``status`` with which candles are to be expected; ``size`` is the key of the
    contract size, ``inverse`` says whether that is in quote units. Rows whose value of a key of
    ``only`` is none of the named ones, or whose symbol cannot be taken apart, belong to other
    markets.
    """

    url: str
    params: Mapping[str, Code] = field(default_factory=dict)
    weight: float = 1.0
    rows: tuple[Code, ...] = ()
    symbol: str = "symbol"
    base: str = ""
    quote: str = ""
    status: str = ""
    live: Collection[Any] = ()
    size: str = ""
    inverse: bool = False
    only: Mapping[str, Collection[Any]] = field(default_factory=dict)

    def request(self, rest_url: str, **params: Code) -> RestRequest:
        """The request, with more parameters where the list has pages."""
        url, params = urljoin(rest_url, self.url), {**self.params, **params}
        return RestRequest(url=url, params=params, weight=self.weight)

    def instrument(self, row: Mapping[str, Any], spelling: Spelling) -> Instrument | None:
        """A row as an instrument, None where it belongs to another market."""
        if any(row.get(key) not in values for key, values in self.only.items()):
            return None
        symbol, status = row[self.symbol], row[self.status] if self.status else ""
        pair = self._pair(row, symbol, spelling)
        if pair is None:
            return None
        return Instrument(
            trading_pair=pair,
            symbol=symbol,
            contract_size=float(row[self.size]) if self.size else 1.0,
            inverse=self.inverse,
            tradable=status in self.live if self.status else True,
            status="" if isinstance(status, bool) else str(status),
        )

    def _pair(self, row: Mapping[str, Any], symbol: str, spelling: Spelling) -> str | None:
        if self.base:
            return spelling.joined(row[self.base], row[self.quote])
        try:
            return spelling.pair(symbol)
        except ValueError:
            return None


Said = tuple[Any, Any]
"""Code and text of a body; the code is None where it has none."""


def keys(code: str, text: str) -> Callable[[Any], Said]:
    """Reads code and text under these keys of an object."""
    return lambda body: (body.get(code), body.get(text)) if isinstance(body, dict) else (None, None)


def milliseconds_of(header: str) -> Callable[[Mapping[str, str]], float | None]:
    """Reads the seconds to wait from a header of milliseconds, else from Retry-After."""

    def wait(headers: Mapping[str, str]) -> float | None:
        told = headers.get(header, "")
        return int(told) / 1000 if told.isdecimal() else retry_after(headers)

    return wait


@dataclass(frozen=True)
class Envelope:
    """Errors in the body of a REST reply. The body's code is believed before the HTTP status.

    ``said`` gives code and text of a decoded body; ``good`` are the codes of success, ``refused``
    those of a wrong question, ``slow`` those of a limit, and another one with HTTP 200 is asked
    again. ``wait`` reads the seconds to wait from the headers.
    """

    said: Callable[[Any], Said]
    good: Collection[Code] = ()
    refused: Collection[Code] = ()
    slow: Collection[Code] = ()
    wait: Callable[[Mapping[str, str]], float | None] = retry_after

    def trouble(self, reply: RestReply) -> RestAnswer | None:
        """What the reply says instead of what was asked for; None where it is all right."""
        code, text = self._said(reply)
        by_status = None if reply.status == 200 else answer_of_status(reply)
        if code is None or code in self.good:
            if not isinstance(by_status, RestSlowDown):
                return by_status
            return replace(by_status, seconds=self.wait(reply.headers))
        reason = f"{text} (code {code})"
        if code in self.slow or isinstance(by_status, RestSlowDown):
            return RestSlowDown(reason, self.wait(reply.headers))
        if code in self.refused:
            return RestRefused(reason)
        return by_status or RestUnavailable(reason)

    def _said(self, reply: RestReply) -> Said:
        try:
            return self.said(reply.json())
        except (ValueError, TypeError, LookupError, AttributeError):
            return None, None


# --- the base -------------------------------------------------------------------------------------


class PlainAdapter(ExchangeAdapter):
    """An adapter whose facts are class attributes; see the head of the module."""

    ws_url: ClassVar[str] = ""
    ws_intervals: ClassVar[Mapping[str, Code]] = {}
    """Interval -> code, of those that have a channel."""
    verbs: ClassVar[tuple[str, str | None]] = ("subscribe", "unsubscribe")
    """What ``control`` is told; None: there is no unsubscribing."""
    first_messages: ClassVar[tuple[Message, ...]] = ()
    """Sent right after connecting."""
    ping: ClassVar[Message] = ""
    """What ``ping_message`` sends."""

    rest_url: ClassVar[str]
    """The address of candles; ``{symbol}`` and ``{code}`` in it are filled in."""
    rest_headers: ClassVar[Mapping[str, str]] = {}
    rest_intervals: ClassVar[Mapping[str, Code]] = {}
    query: ClassVar[Query]
    page: ClassVar[int] = 100
    """Rows a request, at most."""
    reach: ClassVar[Mapping[str, int]] = {}
    """Interval -> rows that history goes back from now; one that is missing: to the listing."""
    weight: ClassVar[float] = 1.0
    rest_path: ClassVar[tuple[Code, ...]] = ()
    """Where the rows stand in the body."""
    rest_columns: ClassVar[Columns]
    envelope: ClassVar[Envelope | None] = None
    """None: HTTP statuses say all."""

    spelling: ClassVar[Spelling] = Spelling()
    listing: ClassVar[Listing | None] = None
    anchors: ClassVar[Mapping[str, int | None]] = {}
    """Open time of any bar, of intervals that begin unusually; None: UNKNOWN, to be learned."""

    def __init__(self) -> None:
        self._symbols: dict[str, str] = {}
        self._sizes: dict[str, tuple[int, int]] = {}

    # --- symbols and intervals ---

    def get_trading_pair_format(self, trading_pair: str) -> str:
        """The listed symbol (that of the true pair, for an alias), else that of the rule."""
        return self._symbols.get(trading_pair) or self.spelling.symbol(trading_pair)

    def use_instruments(self, rows: Sequence[Instrument]) -> None:
        listed = {row.trading_pair: row.symbol for row in rows}
        true = {row.trading_pair: row.alias_of for row in rows if row.alias_of}
        aliases = {alias: listed.get(of) or self.spelling.symbol(of) for alias, of in true.items()}
        self._symbols = listed | aliases
        # As a ratio: lots * 1 / 1000 is the nearest double, lots * 0.001 is often its neighbour.
        self._sizes = {
            row.symbol: Fraction(str(row.contract_size)).as_integer_ratio()
            for row in rows
            if not row.inverse
        }

    def in_base(self, symbol: str, contracts: float | str) -> float:
        """Contracts in base units; ValueError for an unknown size, and for inverse contracts."""
        size = self._sizes.get(symbol)
        if size is None:
            raise ValueError(f"no contract of {symbol} can be told in base units")
        return float(contracts) * size[0] / size[1]

    def with_base_volume(self, symbol: str, figures: Sequence[Any]) -> tuple[Any, ...]:
        """What ``Columns`` read, whose volume is in contracts, with the volume in base units."""
        return (*figures[:5], self.in_base(symbol, figures[5]), *figures[6:])

    def get_supported_intervals(self) -> dict[str, int]:
        offered = {*self.ws_intervals, *self.rest_intervals}
        lengths = {interval: Interval.parse(interval).seconds for interval in offered}
        return dict(sorted(lengths.items(), key=itemgetter(1)))

    def get_ws_supported_intervals(self) -> list[str]:
        return list(self.ws_intervals)

    def get_rest_supported_intervals(self) -> list[str]:
        return list(self.rest_intervals)

    def grid(self, interval: str) -> Grid:
        usual = grid_of(interval)
        return Grid(usual.step, self.anchors[interval]) if interval in self.anchors else usual

    # --- WebSocket ---

    def get_ws_url(self) -> str:
        return self.ws_url

    def opening(self, group: str = "") -> Generator[RestRequest, RestReply, Opening]:
        yield from ()
        return Opening(url=self.get_ws_url(), messages=self.first_messages)

    def channel(self, subscription: Subscription) -> str:
        _, trading_pair, interval = subscription
        code = self.ws_intervals.get(interval)
        if code is None:
            has = f"only {' '.join(self.ws_intervals)}" if self.ws_intervals else "no intervals"
            raise UsageError(f"{self.name} has {has} over WebSocket: {interval} is polled")
        return self.channel_of(self.get_trading_pair_format(trading_pair), code)

    def channel_of(self, symbol: str, code: Code) -> str:
        """The channel of a symbol and an interval's code, as frames and messages spell them.

        Overridden where the exchange has a name for it; this one is taken apart by ``parts``.
        """
        return f"{code}:{symbol}"

    def control(self, verb: str, channels: Sequence[str], request_id: int, now: float) -> Message:
        """The one message that subscribes or unsubscribes (``verbs``) these channels."""
        raise NotImplementedError(f"{self.name} subscribes: write control, which says how")

    def get_ws_subscription_payload(self, trading_pair: str, interval: str) -> dict[str, Any]:
        channel = self.channel(Subscription(self.name, trading_pair, interval))
        message = self.control(self.verbs[0], [channel], 1, 0.0)
        return message if isinstance(message, dict) else {"message": message}

    def subscribe_messages(
        self, channels: Sequence[str], request_id: int, now: float
    ) -> list[Message]:
        return self._messages(self.verbs[0], channels, request_id, now)

    def unsubscribe_messages(
        self, channels: Sequence[str], request_id: int, now: float
    ) -> list[Message]:
        verb = self.verbs[1]
        return [] if verb is None else self._messages(verb, channels, request_id, now)

    def _messages(
        self, verb: str, channels: Sequence[str], request_id: int, now: float
    ) -> list[Message]:
        size = self.limits.message_channels
        parted = (channels[start : start + size] for start in range(0, len(channels), size))
        return [self.control(verb, part, request_id, now) for part in parted]

    def ping_message(self, request_id: int, now: float) -> Message:
        return self.ping or super().ping_message(request_id, now)

    # --- REST ---

    def get_rest_url(self) -> str:
        return self.rest_url

    def get_rest_params(
        self, trading_pair: str, interval: str, start_time: int, end_time: int, limit: int
    ) -> dict[str, Code]:
        symbol, code = self.get_trading_pair_format(trading_pair), self.rest_intervals[interval]
        return self.query.params(symbol, code, start_time, end_time, limit)

    def rest_request(
        self, trading_pair: str, interval: str, start: int, end: int, limit: int, now: float
    ) -> RestRequest:
        request = super().rest_request(trading_pair, interval, start, end, limit, now)
        symbol = quote(self.get_trading_pair_format(trading_pair), safe="")
        code = self.rest_intervals[interval]
        url = request.url.format(symbol=symbol, code=code)
        return replace(request, url=url, headers=self.rest_headers)

    def rest_pages(self, interval: str) -> RestPages:
        return RestPages(self.page, self.reach.get(interval))

    def rest_weight(self, limit: int) -> float:
        return self.weight

    def rest_rows(self, data: Any) -> Sequence[Any]:
        """The rows in a decoded body."""
        rows = at(data, *self.rest_path)
        if type(rows) is not list:
            raise TypeError(f"{type(rows).__name__} instead of a list of rows")
        return rows

    def rest_candle(self, row: Any, request: RestRequest | None) -> CandleData:
        """The candle of one row."""
        return CandleData(*self.rest_columns.read(row))

    def parse_rest_response(
        self, data: Any, request: RestRequest | None = None
    ) -> list[CandleData]:
        with malformed("the reply", data):
            return oldest_first([self.rest_candle(row, request) for row in self.rest_rows(data)])

    def read_rest_reply(self, reply: RestReply, request: RestRequest) -> RestAnswer:
        return self._trouble(reply) or Rows(self.parse_rest_response(reply.json(), request))

    def _trouble(self, reply: RestReply) -> RestAnswer | None:
        if self.envelope is not None:
            return self.envelope.trouble(reply)
        return None if reply.status == 200 else answer_of_status(reply)

    def asked_symbol(self, request: RestRequest | None) -> str:
        """The symbol that a request asked for, for rows that do not name theirs."""
        if request is None:
            raise ValueError("these rows do not name their symbol: give the request, too")
        return self.get_trading_pair_format(request.trading_pair)

    # --- instruments ---

    def instruments(self) -> Generator[RestRequest, RestReply, list[Instrument]]:
        if self.listing is None:
            return []
        reply = yield self.listing.request(self.rest_url)
        return self.read_instruments(reply)

    def read_instruments(self, reply: RestReply) -> list[Instrument]:
        """The instruments of one reply; ValueError for one that is no list of them."""
        with malformed("the list of instruments", reply.body):
            if trouble := self._trouble(reply):
                raise ValueError(f"no list of instruments: {trouble}")
            rows = at(reply.json(), *(self.listing.rows if self.listing else ()))
            rows = rows.values() if isinstance(rows, dict) else rows
            made = [instrument for row in rows if (instrument := self.instrument(row))]
            if rows and not made:
                raise ValueError(f"none of {len(rows)} listed instruments is one of {self.name}")
            return made

    def instrument(self, row: Any) -> Instrument | None:
        """The instrument of one row, None where it belongs to another market."""
        return None if self.listing is None else self.listing.instrument(row, self.spelling)
