"""The contract of an exchange adapter.

An adapter knows one exchange's dialect and nothing else: no I/O, no clock, no logging, no
settings. The engine calls it; it never calls the engine. Who calls what, in which order:

1. ``instruments()`` is driven once per exchange before anything else; its rows are given to every
   adapter object of that exchange by ``use_instruments()``.
2. For each connection an adapter object of its own is made, so it may keep protocol state of that
   connection (a table of channel ids). ``opening(group)`` is driven; then the socket is opened at
   the address it returned. Its messages are sent first; with ``awaits_ready`` nothing else is sent
   until ``parse_ws_message`` has returned ``Ready``.
3. ``subscribe_messages`` is called with as many channels as ``limits`` and ``batch_group`` allow
   in one message; all that it returns bears the one request id.
4. Every frame goes through ``unpack_frame`` (binary ones only), JSON decoding, and
   ``parse_ws_message``. What is no JSON arrives there as ``str``. An exception from it makes the
   frame a dead letter and harms nothing else.
5. Candles are routed by their ``channel``; one without a channel belongs to the connection's only
   subscription.
6. ``rest_request`` and ``read_rest_reply`` are called for polling and repair, on an adapter object
   that belongs to no connection.

A plain exchange writes the methods of the brief and inherits the rest. Ours begin with
``connectors.plain.PlainAdapter``, where facts are data and few methods are left to be written.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import orjson

from connectors.errors import Blocked, SlowDown, Unreachable
from connectors.model import CandleData, Grid, Instrument, Interval, Subscription, grid_of

Message = dict[str, Any] | list[Any] | str
"""What is sent: a dict or list as JSON, text as it is."""


# --- what parse_ws_message may return beside candles -------------------------------------------


@dataclass(frozen=True, slots=True)
class WSJSONRequest:
    """A reply to send at once: the answer to an application-level ping."""

    payload: Message


@dataclass(frozen=True, slots=True)
class Ready:
    """The exchange has greeted or has accepted the login: subscriptions may be sent."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A request was accepted, named by id, by channels, or by neither: then the oldest open one.

    With an id it may be an unsubscribe as well; channels without an id are those now subscribed.
    ``listing``: ``channels`` are all that the connection has now, so one that was asked for and is
    missing was not accepted.
    """

    request_id: str | None = None
    channels: tuple[str, ...] = ()
    listing: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """Something was refused. With neither id nor channel it is tied to the oldest open request.

    ``limit``: not the subscription is at fault but the number of them; it is placed elsewhere.
    """

    reason: str
    request_id: str | None = None
    channels: tuple[str, ...] = ()
    limit: bool = False


@dataclass(frozen=True, slots=True)
class Closing:
    """The exchange announces that it will close this connection: replace it."""

    reason: str


Parsed = list[CandleData] | WSJSONRequest | Ready | Confirmed | Refused | Closing | None


# --- REST ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RestRequest:
    """What is asked (pair, interval, open times in ``[start, end)``) together with how it is asked.

    ``params`` go into the query, ``body`` is sent as JSON. ``weight`` is what the request costs of
    the exchange's REST budget. Requests of a dialogue (token, instruments) leave the rest out.
    """

    url: str
    method: str = "GET"
    params: Mapping[str, str | int] = field(default_factory=dict)
    body: Message | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    weight: float = 1.0
    trading_pair: str = ""
    interval: str = ""
    start: int = 0
    end: int = 0
    limit: int = 0


@dataclass(frozen=True, slots=True)
class RestReply:
    """An HTTP reply: status, headers in lower case, the body's bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body decoded; ValueError (orjson.JSONDecodeError) where it is no JSON."""
        return orjson.loads(self.body)


@dataclass(frozen=True, slots=True)
class Rows:
    """Candles, oldest first; possibly outside the asked range, possibly with the open one last."""

    candles: list[CandleData]


@dataclass(frozen=True, slots=True)
class RestRefused:
    """The exchange says that what was asked is wrong (unknown pair): asking again is no use."""

    reason: str


@dataclass(frozen=True, slots=True)
class RestSlowDown:
    """A limit was met: nothing more for ``seconds`` (None: the exchange does not say)."""

    reason: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class RestUnavailable:
    """No answer of use this time; ``blocked``: the exchange does not serve this address at all."""

    reason: str
    blocked: bool = False


RestAnswer = Rows | RestRefused | RestSlowDown | RestUnavailable

Dialogue = Generator[RestRequest, RestReply, Any]


@dataclass(frozen=True, slots=True)
class RestPages:
    """How REST pages behave; the engine never asks for more than ``limit`` slots at once.

    ``rows`` is how far back history reaches from now (None: to the listing).
    """

    limit: int = 100
    rows: int | None = None


# --- facts ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``amount`` (messages, attempts, weight) in any ``period`` of seconds."""

    amount: float
    period: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the exchange allows; None: not published. ``source`` and ``checked`` say since when.

    ``connections`` counts per address, ``subscriptions``, ``messages`` and ``lifetime`` (seconds)
    per connection, ``message_bytes`` and ``message_channels`` per subscribe message, ``attempts``
    are connection attempts and ``rest`` the budgets of REST weight per address, in market time.
    ``messages`` are all that we send, ``subscribes`` those among them that subscribe and
    unsubscribe, where the exchange allows fewer of these. ``quiet`` are seconds after connecting in
    which nothing may be sent.
    """

    source: str
    checked: str
    connections: int | None = None
    subscriptions: int = 1
    messages: Rate = Rate(5)
    subscribes: Rate | None = None
    quiet: float = 0.0
    message_bytes: int | None = None
    message_channels: int = 1
    attempts: Rate = Rate(1)
    lifetime: float | None = None
    rest: tuple[Rate, ...] = (Rate(5),)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Who pings. Times are real seconds.

    ``server``: the exchange sends protocol pings, which the WebSocket library answers.
    ``protocol``: we send protocol pings every ``every``. ``message``: we send ``ping_message``
    every ``every``. A connection on which nothing at all came for ``silence`` is dead.
    """

    kind: Literal["server", "protocol", "message"] = "protocol"
    every: float = 20.0
    silence: float = 60.0


Quiet = Literal["sent", "skipped", "unknown"]


@dataclass(frozen=True, slots=True)
class QuietBars:
    """What becomes of bars without trades, on the stream and over REST."""

    stream: Quiet = "unknown"
    rest: Quiet = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Where and how to begin: what the connect dialogue returns.

    ``ping_every`` overrides the heartbeat's period; ``messages`` are sent first (a login);
    ``awaits_ready``: nothing more is sent before the greeting or the acceptance of the login.
    ``expires``: seconds after which the address or token must be replaced by a new connection.
    """

    url: str
    ping_every: float | None = None
    messages: tuple[Message, ...] = ()
    awaits_ready: bool = False
    expires: float | None = None


class ExchangeAdapter(ABC):
    """One exchange's dialect; see the head of this module for who calls what."""

    name: ClassVar[str] = ""
    """The market's name, ``binance_spot``; a class without a name is a base and is not listed."""

    limits: ClassVar[Limits] = Limits(source="nothing published: the safe defaults", checked="")
    heartbeat: ClassVar[Heartbeat] = Heartbeat()
    quiet_bars: ClassVar[QuietBars] = QuietBars()
    close_flag: ClassVar[bool] = False
    """Whether frames say that a bar is closed."""
    close_grace: ClassVar[float] = 2.0
    """Market seconds after a bar's end within which its late frames still come."""
    needs_instruments: ClassVar[bool] = False
    """Whether figures cannot be told without the instruments (contract sizes)."""

    # --- the brief's methods ---

    @abstractmethod
    def get_trading_pair_format(self, trading_pair: str) -> str:
        """``BTC-USDT`` -> the exchange's symbol."""

    @abstractmethod
    def get_supported_intervals(self) -> dict[str, int]:
        """Every offered interval -> its nominal seconds."""

    @abstractmethod
    def get_ws_url(self) -> str:
        """Where to connect, where no dialogue is needed ("" without WebSocket candles)."""

    @abstractmethod
    def get_ws_subscription_payload(self, trading_pair: str, interval: str) -> dict[str, Any]:
        """The subscribe message for one subscription."""

    @abstractmethod
    def parse_ws_message(self, data: Any) -> Parsed:
        """Candles, a reply to send, a confirmation or refusal, or None for noise (and for None)."""

    @abstractmethod
    def get_ws_supported_intervals(self) -> list[str]:
        """Intervals with a WebSocket channel; ``[]`` for none. The others are polled over REST."""

    @abstractmethod
    def get_rest_url(self) -> str:
        """The address of REST candles."""

    @abstractmethod
    def get_rest_params(
        self, trading_pair: str, interval: str, start_time: int, end_time: int, limit: int
    ) -> dict[str, str | int]:
        """Query for bars that open in ``start_time`` .. ``end_time``, both included (seconds)."""

    @abstractmethod
    def parse_rest_response(
        self, data: Any, request: RestRequest | None = None
    ) -> list[CandleData]:
        """Rows of a decoded reply, oldest first. The engine always passes the request."""

    # --- richer ones, with the plain case as default ---

    def channel(self, subscription: Subscription) -> str:
        """The subscription's name on the wire, as ``CandleData.channel`` will tell it."""
        return f"{subscription.trading_pair}@{subscription.interval}"

    def subscribe_messages(
        self, channels: Sequence[str], request_id: int, now: float
    ) -> list[Message]:
        """The messages that subscribe these channels; all of them bear ``request_id``.

        ``now`` is real UNIX seconds, for exchanges that want a time in the message.
        """
        del request_id, now
        pairs = (channel.rsplit("@", 1) for channel in channels)
        return [self.get_ws_subscription_payload(pair, interval) for pair, interval in pairs]

    def unsubscribe_messages(
        self, channels: Sequence[str], request_id: int, now: float
    ) -> list[Message]:
        """The reverse; ``[]`` where the exchange has none: the connection is replaced."""
        del channels, request_id, now
        return []

    def opening(self, group: str = "") -> Generator[RestRequest, RestReply, Opening]:
        """The connect dialogue for one ``connection_group``."""
        del group
        yield from ()
        return Opening(url=self.get_ws_url())

    def instruments(self) -> Generator[RestRequest, RestReply, list[Instrument]]:
        """The dialogue that lists the instruments, paged where it must be; ``[]``: it has none.

        Raises ValueError for a reply that is no list of instruments.
        """
        yield from ()
        return []

    def use_instruments(self, rows: Sequence[Instrument]) -> None:  # noqa: B027 - optional
        """Hands the rows over; without them the exchange's plain rule for symbols is used."""

    def connection_group(self, subscription: Subscription) -> str:
        """Subscriptions of different groups never share a connection."""
        del subscription
        return ""

    def batch_group(self, channel: str) -> str:
        """Channels of different groups never share a subscribe message."""
        del channel
        return ""

    def unpack_frame(self, frame: bytes) -> str | bytes:
        """A binary frame as text or JSON bytes (gzip, deflate, protobuf)."""
        return frame

    def ping_message(self, request_id: int, now: float) -> Message:
        """What we send as a ping where ``heartbeat.kind`` is ``message``."""
        del request_id, now
        raise ValueError(f"{self.name} pings by message: write ping_message, which says how")

    def get_rest_supported_intervals(self) -> list[str]:
        """Intervals that REST offers; one missing here can be neither polled nor repaired."""
        return list(self.get_supported_intervals())

    def grid(self, interval: str) -> Grid:
        """Which open times exist."""
        return grid_of(interval)

    def rest_pages(self, interval: str) -> RestPages:
        """Page size and reach of REST history for an interval."""
        del interval
        return RestPages()

    def rest_request(
        self, trading_pair: str, interval: str, start: int, end: int, limit: int, now: float
    ) -> RestRequest:
        """The request for bars that open in ``[start, end)``; ``now`` is market time."""
        del now
        return RestRequest(
            url=self.get_rest_url(),
            params=self.get_rest_params(trading_pair, interval, start, end - 1, limit),
            weight=self.rest_weight(limit),
            trading_pair=trading_pair,
            interval=interval,
            start=start,
            end=end,
            limit=limit,
        )

    def rest_weight(self, limit: int) -> float:
        """What a candle request of ``limit`` rows costs."""
        del limit
        return 1.0

    def read_rest_reply(self, reply: RestReply, request: RestRequest) -> RestAnswer:
        """Rows, or what else the exchange says. Raises ValueError for a body it cannot read."""
        if reply.status == 200:
            return Rows(self.parse_rest_response(reply.json(), request))
        return answer_of_status(reply)

    # --- what follows from the above ---

    def transport(self, interval: str) -> Literal["websocket", "rest"]:
        """How an interval is carried."""
        return "websocket" if interval in self.get_ws_supported_intervals() else "rest"

    def step(self, interval: str) -> int:
        """Nominal seconds of an interval."""
        return Interval.parse(interval).seconds


BARRED = re.compile(rb"restricted location|country|countries|jurisdiction", re.IGNORECASE)
"""A 403 whose body has such a word is about where we are, else about what we did (a firewall)."""


def answer_of_status(reply: RestReply) -> RestAnswer:
    """What an HTTP status other than 200 means where the exchange says no more than others do."""
    reason = f"HTTP {reply.status}: {reply.body[:200].decode('utf-8', 'replace')}"
    if reply.status in (418, 429):
        return RestSlowDown(reason, retry_after(reply.headers))
    if reply.status == 451 or (reply.status == 403 and BARRED.search(reply.body)):
        return RestUnavailable(reason, blocked=True)
    if reply.status == 403 or reply.status >= 500:
        return RestUnavailable(reason)
    return RestRefused(reason)


def check_status(who: str, reply: RestReply) -> None:
    """SlowDown, Blocked or Unreachable where a status says that nothing is to be had.

    For dialogues and WebSocket handshakes, which can go no further then. ``who`` begins the
    sentence. What only this request is to blame for (a 404) is left to whoever knows the dialect.
    """
    match answer_of_status(reply):
        case RestSlowDown(reason, seconds):
            raise SlowDown(f"{who}: {reason}", seconds or 0.0)
        case RestUnavailable(reason, blocked=True):
            raise Blocked(
                f"{who}: {reason} (this address is not served: run from another, or replace the "
                "exchange's by --endpoint)"
            )
        case RestUnavailable(reason):
            raise Unreachable(f"{who}: {reason}")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a numeric Retry-After header, None where there is none."""
    value = headers.get("retry-after", "")
    return float(value) if value.isascii() and value.replace(".", "", 1).isdigit() else None
