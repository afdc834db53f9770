"""Before a shard goes on: what lies in its closed topics must be what coverage speaks of.

Coverage keeps the last offset of the transaction before its own. That offset must still be there,
else the topic was recreated or cut short. And every candle of a carried subscription behind it must
lie in a slot that coverage calls settled, else the coverage is not that of this topic: an older
copy, say, or another prefix's. Going on would publish these candles again.

A subscription that begins, or whose coverage is to reach back further than it does, must not have
candles there already. They are looked for from the offset of the earliest time in question on.

How long it takes: it reads what lies between these offsets and the high watermark, and keeps
nothing. As a rule that is one transaction. Where something begins, it is all that was published
since then in its partitions: a second of CPU for 300,000 candles of other pairs, or for 45,000 of
its own; and at most ``SEARCH_SECONDS``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from math import inf
from typing import Final, NamedTuple

from connectors.closed import Wanted, pick
from connectors.coverage import Coverage, SlotState
from connectors.errors import ConnectorError, SetupError
from connectors.flow import Lane
from connectors.kafka import Shard
from connectors.kafka.batches import Place
from connectors.model import Grid, Subscription
from connectors.values import Values

SEARCH_SECONDS: Final = 300.0
"""So long candles of subscriptions that begin are looked for, at most."""


class Account(NamedTuple):
    """A subscription before its ledger begins: its coverage, if any, and since when it is wanted.

    Slots that open before ``first`` are of no interest.
    """

    lane: Lane
    coverage: Coverage | None
    first: int

    @property
    def subscription(self) -> Subscription:
        """Whose account it is."""
        return self.lane.ledger.subscription

    @property
    def begins(self) -> bool:
        """Whether there are slots in question of which coverage has never spoken."""
        return self.coverage is None or self.first < self.coverage.start

    @property
    def closes(self) -> int:
        """When the first slot in question closes."""
        return self.lane.ledger.grid.after(self.first)

    def has(self, slot: int) -> bool:
        """Whether a candle that is published of this slot is accounted for."""
        return self.coverage is not None and self.coverage.slot(slot) is SlotState.SETTLED


def account_of(lane: Lane, coverage: Coverage | None, wanted: float) -> Account:
    """The account of a subscription that is wanted from the bar on that runs at ``wanted``."""
    first = _slot_of(lane.ledger.grid, wanted)
    return Account(lane, coverage, first if coverage is None else min(first, coverage.start))


def _slot_of(grid: Grid, time: float) -> int:
    """The slot that ``time`` lies in, or the earliest that it can be while the grid is unknown."""
    return grid.floor(time) if grid.known else int(time) - grid.step + 1


class Reconciliation:
    """Compares closed topics with the coverage in ``topic``; ``values`` reads candles."""

    def __init__(self, shard: Shard, topic: str, values: Values) -> None:
        self._shard = shard
        self._topic = topic
        self._values = values

    async def check(self, accounts: Sequence[Account], last: Mapping[Place, int]) -> None:
        """SetupError where they do not agree; ``last`` is the last known offset of each partition.

        Unreachable and ShardLost where Kafka does not answer, AccessError without the right to.
        """
        of: dict[str, list[Account]] = {topic: [] for topic, _ in last}
        for account in accounts:
            of.setdefault(account.lane.closed_topic, []).append(account)
        try:
            async with asyncio.TaskGroup() as tasks:
                for topic, some in of.items():
                    known = {
                        partition: at for (name, partition), at in last.items() if name == topic
                    }
                    tasks.create_task(self._check(topic, some, known))
        except* ConnectorError as failed:
            raise failed.exceptions[0] from None

    async def _check(
        self, topic: str, accounts: Sequence[Account], last: Mapping[int, int]
    ) -> None:
        ends = await self._shard.ends(topic, {*last, *(each.lane.partition for each in accounts)})
        for partition, offset in last.items():
            if ends[partition] <= offset:
                raise SetupError(
                    f"topic {topic} was recreated or cut short: coverage speaks of offset {offset} "
                    f"in partition {partition}, which is not there; {self._remedy}"
                )
        await self._search(topic, [each for each in accounts if not each.begins], last, ends)
        try:
            async with asyncio.timeout(SEARCH_SECONDS):
                await self._search(topic, [each for each in accounts if each.begins], {}, ends)
        except TimeoutError:
            raise SetupError(
                f"topic {topic} holds too much to see within {SEARCH_SECONDS:g} s whether it has "
                "candles of what is to begin: begin later, or use another --prefix"
            ) from None

    async def _search(
        self,
        topic: str,
        accounts: Sequence[Account],
        last: Mapping[int, int],
        ends: Mapping[int, int],
    ) -> None:
        """Look at what is in question; what is no candle at all doubles none."""
        starts = await self._starts(topic, accounts, last)
        starts = {each: start for each, start in starts.items() if start < ends[each]}
        if not starts:
            return
        of = {account.subscription: account for account in accounts}
        spans = {each: [(account.first, inf)] for each, account in of.items()}
        wanted = Wanted(spans, (min(account.closes for account in accounts), inf))
        stored = self._shard.stored(topic, starts)
        async with aclosing(pick(stored, wanted, self._values, lambda *_: None)) as picked:
            async for each, record in picked:
                slot = record.candle.timestamp
                if not of[record.subscription].has(slot):
                    raise SetupError(
                        f"topic {topic}, partition {each.partition}, offset {each.offset}: "
                        f"a candle of {record.subscription} that opens at "
                        f"{datetime.fromtimestamp(slot, UTC):%Y-%m-%d %H:%M:%S} UTC lies there, "
                        f"of which {self._topic} knows nothing; {self._remedy}"
                    )

    async def _starts(
        self, topic: str, accounts: Iterable[Account], last: Mapping[int, int]
    ) -> dict[int, int]:
        """Of each partition the offset from which on candles are in question."""
        starts: dict[int, int] = {}
        since: dict[int, int] = {}
        for account in accounts:
            partition, closes = account.lane.partition, account.closes * 1000
            if partition in last:
                starts[partition] = last[partition] + 1
            else:
                since[partition] = min(since.get(partition, closes), closes)
        return starts | (await self._shard.offsets_since(topic, since) if since else {})

    @property
    def _remedy(self) -> str:
        return f"restore the topic together with {self._topic}, or use another --prefix"
