"""Misbehaviours on request. Pure; told the time, which is real time in seconds.

One kind is one small class here: it overrides the hooks that it needs, and is then listed by
`/-/faults` and accepted there. Who calls the hooks, and when:

* `strike`: once at `due`, then `cuts` for each open connection; true cuts it off without goodbye;
* `admits`: for each handshake; false refuses it;
* `refuses`: for each subscription that a client asks for;
* `frames`: for each push, with the frames that would be sent; gives those that are;
* `reply`: for each REST reply, before it is sent.

When a fault acts is its `Schedule`. Without `every` it acts from its order on, with `every` at
each multiple of it, `count` times. What lasts, lasts `duration` each time: for ever where it is
absent, half the period where `every` is given. `match` is `PAIR:INTERVAL` or `PAIR`, either
with `*` and `?`.
"""

import random
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import ceil, inf
from typing import ClassVar

from connectors.sandbox.dialect import Channel, Dialect, Frame, HttpReply, World


@dataclass(slots=True)
class Schedule:
    """When a fault acts: its occurrences and how long each lasts, in real seconds."""

    start: float
    every: float | None = None
    count: int | None = None
    duration: float | None = None

    @property
    def lasts(self) -> float:
        """How long one occurrence lasts."""
        if self.duration is not None:
            return self.duration
        return inf if self.every is None else self.every / 2

    def occurrences(self, now: float) -> int:
        """Return how many occurrences have begun by `now`."""
        if self.every is None:
            return int(now >= self.start)
        begun = int((now - self.start) / self.every)
        return begun if self.count is None else min(begun, self.count)

    def begin(self, number: int) -> float:
        """Return when occurrence `number` begins; the first is 1."""
        return self.start + (self.every or 0.0) * (number if self.every else 0)

    def left(self, now: float) -> float:
        """Return how long the running occurrence lasts yet; 0 when none is running."""
        begun = self.occurrences(now)
        return max(0.0, self.begin(begun) + self.lasts - now) if begun else 0.0

    def over(self, now: float) -> bool:
        """Return whether nothing more will come of it."""
        last = 1 if self.every is None else self.count
        return last is not None and now >= self.begin(last) + self.lasts


@dataclass(frozen=True, slots=True)
class Order:
    """An order as it came: see `Schedule` for the times; `options` are the kind's own."""

    kind: str
    market: str | None
    match: str | None
    seed: int
    schedule: Schedule
    options: Mapping[str, object]


class Fault:
    """One ordered misbehaviour; the base class misbehaves in nothing."""

    kind: ClassVar[str]
    options: ClassVar[tuple[str, ...]] = ()

    def __init__(self, order: Order) -> None:
        self.order = order
        self.schedule = order.schedule
        self.random = random.Random(order.seed)  # noqa: S311  (a choice, not a secret)

    def concerns(self, trading_pair: str | None, interval: str | None) -> bool:
        """Return whether `match` covers this subscription or request."""
        if self.order.match is None:
            return True
        if trading_pair is None:
            return False
        pair, _, wanted = self.order.match.partition(":")
        return fnmatchcase(trading_pair, pair) and fnmatchcase(interval or "", wanted or "*")

    def acts(self, now: float) -> bool:
        """Return whether an occurrence is running."""
        return self.schedule.left(now) > 0

    def over(self, now: float) -> bool:
        """Return whether it will do nothing more."""
        return self.schedule.over(now)

    @property
    def due(self) -> float | None:
        """When `strike` wants to be called next, or None."""
        return None

    def strike(self, now: float) -> None:
        """Take note that `due` has come."""

    def cuts(self, channels: Iterable[Channel]) -> bool:  # noqa: ARG002
        """Return whether a connection with these channels is cut off now."""
        return False

    def admits(self, now: float) -> bool:  # noqa: ARG002
        """Return whether a new connection is let in."""
        return True

    def refuses(self, trading_pair: str, interval: str, now: float) -> bool:  # noqa: ARG002
        """Return whether this subscription is refused."""
        return False

    def frames(self, frames: list[Frame], channel: Channel, now: float) -> list[Frame]:  # noqa: ARG002
        """Return what is sent in place of these frames."""
        return frames

    def reply(self, reply: HttpReply, dialect: Dialect, world: World) -> HttpReply:  # noqa: ARG002
        """Return what is answered in place of this reply."""
        return reply


class Drop(Fault):
    """Cuts connections off, those with a matching subscription; for `duration` none comes in."""

    kind = "drop"

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        if self.schedule.duration is None:
            self.schedule.duration = 0.0
        self._done = 0

    def over(self, now: float) -> bool:
        """Return whether all occurrences came, and were acted upon."""
        return super().over(now) and self._done >= self.schedule.occurrences(now)

    @property
    def due(self) -> float | None:
        """The begin of the next occurrence."""
        most = 1 if self.schedule.every is None else self.schedule.count
        return None if self._done == most else self.schedule.begin(self._done + 1)

    def strike(self, now: float) -> None:
        """Count the occurrence."""
        self._done = self.schedule.occurrences(now)

    def cuts(self, channels: Iterable[Channel]) -> bool:
        """Cut what carries a matching subscription."""
        if self.order.match is None:
            return True
        return any(self.concerns(channel.trading_pair, channel.interval) for channel in channels)

    def admits(self, now: float) -> bool:
        """Keep everybody out while it lasts."""
        return self.order.match is not None or not self.acts(now)


class Stall(Fault):
    """The connection lives and answers, but no candle comes."""

    kind = "stall"

    def frames(self, frames: list[Frame], channel: Channel, now: float) -> list[Frame]:
        """Hold the candles back; they are lost."""
        stalled = self.acts(now) and self.concerns(channel.trading_pair, channel.interval)
        return [] if stalled else frames


class SilentSubscription(Fault):
    """Subscriptions are confirmed and never served, nor later: until they are asked for anew."""

    kind = "silent_subscription"

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        self._silenced: set[Channel] = set()

    def over(self, now: float) -> bool:
        """Stay as long as a silenced subscription may live: until the fault is deleted."""
        return super().over(now) and not self._silenced

    def frames(self, frames: list[Frame], channel: Channel, now: float) -> list[Frame]:
        """Silence what is served while it acts, for good."""
        if self.acts(now) and self.concerns(channel.trading_pair, channel.interval):
            self._silenced.add(channel)
        return [] if channel in self._silenced else frames


class Refuse(Fault):
    """Subscriptions are refused as if the channel did not exist."""

    kind = "refuse"

    def refuses(self, trading_pair: str, interval: str, now: float) -> bool:
        """Refuse while it acts."""
        return self.acts(now) and self.concerns(trading_pair, interval)


class Garble(Fault):
    """Candle frames are broken: the next one at each occurrence, or `count` without `every`."""

    kind = "garble"

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        self._done = 0

    def over(self, now: float) -> bool:
        """Return whether all frames are broken that were to be."""
        count = self.schedule.count
        used_up = count is not None and self._done >= count
        return used_up or (self.schedule.every is None and self.schedule.over(now))

    def frames(self, frames: list[Frame], channel: Channel, now: float) -> list[Frame]:
        """Break each of these frames, if one is due."""
        if not frames or not self._due(now):
            return frames
        if not self.concerns(channel.trading_pair, channel.interval):
            return frames
        self._done += 1
        return [garbled(frame, self.random) for frame in frames]

    def _due(self, now: float) -> bool:
        if self.schedule.every is None:
            return self.acts(now) and not self.over(now)
        return self.schedule.occurrences(now) > self._done


class RateLimit(Fault):
    """REST requests are refused for being too many.

    `retry_after`: true or false puts the header in or leaves it out, a number is put in; absent,
    the exchange's habit decides. It tells the real seconds that the fault lasts yet.
    """

    kind = "rate_limit"
    options = ("retry_after",)

    def reply(self, reply: HttpReply, dialect: Dialect, world: World) -> HttpReply:
        """Answer with the exchange's rate-limit reply while it acts."""
        left = self.schedule.left(world.now.real)
        if not left or not self.concerns(reply.trading_pair, reply.interval):
            return reply
        return dialect.slow_down(self._retry_after(left, dialect), world)

    def _retry_after(self, left: float, dialect: Dialect) -> int | None:
        wanted = self.order.options.get("retry_after", dialect.retry_after)
        if isinstance(wanted, bool):
            return max(1, ceil(min(left, 60.0))) if wanted else None
        return ceil(float(str(wanted)))


class ServerError(Fault):
    """REST requests are answered with HTTP 500, 502, 503 or 504."""

    kind = "server_error"

    def reply(self, reply: HttpReply, dialect: Dialect, world: World) -> HttpReply:
        """Answer with an error while it acts."""
        if not self.acts(world.now.real):
            return reply
        if not self.concerns(reply.trading_pair, reply.interval):
            return reply
        trouble = dialect.server_error(world)
        return HttpReply(trouble.body, self.random.choice((500, 502, 503, 504)), trouble.headers)


def kinds() -> dict[str, type[Fault]]:
    """Return the kinds that work, by name."""
    return {kind.kind: kind for kind in Fault.__subclasses__()}


# --- broken frames: each so that nobody can take it for a whole one with other figures

_Breaker = Callable[[bytes, random.Random], bytes]


def _cut(frame: bytes, luck: random.Random) -> bytes:
    return frame[: luck.randrange(1, max(2, len(frame)))]


def _scrambled(frame: bytes, luck: random.Random) -> bytes:
    letters = bytearray(frame)
    for _ in range(8):
        letters[luck.randrange(len(letters))] = luck.randrange(1, 9)
    return bytes(letters)


def _no_numbers(frame: bytes, luck: random.Random) -> bytes:  # noqa: ARG001  (a breaker)
    return re.sub(rb"[0-9]", b"x", frame)


def _something_else(frame: bytes, luck: random.Random) -> bytes:  # noqa: ARG001  (a breaker)
    return luck.choice((b"", b"null", b"[]", b"{}", b"[[]]", b'"x"', b"0", b"<html></html>"))


_BREAKERS: tuple[_Breaker, ...] = (_cut, _scrambled, _no_numbers, _something_else)


def garbled(frame: Frame, luck: random.Random) -> Frame:
    """Return the frame broken in one of several ways; text stays text."""
    raw = frame.encode() if isinstance(frame, str) else frame
    broken = luck.choice(_BREAKERS)(raw, luck)
    return broken.decode("ascii", "replace") if isinstance(frame, str) else broken
