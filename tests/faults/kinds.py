"""What goes wrong, by kind: each one strikes a campaign, and has ended its fault when it returns.

Sleeps are how long a fault lasts; whatever is awaited has a condition.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connectors.kafka.shard import TRANSACTIONAL
from connectors.sandbox.relay import Relay, Weather
from tests.end_to_end.stage import SPEED
from tests.faults.connector import STOP_SECONDS
from tests.faults.latency import bound

if TYPE_CHECKING:
    from tests.faults.campaign import Campaign

Strike = Callable[["Campaign"], Awaitable[None]]
KINDS: dict[str, Strike] = {}
"""Every kind by its name, in the order of the table."""
REQUEST_SECONDS = TRANSACTIONAL["request_timeout_ms"] / 1000
"""Real seconds that a request to a broker waits for its answer."""


def kind(name: str) -> Callable[[Strike], Strike]:
    """Register a kind under its name."""

    def registered(strike: Strike) -> Strike:
        KINDS[name] = strike
        return strike

    return registered


async def some_seconds(campaign: Campaign, least: float, most: float) -> None:
    """How long this fault lasts, by the seed."""
    await asyncio.sleep(campaign.luck.uniform(least, most))


# --- the connector


@kind("connector: kill -9")
async def killed(campaign: Campaign) -> None:
    """Killed at any moment, twice, the second time perhaps while it takes over."""
    for _ in range(2):
        campaign.connector.process.kill()
        await some_seconds(campaign, 0.0, 2.0)
        campaign.connector.start()
        await some_seconds(campaign, 0.5, 4.0)
    await campaign.connector.carrying()


@kind("connector: SIGSTOP, SIGCONT")
async def frozen(campaign: Campaign) -> None:
    """Frozen for a while; its connections and transactions are there when it wakes, or not."""
    campaign.connector.process.freeze()
    await some_seconds(campaign, 3.0, 9.0)
    campaign.connector.process.thaw()


@kind("connector: frozen, replaced, woken")
async def zombie(campaign: Campaign) -> None:
    """While it is frozen another one takes over; when it wakes it has to notice, and to end."""
    first = campaign.connector.process
    first.freeze()
    try:
        campaign.connector.start()
        await campaign.connector.carrying()
        await some_seconds(campaign, 0.0, 3.0)
        first.thaw()
        await first.ended(STOP_SECONDS)
    finally:
        first.kill()


@kind("connector: SIGTERM, start")
async def stopped(campaign: Campaign) -> None:
    """Stopped in order, and started again."""
    campaign.connector.process.terminate()
    await campaign.connector.process.ended(STOP_SECONDS)
    await some_seconds(campaign, 0.0, 3.0)
    campaign.connector.start()
    await campaign.connector.carrying()


# --- brokers


@kind("broker: kill -9")
async def broker_killed(campaign: Campaign) -> None:
    """One broker is killed, and comes back."""
    broker = campaign.luck.choice(campaign.brokers)
    await campaign.kafka.kill(broker)
    await some_seconds(campaign, 1.0, 5.0)
    await campaign.kafka.restart(broker)


@kind("broker: paused")
async def broker_paused(campaign: Campaign) -> None:
    """One broker keeps its connections and answers nothing for a while."""
    await pause(campaign, [campaign.luck.choice(campaign.brokers)], 2.0, 8.0)


@kind("broker: stutters")
async def broker_stutters(campaign: Campaign) -> None:
    """All brokers answer late, again and again."""
    for _ in range(6):
        await pause(campaign, campaign.brokers, 0.3, 0.8)
        await some_seconds(campaign, 0.1, 0.4)


@kind("broker: rolling restart")
async def brokers_restarted(campaign: Campaign) -> None:
    """Each broker in turn is stopped in order and started again."""
    for broker in campaign.brokers:
        await campaign.kafka.restart(broker)


@kind("broker: all paused")
async def brokers_paused(campaign: Campaign) -> None:
    """No broker answers for a while."""
    await pause(campaign, campaign.brokers, 4.0, 8.0)


@kind("broker: all killed")
async def brokers_killed(campaign: Campaign) -> None:
    """All brokers are killed, and come back."""
    await asyncio.gather(*(campaign.kafka.kill(broker) for broker in campaign.brokers))
    await some_seconds(campaign, 1.0, 4.0)
    await asyncio.gather(*(campaign.kafka.restart(broker) for broker in campaign.brokers))


async def pause(campaign: Campaign, brokers: list[int], least: float, most: float) -> None:
    """Freeze brokers for some seconds."""
    for broker in brokers:
        campaign.kafka.pause(broker)
    try:
        await some_seconds(campaign, least, most)
    finally:
        for broker in brokers:
            campaign.kafka.resume(broker)


# --- the connections to the brokers; whoever compares goes past the relays


@kind("connections: cut")
async def connections_cut(campaign: Campaign) -> None:
    """All of them are reset, again and again."""
    cut = 0
    for _ in range(4):
        cut += sum(relay.cut() for relay in campaign.relays)
        await some_seconds(campaign, 0.3, 2.5)
    assert cut, "no connection stood that could be cut: the connector goes past the relays"


@kind("connections: one broker's held")
async def connections_held(campaign: Campaign) -> None:
    """They stay open and nothing passes, longer than any request waits; then everything does."""
    async with weather([campaign.luck.choice(campaign.relays)], Weather(held=True)):
        await some_seconds(campaign, REQUEST_SECONDS + 1.0, REQUEST_SECONDS + 6.0)


@kind("connections: delayed")
async def connections_delayed(campaign: Campaign) -> None:
    """Every byte takes 300 ms; what an open update takes then has a bound."""
    delay = 0.3
    async with campaign.live_updates() as heard:
        async with weather(campaign.relays, Weather(delay=delay)):
            await some_seconds(campaign, 6.0, 10.0)
        await asyncio.sleep(bound(delay))  # so that what is not there by then is not overlooked
    assert delay <= heard.median, f"they were not delayed: {heard}"
    assert max(heard.seconds) <= bound(delay), f"longer than {bound(delay):.2f} s: {heard}"


@kind("connections: narrow")
async def connections_narrow(campaign: Campaign) -> None:
    """So few bytes pass in a second that transactions and batches have to become larger."""
    async with campaign.live_updates(), weather(campaign.relays, Weather(rate=6_000.0)):
        await some_seconds(campaign, 6.0, 10.0)


@kind("connections: delayed and cut")
async def connections_delayed_and_cut(campaign: Campaign) -> None:
    """Every byte takes 100 ms, and all connections are reset now and then."""
    async with weather(campaign.relays, Weather(delay=0.1)):
        await connections_cut(campaign)


@asynccontextmanager
async def weather(relays: Sequence[Relay], there: Weather) -> AsyncIterator[None]:
    """How these relays pass bytes on while the block runs."""
    for relay in relays:
        relay.weather = there
    try:
        yield
    finally:
        for relay in relays:
            relay.weather = Weather()


# --- the exchanges


@dataclass(frozen=True)
class Misbehaviour:
    """A kind of the sandbox's, on all markets that it applies to, for about ``seconds``.

    ``cut`` drops all connections first, so that there is something to subscribe to and to repair.
    """

    name: str
    order: Mapping[str, Any]
    seconds: float = 4.0
    cut: bool = False

    async def __call__(self, campaign: Campaign) -> None:
        """Order it, wait, and end it."""
        stage = campaign.stage
        if self.name == "late_correction":
            campaign.corrected = True
        seed = campaign.luck.randrange(10_000)
        await stage.misbehave(self.name, seed=seed, **self.order)
        if self.cut:
            await stage.misbehave("drop")
        await some_seconds(campaign, 0.75 * self.seconds, 1.25 * self.seconds)
        await stage.behave()


def exchange(label: str, name: str, seconds: float = 4.0, cut: bool = False, **order: Any) -> None:
    """Register a misbehaviour."""
    KINDS[f"exchange: {label}"] = Misbehaviour(name, order, seconds, cut)


exchange("drop", "drop", every=1.5)
exchange("half_open", "half_open", 6.0, duration=2.0)
exchange("stall", "stall", 7.0)
exchange("silent_subscription", "silent_subscription", 7.0, cut=True)
exchange("refuse", "refuse", cut=True, match="BTC-*")
exchange("repeat", "repeat")
exchange("reorder", "reorder")
exchange("duplicate_rows", "duplicate_rows", cut=True)
exchange("late_correction", "late_correction", 6.0, every=1.5, resent=True)
exchange("skip_candle", "skip_candle", every=1.5)
exchange("no_trades", "no_trades")
exchange("garble", "garble", every=0.3)
exchange("giant", "giant", every=1.5, count=3)
exchange("bomb", "bomb", every=1.5, count=3)
exchange("rate_limit, Retry-After", "rate_limit", cut=True, retry_after=True, duration=4.0)
exchange("rate_limit, no header", "rate_limit", cut=True, retry_after=False)
exchange("ban, Retry-After", "ban", cut=True, retry_after=True, duration=4.0)
exchange("ban, no header", "ban", cut=True, retry_after=False)
exchange("server_error", "server_error", cut=True)
exchange("slow", "slow", cut=True)
exchange("wrong_page", "wrong_page", cut=True)
exchange("truncated", "truncated", cut=True)
exchange("token_expired", "token_expired", every=2.0)
exchange("rest_behind, 2 s", "rest_behind", cut=True, lag=2.0 / SPEED)
exchange("rest_behind, 2 min", "rest_behind", cut=True, lag=120.0 / SPEED)
exchange("shutdown_notice", "shutdown_notice", notice=2.0)
exchange("clock_offset, fast", "clock_offset", cut=True, offset=120.0)
exchange("clock_offset, slow", "clock_offset", cut=True, offset=-120.0)


@kind("exchange: several at once")
async def several(campaign: Campaign) -> None:
    """Three of the sandbox's kinds together, by the seed; a correction has to be heard of."""
    alone = KINDS["exchange: late_correction"]
    able = [it for it in KINDS.values() if isinstance(it, Misbehaviour) and it is not alone]
    await asyncio.gather(*(each(campaign) for each in campaign.luck.sample(able, 3)))
