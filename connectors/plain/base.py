"""The adapter whose facts are class attributes."""
# ruff: noqa: ARG002, D102 - the contract names the arguments and describes the methods

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from operator import itemgetter
from typing import Any, ClassVar
from urllib.parse import quote

from connectors.adapter import (
    ExchangeAdapter,
    Message,
    Opening,
    RestAnswer,
    RestPages,
    RestReply,
    RestRequest,
    Rows,
    answer_of_status,
)
from connectors.errors import UsageError
from connectors.model import CandleData, Grid, Instrument, Interval, Subscription, grid_of
from connectors.plain.envelope import Envelope
from connectors.plain.listing import Listing
from connectors.plain.query import Query
from connectors.plain.rows import Columns, at, malformed, oldest_first
from connectors.plain.symbols import Code, Spelling


class PlainAdapter(ExchangeAdapter):
    """An adapter whose facts are class attributes; see the head of the package."""

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
        raise ValueError(f"{self.name} subscribes: write control, which says how")

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
        rows = self.read_instruments(reply)
        if not rows:
            raise ValueError(f"none of the listed instruments belongs to {self.name}")
        return rows

    def read_instruments(self, reply: RestReply) -> list[Instrument]:
        """The instruments of one reply; ValueError for one that is no list of them."""
        with malformed("the list of instruments", reply.body):
            if trouble := self._trouble(reply):
                raise ValueError(f"no list of instruments: {trouble}")
            rows = at(reply.json(), *(self.listing.rows if self.listing else ()))
            rows = rows.values() if isinstance(rows, dict) else rows
            return [made for row in rows if (made := self.instrument(row))]

    def instrument(self, row: Any) -> Instrument | None:
        """The instrument of one row, None where it belongs to another market."""
        return None if self.listing is None else self.listing.instrument(row, self.spelling)
