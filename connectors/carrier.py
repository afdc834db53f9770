"""Carries one exchange: the tasks that hold its connections and make its REST requests.

What to connect, ask and retry is decided in ``market``, ``session`` and ``agenda``; this is the
skin that does it, and starts it again when it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Final

from connectors.adapter import ExchangeAdapter, Opening
from connectors.agenda import Agenda, Errand
from connectors.clock import Clock
from connectors.endpoints import Endpoints
from connectors.errors import Blocked, ConnectorError, SlowDown, Unreachable
from connectors.flow import Flow, Lane, Route
from connectors.ledger import Ledger
from connectors.limits import Backoff, Budget
from connectors.market import Pack, Quarantine
from connectors.model import Instrument
from connectors.rest import Rest
from connectors.session import Session
from connectors.telemetry import (
    ConnectionLost,
    ConnectionOpened,
    HandlerFailed,
    SubscriptionRejected,
)
from connectors.websocket import converse

BLOCKED_SECONDS: Final = 900.0
"""Real seconds before an exchange that does not serve this address is tried again."""
IDLE_SECONDS: Final = 1.0
"""The longest that the agenda goes unlooked at."""

SHARE: Final = 0.9
"""The part of a limit that is used: the rest is for the jitter of the network."""
STABLE_SECONDS: Final = 10.0
"""A connection that lasted longer was a good one: the next failure begins the back-off anew."""


class Carrier:
    """Everything that runs for one exchange, under one budget."""

    def __init__(
        self,
        make_adapter: Callable[[], ExchangeAdapter],
        instruments: Sequence[Instrument],
        rest: Rest,
        endpoints: Endpoints,
        clock: Clock,
        random: Callable[[], float],
    ) -> None:
        self._make_adapter = make_adapter
        self._instruments = instruments
        self._rest = rest
        self._endpoints = endpoints
        self._clock = clock
        self._random = random
        self.adapter = self.new_adapter()
        limits = self.adapter.limits
        self._attempts = Budget([limits.attempts], SHARE)
        self.agenda = Agenda(self.adapter, Budget(limits.rest, SHARE), Backoff(random, 1.0), clock)
        self._errands = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()

    def new_adapter(self) -> ExchangeAdapter:
        """An adapter that knows the instruments."""
        adapter = self._make_adapter()
        adapter.use_instruments(self._instruments)
        return adapter

    def contract_size(self, trading_pair: str) -> float | None:
        """Of a listed pair, else None."""
        sizes = (row.contract_size for row in self._instruments if row.trading_pair == trading_pair)
        return next(sizes, None)

    async def run(self, flow: Flow, packs: Sequence[Pack], lanes: Sequence[Lane]) -> None:
        """Carry all of them until cancelled."""
        routes = self._routes(lanes)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._run_agenda(flow))
            for pack in packs:
                tasks.create_task(self._keep(flow, pack, routes))

    def _routes(self, lanes: Sequence[Lane]) -> dict[str, tuple[Lane, ...]]:
        """Whom each channel leads to; a channel may be named alike for an interval it lacks."""
        routes: dict[str, tuple[Lane, ...]] = {}
        for lane in lanes:
            if lane.ledger.rules.streamed:
                channel = self.adapter.channel(lane.ledger.subscription)
                routes[channel] = (*routes.get(channel, ()), lane)
        return routes

    # --- connections ---

    async def _keep(self, flow: Flow, pack: Pack, routes: Mapping[str, tuple[Lane, ...]]) -> None:
        """One connection, made again whenever it ends."""
        backoff = Backoff(self._random)
        quarantine = Quarantine(self._random)
        while True:
            await self._wait_for_attempt()
            try:
                reason, lasted = await self._connection(flow, pack, routes, quarantine)
                if lasted > STABLE_SECONDS:
                    backoff.reset()
                delay = backoff.delay()
            except Blocked as error:
                reason, delay = str(error), BLOCKED_SECONDS
            except SlowDown as error:
                reason, delay = str(error), max(error.retry_after, backoff.delay())
                self.agenda.hush(self._clock.real() + delay)
            except Unreachable as error:
                reason, delay = str(error), backoff.delay()
            except Exception as error:  # noqa: BLE001 - one connection never harms the others
                HandlerFailed(task=f"connection of {self.adapter.name}", reason=repr(error)).tell()
                reason, delay = repr(error), backoff.delay()
            ConnectionLost(
                exchange=self.adapter.name, reason=reason, again_in=round(delay, 1)
            ).tell()
            await asyncio.sleep(delay)

    async def _wait_for_attempt(self) -> None:
        while not self._attempts.take(now := self._clock.real()):  # noqa: ASYNC110 - a budget
            await asyncio.sleep(max(0.001, self._attempts.free_at(now) - now))

    async def _connection(
        self,
        flow: Flow,
        pack: Pack,
        routes: Mapping[str, tuple[Lane, ...]],
        quarantine: Quarantine,
    ) -> tuple[str, float]:
        """Why it ended, and how many seconds it stood."""
        adapter = self.new_adapter()
        opening: Opening = await self._rest.drive(
            adapter.name, adapter.opening(pack.group), self._afford
        )
        session = Session(adapter, opening, self._clock.real())
        session.want(channel for channel in pack.channels if channel not in quarantine)
        lanes: dict[str | None, Sequence[Lane]] = {
            channel: routes[channel] for channel in pack.channels
        }
        if len(pack.channels) == 1:
            lanes[None] = routes[pack.channels[0]]
        route = Route(session, lanes)
        since = inf

        def opened() -> None:
            nonlocal since
            since = self._clock.real()
            ConnectionOpened(exchange=adapter.name, channels=len(pack.channels)).tell()

        reason = await converse(
            self._endpoints.url(adapter.name, opening.url),
            session,
            self._clock,
            on_message=lambda message, binary: flow.frame(route, message, binary),
            crowded=lambda: flow.crowded,
            chores=lambda: self._chores(session, quarantine),
            opened=opened,
        )
        return reason, self._clock.real() - since

    async def _afford(self, weight: float) -> None:
        """Dialogues are paid for from the same budget as all REST of the exchange."""
        budget = self.agenda.budget
        while not budget.take(now := self._clock.market(), weight):
            free = self._clock.real_at(budget.free_at(now, weight))
            await asyncio.sleep(max(0.001, free - self._clock.real()))

    def _chores(self, session: Session, quarantine: Quarantine) -> float:
        """Put refused channels aside, and ask again for those whose time has come."""
        now = self._clock.real()
        while session.rejected:
            rejected = session.rejected.popleft()
            delay = quarantine.put(rejected.channel, now)
            SubscriptionRejected(
                exchange=self.adapter.name,
                channel=rejected.channel,
                reason=rejected.reason,
                again_in=round(delay, 1),
            ).tell()
        session.want(quarantine.release(now))
        return quarantine.due()

    # --- REST ---

    def wake(self, ledger: Ledger, real: float) -> None:
        """A ledger wants to be ticked at ``real``."""
        self.agenda.wake(ledger, real)
        self._errands.set()

    async def _run_agenda(self, flow: Flow) -> None:
        try:
            while True:
                market, real = self._clock.market(), self._clock.real()
                for errand in self.agenda.next_requests(market, real):
                    task = asyncio.create_task(self._do(flow, errand))
                    self._under_way.add(task)
                    task.add_done_callback(self._done)
                await self._until(self.agenda.due(self._clock.market()))
        finally:
            for task in self._under_way:
                task.cancel()

    async def _until(self, real: float) -> None:
        self._errands.clear()
        try:
            async with asyncio.timeout(min(IDLE_SECONDS, max(0.001, real - self._clock.real()))):
                await self._errands.wait()
        except TimeoutError:
            return

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._errands.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            HandlerFailed(task=f"REST of {self.adapter.name}", reason=repr(error)).tell()

    async def _do(self, flow: Flow, errand: Errand) -> None:
        try:
            reply = await self._rest.fetch(self.adapter.name, errand.request)
        except Exception as error:  # noqa: BLE001 - else the errand would be under way for ever
            said = str(error) if isinstance(error, ConnectorError) else repr(error)
            flow.unanswered(self.agenda, errand, said)
            return
        flow.rows(self.agenda, errand, reply)
