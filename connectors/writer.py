"""A shard's closed candles and their coverage, into Kafka, exactly once.

Ledgers report by ``touch`` that they have something to write. ``run`` holds the shard and writes
what is ready in transactions, one at a time, each with everything that is ready of a subscription
and the coverage that speaks of it. Only a commit that returned counts: after anything else all
ledgers are forgotten, the shard is taken over again, and the coverage in Kafka says what is true.

The first transaction of a take-over is the claim together with where new coverage begins. So a run
that is stopped at once leaves behind since when its subscriptions are carried, and the next one
repairs from there. Not so where a grid is still to be learned from a first row: such a ledger has
no slots yet, and the next run begins it anew.

Where Kafka refuses a record for what it is, every subscription of that transaction is suspect and
is written alone from then on. The one that is refused alone is quarantined: nothing of it is
written by this run any more, and the others go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Final

from connectors.clock import Clock
from connectors.codec import OWNER_KEY, coverage_of, encode_coverage, subscription_key
from connectors.errors import Fenced, RecordRefused, ShardLost, Unreachable
from connectors.flow import Lane, Tally
from connectors.kafka import Record, Shard
from connectors.ledger import Ledger
from connectors.limits import Backoff
from connectors.model import Subscription
from connectors.reconciliation import Account, Reconciliation, account_of
from connectors.records import CoverageRecord
from connectors.tasks import happens
from connectors.telemetry import ShardDropped, ShardTaken, SubscriptionQuarantined
from connectors.values import Values

TRANSACTION_BYTES: Final = 1_000_000
"""About so much is written in one transaction, at most."""
CLAIM_SECONDS: Final = 5.0
"""So long a fenced run looks for the claim of a successor before it takes over again."""
DRAINING_SECONDS: Final = 0.5
"""A run that is to end waits no longer before it takes a lost shard over again."""


class Writer:
    """See the head of the module.

    ``owner`` names this run in its claim and its coverage; new coverage begins with the bar that
    was running at ``accepted``, or at ``since`` (market times). ``values`` reads coverage,
    ``candles`` closed candles. ``forgotten`` is called whenever all ledgers are forgotten.
    """

    def __init__(
        self,
        shard: Shard,
        lanes: Mapping[Subscription, Lane],
        tally: Tally,
        clock: Clock,
        backoff: Backoff,
        owner: str,
        coverage: tuple[str, bytes],
        values: Values,
        candles: Values,
        accepted: float,
        since: float | None,
        forgotten: Callable[[], None],
    ) -> None:
        self._shard = shard
        self._lanes = lanes
        self._tally = tally
        self._clock = clock
        self._backoff = backoff
        self._owner = owner
        self._predecessor: str | None = None
        self._topic, self._prefix = coverage
        self._values = values
        self._reconciliation = Reconciliation(shard, self._topic, candles)
        self._accepted = accepted
        self._wanted = accepted if since is None else min(since, accepted)
        self._forgotten = forgotten
        self._last: dict[tuple[str, int], int] = {}
        self._touched: dict[Subscription, Lane] = {}
        self._suspects: set[Subscription] = set()
        self._quarantined: set[Subscription] = set()
        self._ready = asyncio.Event()
        self._idle = asyncio.Event()
        self._draining = asyncio.Event()

    def touch(self, ledger: Ledger) -> None:
        """A ledger has something to write."""
        subscription = ledger.subscription
        self._touched[subscription] = self._lanes[subscription]
        self._idle.clear()
        self._ready.set()

    async def run(self) -> None:
        """Hold the shard and write what is ready, for ever.

        Fenced when a successor has claimed the shard; AccessError and SetupError where nobody can
        go on. Everything else is got over by taking the shard over again.
        """
        while True:
            try:
                await self._take_over()
                while True:
                    await self._ready.wait()
                    await self._write()
            except Fenced as error:
                await self._yield_to_successor(error)
                await self._drop(error)
            except (ShardLost, Unreachable, RecordRefused) as error:
                await self._drop(error)

    async def close(self) -> None:
        """Let the shard go; what was not committed never happened."""
        await self._shard.close()

    async def settled(self) -> None:
        """Wait until nothing is left to write. From here on trouble is got over without patience.

        Not before the shard was first taken over, nor while it is lost: it may come back.
        """
        self._draining.set()
        await self._idle.wait()

    # --- taking over ---

    async def _take_over(self) -> None:
        known = dict(await self._shard.take_over())
        self._predecessor = await self._claimed_by(known)
        accounts = [
            await self._account(lane, known.get(subscription_key(subscription)))
            for subscription, lane in self._lanes.items()
            if subscription not in self._quarantined
        ]
        await self._reconciliation.check(accounts, self._last)
        for account in accounts:
            self._begin(account)
        await self._write(self._claim())
        resumed = sum(account.coverage is not None for account in accounts)
        ShardTaken(
            shard=self._shard.transactional_id, subscriptions=len(accounts), resumed=resumed
        ).tell()

    def _begin(self, account: Account) -> None:
        ledger = account.lane.ledger
        try:
            ledger.begin(account.coverage, self._accepted, self._clock.real())
        except ValueError as error:  # what is covered are no slots of this subscription
            ledger.forget()
            self._quarantine(account.subscription, error)

    async def _account(self, lane: Lane, value: bytes | None) -> Account:
        if value is None:
            return account_of(lane, None, self._wanted)
        record = await self._record(value)
        if record.last_closed_offset is not None:
            place = lane.closed_topic, lane.partition
            self._last[place] = max(self._last.get(place, 0), record.last_closed_offset)
        return account_of(lane, record.coverage, self._wanted)

    async def _claimed_by(self, known: Mapping[bytes, bytes | None]) -> str | None:
        claim = known.get(OWNER_KEY)
        return None if claim is None else (await self._record(claim)).owner

    async def _record(self, value: bytes) -> CoverageRecord:
        return coverage_of(await self._values.decode(value, self._topic))

    def _claim(self) -> Record:
        at = int(self._clock.wall() * 1000)
        claim = CoverageRecord(subscription=None, owner=self._owner, updated_at=at)
        value = encode_coverage(claim, self._prefix)
        return Record(self._topic, 0, OWNER_KEY, value, at)

    # --- writing ---

    async def _write(self, *claim: Record) -> None:
        lanes, records = self._next_transaction()
        try:
            self._last.update(await self._shard.commit([*claim, *records]))
        except RecordRefused as error:
            self._suspect(lanes, error)
            raise
        for lane in lanes:
            lane.ledger.committed()
        self._suspects.difference_update(lane.ledger.subscription for lane in lanes)
        if lanes:
            self._backoff.reset()
            self._tally.closed += len(records) - len(lanes)
            self._tally.transactions += 1
        if not self._touched:
            self._ready.clear()
            self._idle.set()

    def _next_transaction(self) -> tuple[list[Lane], list[Record]]:
        """Everything that is ready of as many subscriptions as fit, each with its coverage."""
        at = int(self._clock.wall() * 1000)
        lanes: list[Lane] = []
        records: list[Record] = []
        size = 0
        for subscription in list(self._touched):
            alone = subscription in self._suspects
            if lanes and (alone or size >= TRANSACTION_BYTES):
                break
            lane = self._touched.pop(subscription)
            new = [*self._closed_records(lane, at), self._coverage_record(lane, at)]
            size += sum(len(record.key) + len(record.value or b"") for record in new)
            records += new
            lanes.append(lane)
            if alone:
                break
        return lanes, records

    def _closed_records(self, lane: Lane, at: int) -> list[Record]:
        ledger = lane.ledger
        return [
            Record(
                lane.closed_topic,
                lane.partition,
                lane.key,
                lane.closed_encoder.encode(
                    candle,
                    published_at=at,
                    closed=True,
                    reason=reason,
                    revision=revision,
                    late=late,
                ),
                ledger.grid.after(candle.timestamp) * 1000,
            )
            for candle, reason, revision, late in ledger.take()
        ]

    def _coverage_record(self, lane: Lane, at: int) -> Record:
        record = replace(
            lane.facts,
            coverage=lane.ledger.coverage,
            last_closed_offset=self._last.get((lane.closed_topic, lane.partition)),
            owner=self._owner,
            updated_at=at,
        )
        value = encode_coverage(record, self._prefix)
        key = subscription_key(lane.ledger.subscription)
        return Record(self._topic, 0, key, value, at)

    def _suspect(self, lanes: Sequence[Lane], error: RecordRefused) -> None:
        """One of these has a record that Kafka refuses; it is found when it stands alone."""
        subscriptions = [lane.ledger.subscription for lane in lanes]
        self._suspects.update(subscriptions)
        if len(subscriptions) == 1:
            self._quarantine(subscriptions[0], error)

    def _quarantine(self, subscription: Subscription, error: Exception) -> None:
        self._quarantined.add(subscription)
        SubscriptionQuarantined(subscription=str(subscription), reason=str(error)).tell()

    # --- letting go ---

    async def _yield_to_successor(self, error: Fenced) -> None:
        """Fenced has two meanings: a successor, which claims the shard at once, or a time-out.

        Fenced, with what to do, for the first; it returns for the second.
        """
        self._forget()
        until = self._clock.real() + CLAIM_SECONDS
        while self._clock.real() < until:
            if await self._newest_claim() not in (None, self._owner, self._predecessor):
                raise Fenced(
                    f"another run has taken {self._topic} over: stop that one, "
                    "or run this one under another --prefix"
                ) from error
            await asyncio.sleep(CLAIM_SECONDS / 10)

    async def _newest_claim(self) -> str | None:
        """Who claims the shard; None where nobody does or Kafka cannot say."""
        try:
            return await self._claimed_by(dict(await self._shard.peek()))
        except (ShardLost, Unreachable):
            return None

    async def _drop(self, error: Exception) -> None:
        self._forget()
        draining = self._draining.is_set()
        delay = min(self._backoff.delay(), DRAINING_SECONDS if draining else inf)
        ShardDropped(
            shard=self._shard.transactional_id, reason=str(error), again_in=round(delay, 1)
        ).tell()
        await (asyncio.sleep(delay) if draining else happens(self._draining, delay))

    def _forget(self) -> None:
        for lane in self._lanes.values():
            lane.ledger.forget()
        self._forgotten()
        self._touched.clear()
        self._ready.clear()
        self._idle.clear()
