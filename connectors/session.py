"""Pure: one WebSocket connection's conversation.

Frames and the time go in; candles, events and due texts come out. The skin calls ``receive`` for
every message, ``alive`` for every control frame, and, at ``due`` and after anything that may have
changed it, ``texts`` and ``verdict``. Times are real (monotonic) seconds unless named otherwise.

An acknowledgement is not proof of delivery, so three sets are kept: *desired*, *confirmed* and
*delivering*. A refusal is tied to its channel by request id, by channel, or by splitting the batch
until the culprit stands alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import orjson

from connectors.adapter import (
    Closing,
    Confirmed,
    ExchangeAdapter,
    Message,
    Opening,
    Parsed,
    Ready,
    Refused,
    WSJSONRequest,
)
from connectors.errors import BadFrame
from connectors.limits import Budget
from connectors.model import CandleData

ANSWER_WITHIN = 10.0
"""Seconds after which an unanswered subscribe message is sent again."""
OURS = 0.8
"""Part of the limit of messages that texts may use: the rest is for pongs and for jitter."""
ASK_AT_MOST = 3
"""So many times a batch without any answer is sent before its channels count as refused."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A channel was refused; ``limit``: only for want of room on this connection."""

    channel: str
    reason: str
    limit: bool = False


@dataclass(slots=True)
class _Request:
    channels: tuple[str, ...]
    subscribes: bool
    tries: int = 1
    sent: float | None = None


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
    _next_id: int = field(init=False, default=1)
    _requests: dict[str, _Request] = field(init=False, default_factory=dict)
    _unsent: deque[int] = field(init=False, default_factory=deque)
    _urgent: deque[Message] = field(init=False, default_factory=deque)
    _ordinary: deque[Message] = field(init=False, default_factory=deque)
    _budget: Budget = field(init=False)

    def __post_init__(self) -> None:
        self._heard = self._pinged = self.now
        self._budget = Budget([self.adapter.limits.messages], OURS)
        self._urgent.extend(self.opening.messages)
        self.ready = not self.opening.awaits_ready

    # --- what is wanted ---

    def want(self, channels: Iterable[str]) -> None:
        """Subscribe these too, in as few messages as the limits allow."""
        new = [channel for channel in channels if channel not in self.desired]
        self.desired.update(new)
        for batch in self._batches(new):
            self._ask(batch, subscribes=True)

    def drop(self, channels: Iterable[str]) -> None:
        """Unsubscribe these."""
        old = [channel for channel in channels if channel in self.desired]
        self.desired.difference_update(old)
        self.confirmed.difference_update(old)
        self.delivering.difference_update(old)
        for batch in self._batches(old):
            self._ask(batch, subscribes=False)

    def again(self, channel: str) -> None:
        """Ask once more for a channel that was rejected or is silent."""
        self.drop([channel])
        self.want([channel])

    # --- what comes in ---

    def receive(self, frame: bytes, binary: bool, now: float) -> list[CandleData] | None:
        """One message as received: its candles, or None where it was something else.

        Raises BadFrame for one that cannot be read; the session stays as it was.
        """
        self._heard = now
        try:
            parsed = self.adapter.parse_ws_message(self._decode(frame, binary))
        except Exception as error:  # whatever a frame does to a parser is its own fault
            self.bad_frames += 1
            raise BadFrame(f"{type(error).__name__}: {error}") from error
        if type(parsed) is list:
            for candle in parsed:
                if candle.channel is not None:
                    self.delivering.add(candle.channel)
            return parsed
        self._note(parsed, now)
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
            if text[:1] in ("{", "["):
                raise
            return text

    def _note(self, parsed: Parsed, now: float) -> None:
        match parsed:
            case WSJSONRequest(payload):
                self._urgent.append(payload)
            case Ready():
                self.ready = True
            case Confirmed():
                self._confirm(parsed, now)
            case Refused():
                self._refuse(parsed)
            case Closing(reason):
                self.closing = reason

    def _confirm(self, told: Confirmed, now: float) -> None:
        if told.listing:
            self._confirm_listing(told, now)
            return
        request = self._requests.pop(told.request_id or "", None)
        channels = told.channels or (request.channels if request else ())
        if request is None or request.subscribes:
            self.confirmed.update(self.desired.intersection(channels))
        if request is not None and set(told.channels) < set(request.channels) and told.channels:
            left = tuple(channel for channel in request.channels if channel not in told.channels)
            request.channels = left
            self._requests[told.request_id or ""] = request
        self._settle_by_channel(channels)

    def _confirm_listing(self, told: Confirmed, now: float) -> None:
        self.confirmed = self.desired.intersection(told.channels)
        for request_id, request in list(self._requests.items()):
            if request.sent is not None and request.sent <= now:
                done = not request.subscribes or self.confirmed.issuperset(request.channels)
                if done:
                    del self._requests[request_id]

    def _settle_by_channel(self, channels: Sequence[str]) -> None:
        """Forget requests whose channels are all answered for, where answers name channels."""
        for request_id, request in list(self._requests.items()):
            left = tuple(
                channel
                for channel in request.channels
                if channel not in channels and channel not in self.confirmed
            )
            if request.subscribes and not left:
                del self._requests[request_id]
            else:
                request.channels = left if request.subscribes else request.channels

    def _refuse(self, told: Refused) -> None:
        request_id, request = self._tied(told)
        if told.channels:
            self._reject(told.channels, told)
            self._settle_by_channel(told.channels)
        elif request is not None and request_id is not None:
            del self._requests[request_id]
            self._split(request, told)

    def _tied(self, told: Refused) -> tuple[str | None, _Request | None]:
        if told.request_id is not None:
            return told.request_id, self._requests.get(told.request_id)
        if told.channels:
            return None, None
        open_ones = ((key, it) for key, it in self._requests.items() if it.sent is not None)
        return next(open_ones, (None, None))

    def _split(self, request: _Request, told: Refused) -> None:
        if not request.subscribes:
            return
        if len(request.channels) == 1 or told.limit:
            self._reject(request.channels, told)
            return
        middle = len(request.channels) // 2
        for half in (request.channels[:middle], request.channels[middle:]):
            self._ask(half, subscribes=True)

    def _reject(self, channels: Sequence[str], told: Refused) -> None:
        for channel in channels:
            if channel in self.desired:
                self.desired.discard(channel)
                self.confirmed.discard(channel)
                self.rejected.append(Rejected(channel, told.reason, told.limit))

    # --- what goes out ---

    def texts(self, now: float, wall: float) -> list[str]:
        """What is to be sent now, within the limit of messages; ``wall`` is UNIX seconds."""
        self._remind(now)
        texts = []
        while message := self._next(now, wall):
            texts.append(message if isinstance(message, str) else orjson.dumps(message).decode())
        return texts

    def _next(self, now: float, wall: float) -> Message | None:
        ping = self._ping_due(now)
        if not (ping or self._waiting) or not self._budget.take(now):
            return None
        if self._urgent:
            return self._urgent.popleft()
        if ping:
            self._pinged = now
            return self.adapter.ping_message(self._new_id(), wall)
        while self._unsent and not self._ordinary:
            self._begin(self._unsent.popleft(), now, wall)
        return self._ordinary.popleft() if self._ordinary else None

    @property
    def _waiting(self) -> bool:
        return bool(self._urgent or (self.ready and (self._ordinary or self._unsent)))

    def _begin(self, request_id: int, now: float, wall: float) -> None:
        request = self._requests[str(request_id)]
        request.sent = now
        self._ordinary.extend(
            self._messages(request.channels, request_id, request.subscribes, wall)
        )

    def due(self, now: float) -> float:
        """When ``texts`` and ``verdict`` should be asked next, at the latest."""
        times = [self._heard + self.adapter.heartbeat.silence]
        if self.adapter.heartbeat.kind == "message" and self.ready:
            times.append(self._pinged + self._ping_every)
        times += [it.sent + ANSWER_WITHIN for it in self._requests.values() if it.sent is not None]
        if self._waiting:
            times.append(self._budget.free_at(now))
        return min(times)

    def verdict(self, now: float) -> str | None:
        """Why this connection is to be given up, or None while it is good."""
        silence = self.adapter.heartbeat.silence
        if now - self._heard >= silence:
            return f"nothing was heard for {silence:.0f} s"
        return None

    @property
    def _ping_every(self) -> float:
        return self.opening.ping_every or self.adapter.heartbeat.every

    def _ping_due(self, now: float) -> bool:
        message = self.adapter.heartbeat.kind == "message"
        return message and self.ready and now - self._pinged >= self._ping_every

    def _remind(self, now: float) -> None:
        late = [
            (key, it)
            for key, it in self._requests.items()
            if it.sent is not None and now - it.sent >= ANSWER_WITHIN
        ]
        for key, request in late:
            del self._requests[key]
            silent = [it for it in request.channels if it not in self.delivering]
            if not request.subscribes or not silent:
                continue
            if request.tries >= ASK_AT_MOST:
                self._reject(silent, Refused("the exchange gives no answer to the subscription"))
            else:
                for batch in self._batches(silent):
                    self._ask(batch, subscribes=True, tries=request.tries + 1)

    def _batches(self, channels: Sequence[str]) -> Iterator[tuple[str, ...]]:
        groups: dict[str, list[str]] = {}
        for channel in channels:
            groups.setdefault(self.adapter.batch_group(channel), []).append(channel)
        size = self.adapter.limits.message_channels
        for group in groups.values():
            for start in range(0, len(group), size):
                yield tuple(group[start : start + size])

    def _ask(self, channels: tuple[str, ...], *, subscribes: bool, tries: int = 1) -> None:
        request_id = self._new_id()
        messages = self._messages(channels, request_id, subscribes, 0.0)
        if len(channels) > 1 and any(self._too_large(message) for message in messages):
            middle = len(channels) // 2
            self._ask(channels[:middle], subscribes=subscribes, tries=tries)
            self._ask(channels[middle:], subscribes=subscribes, tries=tries)
        elif messages:
            self._requests[str(request_id)] = _Request(channels, subscribes, tries)
            self._unsent.append(request_id)

    def _messages(
        self, channels: Sequence[str], request_id: int, subscribes: bool, wall: float
    ) -> list[Message]:
        adapter = self.adapter
        make = adapter.subscribe_messages if subscribes else adapter.unsubscribe_messages
        return make(channels, request_id, wall)

    def _too_large(self, message: Message) -> bool:
        limit = self.adapter.limits.message_bytes
        if limit is None:
            return False
        size = len(message.encode()) if isinstance(message, str) else len(orjson.dumps(message))
        return size > limit

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1
