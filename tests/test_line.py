"""A connection kept alive: replaced before it ends, and when a stream on it is dead."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from connectors import freshness, line
from connectors.adapter import Limits, Rate, RestReply
from connectors.ledger import Ledger
from connectors.model import grid_of
from tests.plain import START, until
from tests.test_carrier import BTC, ETH, Exchange, World, exchange

__all__ = ["exchange"]

OPEN: list[Any] = ["BTC-USDT@1m", START, 1, False]
ROOMY: dict[str, Any] = {"limits": Limits(source="invented", checked="", attempts=Rate(100))}


async def announce(exchange: Exchange, why: str) -> None:
    """The exchange says that it will close the newest connection."""
    await exchange.connections[-1].send(json.dumps({"bye": why}))


async def test_an_announced_end_is_met_by_a_successor(exchange: Exchange) -> None:
    """The old connection stays until the new one delivers, and then is closed."""
    world = World(exchange)
    async with world.carrying(BTC):
        world.begin()
        await until(lambda: len(exchange.asked) == 1)
        await exchange.send(OPEN)
        await announce(exchange, "maintenance")
        await until(lambda: len(exchange.asked) == 2)
        assert exchange.connections[0].close_code is None, "make before break"
        await exchange.send(OPEN)
        await until(lambda: exchange.connections[0].close_code is not None)
        await until(lambda: bool(world.told("connection.replaced")))
        assert exchange.connections[1].close_code is None
    assert [each["reason"] for each in world.told("connection.replaced")] == ["maintenance"]
    assert world.told("connection.lost") == []


async def test_a_confirmed_successor_takes_over_in_the_end(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is confirmed and delivers nothing stands in after the overlap."""
    monkeypatch.setattr(line, "OVERLAP_SECONDS", 0.05)
    world = World(exchange)
    async with world.carrying(BTC):
        await until(lambda: len(exchange.asked) == 1)
        await announce(exchange, "maintenance")
        await until(lambda: len(exchange.asked) == 2)
        await exchange.connections[1].send(json.dumps({"ok": 1}))
        await until(lambda: bool(world.told("connection.replaced")))


async def test_a_connection_that_delivered_is_soon_made_again(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut every few seconds, it is away for a moment each time: the back-off does not pile up."""
    monkeypatch.setattr(line, "DELIVERED_SECONDS", 0.0)
    world = World(exchange)
    async with world.carrying(BTC):
        world.begin()
        for times in range(1, 5):
            await until(lambda times=times: len(exchange.asked) == times)  # type: ignore[misc]  # its default
            lost = len(world.told("connection.lost"))
            await exchange.send(OPEN)
            await exchange.connections[-1].close()
            await until(lambda lost=lost: len(world.told("connection.lost")) > lost)  # type: ignore[misc]  # the same
    assert [each["again_in"] for each in world.told("connection.lost")] == [0.2] * 4


async def test_without_a_connection_to_spare_the_old_one_goes_first(exchange: Exchange) -> None:
    """Where the exchange allows no more, its limit is kept rather than the overlap."""
    limits = Limits(source="invented", checked="", connections=1, attempts=Rate(100))
    world = World(exchange, limits=limits)
    async with world.carrying(BTC):
        await until(lambda: len(exchange.asked) == 1)
        await announce(exchange, "maintenance")
        await until(lambda: len(exchange.asked) == 2)
        assert exchange.connections[0].close_code is not None
    assert world.told("connection.replaced") == []


async def test_a_lifetime_is_not_waited_out(exchange: Exchange) -> None:
    """Shortly before the exchange would close a connection, another has taken its place."""
    limits = Limits(source="invented", checked="", attempts=Rate(100), lifetime=0.2)
    world = World(exchange, limits=limits)
    async with world.carrying(BTC):
        await until(lambda: len(exchange.asked) == 1)
        await exchange.send(OPEN)
        await until(lambda: len(exchange.asked) == 2)
        await exchange.send(OPEN)
        await until(lambda: bool(world.told("connection.replaced")))
    assert world.told("connection.replaced")[0]["reason"] == "its lifetime is nearly over"


async def test_a_failing_successor_leaves_the_old_one_alone(exchange: Exchange) -> None:
    """A successor that ends at once is tried again, and the old connection goes on delivering."""
    world = World(exchange)
    async with world.carrying(BTC):
        world.begin()
        await until(lambda: len(exchange.asked) == 1)
        await exchange.send(OPEN)
        await announce(exchange, "maintenance")
        await until(lambda: len(exchange.asked) == 2)
        await exchange.connections[1].close()
        await exchange.connections[0].send(json.dumps({"candles": [OPEN]}))
        await until(lambda: world.flow.tally.received == 2)
        await until(lambda: len(exchange.asked) == 3)
        assert exchange.connections[0].close_code is None


async def test_ledgers_are_told_when_their_stream_begins_and_ends(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins when it delivers, not when it is confirmed, and ends with its connection."""
    monkeypatch.setattr(line, "LOOK_SECONDS", 0.02)
    told: list[str] = []
    monkeypatch.setattr(
        Ledger, "stream_begins", lambda book, _: told.append(f"{book.subscription} begins")
    )
    monkeypatch.setattr(
        Ledger, "stream_ends", lambda book, _: told.append(f"{book.subscription} ends")
    )
    world = World(exchange)
    async with world.carrying(BTC, ETH):
        await until(lambda: len(exchange.asked) == 1)
        await exchange.send(OPEN)
        await until(lambda: told == [f"{BTC} begins"])
        await exchange.connections[0].close()
        await until(lambda: told == [f"{BTC} begins", f"{BTC} ends"])


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is suspect after a tenth of a second, and looked at often."""
    monkeypatch.setattr(freshness, "SHORTEST", 0.1)
    monkeypatch.setattr(freshness, "PACE", 0.1)
    monkeypatch.setattr(line, "LOOK_SECONDS", 0.02)


@pytest.mark.usefixtures("impatient")
async def test_a_dead_stream_is_healed(exchange: Exchange) -> None:
    """Silent although REST moves: subscribed again, then its connection is replaced."""

    def unsubscribe(_: object, channels: list[str], request_id: int, now: float) -> list[Any]:
        return [{"subscribe": [], "id": request_id, "not": channels, "at": now}]

    world = World(exchange, unsubscribe_messages=unsubscribe, **ROOMY)
    bar = grid_of("1m").floor(START)
    world.rest.reply = lambda _: RestReply(200, {}, orjson.dumps([[bar, 7]]))
    async with world.carrying(BTC):
        world.begin()
        await until(lambda: len(exchange.connections) == 2)
    assert [each["step"] for each in world.told("stream.silent")][:2] == [
        "resubscribe",
        "reconnect",
    ]


@pytest.mark.usefixtures("impatient")
async def test_a_channel_that_waits_to_be_asked_for_is_not_silent(exchange: Exchange) -> None:
    """Where limits make subscribing slow, silence counts from the request on."""
    slow = Limits(
        source="invented", checked="", attempts=Rate(100), subscriptions=2, messages=Rate(1.25, 60)
    )
    world = World(exchange, limits=slow)
    world.rest.reply = lambda _: RestReply(200, {}, b"[]")
    async with world.carrying(BTC, ETH):
        world.begin()
        await until(lambda: len(world.rest.asked) >= 3)
    (channel,) = (channel for channels in exchange.asked for channel in channels)
    assert {f"{each.trading_pair}@{each.interval}" for each in world.rest.asked} == {channel}


@pytest.mark.usefixtures("impatient")
async def test_a_quiet_market_is_left_alone(exchange: Exchange) -> None:
    """Silent as REST is, too: nothing is done, and the probes become rarer."""
    world = World(exchange, **ROOMY)
    world.rest.reply = lambda _: RestReply(200, {}, b"[]")
    async with world.carrying(BTC):
        world.begin()
        await until(lambda: len(world.rest.asked) >= 2)
    assert world.told("stream.silent") == []
    assert len(exchange.connections) == 1


@pytest.mark.usefixtures("impatient")
async def test_only_the_silent_stream_is_asked_about(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What delivers is left alone while its neighbour is probed."""
    monkeypatch.setattr(freshness, "SHORTEST", 1.5)
    world = World(exchange)
    world.rest.reply = lambda _: RestReply(200, {}, b"[]")
    async with world.carrying(BTC, ETH):
        world.begin()
        await until(lambda: bool(exchange.asked))
        while not world.rest.asked:
            before = world.flow.tally.received
            await exchange.send(OPEN)
            await until(lambda before=before: world.flow.tally.received > before)  # type: ignore[misc]  # its default
    assert {request.trading_pair for request in world.rest.asked} == {"ETH-USDT"}
