"""Misbehaviours of connections and subscriptions: pure, and over real sockets."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
import websockets
from websockets.asyncio.client import ClientConnection

from connectors.sandbox.dialect import Channel
from connectors.sandbox.faults_socket import ShutdownNotice
from tests.sandbox.pretend import (
    DIALECTS,
    FIVE_MINUTES,
    NOON,
    ONE_MINUTE,
    fault,
    push,
    world,
)
from tests.sandbox.wired import (
    BTC,
    ETH,
    Client,
    closed_bars,
    ended,
    eventually,
    heard,
)

SPOT_MARKET = DIALECTS["binance_spot"]
FRAME = '{"e":"kline"}'


# --- drop


def test_drop_strikes_what_matches() -> None:
    """A drop hits what carries a matching subscription; without a match, everybody."""
    drop = fault("drop", match="BTC-USDT:1m")

    assert drop.strikes([FIVE_MINUTES, ONE_MINUTE])
    assert not drop.strikes([FIVE_MINUTES])
    assert fault("drop").strikes([])


def test_drop_may_keep_everybody_out() -> None:
    """With a duration nobody gets in again before it ends."""
    drop = fault("drop", duration=3)
    refusals = [
        drop.turns_away(SPOT_MARKET, world(SPOT_MARKET, real=real)) for real in (100, 102.9, 103)
    ]

    assert [refusal is not None for refusal in refusals] == [True, True, False]


async def test_drop(fast: Client) -> None:
    """Dropped connections end without a goodbye, each time, and new ones are let in."""
    for _ in range(2):
        socket = await fast.subscribed(BTC)
        await fast.fault("drop", market="binance_spot")
        assert await ended(socket) is None

    socket = await fast.subscribed(BTC)
    assert await closed_bars(socket, 3)
    connections = (await fast.journal("binance_spot"))["connections"]
    assert [line["closed_at"] is None for line in connections] == [False, False, True]
    assert (await fast.get("/-/faults"))[1]["active"] == []
    await socket.close()


async def test_drop_hits_what_matches(fast: Client) -> None:
    """A drop with a match leaves other connections and other markets alone."""
    hit = await fast.subscribed(BTC)
    spared = await fast.subscribed(ETH)
    other = await fast.subscribed(BTC, path="/binance_us/stream")

    await fast.fault("drop", market="binance_spot", match="BTC-USDT:1m")

    assert await ended(hit) is None
    assert await closed_bars(spared, 3)
    assert await closed_bars(other, 3)
    await spared.close()
    await other.close()


async def test_drop_with_an_outage(fast: Client) -> None:
    """With a duration nobody gets in until it ends."""
    socket = await fast.subscribed(BTC)
    await fast.fault("drop", market="binance_spot", duration=0.3)
    assert await ended(socket) is None

    with pytest.raises(websockets.InvalidStatus) as refused:
        await fast.connect()

    assert refused.value.response.status_code == 503

    async def over() -> bool:
        return not (await fast.get("/-/faults"))[1]["active"]

    await eventually(over)
    socket = await fast.subscribed(BTC)
    await socket.close()


# --- half_open


async def test_half_open(fast: Client) -> None:
    """Nothing comes any more nor is answered, not even pings and the close; TCP stays."""
    hit = await fast.subscribed(BTC)
    spared = await fast.subscribed(ETH)
    name = await fast.fault("half_open", market="binance_spot", match="BTC-USDT:1m")

    await closed_bars(spared, 5)
    async with fast.http.get(f"{fast.sandbox.url}/-/faults") as reply:
        assert name not in [line["id"] for line in (await reply.json())["active"]]
    await _drained(hit)
    pong = await hit.ping()
    await hit.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 9}))
    await closed_bars(spared, 5)

    assert not pong.done()
    assert await _drained(hit) == []
    assert hit.state is websockets.State.OPEN
    assert [line["closed_at"] for line in await _connections(fast)] == [None, None]
    hit.close_timeout = 0.1
    await hit.close()
    await spared.close()


async def test_half_open_is_left_by_the_client(fast: Client) -> None:
    """When the client hangs up, the sandbox notices; new connections are well."""
    hit = await fast.subscribed(BTC)
    await fast.fault("half_open", market="binance_spot")
    await eventually(lambda: _frozen(fast))
    hit.transport.abort()

    async def gone() -> bool:
        return [line["closed_at"] is None for line in await _connections(fast)] == [False]

    await eventually(gone)
    fresh = await fast.subscribed(BTC)
    await closed_bars(fresh, 2)
    await fresh.close()


async def test_half_open_for_a_while(slow: Client) -> None:
    """With a duration new connections are accepted and stay dead, until it ends."""
    await slow.fault("half_open", market="binance_spot", duration=0.5)
    dead = await slow.connect()
    await dead.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 1}))

    async def over() -> bool:
        return not (await slow.get("/-/faults"))[1]["active"]

    await eventually(over)
    alive = await slow.subscribed(BTC)
    assert await _drained(dead) == []
    dead.close_timeout = 0.1
    await dead.close()
    await alive.close()


async def _frozen(client: Client) -> bool:
    return not (await client.get("/-/faults"))[1]["active"]


async def _connections(client: Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await client.journal("binance_spot"))["connections"]
    return found


async def _drained(socket: ClientConnection) -> list[object]:
    """What has arrived and was not read yet."""
    found: list[object] = []
    while True:
        try:
            found.append(await asyncio.wait_for(socket.recv(), 0.05))
        except TimeoutError:
            return found


# --- token_expired


async def _kucoin(client: Client, token: str) -> ClientConnection:
    return await client.connect(f"/kucoin_spot/?token={token}&connectId=c")


async def _token(client: Client) -> str:
    url = f"{client.sandbox.url}/kucoin_spot/api/v1/bullet-public"
    async with client.http.post(url) as reply:
        return str((await reply.json())["data"]["token"])


async def test_token_expired(slow: Client) -> None:
    """The connection is ended, its token refused, and a new one is good."""
    token = await _token(slow)
    socket = await _kucoin(slow, token)
    assert (await heard(socket))["type"] == "welcome"
    await slow.fault("token_expired", market="kucoin_spot")

    error = {"id": "c", "type": "error", "code": 401}
    assert await heard(socket) == {**error, "data": "token is expired"}
    assert await ended(socket) == 1000
    again = await _kucoin(slow, token)
    assert await heard(again) == {**error, "data": "token is invalid"}
    assert await ended(again) == 1000
    fresh = await _token(slow)
    assert fresh != token
    socket = await _kucoin(slow, fresh)
    assert (await heard(socket))["type"] == "welcome"
    await socket.close()


# --- shutdown_notice


def test_notice_time_is_market_time_unless_told() -> None:
    """The exchange's own notice time is scaled, one that is ordered is real."""

    class Told:
        seconds = 0.0

        def leave(self, seconds: float) -> None:
            self.seconds = seconds

    told = Told()
    for wish, seconds in (({}, 1.0), ({"notice": 7}, 7.0)):
        fault("shutdown_notice", speed=60, **wish).hit(told, DIALECTS["okx_spot"])  # type: ignore[arg-type]  # made up for the test
        assert told.seconds == seconds
    assert ShutdownNotice.unfit(DIALECTS["coinbase_advanced_trade"])


@pytest.mark.parametrize(
    ("path", "notice"),
    [
        ("/binance_spot/stream", {"stream": "!serverShutdown", "data": {"e": "serverShutdown"}}),
        ("/binance_us/ws", {"e": "serverShutdown"}),
        ("/okx_spot/ws/v5/business", {"event": "notice", "code": "64008"}),
    ],
)
async def test_shutdown_notice(slow: Client, path: str, notice: dict[str, Any]) -> None:
    """The exchange's notice comes, then its close when the time is over; new ones are let in."""
    socket = await slow.connect(path)
    began = time.monotonic()
    await slow.fault("shutdown_notice", market=path.split("/")[1], notice=0.4)

    found = await heard(socket)

    assert found.get("data", {}).pop("E", NOON) >= NOON
    for name, value in notice.items():
        assert found[name] == value
    assert time.monotonic() - began < 0.4
    fresh = await slow.connect(path)
    assert await ended(socket) == 1001
    assert time.monotonic() - began >= 0.39
    assert fresh.state is websockets.State.OPEN
    await fresh.close()


# --- silent_subscription, refuse


def test_silence_stays_with_the_subscription() -> None:
    """A silenced subscription stays silent after the fault; a new one of the same name speaks."""
    silence = fault("silent_subscription", duration=3, match="BTC-USDT:1m")
    asked_anew = Channel("btc", "BTC-USDT", "1m", NOON)

    assert silence.frames([FRAME], push(), 101) == []
    assert silence.frames([FRAME], push(), 200) == []
    assert silence.frames([FRAME], push(asked_anew), 200) == [FRAME]
    assert not silence.over(200)


def test_refuse_while_it_acts() -> None:
    """Matching subscriptions are refused, as long as the fault acts."""
    refuse = fault("refuse", duration=3, match="*:1m")

    assert refuse.refuses("BTC-USDT", "1m", 101)
    assert not refuse.refuses("BTC-USDT", "5m", 101)
    assert not refuse.refuses("BTC-USDT", "1m", 104)


async def test_silent_subscription(fast: Client) -> None:
    """One subscription is confirmed and never served, the others on the connection are."""
    await fast.fault("silent_subscription", market="binance_spot", match="BTC-USDT:1m")
    socket = await fast.subscribed(BTC, ETH)

    bars = await closed_bars(socket, 6)

    assert {bar["s"] for bar in bars} == {"ETHUSDT"}
    await socket.close()


async def test_refuse(fast: Client) -> None:
    """A subscription is refused as the exchange refuses."""
    await fast.fault("refuse", market="binance_spot", match="BTC-USDT:*")
    socket = await fast.connect()
    await socket.send(json.dumps({"method": "SUBSCRIBE", "params": [BTC, ETH], "id": 4}))

    error = {"code": 2, "msg": "Invalid request: invalid stream"}
    assert await heard(socket) == {"error": error, "id": 4}
    await socket.close()
