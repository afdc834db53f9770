"""The contract of a dialect: how one exchange speaks. The core (`server.py`) does the rest.

A dialect file holds one exchange family and ends with `DIALECTS`, a tuple of callables without
arguments (classes, usually), one for each market. Being a module of this package with that name
is all it takes to be found. Dialects are pure: no I/O, no clock, no logging; they are told the
time. They are written from the protocol cards and the recordings alone and never import an
adapter.

**Who calls what, in which order**

One dialect object lives as long as one sandbox, so it may keep what an exchange keeps between
requests (tokens that it gave out).

1. HTTP. For each plain request below `/{market}`, the core calls `answer(request, world)`. The
   reply may carry `charges`: the core books them in the pools of `limits.rest` and, where a pool
   is overdrawn, notes it in the journal and sends `slow_down(…)` instead. `trading_pair` and
   `interval` of the reply say what it is about, so that faults can match it. The core adds the
   `Date` header (market time) and `budget_headers(…)`.
2. WebSocket. For each upgrade request, the core checks `limits.connections` and
   `limits.attempts` (beyond: `refuse_connection(…)`), then calls `connect(request, world)`:
   a `Conversation` for that one connection, or an `HttpReply` that refuses the handshake.
3. Then, on that conversation: `opened(world)` once; `received(frame, world)` for each text or
   binary message of the client (after counting it against `limits.messages`; beyond, `flooded`
   is called instead and the message is lost); `tick(world)` when the real time `due` is reached;
   `candle(push, world)` for each candle that is to be pushed. The core reads `due` and
   `channels` again after each of these calls.
   Those before `candle` give `Action`s, done in order: `Send`, `Close`, `Cut`, `Overstep`; so do
   `expired` (its token is no longer good) and `leaving` (a planned shutdown: the core closes the
   connection after `notice`), which are called when a fault wants it and the facts allow it.
   `candle` gives frames. A frame is `str` (text) or `bytes` (binary), ready for the wire.
4. Protocol-level pings and pongs are the core's: it answers the client's pings, and sends pings
   of its own where `server_ping` says so.

**What the core pushes.** For each `Channel` in `conversation.channels` (name -> channel; the
dialect adds and deletes entries when it confirms a request), at most one frame per `cadence`
(real seconds) and only when a trade changed the bar; besides, always: the current bar right
after subscribing (where `opens_with_current`), the first state of each bar, and what `closing`
says. Bars without trades are pushed only where `quiet.stream` is true.

**Two times.** `Moment.market` is market time (UNIX seconds, scaled): bars, times inside frames.
`Moment.real` is the machine's steady clock in seconds: heartbeats, patience, `due`. Rates and
`lifetime` in `limits` are reckoned in market time.

**Pairs come and go.** `world.market.listings` and `symbols` are what the exchange knows now;
`world.market.trades(pair)` is false where trading has ended, which instruments tell in the
exchange's own words. Bars before the listing and after its end do not exist: `bars`, `backwards`
and `latest` leave them out, and history is read by nothing else, so that faults can falsify it.

**What is UNKNOWN on a card** is given the most adverse plausible form, and the dialect's
docstring says so.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from connectors.sandbox.grid import Step
from connectors.sandbox.listing import Listing
from connectors.sandbox.market import Bar, Market

Frame = str | bytes


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment on both clocks: market time in UNIX seconds, real time of a steady clock."""

    market: float
    real: float

    @property
    def millis(self) -> int:
        """Market time in whole milliseconds."""
        return int(self.market * 1_000)


@dataclass(frozen=True, slots=True)
class World:
    """What a dialect may know while it answers.

    `http_url` and `ws_url` are this market's own roots (`http://127.0.0.1:8460/okx_spot`), for
    exchanges that tell their addresses. `refuses(trading_pair, interval)` is true when a fault
    wants a subscription refused: answer as the exchange does to a channel that does not exist.
    `skips(trading_pair, interval, open_time)` is true when a fault keeps that bar off the stream:
    leave it out wherever a frame carries it beside the candle that is pushed. `offset` is by how
    many seconds the exchange's clock is wrong; times that the exchange tells come from `told`.
    `subscriptions` is how many channels all connections to this market have, where an exchange
    counts them by address.
    """

    now: Moment
    market: Market
    http_url: str
    ws_url: str
    refuses: Callable[[str, str], bool]
    skips: Callable[[str, str, int], bool] = lambda *_: False
    offset: float = 0.0
    subscriptions: int = 0

    @property
    def told(self) -> Moment:
        """The moment by the exchange's clock: for event times and the server's time, not bars."""
        return Moment(self.now.market + self.offset, self.now.real)


# --- HTTP


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request as the dialect sees it: `path` begins with `/` and lacks the market's name.

    Query values are decoded, the last of a repeated name wins. Header names are lower-case.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Charge:
    """What a request costs: `weight` units of the pool `limits.rest[pool]`."""

    pool: str
    weight: int


@dataclass(frozen=True, slots=True)
class HttpReply:
    """An answer. `body` is bytes or text as they are, anything else becomes JSON.

    `rows`: where in `body` the list of candles is: the keys that lead to it, with dots between, or
    "" where the body is that list. They may lead to columns in its place: lists of equal length.
    """

    body: object
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    charges: tuple[Charge, ...] = ()
    trading_pair: str | None = None
    interval: str | None = None
    rows: str | None = None


# --- WebSocket


@dataclass(frozen=True, slots=True, eq=False)
class Channel:
    """One subscription of one connection. `since`: the market time when it began.

    `tag` is the dialect's own (an argument to be echoed, a number given by the server).
    """

    name: str
    trading_pair: str
    interval: str
    since: float
    tag: object = None


@dataclass(frozen=True, slots=True)
class Push:
    """One candle that is due on one channel.

    `closed`: the bar is over and these are its final values. `first`: no earlier frame of this
    bar went over this channel, and the bar began after the subscription.
    """

    channel: Channel
    bar: Bar
    closed: bool
    first: bool


@dataclass(frozen=True, slots=True)
class Send:
    """Send a frame."""

    frame: Frame


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection with this code and reason."""

    code: int = 1000
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Cut:
    """Cut the connection off without a close frame, which clients see as code 1006."""


@dataclass(frozen=True, slots=True)
class Overstep:
    """Note in the journal that the client overstepped a limit of the card."""

    limit: str
    allowed: float
    seen: float


Action = Send | Close | Cut | Overstep


class Conversation(ABC):
    """One WebSocket connection, from the exchange's side.

    `channels` is what it serves; it is changed in place, for the journal looks at it, too.
    """

    def __init__(self) -> None:
        self.channels: dict[str, Channel] = {}
        self.due: float | None = None

    def opened(self, world: World) -> Iterable[Action]:
        """Return what the exchange sends unasked after the handshake, such as a welcome."""
        return ()

    @abstractmethod
    def received(self, frame: Frame, world: World) -> Iterable[Action]:
        """Answer one message of the client; nothing is pushed before these actions are done."""

    def tick(self, world: World) -> Iterable[Action]:
        """Return what is due at the real time `due`; set `due` anew, or to None."""
        return ()

    @abstractmethod
    def candle(self, push: Push, world: World) -> Iterable[Frame]:
        """Return the frames that carry this candle: usually one."""

    def expired(self, world: World) -> Iterable[Action]:
        """Return how the exchange ends a connection whose token is no longer good."""
        return (Close(),)

    def leaving(self, world: World) -> Iterable[Action]:
        """Return the exchange's notice that it will close this connection soon."""
        return ()

    def flooded(self, world: World) -> Iterable[Action]:
        """Return the exchange's reaction to more messages than `limits.messages` allows."""
        return (Close(1008, "Too many requests"),)


# --- facts


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `allowed` in any `seconds` of market time, counted by address or by connection."""

    allowed: int
    seconds: float
    per: Literal["address", "connection"] = "address"


@dataclass(frozen=True, slots=True)
class Limits:
    """The card's limits; None where it states none.

    `control_frames`: protocol pings and pongs count as messages. `lifetime` of a connection is in
    market seconds. `rest` names the pools that `Charge`s are booked in. How many subscriptions
    a connection may hold, and how long a message may be, the conversation itself reckons and
    tells by `Overstep`.
    """

    connections: int | None = None
    attempts: Rate | None = None
    messages: Rate | None = None
    control_frames: bool = False
    lifetime: float | None = None
    rest: Mapping[str, Rate] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServerPing:
    """The server pings every `every` real seconds and hangs up after `patience` without pong."""

    every: float
    patience: float


@dataclass(frozen=True, slots=True)
class Closing:
    """What is sent for a bar after its end: one frame with its final values.

    It comes `delay` (from, to) market seconds after the end. `flagged`: the frame says that the
    bar is closed (`Push.closed`); else it is a late last update. `overlaps`: frames of the next
    bar may go before it.
    """

    delay: tuple[float, float] = (0.0, 0.0)
    flagged: bool = True
    overlaps: bool = False


@dataclass(frozen=True, slots=True)
class Quiet:
    """Whether bars without trades are sent, flat at the last close: live, and in history."""

    stream: bool
    history: bool


@dataclass(frozen=True, slots=True)
class Figures:
    """Which figures the exchange sends at all, live or in history; the truth has null else.

    `taker_quote`: whether the taker's buys, where they are sent, are told in quote units, too.
    """

    quote_volume: bool = False
    trades: bool = False
    taker: bool = False
    taker_quote: bool = True


class Dialect(ABC):
    """One market of one exchange. Facts are class attributes or set in the constructor."""

    market: str
    """The market's name, which is also its address: `/{market}/…`."""
    intervals: Mapping[str, Step]
    """Every interval that is offered, live or in history, and its grid."""
    listings: tuple[Listing, ...]
    """The trading pairs, at least one of them quiet."""
    figures: Figures
    quiet: Quiet
    closing: Closing | None = None
    """None: nothing more is sent for a bar that is over."""
    limits: Limits = Limits()
    server_ping: ServerPing | None = None
    opens_with_current: bool = True
    """Whether the current bar is pushed right after subscribing, without a trade."""
    retry_after: bool = False
    """Whether the exchange's rate-limit replies usually carry Retry-After."""
    book: str | None = None
    """Markets with the same book have the same trades; None: the market's own."""
    upcoming: tuple[Listing, ...] = ()
    """Pairs that are listed when the fault `list` wants it."""
    streams: bool = True
    """Whether there is a WebSocket."""
    compresses: bool = False
    """Whether messages are compressed (permessage-deflate) for clients who offer it."""
    tokens: bool = False
    """Whether a WebSocket needs a token: then `revoke` works."""
    notice: float | None = None
    """Market seconds from `Conversation.leaving` to the close; None: no notice is ever sent."""
    resends: bool = False
    """Whether a bar that changed after its close is sent again on its channel."""

    @abstractmethod
    def answer(self, request: HttpRequest, world: World) -> HttpReply:
        """Answer one HTTP request, unknown paths and bad parameters as the exchange does."""

    @abstractmethod
    def connect(self, request: HttpRequest, world: World) -> Conversation | HttpReply:
        """Accept a WebSocket at this path and query, or refuse the handshake."""

    def cadence(self, interval: str) -> float:
        """Return the shortest time between two updates of one bar, in real seconds."""
        return 1.0

    @abstractmethod
    def slow_down(self, retry_after: int | None, world: World) -> HttpReply:
        """Return the rate-limit reply; `retry_after` in real seconds goes into the header."""

    def banned(self, retry_after: int | None, world: World) -> HttpReply:
        """Return the reply to a banned address: requests and handshakes; seconds as above."""
        return HttpReply("Forbidden", 403, retry_header(retry_after))

    def revoke(self) -> None:  # noqa: B027  (a hook)
        """Forget every token that was given out; only where `tokens`."""

    def server_error(self, world: World) -> HttpReply:
        """Return the reply of an exchange in trouble."""
        return HttpReply("Service Unavailable", 503)

    def refuse_connection(self, limit: str, world: World) -> HttpReply:
        """Return the reply to a handshake beyond the limit `connections` or `attempts`."""
        return HttpReply("Too Many Requests", 429)

    def budget_headers(self, pool: str, used: int, world: World) -> Mapping[str, str]:
        """Return headers that tell how much of a pool is used in the running window."""
        return {}


def retry_header(seconds: int | None) -> Mapping[str, str]:
    """Return the header Retry-After, or none."""
    return {} if seconds is None else {"Retry-After": str(seconds)}


def text(value: Decimal, digits: int) -> str:
    """Return a decimal with exactly `digits` after the point, as exchanges print figures."""
    return f"{value:.{digits}f}"


def plain(value: Decimal) -> str:
    """Return a decimal without trailing zeros and without an exponent."""
    return f"{value.normalize():f}"
