"""The whole sandbox over real sockets: what a client sees, and what it is told below `/-/`."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from email.utils import parsedate_to_datetime

import aiohttp
import pytest
import websockets
from websockets.asyncio.client import connect

from connectors.sandbox.binance import BinanceConversation
from connectors.sandbox.dialect import Limits, ServerPing
from connectors.sandbox.server import Sandbox, dialects, serve
from tests.sandbox.pretend import NOON
from tests.sandbox.wired import (
    BTC,
    ETH,
    KLINES,
    PATIENCE,
    SPOT,
    Client,
    closed_bars,
    ended,
    eventually,
    heard,
    ticket,
)

# --- candles


@pytest.mark.parametrize(
    ("market", "path"),
    [
        ("binance_spot", "/stream"),
        ("binance_us", "/stream"),
        ("binance_perpetual", "/market/stream"),
    ],
)
async def test_closed_bars_are_the_truth(fast: Client, market: str, path: str) -> None:
    """Every bar is closed by one frame, none is left out, and each is exactly the truth."""
    socket = await fast.subscribed(BTC, path=f"/{market}{path}")

    bars = await closed_bars(socket, 20)

    first, last = bars[0]["t"] // 1_000, bars[-1]["t"] // 1_000
    truth = await fast.get(f"/-/truth/{market}/BTC-USDT/1m", start=first, end=last + 1)
    assert truth == (200, {"candles": [ticket(bar) for bar in bars]})
    await socket.close()


async def test_history_is_the_truth(fast: Client) -> None:
    """History has the same bars as the truth, as far as they are closed."""
    query = {"symbol": "ALGOUSDT", "interval": "5m", "startTime": (NOON - 9_000) * 1_000}
    _, rows = await fast.get(KLINES, **query, endTime=(NOON - 1) * 1_000)
    _, truth = await fast.get("/-/truth/binance_spot/ALGO-USDT/5m", start=NOON - 9_000, end=NOON)

    assert len(rows) == 30
    for row, bar in zip(rows, truth["candles"], strict=True):
        assert ticket(dict(zip("tohlcvTqnVQ", row, strict=False))) == bar


async def test_truth_as_the_exchange_shows_it(slow: Client) -> None:
    """The truth lacks bars that the exchange leaves out, and figures that it never sends."""
    bounds = {"start": NOON - 6_000, "end": NOON}
    _, coinbase = await slow.get("/-/truth/coinbase_exchange/ALGO-USD/1m", **bounds)
    _, binance = await slow.get("/-/truth/binance_spot/ALGO-USDT/1m", **bounds)

    assert 0 < len(coinbase["candles"]) < 100 == len(binance["candles"])
    assert {bar["quote_asset_volume"] for bar in coinbase["candles"]} == {None}
    assert {bar["n_trades"] for bar in coinbase["candles"]} == {None}
    assert 0 in {bar["n_trades"] for bar in binance["candles"]}


async def test_truth_knows_no_open_bar(fast: Client) -> None:
    """What is not closed is not told, whatever end is asked for."""
    path = "/-/truth/binance_spot/BTC-USDT/1m"
    _, before = await fast.get("/-/clock")
    _, truth = await fast.get(path, start=NOON - 120, end=NOON + 9e6)
    _, after = await fast.get("/-/clock")

    closes = [bar["close_time"] for bar in truth["candles"]]
    assert closes[0] == NOON - 60
    assert before["now"] - 60 <= closes[-1] <= after["now"]


async def test_coinbase_streams_five_minutes(fast: Client) -> None:
    """Coinbase sends a snapshot, a confirmation, then updates of one bar after the other."""
    socket = await fast.connect("/coinbase_advanced_trade")
    wish = {"type": "subscribe", "product_ids": ["BTC-USD"], "channel": "candles"}
    await socket.send(json.dumps(wish))

    messages = [await heard(socket) for _ in range(4)]

    kinds = [message["events"][0].get("type") for message in messages]
    assert kinds == ["snapshot", None, "update", "update"]
    assert [message["sequence_num"] for message in messages] == [0, 1, 2, 3]
    await socket.close()


async def test_heartbeats_come(fast: Client) -> None:
    """What a dialect sends by its own timer comes without anything else happening."""
    socket = await fast.connect("/coinbase_advanced_trade")
    await socket.send(json.dumps({"type": "subscribe", "channel": "heartbeats"}))

    assert [(await heard(socket))["channel"] for _ in range(2)] == ["subscriptions", "heartbeats"]
    await socket.close()


async def test_dialect_that_fails_is_heard_of(
    fast: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error in a dialect ends the connection and is logged; it is no silence."""
    monkeypatch.setattr(BinanceConversation, "candle", lambda *_: 1 / 0)
    socket = await fast.subscribed(BTC)

    assert await ended(socket) != 1000
    assert "ZeroDivisionError" in caplog.text


async def test_dates_are_market_time(fast: Client) -> None:
    """The Date header of a reply is market time."""
    _, before = await fast.get("/-/clock")
    query = "?symbol=BTCUSDT&interval=1m&limit=1"
    async with fast.http.get(fast.sandbox.url + KLINES + query) as reply:
        date = parsedate_to_datetime(reply.headers["Date"]).timestamp()
        assert reply.headers["X-MBX-USED-WEIGHT-1M"] == "2"
    _, after = await fast.get("/-/clock")

    assert before["speed"] == 600
    assert before["now"] - 1 <= date <= after["now"]


# --- limits


async def test_too_many_messages(slow: Client) -> None:
    """The sixth message within a second closes the connection, and the journal tells."""
    socket = await slow.connect()
    for number in range(6):
        await socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))

    assert await ended(socket) == 1008

    (line,) = (await slow.journal("binance_spot"))["overstepped"]
    assert (line["limit"], line["allowed"], line["seen"]) == ("messages", 5, 6)
    assert line["market"] == "binance_spot"
    assert line["at"] >= NOON


async def test_pings_count_as_messages(slow: Client) -> None:
    """On Binance a client's pings are answered, and count as messages."""
    socket = await slow.connect()
    await asyncio.wait_for(await socket.ping(), PATIENCE)
    for _ in range(5):
        await socket.ping()

    assert await ended(socket) == 1008


async def test_long_message_is_dropped(slow: Client) -> None:
    """A long message is dropped without an answer, and the journal tells."""
    socket = await slow.connect()
    await socket.send(json.dumps({"method": "SUBSCRIBE", "params": ["a" * 5_000], "id": 1}))
    await socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 2}))

    assert await heard(socket) == {"result": [], "id": 2}
    (line,) = (await slow.journal("binance_spot"))["overstepped"]
    assert line["limit"] == "message bytes"
    await socket.close()


async def test_too_many_attempts(slow: Client) -> None:
    """The ninth attempt within a second is refused, and the journal tells."""
    path = "/coinbase_advanced_trade"
    sockets = [await slow.connect(path) for _ in range(8)]

    with pytest.raises(websockets.InvalidStatus) as refused:
        await slow.connect(path)

    assert refused.value.response.status_code == 429
    (line,) = (await slow.journal("coinbase_advanced_trade"))["overstepped"]
    assert (line["limit"], line["seen"]) == ("attempts", 9)
    for socket in sockets:
        await socket.close()


async def test_too_many_connections(slow: Client) -> None:
    """A connection beyond the number allowed is refused; when one is gone there is room again."""
    site = slow.sandbox.sites["binance_spot"]
    site.dialect.limits = Limits(connections=1)
    first = await slow.connect()

    with pytest.raises(websockets.InvalidStatus):
        await slow.connect()

    async def alone() -> bool:
        return not site.connections

    await first.close()
    await eventually(alone)
    await (await slow.connect()).close()


async def test_too_much_weight(slow: Client) -> None:
    """Beyond the weight of a minute requests are refused with Retry-After."""
    path = "/binance_us/api/v3/exchangeInfo"
    statuses = Counter([(await slow.get(path))[0] for _ in range(60)])
    async with slow.http.get(slow.sandbox.url + path) as reply:
        refused, wait = reply.status, int(reply.headers["Retry-After"])

    assert statuses == {200: 60}
    assert refused == 429
    assert 0 < wait <= 60
    (line,) = (await slow.journal("binance_us"))["overstepped"]
    assert (line["limit"], line["allowed"], line["seen"]) == ("rest:weight", 1_200, 1_220)


async def test_pings_of_the_server(slow: Client) -> None:
    """The server pings; who answers stays, who does not is closed."""
    slow.sandbox.sites["binance_spot"].dialect.server_ping = ServerPing(every=0.1, patience=0.3)
    polite = await slow.connect()

    async with slow.http.ws_connect(slow.sandbox.url + SPOT, autoping=False) as rude:
        kinds = []
        while not rude.closed:
            kinds.append((await rude.receive(PATIENCE)).type)

    assert kinds.count(aiohttp.WSMsgType.PING) >= 2
    assert rude.close_code == 1008
    await polite.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 2}))
    assert await heard(polite) == {"result": [], "id": 2}
    await polite.close()


async def test_end_of_life(slow: Client) -> None:
    """A connection is closed when its life is over."""
    slow.sandbox.sites["binance_spot"].dialect.limits = Limits(lifetime=0.3)
    socket = await slow.connect()
    began = time.monotonic()

    assert await ended(socket) == 1001
    assert time.monotonic() - began >= 0.29


async def test_messages_by_address(slow: Client) -> None:
    """Where messages are counted by address, two connections share the number."""
    one, two = [await slow.connect("/coinbase_advanced_trade") for _ in range(2)]
    for number in range(9):
        await (one, two)[number % 2].send(
            json.dumps({"type": "subscribe", "channel": "heartbeats"})
        )

    ends = [asyncio.create_task(ended(socket)) for socket in (one, two)]
    (done,), _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    assert done.result() == 1008
    await one.close()
    await two.close()
    await asyncio.gather(*ends)


# --- faults


async def test_bad_orders(slow: Client) -> None:
    """A bad order is HTTP 400 with one sentence; an unknown fault cannot be ended."""
    url = f"{slow.sandbox.url}/-/faults"
    for body in ('{"kind":"explode"}', "drop", '{"kind":"drop","every":-1}'):
        async with slow.http.post(url, data=body) as reply:
            assert reply.status == 400
            sentence = (await reply.json())["error"]
            assert sentence
            assert "\n" not in sentence
    async with slow.http.delete(f"{url}/f99") as reply:
        assert reply.status == 404


# --- what is told


async def test_pairs(slow: Client) -> None:
    """The pairs tell their symbols, intervals, aliases, and which are quiet."""
    _, binance = await slow.get("/-/pairs/binance_spot")
    _, coinbase = await slow.get("/-/pairs/coinbase_advanced_trade")

    rows = {row["trading_pair"]: row for row in binance["pairs"]}
    assert rows["BTC-USDT"]["symbol"] == "BTCUSDT"
    assert {"1s", "1m", "1M"} <= set(rows["BTC-USDT"]["intervals"])
    assert rows["ALGO-USDT"]["quiet"]
    assert not rows["BTC-USDT"]["quiet"]
    aliases = {row["trading_pair"]: row["alias_of"] for row in coinbase["pairs"]}
    assert aliases["BTC-USDC"] == "BTC-USD"


async def test_every_market_lists_enough() -> None:
    """Each market found has ten pairs or more, one of them quiet, and an interval of a minute."""
    found = list(dialects())

    assert len({dialect.market for dialect in found}) == len(found) >= 5
    for dialect in found:
        assert len(dialect.listings) >= 10, dialect.market
        assert any(listing.quiet for listing in dialect.listings), dialect.market
        assert "1m" in dialect.intervals, dialect.market


async def test_journal_counts(slow: Client) -> None:
    """The journal tells connections, subscriptions, messages and requests, by market."""
    socket = await slow.subscribed(BTC, ETH)
    await slow.get(KLINES, symbol="BTCUSDT", interval="1m")

    journal = await slow.journal("binance_spot")

    (connection,) = journal["connections"]
    assert (connection["path"], connection["subscriptions"]) == ("/stream", 2)
    named = [(line["trading_pair"], line["interval"]) for line in journal["subscriptions"]]
    assert named == [("BTC-USDT", "1m"), ("ETH-USDT", "1m")]
    assert journal["messages"] == 1
    assert journal["requests"] == {"binance_spot/api/v3/klines": 1, "binance_spot/stream": 1}
    assert (await slow.journal("binance_us"))["connections"] == []
    assert len((await slow.get("/-/journal"))[1]["connections"]) == 1
    await socket.close()


@pytest.mark.parametrize(
    "path",
    [
        "/-/truth/nyse/BTC-USDT/1m",
        "/-/truth/binance_spot/NOPE-USDT/1m",
        "/-/truth/binance_spot/BTC-USDT/7m",
        "/-/pairs/nyse",
        "/-/journal?market=nyse",
        "/nyse/api",
        "/binance_spot/nowhere",
        "/binance_spot",
    ],
)
async def test_unknown(slow: Client, path: str) -> None:
    """What does not exist is 404."""
    async with slow.http.get(slow.sandbox.url + path) as reply:
        assert reply.status == 404


async def test_bad_bounds(slow: Client) -> None:
    """A bound that is no number is 400."""
    status, body = await slow.get("/-/truth/binance_spot/BTC-USDT/1m", start="noon")

    assert (status, body) == (400, {"error": "start must be UNIX seconds"})


# --- life


async def test_stopping_ends_connections() -> None:
    """Stopping cuts connections off, takes no time, and the port is free again."""
    sandbox = Sandbox(0)
    await sandbox.start()
    socket = await connect(sandbox.url.replace("http", "ws") + SPOT)

    began = time.monotonic()
    await sandbox.stop()

    assert time.monotonic() - began < 2
    assert await ended(socket) is None
    with pytest.raises(OSError, match="Connect call failed"):
        await connect(sandbox.url.replace("http", "ws") + SPOT)
    await sandbox.stop()


async def test_serve_runs_until_cancelled() -> None:
    """`serve` tells its address when it listens, and ends when it is cancelled."""
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve("127.0.0.1", 0, 60.0, 1, told.set_result))
    url = await asyncio.wait_for(told, PATIENCE)

    async with aiohttp.ClientSession() as http, http.get(f"{url}/-/clock") as reply:
        assert (await reply.json())["speed"] == 60

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_imports_no_adapter() -> None:
    """The sandbox is an independent witness: it imports no adapter."""
    program = (
        "import sys; from connectors.sandbox.server import dialects; list(dialects());"
        "print([name for name in sys.modules if name.startswith('connectors.exchanges')])"
    )

    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)  # noqa: S603 - our own program

    assert found.stdout.strip() == b"[]", found.stdout
