"""Rounds of faults on one run, each compared with the truth when it has healed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random

from confluent_kafka import KafkaException

from connectors.sandbox.kafka import LocalKafka
from connectors.sandbox.process import HOST
from connectors.sandbox.relay import Relay
from connectors.sandbox.server import Sandbox
from tests.end_to_end.stage import SPEED, Stage
from tests.end_to_end.test_scenarios import streamed
from tests.end_to_end.truth import compare, fetch, name_of, single_object
from tests.faults.connector import STOP_SECONDS, Connector
from tests.faults.judgement import Amiss, coverage_in, once_true, revisions, undeclared
from tests.faults.kinds import Strike
from tests.faults.latency import Latencies, followed

WISHES = [
    "binance_spot:BTC-USDT:1m",
    "binance_us:BTC-USDT:1m",
    "binance_perpetual:BTC-USDT:1m",
    "coinbase_advanced_trade:BTC-USD:1m",
    "coinbase_advanced_trade:BTC-USD:5m",
    "coinbase_exchange:BTC-USD:1m",
    "okx_spot:BTC-USDT:1m",
    "okx_perpetual:BTC-USDT:5m",
    "kucoin_spot:BTC-USDT:1m",
    "kucoin_perpetual:BTC-USDT:1m",
    "binance_spot:ATOM-USDT:1m",
    "okx_spot:ATOM-USDT:1m",
]
"""All nine markets; streamed and polled; two that are so quiet that most minutes have no trade."""
HEALING = 45.0
"""Real seconds after a fault within which everything must be right again: freshness deadlines,
back-offs, take-overs and repairs fit into it several times."""
AFTERWARDS = 60.0
"""Market seconds of bars after the fault that must be right as well: the run goes on."""
LOOK_SECONDS = 0.5


class Campaign:
    """One run, and what is wrong with it.

    ``brokers`` are the numbers of those that run at the beginning; ``relays`` stand between them
    and the connector. ``corrected``: whether closed bars have been changed since. ``seconds`` are
    how long the last fault and its healing took, ``latencies`` what it measured, if it did.
    """

    def __init__(
        self,
        stage: Stage,
        kafka: LocalKafka,
        relays: Sequence[Relay],
        connector: Connector,
        luck: Random,
    ) -> None:
        self.stage = stage
        self.kafka = kafka
        self.relays = relays
        self.connector = connector
        self.luck = luck
        self.corrected = False
        self.brokers = sorted(kafka.pids)
        self.seconds = (0.0, 0.0)
        self.latencies: Latencies | None = None
        self._known: set[str] = set()

    async def round(self, strike: Strike) -> Amiss:
        """Strike, let it heal, and return what is amiss that was not before."""
        began = time.monotonic()
        self.latencies = None
        try:
            await strike(self)
        except AssertionError as failed:
            self.connector.remarks.append(f"a fault did not end as it should: {failed}")
        finally:
            await self.stage.behave()
        ended = time.monotonic()
        amiss = await self.healed(self.stage.market + AFTERWARDS)
        self.seconds = ended - began, time.monotonic() - ended
        return amiss

    @asynccontextmanager
    async def live_updates(self) -> AsyncIterator[Latencies]:
        """How late open updates are while the block runs."""
        markets = sorted({wish.partition(":")[0] for wish in self.stage.wishes})
        topics = [f"{self.stage.prefix}.{market}.live" for market in markets]
        async with followed(self.stage.kafka, topics) as self.latencies:
            yield self.latencies

    async def healed(self, until: float) -> Amiss:
        """What is amiss, as soon as it is nothing, or nothing that can heal, or time is over."""
        await self.stage.reach(until)
        end = time.monotonic() + HEALING
        while True:
            self.connector.keep_up()
            over = time.monotonic() > end
            try:
                fresh = (await self.judged(until)).beyond(self._known)
            except (KafkaException, AssertionError):  # of a Kafka that is only just coming back
                if over:
                    raise
            else:
                if over or not fresh.may_heal:
                    break
            await asyncio.sleep(LOOK_SECONDS)
        self._known.update(fresh.everything)
        return fresh

    async def judged(self, until: float) -> Amiss:
        """Everything that closed before ``until``, compared."""
        stage = self.stage
        coverage = coverage_in(
            it for it in await stage.read("coverage.fixed") if it.key != b"#owner"
        )
        candles = [single_object(record) for record in await stage.records("closed")]
        since = dict(stage.wishes)
        for candle in candles:
            since[name_of(candle)] = min(since[name_of(candle)], candle["open_time"] / 1000)
        truth = await fetch(stage.sandbox.url, since)
        if self.corrected:
            polled = {name: since[name] for name in since if not streamed(name)}
            truth = once_true(truth, await revisions(stage.sandbox.url, polled), candles)
        findings = compare(stage.wishes, truth, candles, until)
        return Amiss.of(findings, undeclared(stage.wishes, truth, candles, coverage, until))

    async def ended(self) -> Amiss:
        """Stop the run in order: what its last transactions made amiss."""
        until = self.stage.market - AFTERWARDS
        self.connector.process.terminate()
        await self.connector.process.ended(STOP_SECONDS)
        return (await self.judged(until)).beyond(self._known)


@asynccontextmanager
async def campaign(
    prefix: str, folder: Path, seed: int, brokers: int = 1
) -> AsyncIterator[Campaign]:
    """A Kafka behind relays, a sandbox, and a run that carries all wishes."""
    luck = Random(seed)
    async with relayed(brokers) as (kafka, relays), Sandbox(0, SPEED, seed) as sandbox:
        carried = {wish.partition(":")[0] for wish in WISHES}
        for market in sandbox.sites.keys() - carried:  # or misbehaviours make their trades up, too
            del sandbox.sites[market]
        stage = Stage(sandbox, kafka.bootstrap, prefix, luck)
        address = ",".join(f"{HOST}:{relay.port}" for relay in relays)
        connector = Connector(stage, folder, WISHES, address)
        try:
            await connector.carrying()
            made = Campaign(stage, kafka, relays, connector, luck)
            calm = await made.healed(stage.market + AFTERWARDS)
            assert not calm.everything, f"before any fault: {calm.everything[:5]}"
            yield made
        finally:
            connector.process.kill()


@asynccontextmanager
async def relayed(brokers: int) -> AsyncIterator[tuple[LocalKafka, list[Relay]]]:
    """A Kafka, and a relay before each of its brokers; ``bootstrap`` goes past them."""
    async with AsyncExitStack() as stack:
        relays = [await stack.enter_async_context(Relay()) for _ in range(brokers)]
        advertised = [relay.port for relay in relays]
        kafka = LocalKafka(brokers=brokers, advertised=advertised)
        await stack.enter_async_context(kafka)
        for relay, port in zip(relays, kafka.relayed.values(), strict=True):
            relay.target = port
        yield kafka, relays
