"""An exchange's closed candles of a range, read over REST: page by page, within a small budget.

It is somebody beside a running connector who reads here, perhaps behind the same address: a tenth
of what the exchange allows is spent. A page that was not answered is asked for again, later and
later; what the exchange says about waiting is kept to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Final, TypeVar

from connectors.adapter import (
    ExchangeAdapter,
    RestRefused,
    RestReply,
    RestRequest,
    RestSlowDown,
    RestUnavailable,
    Rows,
)
from connectors.clock import Clock
from connectors.errors import Blocked, SlowDown, Unreachable, UsageError
from connectors.limits import Backoff, Budget
from connectors.model import CandleData, Grid
from connectors.telemetry import RestFailed

SHARE: Final = 0.1
"""The part of an exchange's REST budget that is spent: a connector beside us spends the rest."""
TRIES: Final = 7
"""So often one thing is asked for: with back-off alone, for half a minute at least."""

T = TypeVar("T")
Fetch = Callable[[RestRequest], Awaitable[RestReply]]
Sleep = Callable[[float], Awaitable[object]]


class History:
    """Reads one exchange; ``adapter`` knows its instruments. One request at a time."""

    def __init__(
        self,
        adapter: ExchangeAdapter,
        fetch: Fetch,
        clock: Clock,
        random: Callable[[], float],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._adapter = adapter
        self._fetch = fetch
        self._clock = clock
        self._random = random
        self._sleep = sleep
        self._budget = Budget(adapter.limits.rest, SHARE)

    async def insist(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What ``ask`` gives; after Unreachable and SlowDown it is asked again, as told above."""
        backoff = Backoff(self._random, 1.0)
        for left in reversed(range(TRIES)):
            try:
                return await ask()
            except (Unreachable, SlowDown) as error:
                if not left:
                    raise
                RestFailed(exchange=self._adapter.name, reason=str(error)).tell()
                await self._sleep(max(backoff.delay(), getattr(error, "retry_after", 0.0)))
        raise AssertionError("unreachable: the last try returns or raises")

    async def read(
        self, trading_pair: str, interval: str, grid: Grid, start: int, end: int
    ) -> dict[int, CandleData]:
        """The rows by open time, of slots ``[start, end)`` that closed long ago.

        UsageError where the exchange refuses, Blocked, or after many tries Unreachable or SlowDown.
        """
        rows: dict[int, CandleData] = {}
        for page in _pages(grid, start, end, self._adapter.rest_pages(interval).limit):
            found = await self.insist(partial(self._page, trading_pair, interval, *page))
            rows |= {row.timestamp: row for row in found}
        return rows

    async def _page(
        self, trading_pair: str, interval: str, start: int, end: int, slots: int
    ) -> list[CandleData]:
        request = self._adapter.rest_request(
            trading_pair, interval, start, end, slots, self._clock.market()
        )
        await self._may_spend(request.weight)
        return self._rows(await self._fetch(request), request)

    async def _may_spend(self, weight: float) -> None:
        while not self._budget.take(now := self._clock.market(), weight):
            free = self._budget.free_at(now, weight)
            await self._sleep(max(0.001, self._clock.real_at(free) - self._clock.real()))

    def _rows(self, reply: RestReply, request: RestRequest) -> list[CandleData]:
        """The rows that were asked for; a reply of nothing but others is no answer."""
        name = self._adapter.name
        try:
            answer = self._adapter.read_rest_reply(reply, request)
        except Exception as error:
            raise Unreachable(f"{name}: a REST reply cannot be read: {error!r}") from error
        match answer:
            case Rows(candles):
                inside = [row for row in candles if request.start <= row.timestamp < request.end]
                if candles and not inside:
                    raise Unreachable(f"{name}: REST has given another page than the one asked for")
                return inside
            case RestRefused(reason):
                raise UsageError(f"{name}: REST refuses this: {reason}")
            case RestSlowDown(reason, seconds):
                raise SlowDown(f"{name}: {reason}", seconds or 0.0)
            case RestUnavailable(reason, blocked):
                raise (Blocked if blocked else Unreachable)(f"{name}: {reason}")


def _pages(grid: Grid, start: int, end: int, limit: int) -> Iterator[tuple[int, int, int]]:
    """The range in pieces of at most ``limit`` slots: start, end, slots."""
    while start < end:
        stop = min(end, grid.after(start, limit))
        yield start, stop, grid.count(start, stop)
        start = stop
