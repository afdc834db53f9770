"""Carries one exchange: the tasks that hold its connections and make its REST requests.

What to connect, ask and retry is decided in ``market``, ``session`` and ``agenda``; each
connection is kept by a ``line``; this is the skin around both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from connectors.adapter import ExchangeAdapter, Opening, Rate, RestReply, RestRequest
from connectors.agenda import Agenda, Errand
from connectors.clock import Clock, ExchangeClock
from connectors.endpoints import Endpoints
from connectors.errors import ConnectorError
from connectors.flow import Flow, Lane
from connectors.ledger import Ledger
from connectors.limits import Backoff, Budget
from connectors.line import Line
from connectors.market import Pack
from connectors.model import Instrument
from connectors.offset import Offset
from connectors.rest import Rest, date_of
from connectors.tasks import happens
from connectors.telemetry import ClockOffset, HandlerFailed

IDLE_SECONDS: Final = 1.0
"""The longest that the agenda goes unlooked at."""

SHARE: Final = 0.9
"""The part of a limit that is used: the rest is for the jitter of the network."""


class Carrier:
    """Everything that runs for one exchange, under one budget.

    ``instruments`` are what the exchange listed last; ``use_instruments`` comes before ``run``.
    ``clock`` is the one by which its bars are reckoned; every reply over REST tells of it.
    """

    def __init__(
        self,
        make_adapter: Callable[[], ExchangeAdapter],
        rest: Rest,
        endpoints: Endpoints,
        clock: Clock,
        random: Callable[[], float],
    ) -> None:
        self._make_adapter = make_adapter
        self.instruments: Sequence[Instrument] = ()
        self._rest = rest
        self._endpoints = endpoints
        self._local = clock
        self._random = random
        self.adapter = self.new_adapter()
        self.clock = ExchangeClock.of(clock, Offset(clock.speed, self._tell_offset))
        limits = self.adapter.limits
        self._attempts = Budget([limits.attempts], SHARE)
        budget = SteadyBudget(limits.rest, SHARE, self.clock.offset)
        self.agenda = Agenda(self.adapter, budget, Backoff(random, 1.0), self.clock)
        self._errands = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()

    def new_adapter(self) -> ExchangeAdapter:
        """An adapter that knows the instruments."""
        adapter = self._make_adapter()
        adapter.use_instruments(self.instruments)
        return adapter

    async def list_instruments(self) -> list[Instrument]:
        """What the exchange lists now; errors as those of ``Rest.drive``."""
        return await self._rest.drive(
            self.adapter.name, self.adapter.instruments(), self._fetch_dialogue
        )

    def use_instruments(self, rows: Sequence[Instrument]) -> None:
        """Every adapter of this exchange knows these from now on."""
        self.instruments = rows
        self.adapter.use_instruments(rows)

    def contract_size(self, trading_pair: str) -> float | None:
        """Of a listed pair, else None."""
        sizes = (row.contract_size for row in self.instruments if row.trading_pair == trading_pair)
        return next(sizes, None)

    async def run(self, flow: Flow, packs: Sequence[Pack], lanes: Sequence[Lane]) -> None:
        """Carry all of them until cancelled."""
        routes = self._routes(lanes)
        allowed = self.adapter.limits.connections
        spare = allowed is None or len(packs) < allowed
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._run_agenda(flow))
            for pack in packs:
                line = Line(self, pack, routes, flow, self._local, self._random, spare)
                tasks.create_task(line.keep())

    def _routes(self, lanes: Sequence[Lane]) -> dict[str, tuple[Lane, ...]]:
        """Whom each channel leads to; a channel may be named alike for an interval it lacks."""
        routes: dict[str, tuple[Lane, ...]] = {}
        for lane in lanes:
            if lane.ledger.rules.streamed:
                channel = self.adapter.channel(lane.ledger.subscription)
                routes[channel] = (*routes.get(channel, ()), lane)
        return routes

    # --- connections ---

    async def attempt(self) -> None:
        """Wait until one more connection may be attempted."""
        while not self._attempts.take(now := self.clock.real()):  # noqa: ASYNC110 - a budget
            await asyncio.sleep(max(0.001, self._attempts.free_at(now) - now))

    async def dial(self, adapter: ExchangeAdapter, group: str) -> tuple[str, Opening]:
        """Make the connect dialogue: the address to connect to, and what the dialogue said."""
        opening: Opening = await self._rest.drive(
            adapter.name, adapter.opening(group), self._fetch_dialogue
        )
        return self._endpoints.url(adapter.name, opening.url), opening

    async def _fetch_dialogue(self, request: RestRequest) -> RestReply:
        """Dialogues are paid for from the same budget as all REST of the exchange."""
        budget = self.agenda.budget
        while not budget.take(now := self.clock.market(), request.weight):
            free = self.clock.real_at(budget.free_at(now, request.weight))
            wait = min(IDLE_SECONDS, free - self.clock.real())  # inf: until an answer has come
            await asyncio.sleep(max(0.001, wait))
        return await self._fetch(request)

    def slow_down(self, seconds: float | None) -> None:
        """A dialogue was told to slow down, for so long if that was told: so is all REST."""
        self.agenda.slow_down(seconds, self.clock.real())

    def probe(self, ledger: Ledger, then: Callable[[bool | None], None]) -> None:
        """Ask REST whether there are trades that the stream has not told of."""
        self.agenda.probe(ledger, then)
        self._errands.set()

    # --- REST ---

    def wake(self, ledger: Ledger, real: float) -> None:
        """A ledger wants to be ticked at ``real``."""
        self.agenda.wake(ledger, real)
        self._errands.set()

    async def _run_agenda(self, flow: Flow) -> None:
        try:
            while True:
                market, real = self.clock.market(), self.clock.real()
                for errand in self.agenda.next_requests(market, real):
                    task = asyncio.create_task(self._do(flow, errand))
                    self._under_way.add(task)
                    task.add_done_callback(self._done)
                self._errands.clear()
                wait = self.agenda.due(self.clock.market()) - self.clock.real()
                await happens(self._errands, min(IDLE_SECONDS, wait))
        finally:
            for task in self._under_way:
                task.cancel()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._errands.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            HandlerFailed(task=f"REST of {self.adapter.name}", reason=repr(error)).tell()

    async def _do(self, flow: Flow, errand: Errand) -> None:
        try:
            reply = await self._fetch(errand.request)
        except Exception as error:  # noqa: BLE001 - else the errand would be under way for ever
            said = str(error) if isinstance(error, ConnectorError) else repr(error)
            flow.unanswered(self.agenda, errand, said)
            return
        flow.rows(self.agenda, errand, reply)

    async def _fetch(self, request: RestRequest) -> RestReply:
        sent = self._local.market()
        reply = await self._rest.fetch(self.adapter.name, request)
        date = date_of(reply)
        if date is not None:
            answered = self._local.market()
            self.clock.offset.reply(date, sent, answered, cached="age" in reply.headers)
        return reply

    def _tell_offset(self, seconds: float, correction: float) -> None:
        ClockOffset(
            exchange=self.adapter.name, offset=round(seconds, 3), correction=round(correction, 3)
        ).tell()


class SteadyBudget(Budget):
    """A budget that is told, and tells, times corrected by ``offset``, and counts without.

    A correction that jumps neither frees what was spent nor spends anything again.
    """

    def __init__(self, rates: Iterable[Rate], share: float, offset: Offset) -> None:
        super().__init__(rates, share)
        self._offset = offset

    def free_at(self, now: float, weight: float = 1.0, part: float = 1.0) -> float:
        """When ``weight`` may be spent; exactly ``now``, where it may be now."""
        correction = self._offset.correction
        steady = now - correction
        free = super().free_at(steady, weight, part)
        return now if free <= steady else free + correction

    def close(self, until: float) -> None:
        """Nothing may be spent before ``until``, which is so many seconds from now."""
        super().close(until - self._offset.correction)

    def _spend(self, now: float, weight: float) -> None:
        super()._spend(now - self._offset.correction, weight)
