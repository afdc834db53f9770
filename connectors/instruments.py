"""One exchange's list of instruments: had before anything is carried, and read again later.

An exchange that cannot list them keeps nobody waiting: after a few tries the others begin, and it
is asked again until it can, in its own time. What it lists is paid for from its REST budget.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from connectors.adapter import ExchangeAdapter
from connectors.errors import Blocked, ConnectorError, SlowDown, Unreachable
from connectors.limits import Backoff
from connectors.line import BLOCKED_SECONDS
from connectors.listing import Listing
from connectors.model import Instrument
from connectors.telemetry import InstrumentsFailed, PairEnded, PairResumed

TRIES: Final = 4
"""So often an exchange is asked before the others begin without it."""
PATIENCE: Final = 30.0
"""Real seconds that the others wait for it, at the longest."""
AGAIN: Final = 3600.0
"""Real seconds between two readings of a list that was had."""


class Host(Protocol):
    """The exchange whose instruments are listed."""

    adapter: ExchangeAdapter

    async def list_instruments(self) -> list[Instrument]:
        """What the exchange lists now; SlowDown, Blocked or Unreachable where it cannot be had."""

    def use_instruments(self, rows: Sequence[Instrument]) -> None:
        """Every adapter of this exchange knows these from now on."""

    def slow_down(self, seconds: float | None) -> None:
        """A dialogue was told to slow down, for so long if that was told: so is all REST."""


class Instruments:
    """See the head of the module. ``first`` comes first, then ``insist``, then ``watch``."""

    def __init__(self, host: Host, random: Callable[[], float]) -> None:
        self.failure: ConnectorError | None = None
        self._host = host
        self._exchange = host.adapter.name
        self._backoff = Backoff(random, 1.0)
        self._wait = 0.0

    async def first(self) -> None:
        """A few tries, in bounded time; ``failure`` is why they were in vain."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._first()
        except TimeoutError:
            self._failed(Unreachable(f"{self._exchange}: no list of instruments in {PATIENCE:g} s"))

    async def _first(self) -> None:
        for left in reversed(range(TRIES)):
            await self._try()
            if self.failure is None or self._wait > PATIENCE or not left:
                return
            await self._tell_and_wait()

    async def insist(self) -> None:
        """Until the list is had, however long that takes."""
        while self.failure is not None:
            await self._tell_and_wait()
            await self._try()

    async def watch(self, trading_pairs: Sequence[str]) -> None:
        """Tell, for ever, when one of these pairs ends, and when it is traded again."""
        listing = Listing(trading_pairs)
        while True:
            await asyncio.sleep(AGAIN)
            try:
                changes = listing.look(await self._host.list_instruments())
            except (Unreachable, SlowDown, Blocked, ValueError) as error:
                self._tell(error, AGAIN)
                continue
            for pair, status in changes:
                if status is None:
                    PairResumed(exchange=self._exchange, trading_pair=pair).tell()
                else:
                    PairEnded(exchange=self._exchange, trading_pair=pair, status=status).tell()

    async def _try(self) -> None:
        try:
            self._host.use_instruments(await self._host.list_instruments())
        except (Unreachable, SlowDown, Blocked) as error:
            self._failed(error)
        else:
            self.failure = None

    def _failed(self, error: ConnectorError) -> None:
        self.failure = error
        self._wait = self._backoff.delay()
        match error:
            case Blocked():
                self._wait = BLOCKED_SECONDS
            case SlowDown():
                self._host.slow_down(error.retry_after or None)
                self._wait = max(error.retry_after, self._wait)

    async def _tell_and_wait(self) -> None:
        self._tell(self.failure, self._wait)
        await asyncio.sleep(self._wait)

    def _tell(self, error: Exception | None, wait: float) -> None:
        InstrumentsFailed(
            exchange=self._exchange, reason=str(error), again_in=round(wait, 1)
        ).tell()
