"""The five scenarios that the brief wants tested, each under its name."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import pytest

from connectors import exchanges
from connectors.sandbox.dialect import ServerPing
from connectors.telemetry import counts
from tests.end_to_end.ordinary import Ordinary
from tests.end_to_end.stage import MARKETS, QUIET, Stage, eventually
from tests.end_to_end.truth import SCHEMAS, Bar, Candle, by_name, name_of, single_object
from tests.oracle import Record

pytestmark = pytest.mark.kafka


def streamed(wish: str) -> bool:
    """Whether the exchange has this wish's interval over WebSocket."""
    exchange, _, interval = wish.split(":")
    return interval in exchanges.get(exchange)().get_ws_supported_intervals()


# --- connecting and subscribing


def test_connecting_and_subscribing(ordinary: Ordinary) -> None:
    """Each market is connected to once, and asked in few messages for what it streams."""
    journal = ordinary.during
    asked = sorted(
        f"{it['market']}:{it['trading_pair']}:{it['interval']}" for it in subscribed(ordinary)
    )
    assert sorted(filter(streamed, ordinary.wishes)) == asked
    connected = sorted(it["market"] for it in journal["connections"])
    assert (
        sorted({wish.partition(":")[0] for wish in ordinary.wishes if streamed(wish)}) == connected
    )
    assert journal["messages"] <= 2 * len(connected), "subscriptions are to be sent in batches"
    assert journal["overstepped"] == []


def subscribed(ordinary: Ordinary) -> list[dict[str, str]]:
    """What the sandbox served candles for; a channel of heartbeats has no trading pair."""
    return [it for it in ordinary.during["subscriptions"] if it["trading_pair"]]


def test_a_token_is_fetched_before_connecting(ordinary: Ordinary) -> None:
    """Where an exchange wants a token, it is asked for by POST, once for each connection."""
    for market in ("kucoin_spot", "kucoin_perpetual"):
        assert ordinary.during["requests"][f"{market}/api/v1/bullet-public"] == 1


# --- real-time updates


def test_real_time_updates(ordinary: Ordinary) -> None:
    """Every streamed wish has updates of its open bar, each a state that this bar went through."""
    found = dict(by_name(candle for _, candle in ordinary.live))
    assert sorted(
        wish for wish in ordinary.wishes if streamed(wish) and QUIET not in wish
    ) == sorted(name for name in found if QUIET not in name)
    for name, updates in found.items():
        bars = {bar["open_time"]: bar for bar in ordinary.truth[name]}
        for update in updates:
            if update["close_time"] > ordinary.known * 1000:
                continue  # what became of that bar is not known yet
            reason = impossible(update, bars.get(update["open_time"] // 1000))
            assert reason is None, f"{name}: an update {reason}: {update}"


def impossible(update: Candle, bar: Bar | None) -> str | None:
    """Why the bar never had this state; None where it may have had."""
    if update["closed"] or update["close_reason"] != "UNKNOWN":
        return "is closed"
    if not update["volume"]:  # no trades yet: at the price of the bar before
        return None
    if bar is None:
        return "has trades where there were none"
    if not bar["low"] <= update["low"] <= update["high"] <= bar["high"]:
        return f"leaves the bar's range {bar['low']} to {bar['high']}"
    if update["volume"] > bar["volume"] * (1 + 1e-9):
        return f"has more volume than the whole bar, {bar['volume']}"
    return None if update["open"] == bar["open"] else f"does not open at {bar['open']}"


def test_updates_of_a_bar_come_in_order(ordinary: Ordinary) -> None:
    """In the live topic the states of a subscription go forward only: later bars, more volume."""
    for name, updates in by_name(candle for _, candle in ordinary.live):
        states = [(it["open_time"], it["volume"]) for it in updates]
        assert states == sorted(states), f"{name}: updates overtake each other"


def test_what_was_received_is_what_was_published(ordinary: Ordinary) -> None:
    """While Kafka keeps up, every update is in the live topic, none conflated, none twice."""
    published = int(ordinary.tally.partition("published ")[2].split()[0])
    assert published == len(ordinary.live), ordinary.tally
    assert "conflated 0 + failed 0" in ordinary.tally


# --- reconnecting after disconnection


async def test_reconnecting_after_disconnection(stage: Stage) -> None:
    """After each cut every market is connected to and subscribed again, and nothing is missing."""
    wishes = [f"{market}:BTC-{quote}:1m" for market, quote in MARKETS.items()]
    wishes[wishes.index("coinbase_advanced_trade:BTC-USD:1m")] = (
        "coinbase_advanced_trade:BTC-USD:5m"
    )
    asked = sorted(wish for wish in wishes if streamed(wish))
    async with stage.running(wishes):
        for times in (1, 2):
            await stage.misbehave("drop")

            async def back(times: int = times) -> bool:
                journal = await stage.journal()
                alive = {
                    f"{it['market']}:{it['trading_pair']}:{it['interval']}"
                    for it in journal["subscriptions"]
                }
                return len(journal["connections"]) >= times * len(asked) and alive >= set(asked)

            await eventually(back, lambda: "some market was not subscribed again")
        until = stage.market + 120
        findings = await stage.complete(until)
    assert findings.amiss == []
    assert (await stage.journal())["overstepped"] == []


# --- different message types: candles, heartbeats, errors


async def test_different_message_types(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats are answered, a refusal and unreadable frames harm nobody, and candles go on."""
    binance = stage.sandbox.sites["binance_spot"].dialect
    monkeypatch.setattr(binance, "server_ping", ServerPing(every=0.5, patience=1.0))
    rejections = counts["subscription.rejected", "okx_spot"]
    refusal = await stage.misbehave("refuse", market="okx_spot", match="ETH-USDT:1m")
    wishes = [
        *("binance_spot:BTC-USDT:1m", "coinbase_advanced_trade:BTC-USD:5m"),
        *("okx_spot:BTC-USDT:1m", "okx_spot:ETH-USDT:1m"),
    ]
    async with stage.running(wishes):
        await stage.misbehave("garble", market="okx_spot", match="BTC-USDT:1m", every=0.7, count=3)
        until = stage.market + 240
        findings = await stage.complete(until)
        connections = (await stage.journal())["connections"]
        await stage.behave()
    assert findings.amiss == [], refusal
    assert len(connections) == 3, "a heartbeat was not answered, or an error ended a connection"
    assert counts["subscription.rejected", "okx_spot"] > rejections, "the refusal was not noticed"
    letters = [dead_letter(record) for record in await stage.read("dead-letters")]
    assert {"okx_spot"} == {letter["exchange"] for letter in letters}, (
        "heartbeats are no dead letters"
    )
    assert 1 <= len(letters) <= 3


def dead_letter(record: Record) -> dict[str, Any]:
    """What lies in the topic of dead letters."""
    body = io.BytesIO((record.value or b"")[10:])
    letter = fastavro.schemaless_reader(body, SCHEMAS["dead_letter"], None)
    assert isinstance(letter, dict)
    return letter


# --- fallback to REST when needed


def test_fallback_to_rest_for_intervals_that_are_not_streamed(ordinary: Ordinary) -> None:
    """What an exchange does not stream is polled: closed candles read over REST, no updates."""
    polled = {wish for wish in ordinary.wishes if not streamed(wish)}
    closed = [candle for _, candle in ordinary.closed if name_of(candle) in polled]
    busy = {wish for wish in polled if QUIET not in wish}
    assert busy <= {name_of(candle) for candle in closed}
    assert {"REST_ROW"} == {candle["close_reason"] for candle in closed}
    assert not polled & {name_of(candle) for _, candle in ordinary.live}


async def test_fallback_to_rest_when_needed(stage: Stage) -> None:
    """Candles that the socket withholds come over REST: it refuses, is silent, or not to be had."""
    wishes = ["okx_spot:ETH-USDT:1m", "kucoin_spot:ETH-USDT:1m", "binance_us:ETH-USDT:1m"]
    await stage.misbehave("refuse", market="okx_spot", match="ETH-USDT:1m")
    await stage.misbehave("silent_subscription", market="kucoin_spot")
    await stage.misbehave("drop", market="binance_us", every=0.01, duration=60.0)
    async with stage.running(wishes):
        until = stage.market + 200
        findings = await stage.complete(until)
    assert findings.amiss == []
    closed = [single_object(record) for record in await stage.records("closed")]
    assert {"REST_ROW"} == {candle["close_reason"] for candle in closed}
    assert await stage.records("live") == []
