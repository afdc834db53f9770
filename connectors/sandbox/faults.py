"""Misbehaviours on request: what all have in common. Pure; told the time: real, in seconds.

One kind is one small class in `faults_socket`, `faults_stream`, `faults_rest` or `faults_market`:
it overrides the hooks that it needs, and is then listed by `/-/faults` and accepted there. Who
calls the hooks, and when:

* `strike`: once at `due`; then `change` for each market, and `hit` for each open connection for
  which `strikes` is true. When a fault is deleted, `finish` and once more `change`;
* `turns_away`: for each handshake; a reply refuses it. `welcome`: for each that was accepted;
* `refuses`: for each subscription that a client asks for;
* `skips`: for each bar that is to be pushed; true keeps all its frames off the stream;
* `frames`: for each push, with the frames that would be sent; gives those that are;
* `lag` and `copies`: for each push, when its frames are sent, and how often;
* `offset`: for all that tells the exchange's time;
* `history`: for each reading of candles by REST, before it is done;
* `reply`: for each REST reply, before it is sent; `holds` tells how long it waits then.

When a fault acts is its `Schedule`. Without `every` it acts from its order on, with `every` at
each multiple of it, `count` times. What lasts, lasts `duration` each time: for ever where it is
absent, half the period where `every` is given. `match` is `PAIR:INTERVAL` or `PAIR`, either
with `*` and `?`. Everything else that a kind may be told, its docstring names.

The truth changes with `no_trades`, `late_correction`, `delist` and `list`, which concern every
market of the same book. All other kinds falsify only what is sent.
"""

import random
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import inf
from typing import ClassVar, Protocol

from connectors.sandbox.dialect import Channel, Dialect, Frame, HttpReply, Moment, Push, World
from connectors.sandbox.market import Market, Stretch


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

    def next_begin(self, done: int) -> float | None:
        """Return when the occurrence after `done` of them begins, or None."""
        most = 1 if self.every is None else self.count
        return None if done == most else self.begin(done + 1)

    def over(self, now: float) -> bool:
        """Return whether nothing more will come of it."""
        last = 1 if self.every is None else self.count
        return last is not None and now >= self.begin(last) + self.lasts


@dataclass(frozen=True, slots=True)
class Order:
    """An order as it came: see `Schedule` for the times; `options` are the kind's own.

    `speed` is how many seconds of market time pass in a real one.
    """

    kind: str
    market: str | None
    match: str | None
    seed: int
    schedule: Schedule
    options: Mapping[str, object]
    speed: float = 1.0

    def number(self, name: str, default: float) -> float:
        """Return an option that is a number."""
        return float(str(self.options.get(name, default)))

    def flag(self, name: str, *, default: bool) -> bool:
        """Return an option that is true or false."""
        return bool(self.options.get(name, default))


class Victim(Protocol):
    """What can be done to an open connection."""

    def cut(self) -> None:
        """Cut it off, as a broken network does."""

    def freeze(self) -> None:
        """Let nothing come any more, nor be answered, while TCP stays."""

    def expire(self) -> None:
        """End it as the exchange does when its token is no longer good."""

    def leave(self, seconds: float) -> None:
        """Give the exchange's notice, and close so many real seconds later."""

    def send_again(self, trading_pair: str, time: float) -> None:
        """Send the closed bars of this pair again that contain the market time `time`."""


class Fault:
    """One ordered misbehaviour; the base class misbehaves in nothing."""

    kind: ClassVar[str]
    options: ClassVar[tuple[str, ...]] = ()
    on_stream: ClassVar[bool] = False
    """Whether it does nothing without a WebSocket."""
    whole_book: ClassVar[bool] = False
    """Whether it concerns every market with the same trades."""

    @classmethod
    def unfit(cls, dialect: Dialect) -> str | None:
        """Return why this market cannot misbehave so, or None."""
        return "has no WebSocket" if cls.on_stream and not dialect.streams else None

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
        wanted = self.order.match.partition(":")[2] or "*"
        return self.covers(trading_pair) and fnmatchcase(interval or "", wanted)

    def covers(self, trading_pair: str) -> bool:
        """Return whether `match` covers some interval of this pair."""
        return fnmatchcase(trading_pair, (self.order.match or "*").partition(":")[0])

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

    def strike(self, now: Moment) -> None:
        """Take note that `due` has come."""

    def finish(self) -> None:
        """Take note that the fault was deleted."""

    def change(self, market: Market, dialect: Dialect, now: Moment) -> None:
        """Change the market itself."""

    def strikes(self, channels: Iterable[Channel]) -> bool:
        """Return whether a connection with these channels is hit."""
        if self.order.match is None:
            return True
        return any(self.concerns(channel.trading_pair, channel.interval) for channel in channels)

    def hit(self, victim: Victim, dialect: Dialect) -> None:
        """Do to a connection what is to be done to it."""

    def turns_away(self, dialect: Dialect, world: World) -> HttpReply | None:
        """Return the reply that a handshake is refused with, or None."""
        return None

    def welcome(self, victim: Victim, now: float) -> None:
        """Do something to a connection that is just being accepted."""

    def refuses(self, trading_pair: str, interval: str, now: float) -> bool:
        """Return whether this subscription is refused."""
        return False

    def skips(self, trading_pair: str, interval: str, open_time: int, now: float) -> bool:
        """Return whether no frame of this bar comes."""
        return False

    def frames(self, frames: list[Frame], push: Push, now: float) -> list[Frame]:
        """Return what is sent in place of these frames."""
        return frames

    def lag(self, channel: Channel, now: float) -> float:
        """Return by how many seconds frames are held up; nothing of the channel overtakes them."""
        return 0.0

    def copies(self, channel: Channel, now: float) -> tuple[float, ...]:
        """Return after how many seconds each copy of a frame goes, whatever is sent meanwhile."""
        return (0.0,)

    def offset(self, now: float) -> float:
        """Return by how many seconds the exchange's clock is wrong."""
        return 0.0

    def history(
        self,
        asked: Stretch,
        trading_pair: str,
        interval: str,
        length: int,
        now: float,
    ) -> Stretch:
        """Return the stretch of candles that is read in place of the one asked for."""
        return asked

    def holds(self, reply: HttpReply, now: float) -> float:
        """Return how many seconds this reply is held back."""
        return 0.0

    def reply(self, reply: HttpReply, dialect: Dialect, world: World) -> HttpReply:
        """Return what is answered in place of this reply."""
        return reply


class Blow(Fault):
    """A kind whose occurrences are moments; what lasts beside them does so for `duration`, or not.

    `struck` is how many occurrences there were.
    """

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        if self.schedule.duration is None:
            self.schedule.duration = 0.0
        self.struck = 0

    def over(self, now: float) -> bool:
        """Return whether all occurrences came, and were acted upon."""
        return super().over(now) and self.struck >= self.schedule.occurrences(now)

    @property
    def due(self) -> float | None:
        """The begin of the next occurrence."""
        return self.schedule.next_begin(self.struck)

    def strike(self, now: Moment) -> None:
        """Count the occurrences."""
        self.struck = self.schedule.occurrences(now.real)


class Spell(Fault):
    """A kind that changes the market when an occurrence begins, and back when it ends."""

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        self.struck = 0
        self._running = False

    def over(self, now: float) -> bool:
        """Return whether the last occurrence has ended."""
        return not self._running and self.due is None

    @property
    def due(self) -> float | None:
        """The end of the running occurrence, or the begin of the next."""
        if not self._running:
            return self.schedule.next_begin(self.struck)
        end = self.schedule.begin(self.struck) + self.schedule.lasts
        return None if end == inf else end

    def strike(self, now: Moment) -> None:
        """Begin, or end."""
        self._running = not self._running
        self.struck += self._running

    def finish(self) -> None:
        """End, if it is running."""
        self._running = False

    def change(self, market: Market, dialect: Dialect, now: Moment) -> None:
        """Change the market, or change it back."""
        if self._running:
            self.begin(market, now.market)
        else:
            self.end(market, now.market)

    @abstractmethod
    def begin(self, market: Market, at: float) -> None:
        """Change this market at market time `at`."""

    @abstractmethod
    def end(self, market: Market, at: float) -> None:
        """Change it back."""
