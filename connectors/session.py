"""Pure: one WebSocket connection's conversation.

Frames and the time go in; candles, events and due texts come out. The skin calls ``receive`` for
every message, ``alive`` for every control frame, and, at ``due`` and after anything that may have
changed it, ``texts`` and ``verdict``. Times are real (monotonic) seconds unless named otherwise.

An acknowledgement is not proof of delivery, so three sets are kept: *desired*, *confirmed* and
*delivering*. How an answer finds its subscription:

* Messages are made when they are sent, in the order asked for; each has a request id of its own.
* An answer with an id belongs to that request or to none. One with channels but no id belongs to
  the oldest open request about each of them, one with neither to the oldest open request of all.
* Only the newest request about a channel decides on it: what answers an unsubscribe, or a
  subscribe that was taken back since, is never an acceptance.
* A refused batch is split until the culprit stands alone. What has no answer is asked again, and at
  last rejected, unless it delivers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from math import inf

import orjson

from connectors.adapter import (
    Closing,
    Confirmed,
    ExchangeAdapter,
    Message,
    Opening,
    Parsed,
    Rate,
    Ready,
    Refused,
    WSJSONRequest,
)
from connectors.errors import BadFrame
from connectors.limits import Budget
from connectors.model import CandleData

ANSWER_WITHIN = 10.0
"""Seconds after which an unanswered subscribe message is sent again."""
READY_WITHIN = 30.0
"""Seconds within which a greeting must have come, the connecting included."""
OURS = 0.8
"""Part of the limits of messages that texts may use: the rest is for pongs."""
JITTER = 0.25
"""Seconds by which one message may be on its way for longer than those after it: two bursts that
were sent a period apart must not arrive within one."""
ASK_AT_MOST = 3
"""So many times a channel without any answer is asked for before it counts as refused."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A channel was refused; ``limit``: only for want of room on this connection."""

    channel: str
    reason: str
    limit: bool = False


@dataclass(slots=True)
class _Batch:
    """What one request will ask for."""

    channels: tuple[str, ...]
    subscribes: bool
    tries: int = 1


@dataclass(slots=True)
class _Request:
    """What was asked; ``channels`` are those that no answer has come for.

    ``sent`` is when the last of its messages left.
    """

    id: str
    channels: tuple[str, ...]
    subscribes: bool
    tries: int
    sent: float = inf


@dataclass(slots=True)
class Session:
    """See the head of the module. One object per connection, with an adapter of its own."""

    adapter: ExchangeAdapter
    opening: Opening
    now: float
    desired: set[str] = field(default_factory=set)
    confirmed: set[str] = field(default_factory=set)
    delivering: set[str] = field(default_factory=set)
    rejected: deque[Rejected] = field(default_factory=deque)
    closing: str | None = None
    ready: bool = False
    bad_frames: int = 0

    _heard: float = field(init=False)
    _pinged: float = field(init=False)
    _login_refused: str | None = field(init=False, default=None)
    _last_id: int = field(init=False, default=0)
    _waiting: deque[_Batch] = field(init=False, default_factory=deque)
    _requests: dict[str, _Request] = field(init=False, default_factory=dict)
    _asked: dict[str, str] = field(init=False, default_factory=dict)
    """Channel -> id of the newest request that subscribes it, once sent and not taken back."""
    _urgent: deque[Message] = field(init=False, default_factory=deque)
    _ordinary: deque[tuple[_Request, Message]] = field(init=False, default_factory=deque)
    _budget: Budget = field(init=False)
    _asking: Budget = field(init=False)

    def __post_init__(self) -> None:
        self._heard = self._pinged = self.now
        limits = self.adapter.limits
        self._budget = Budget([_apart(limits.messages)], OURS)
        asking = [] if limits.subscribes is None else [_apart(limits.subscribes)]
        self._asking = Budget(asking, OURS)
        self._urgent.extend(self.opening.messages)
        self.ready = not self.opening.awaits_ready

    def connected(self, now: float) -> None:
        """The connection stands."""
        self._heard = self._pinged = now
        self._budget.close(now + self.adapter.limits.quiet)

    @property
    def asked(self) -> Set[str]:
        """The channels that the exchange was asked for: of others nothing can be expected yet."""
        return self._asked.keys()

    # --- what is wanted ---

    def want(self, channels: Iterable[str]) -> None:
        """Subscribe these too, in as few messages as the limits allow."""
        new = [channel for channel in dict.fromkeys(channels) if channel not in self.desired]
        self.desired.update(new)
        self._wait(new, subscribes=True)

    def drop(self, channels: Iterable[str]) -> None:
        """Unsubscribe these; ``closing`` is set where the exchange offers no such thing."""
        old = [channel for channel in dict.fromkeys(channels) if channel in self.desired]
        self._forget(old)
        unsent = self._take_back(old)
        self._wait([channel for channel in old if channel not in unsent], subscribes=False)

    def again(self, channel: str) -> None:
        """Ask once more for a channel that was rejected or is silent."""
        self.drop([channel])
        self.want([channel])

    def _wait(self, channels: Sequence[str], *, subscribes: bool, tries: int = 1) -> None:
        groups: dict[str, list[str]] = {}
        for channel in channels:
            groups.setdefault(self.adapter.batch_group(channel), []).append(channel)
        size = self.adapter.limits.message_channels
        for group in groups.values():
            for start in range(0, len(group), size):
                batch = _Batch(tuple(group[start : start + size]), subscribes, tries)
                self._waiting.append(batch)

    def _take_back(self, channels: Sequence[str]) -> set[str]:
        """Strike these from what waits; those of them that the exchange was never asked for."""
        struck: set[str] = set()
        for batch in self._waiting:
            if batch.subscribes:
                if batch.tries == 1:
                    struck.update(channel for channel in channels if channel in batch.channels)
                batch.channels = _without(batch.channels, channels)
        return struck

    def _forget(self, channels: Sequence[str]) -> None:
        self.desired.difference_update(channels)
        self.confirmed.difference_update(channels)
        self.delivering.difference_update(channels)
        for channel in channels:
            self._asked.pop(channel, None)

    # --- what comes in ---

    def receive(self, frame: bytes, binary: bool, now: float) -> list[CandleData] | None:
        """One message as received: its candles, or None where it was something else.

        Raises BadFrame for one that cannot be read: the connection lives, and nothing else changes.
        """
        self._heard = now
        try:
            parsed = self.adapter.parse_ws_message(self._decode(frame, binary))
            if type(parsed) is list:
                for candle in parsed:
                    if candle.channel not in self.delivering:
                        self._first_of(candle)
                return parsed
        except Exception as error:  # whatever a frame does to a parser is its own fault
            self.bad_frames += 1
            raise BadFrame(f"{type(error).__name__}: {error}") from error
        self._note(parsed)
        return None

    def alive(self, now: float) -> None:
        """A control frame came: the connection lives."""
        self._heard = now

    def _decode(self, frame: bytes, binary: bool) -> object:
        data = self.adapter.unpack_frame(frame) if binary else frame
        try:
            return orjson.loads(data)
        except orjson.JSONDecodeError:
            text = data if isinstance(data, str) else data.decode()
            if text.lstrip()[:1] in ("{", "["):
                raise
            return text

    def _first_of(self, candle: CandleData) -> None:
        """A candle of a channel that delivered nothing yet, or without a channel."""
        if candle.channel is None and self.desired:
            if len(self.desired) > 1:
                raise ValueError("a candle names no channel, where several are subscribed")
            (candle.channel,) = self.desired
        if candle.channel in self.desired:
            self.delivering.add(candle.channel)

    def _note(self, parsed: Parsed) -> None:
        match parsed:
            case WSJSONRequest(payload):
                self._urgent.append(payload)
            case Ready():
                self.ready = True
            case Confirmed(listing=True):
                self._confirm_listing(parsed.channels)
            case Confirmed():
                self._confirm(parsed)
            case Refused():
                self._refuse(parsed)
            case Closing(reason):
                self.closing = reason

    def _confirm(self, told: Confirmed) -> None:
        for request, channels in self._answered_by(told):
            self.confirmed.update(self._decided_by(request, channels))
            self._settle(request, channels)

    def _confirm_listing(self, listed: Sequence[str]) -> None:
        """What was listed before and is missing was lost; what was not has until ANSWER_WITHIN.

        For a listing may have been made before the request was read.
        """
        now_confirmed = self._asked.keys() & listed
        lost = sorted(self.confirmed - now_confirmed)
        self.confirmed = now_confirmed
        self.delivering.difference_update(lost)
        self._wait(lost, subscribes=True)
        for request in list(self._requests.values()):
            done = listed if request.subscribes else _without(request.channels, listed)
            self._settle(request, done)

    def _refuse(self, told: Refused) -> None:
        if not self.ready:
            self._login_refused = told.reason
            return
        if told.request_id is None:  # nothing is open about it: an accepted channel was ended
            self._reject([it for it in told.channels if not self._oldest_about(it)], told)
        for request, channels in self._answered_by(told):
            self._settle(request, channels)
            decided = self._decided_by(request, channels)
            if told.channels or told.limit or len(decided) == 1:
                self._reject(decided, told)
            else:
                self._split(decided)

    def _answered_by(self, told: Confirmed | Refused) -> list[tuple[_Request, Sequence[str]]]:
        """Which requests an answer is about, and which of their channels."""
        if told.request_id is not None:
            request = self._requests.get(told.request_id)
            return [(request, told.channels or request.channels)] if request else []
        if not told.channels:
            return [(request, request.channels) for request in list(self._requests.values())[:1]]
        oldest = ((self._oldest_about(channel), channel) for channel in told.channels)
        return [(request, (channel,)) for request, channel in oldest if request]

    def _oldest_about(self, channel: str) -> _Request | None:
        return next((it for it in self._requests.values() if channel in it.channels), None)

    def _decided_by(self, request: _Request, channels: Sequence[str]) -> tuple[str, ...]:
        """None for an unsubscribe, and for a subscribe that is not the newest."""
        return tuple(channel for channel in channels if self._asked.get(channel) == request.id)

    def _settle(self, request: _Request, channels: Sequence[str]) -> None:
        request.channels = _without(request.channels, channels)
        if not request.channels:
            del self._requests[request.id]

    def _split(self, channels: tuple[str, ...]) -> None:
        middle = len(channels) // 2
        self._wait(channels[:middle], subscribes=True)
        self._wait(channels[middle:], subscribes=True)

    def _reject(self, channels: Iterable[str], told: Refused) -> None:
        asked = [channel for channel in channels if channel in self._asked]
        self._forget(asked)
        self.rejected.extend(Rejected(it, told.reason, told.limit) for it in asked)

    # --- what goes out ---

    def texts(self, now: float, wall: float) -> list[str]:
        """What is to be sent now, within the limits of messages; ``wall`` is UNIX seconds."""
        self._remind(now)
        return [
            message if isinstance(message, str) else orjson.dumps(message).decode()
            for message in self._messages(now, wall)
        ]

    def _messages(self, now: float, wall: float) -> Iterator[Message]:
        while self._budget.free_at(now) <= now:
            message = self._next(now, wall)
            if message is None:
                return
            self._budget.take(now)
            yield message

    def _next(self, now: float, wall: float) -> Message | None:
        if self._urgent:
            return self._urgent.popleft()
        if self._ping_at() <= now:
            self._pinged = now
            return self.adapter.ping_message(self._new_id(), wall)
        if self.ready and self._asking.free_at(now) <= now:
            return self._next_of_requests(now, wall)
        return None

    def _next_of_requests(self, now: float, wall: float) -> Message | None:
        while self._waiting and not self._ordinary:
            self._begin(self._waiting.popleft(), wall)
        if not self._ordinary:
            return None
        self._asking.take(now)
        request, message = self._ordinary.popleft()
        if not self._ordinary:
            request.sent = now
        return message

    def _begin(self, batch: _Batch, wall: float) -> None:
        if not batch.channels:
            return
        adapter, request_id = self.adapter, self._new_id()
        make = adapter.subscribe_messages if batch.subscribes else adapter.unsubscribe_messages
        messages = make(batch.channels, request_id, wall)
        if len(batch.channels) > 1 and any(self._too_large(message) for message in messages):
            self._halve(batch)
            return
        if not messages and not batch.subscribes:
            self.closing = "the exchange offers no unsubscribing: a new connection has to do"
        if messages:
            request = _Request(str(request_id), batch.channels, batch.subscribes, batch.tries)
            self._requests[request.id] = request
            self._ordinary.extend((request, message) for message in messages)
            if batch.subscribes:
                self._asked.update(dict.fromkeys(batch.channels, request.id))

    def _halve(self, batch: _Batch) -> None:
        middle = len(batch.channels) // 2
        for half in (batch.channels[middle:], batch.channels[:middle]):
            self._waiting.appendleft(_Batch(half, batch.subscribes, batch.tries))

    def due(self, now: float) -> float:
        """When ``texts`` and ``verdict`` should be asked next, at the latest."""
        free = self._budget.free_at(now)
        times = [self._dead_at(), max(self._ping_at(), free)]
        times += [request.sent + ANSWER_WITHIN for request in self._requests.values()]
        if self._urgent:
            times.append(free)
        if self.ready and self.unsent:
            times.append(max(free, self._asking.free_at(now)))
        if not self.ready:
            times.append(self.now + READY_WITHIN)
        return min(times)

    @property
    def unsent(self) -> bool:
        """Whether there is something that the exchange has not been asked for yet."""
        return bool(self._ordinary or self._waiting)

    def verdict(self, now: float) -> str | None:
        """Why this connection is to be given up, or None while it is good."""
        if self._dead_at() <= now:
            return f"nothing was heard for {self.adapter.heartbeat.silence:.0f} s"
        if self._login_refused is not None:
            return f"the exchange refuses the login: {self._login_refused}"
        if not self.ready and self.now + READY_WITHIN <= now:
            return f"neither greeting nor acceptance of the login came in {READY_WITHIN:.0f} s"
        return None

    def _dead_at(self) -> float:
        return self._heard + self.adapter.heartbeat.silence

    def _ping_at(self) -> float:
        heartbeat = self.adapter.heartbeat
        if heartbeat.kind != "message" or not self.ready:
            return inf
        return self._pinged + (self.opening.ping_every or heartbeat.every)

    def _remind(self, now: float) -> None:
        late = [it for it in self._requests.values() if it.sent + ANSWER_WITHIN <= now]
        for request in late:
            del self._requests[request.id]
            silent = _without(self._decided_by(request, request.channels), self.delivering)
            if request.tries < ASK_AT_MOST:
                self._wait(silent, subscribes=True, tries=request.tries + 1)
            else:
                told = f"asked for {ASK_AT_MOST} times, it was neither accepted nor delivered"
                self._reject(silent, Refused(told))

    def _too_large(self, message: Message) -> bool:
        limit = self.adapter.limits.message_bytes
        if limit is None:
            return False
        size = len(message.encode()) if isinstance(message, str) else len(orjson.dumps(message))
        return size > limit

    def _new_id(self) -> int:
        self._last_id += 1
        return self._last_id


def _without(channels: Sequence[str], others: Iterable[str]) -> tuple[str, ...]:
    gone = set(others)
    return tuple(channel for channel in channels if channel not in gone)


def _apart(rate: Rate) -> Rate:
    """What of a rate is sent, so that it is kept where it is received."""
    return Rate(rate.amount, rate.period + JITTER)
