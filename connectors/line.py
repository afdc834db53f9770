"""One connection's worth of channels, kept alive: made again when it ends, replaced before it must.

A connection that is to end (the exchange announces it, its lifetime or its token runs out, a stream
on it is dead) is replaced make-before-break: its successor is opened beside it, and it is closed
when that one delivers what it delivered, or 60 s after that one is confirmed. Both feed the same
ledgers, which take a candle once. Where the exchange has no connection to spare, the old one is
closed first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import inf
from typing import Final, Protocol

from connectors.adapter import ExchangeAdapter, Opening
from connectors.clock import Clock
from connectors.errors import Blocked, SlowDown, Unreachable
from connectors.flow import Flow, Lane, Route
from connectors.freshness import Step, Watch, pace_of
from connectors.ledger import Ledger
from connectors.limits import Backoff
from connectors.market import Pack, Quarantine
from connectors.session import Session
from connectors.tasks import end
from connectors.telemetry import (
    ConnectionLost,
    ConnectionOpened,
    ConnectionReplaced,
    HandlerFailed,
    StreamSilent,
    SubscriptionRejected,
)
from connectors.websocket import converse

BLOCKED_SECONDS: Final = 900.0
"""Real seconds before an exchange that does not serve this address is tried again."""
STABLE_SECONDS: Final = 10.0
"""A connection that lasted longer was a good one: the next failure begins the back-off anew."""
DELIVERED_SECONDS: Final = 2.0
"""The same for one that delivered, or a network that cuts every few seconds would be without
connection for most of the time."""
OVERLAP_SECONDS: Final = 60.0
"""Real seconds after which a confirmed successor takes over, whatever it delivers."""
LIFETIME: Final = 0.95
"""The part of a connection's or token's lifetime (market time) after which it is replaced."""
LOOK_SECONDS: Final = 1.0
"""Real seconds between two looks at whether the streams move."""


class Host(Protocol):
    """What a line needs of the exchange that it belongs to."""

    adapter: ExchangeAdapter

    def new_adapter(self) -> ExchangeAdapter:
        """An adapter that knows the instruments."""

    async def attempt(self) -> None:
        """Wait until one more connection may be attempted."""

    async def dial(self, adapter: ExchangeAdapter, group: str) -> tuple[str, Opening]:
        """Make the connect dialogue: the address to connect to, and what the dialogue said."""

    def slow_down(self, seconds: float | None) -> None:
        """A dialogue was told to slow down, for so long if that was told: so is all REST."""

    def probe(self, ledger: Ledger, then: Callable[[bool | None], None]) -> None:
        """Ask REST whether there are trades that the stream has not told of."""


class _Life:
    """One connection, from its dialogue to its end."""

    def __init__(self) -> None:
        self.task: asyncio.Task[str]
        self.session: Session | None = None
        self.stood_since = inf
        self.expires = inf
        self.confirmed_since = inf
        self.look_at = -inf
        self.followed: set[str] = set()
        self.leaving: str | None = None
        self.changed = asyncio.Event()

    def leave(self, reason: str) -> None:
        """It is to be replaced."""
        if self.leaving is None:
            self.leaving = reason
            self.changed.set()


class Line:
    """See the head of the module. ``spare``: the exchange allows one connection more."""

    def __init__(
        self,
        host: Host,
        pack: Pack,
        routes: Mapping[str, tuple[Lane, ...]],
        flow: Flow,
        clock: Clock,
        random: Callable[[], float],
        spare: bool,
    ) -> None:
        self._host = host
        self._pack = pack
        self._flow = flow
        self._clock = clock
        self._spare = spare
        self._exchange = host.adapter.name
        self._backoff = Backoff(random)
        self._quarantine = Quarantine(random)
        self._lanes: dict[str | None, Sequence[Lane]] = {
            channel: routes[channel] for channel in pack.channels
        }
        self._watches: dict[Ledger, Watch] = {}
        if len(pack.channels) == 1:
            self._lanes[None] = routes[pack.channels[0]]

    async def keep(self) -> None:
        """Hold it, for ever."""
        lives: list[_Life] = []
        try:
            while True:
                life = self._begin(lives)
                while (successor := await self._successor(life, lives)) is not None:
                    life = successor
                await asyncio.sleep(self._tell_lost(life))
        finally:
            await end(*(life.task for life in lives))

    def _begin(self, lives: list[_Life]) -> _Life:
        life = _Life()
        life.task = asyncio.create_task(self._live(life))
        life.task.add_done_callback(lambda _: life.changed.set())
        lives[:] = [*(each for each in lives if not each.task.done()), life]
        return life

    # --- replacing ---

    async def _successor(self, life: _Life, lives: list[_Life]) -> _Life | None:
        """Wait until ``life`` has ended (None) or another has taken its place."""
        while True:
            await _until(lambda: life.task.done() or life.leaving is not None, life)
            if life.task.done():
                return None
            if not self._spare:
                await end(life.task)
                return None
            successor = self._begin(lives)
            await _until(partial(self._is_decided, life, successor), life, successor)
            if not successor.task.done():
                await end(life.task)
                ConnectionReplaced(exchange=self._exchange, reason=life.leaving or "").tell()
                return successor
            await asyncio.sleep(self._tell_lost(successor))

    def _is_decided(self, old: _Life, new: _Life) -> bool:
        return old.task.done() or new.task.done() or self._stands_in(new, old)

    def _stands_in(self, new: _Life, old: _Life) -> bool:
        """Whether the new one delivers what the old one did, or has been confirmed for long."""
        if new.session is None or old.session is None:
            return False
        needed = old.session.delivering & new.session.desired
        if new.stood_since < inf and needed and new.session.delivering >= needed:
            return True
        return self._clock.real() - new.confirmed_since >= OVERLAP_SECONDS

    def _tell_lost(self, life: _Life) -> float:
        """Say why it ended; the seconds to wait before the next."""
        reason, delay = self._verdict(life)
        ConnectionLost(exchange=self._exchange, reason=reason, again_in=round(delay, 1)).tell()
        return delay

    def _verdict(self, life: _Life) -> tuple[str, float]:
        if life.task.cancelled():
            return life.leaving or "ended by us", 0.0
        error = life.task.exception()
        stood = self._clock.real() - life.stood_since
        delivered = life.session is not None and life.session.delivering
        if error is None and stood > (DELIVERED_SECONDS if delivered else STABLE_SECONDS):
            self._backoff.reset()
        delay = self._backoff.delay()
        match error:
            case None:
                return life.task.result(), delay
            case Blocked():
                return str(error), BLOCKED_SECONDS
            case SlowDown():
                self._host.slow_down(error.retry_after or None)
                return str(error), max(error.retry_after, delay)
            case Unreachable():
                return str(error), delay
            case _:
                task = f"connection of {self._exchange}"
                HandlerFailed(task=task, reason=repr(error)).tell()
                return repr(error), delay

    # --- one connection ---

    async def _live(self, life: _Life) -> str:
        """Why it ended."""
        await self._host.attempt()
        adapter = self._host.new_adapter()
        url, opening = await self._host.dial(adapter, self._pack.group)
        session = life.session = Session(adapter, opening, self._clock.real())
        session.want(channel for channel in self._pack.channels if channel not in self._quarantine)
        lifetime = min(adapter.limits.lifetime or inf, opening.expires or inf) * LIFETIME
        life.expires = self._clock.market() + lifetime
        route = Route(session, self._lanes)
        try:
            return await converse(
                url,
                session,
                self._clock,
                on_message=lambda message, binary: self._flow.frame(route, message, binary),
                crowded=lambda: self._flow.crowded,
                chores=lambda: self._chores(life, session),
                opened=lambda: self._opened(life),
            )
        finally:
            self._follow(life, set(), self._clock.real())

    def _opened(self, life: _Life) -> None:
        life.stood_since = now = self._clock.real()
        for watch in self._watches.values():
            watch.begin(now)
        ConnectionOpened(exchange=self._exchange, channels=len(self._pack.channels)).tell()

    def _chores(self, life: _Life, session: Session) -> float:
        """What is to be done now and then; when it wants to be called again (real time)."""
        now = self._clock.real()
        self._put_aside(session, now)
        if session.closing is not None:
            life.leave(session.closing)
        elif self._clock.market() >= life.expires:
            life.leave("its lifetime is nearly over")
        if session.confirmed >= session.desired:
            life.confirmed_since = min(now, life.confirmed_since)
        if life.leaving is None and now >= life.look_at:
            life.look_at = now + LOOK_SECONDS
            self._follow(life, session.delivering, now)
            self._look(life, session, now)
        life.changed.set()
        return min(self._quarantine.due(), now + LOOK_SECONDS)

    def _put_aside(self, session: Session, now: float) -> None:
        """Refused channels are left alone, and asked for again when their time has come."""
        while session.rejected:
            rejected = session.rejected.popleft()
            delay = self._quarantine.put(rejected.channel, now)
            SubscriptionRejected(
                exchange=self._exchange,
                channel=rejected.channel,
                reason=rejected.reason,
                again_in=round(delay, 1),
            ).tell()
        session.want(self._quarantine.release(now))

    def _follow(self, life: _Life, delivering: set[str], now: float) -> None:
        """Tell the ledgers whose streams have begun and ended on this connection."""
        for channel in delivering - life.followed:
            for lane in self._lanes[channel]:
                lane.ledger.stream_begins(now)
        for channel in life.followed - delivering:
            for lane in self._lanes[channel]:
                lane.ledger.stream_ends(now)
        life.followed = set(delivering)

    # --- freshness ---

    def _look(self, life: _Life, session: Session, now: float) -> None:
        """Whether the streams of this connection move as they should."""
        for channel in session.desired:
            for lane in self._lanes[channel]:
                watch = self._watch(lane.ledger, now)
                if channel not in session.asked:
                    watch.begin(now)
                elif watch.look(lane.ledger.heard, now) is Step.PROBE:
                    self._probe(life, session, channel, lane.ledger, watch)

    def _watch(self, ledger: Ledger, now: float) -> Watch:
        if ledger not in self._watches:
            self._watches[ledger] = Watch(pace_of(ledger.grid.step, self._clock.speed), now)
        return self._watches[ledger]

    def _probe(
        self, life: _Life, session: Session, channel: str, ledger: Ledger, watch: Watch
    ) -> None:
        def found(moved: bool | None) -> None:
            step = watch.probed(moved, self._clock.real())
            if step is None:
                return
            StreamSilent(exchange=self._exchange, channel=channel, step=step.value).tell()
            if step is Step.RESUBSCRIBE and channel in session.desired:
                session.again(channel)
                life.changed.set()
            elif step is Step.RECONNECT:
                self._follow(life, life.followed - {channel}, self._clock.real())
                life.leave(f"{channel} is silent although the market moves")

        self._host.probe(ledger, found)


async def _until(condition: Callable[[], bool], *lives: _Life) -> None:
    """Wait for something that comes true only when one of the lives changes, or with time."""
    while not condition():
        for life in lives:
            life.changed.clear()
        waits = [asyncio.ensure_future(life.changed.wait()) for life in lives]
        try:
            await asyncio.wait(waits, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
