"""Misbehaviours of REST, of the address, and of the clock: pure, and over real sockets."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import websockets

from connectors.sandbox.dialect import Channel, HttpReply, World
from connectors.sandbox.market import Stretch
from tests.sandbox.pretend import (
    DIALECTS,
    FIVE_MINUTES,
    NOON,
    ONE_MINUTE,
    candle,
    connected,
    fault,
    world,
)
from tests.sandbox.wired import BTC, KLINES, Client, closed_bars, eventually, heard, ticket

SPOT = DIALECTS["binance_spot"]
REPLY = HttpReply([], trading_pair="BTC-USDT", interval="1m")


def at(real: float) -> World:
    """The world of Binance at a real time."""
    return world(SPOT, real=real)


async def served(client: Client) -> bool:
    """Whether a request is answered again."""
    return (await client.get(KLINES, symbol="BTCUSDT", interval="1m"))[0] == 200


# --- rate_limit, ban, server_error


@pytest.mark.parametrize(
    ("wish", "headers"),
    [
        ({}, {"Retry-After": "3"}),
        ({"retry_after": True}, {"Retry-After": "3"}),
        ({"retry_after": 9}, {"Retry-After": "9"}),
        ({"retry_after": False}, {}),
    ],
)
def test_rate_limit(wish: dict[str, Any], headers: dict[str, str]) -> None:
    """Replies become 429, with Retry-After as asked for: the exchange's habit, if nothing is."""
    limit = fault("rate_limit", duration=3, **wish)

    found = limit.reply(REPLY, SPOT, at(100.5))

    assert found.status == 429
    assert found.headers == headers
    assert limit.reply(REPLY, SPOT, at(103)) == REPLY


def test_rate_limit_where_no_header_is_usual() -> None:
    """An exchange that tells no Retry-After tells none here, unless asked to."""
    coinbase = DIALECTS["coinbase_advanced_trade"]

    assert not fault("rate_limit").reply(REPLY, coinbase, at(101)).headers
    assert fault("rate_limit", retry_after=2).reply(REPLY, coinbase, at(101)).headers


def test_server_error() -> None:
    """Matching replies become errors of the 500s; others stay."""
    error = fault("server_error", match="BTC-USDT:1m", seed=3)
    other = HttpReply([], trading_pair="ETH-USDT", interval="1m")

    found = {error.reply(REPLY, SPOT, at(101)).status for _ in range(50)}

    assert found == {500, 502, 503, 504}
    assert error.reply(other, SPOT, at(101)) == other


@pytest.mark.parametrize("wish", [{}, {"retry_after": 4}, {"retry_after": False}])
async def test_rate_limit_over_http(slow: Client, wish: dict[str, object]) -> None:
    """REST is refused for a while, with or without Retry-After, then served again."""
    await slow.fault("rate_limit", market="binance_spot", duration=1.0, **wish)
    url = f"{slow.sandbox.url}{KLINES}?symbol=BTCUSDT&interval=1m&limit=1"

    async with slow.http.get(url) as reply:
        found = reply.status, (await reply.json())["code"], reply.headers.get("Retry-After")

    wait = {False: None, 4: "4"}.get(wish.get("retry_after"), "1")  # type: ignore[call-overload]  # as JSON gives it
    assert found == (429, -1003, wait)

    await eventually(lambda: served(slow))
    assert (await slow.journal("binance_spot"))["overstepped"] == []


async def test_server_error_over_http(slow: Client) -> None:
    """REST requests fail with an error of the 500s; other markets are served."""
    await slow.fault("server_error", market="binance_spot")

    async with slow.http.get(slow.sandbox.url + KLINES) as reply:
        assert reply.status in {500, 502, 503, 504}
    assert (await slow.get("/binance_us/api/v3/exchangeInfo"))[0] == 200


@pytest.mark.parametrize(
    ("market", "path", "status"),
    [
        ("binance_spot", KLINES, 418),
        ("okx_spot", "/okx_spot/api/v5/public/instruments", 403),
        ("kucoin_spot", "/kucoin_spot/api/v2/symbols", 403),
        ("coinbase_exchange", "/coinbase_exchange/products", 403),
    ],
)
@pytest.mark.parametrize(("told", "header"), [(True, "60"), (False, None), (90, "90")])
async def test_ban(
    slow: Client, market: str, path: str, status: int, told: object, header: str | None
) -> None:
    """Requests are refused with the exchange's status, with Retry-After or without."""
    await slow.fault("ban", market=market, retry_after=told)

    async with slow.http.get(slow.sandbox.url + path) as reply:
        assert (reply.status, reply.headers.get("Retry-After")) == (status, header)


async def test_ban_refuses_connections(fast: Client) -> None:
    """While it lasts nobody gets in; who is in stays; then all is well."""
    socket = await fast.subscribed(BTC)
    await fast.fault("ban", market="binance_spot", duration=0.4, retry_after=False)

    with pytest.raises(websockets.InvalidStatus) as refused:
        await fast.connect()

    assert refused.value.response.status_code == 418
    assert json.loads(refused.value.response.body or b"")["code"] == -1003
    assert await closed_bars(socket, 2)
    await eventually(lambda: served(fast))
    await (await fast.connect()).close()
    assert (await fast.journal("binance_spot"))["overstepped"] == []
    await socket.close()


# --- slow


def test_slow_spares_what_is_told() -> None:
    """Replies, frames or both are late, while it acts and where it matches."""
    both, rest, frames = (
        fault("slow", delay=3, duration=5, match="BTC-USDT:1m", **wish)
        for wish in ({}, {"frames": False}, {"rest": False})
    )

    assert [one.holds(REPLY, 101) for one in (both, rest, frames)] == [3, 3, 0]
    assert [one.lag(ONE_MINUTE, 101) for one in (both, rest, frames)] == [3, 0, 3]
    assert both.lag(FIVE_MINUTES, 101) == both.lag(ONE_MINUTE, 106) == both.holds(REPLY, 106) == 0


async def test_slow_replies(slow: Client) -> None:
    """A reply is late, and is as old as its request; other markets are not late."""
    await slow.fault("slow", market="binance_spot", delay=0.5)
    began = time.monotonic()
    await slow.get("/binance_us/api/v3/exchangeInfo")
    assert time.monotonic() - began < 0.5
    began = time.monotonic()
    _, body = await slow.get("/binance_spot/api/v3/exchangeInfo")
    _, clock = await slow.get("/-/clock")

    assert time.monotonic() - began >= 0.5
    assert clock["now"] - body["serverTime"] / 1_000 >= 0.49


async def test_slow_frames_keep_their_order(fast: Client) -> None:
    """Frames come late, in order, also when the fault ends while some are held; none is lost."""
    socket = await fast.subscribed(BTC)
    name = await fast.fault("slow", market="binance_spot", delay=0.5, rest=False)
    bars = await closed_bars(socket, 5)
    message = await heard(socket)
    now = (await fast.get("/-/clock"))[1]["now"]
    assert now - message["data"]["E"] / 1_000 >= 0.45 * 600
    await fast.end(name)
    bars += await closed_bars(socket, 15)

    slots = [bar["t"] // 60_000 for bar in bars]
    assert slots == list(range(slots[0], slots[0] + 20))
    await socket.close()


# --- pages of candles


_BOUNDS = {"startTime": (NOON - 3_000) * 1_000, "endTime": (NOON - 1) * 1_000}
_PAGES: dict[str, tuple[str, dict[str, object], str | None]] = {
    "binance_spot": (KLINES, {"symbol": "BTCUSDT", "interval": "1m", **_BOUNDS}, None),
    "okx_spot": (
        "/okx_spot/api/v5/market/candles",
        {"instId": "BTC-USDT", "bar": "1m", "after": NOON * 1_000, "limit": 50},
        "data",
    ),
    "kucoin_spot": (
        "/kucoin_spot/api/v1/market/candles",
        {"symbol": "BTC-USDT", "type": "1min", "startAt": NOON - 3_000, "endAt": NOON - 1},
        "data",
    ),
    "kucoin_perpetual": (
        "/kucoin_perpetual/api/v1/kline/query",
        {
            "symbol": "XBTUSDTM",
            "granularity": 1,
            "from": (NOON - 3_000) * 1_000,
            "to": (NOON - 1) * 1_000,
        },
        "data",
    ),
    "coinbase_advanced_trade": (
        "/coinbase_advanced_trade/api/v3/brokerage/market/products/BTC-USD/candles",
        {"granularity": "ONE_MINUTE", "start": NOON - 3_000, "end": NOON - 1},
        "candles",
    ),
    "coinbase_exchange": (
        "/coinbase_exchange/products/BTC-USD/candles",
        {"granularity": 60, "start": NOON - 3_000, "end": NOON - 1},
        None,
    ),
}


async def _page(client: Client, market: str) -> list[Any]:
    path, query, key = _PAGES[market]
    status, body = await client.get(path, **query)
    assert status == 200, body
    rows: list[Any] = body if key is None else body[key]
    return rows


@pytest.mark.parametrize("market", list(_PAGES))
async def test_duplicate_rows(slow: Client, market: str) -> None:
    """Some rows come twice, next to each other, on every exchange; nothing else changes."""
    rows = await _page(slow, market)
    name = await slow.fault("duplicate_rows", market=market, seed=3)
    doubled = await _page(slow, market)
    await slow.end(name)

    assert len(rows) == 50
    assert 50 < len(doubled) < 100
    once = [row for before, row in zip([None, *doubled], doubled, strict=False) if row != before]
    assert once == rows == await _page(slow, market)


def test_duplicate_rows_deep_inside() -> None:
    """Rows are doubled where the reply says that they are: some keys down, or in columns."""
    nested = HttpReply({"result": {"ok": True, "list": [1, 2, 3]}}, rows="result.list")
    columns = HttpReply({"result": {"ok": "yes", "ticks": [1, 2], "open": [5, 6]}}, rows="result")
    doubling = fault("duplicate_rows", seed=3)

    deep: Any = doubling.reply(nested, SPOT, at(101)).body
    wide: Any = doubling.reply(columns, SPOT, at(101)).body

    assert deep["result"]["ok"] is True
    assert sorted(set(deep["result"]["list"])) == [1, 2, 3] != deep["result"]["list"]
    assert wide["result"]["ok"] == "yes"
    assert len(wide["result"]["ticks"]) > 2
    assert [tick + 4 for tick in wide["result"]["ticks"]] == wide["result"]["open"]


@pytest.mark.parametrize("market", list(_PAGES))
async def test_wrong_page(slow: Client, market: str) -> None:
    """Rows of an earlier range come; the stream is not touched, other intervals neither."""
    rows = await _page(slow, market)
    name = await slow.fault("wrong_page", market=market, match="*:1m", seed=5)
    wrong = await _page(slow, market)
    await slow.end(name)

    assert len(wrong) == len(rows)
    assert wrong != rows
    assert await _page(slow, market) == rows


def test_wrong_page_is_earlier() -> None:
    """The range is moved by whole bars, by the seed."""
    one, same = (fault("wrong_page", duration=3, seed=1) for _ in "ab")
    asked = Stretch(NOON, NOON + 600, NOON + 700)
    seen = one.history(asked, "BTC-USDT", "1m", 60, 101)

    assert seen == same.history(asked, "BTC-USDT", "1m", 60, 101)
    away = asked.first - seen.first
    assert away == asked.last - seen.last
    assert 60 <= away <= 120_000
    assert away % 60 == 0
    assert one.history(asked, "BTC-USDT", "1m", 60, 103) == asked


def test_behind_is_as_it_stood() -> None:
    """What is read is as of `lag` real seconds ago, in market time."""
    behind = fault("rest_behind", speed=60, lag=0.5, duration=3)
    asked = Stretch(NOON, NOON + 600, NOON + 700)

    seen = behind.history(asked, "BTC-USDT", "1m", 60, 101)
    assert seen == Stretch(NOON, NOON + 600, NOON + 670)
    assert behind.history(asked, "BTC-USDT", "1m", 60, 103) == asked


async def test_rest_behind(fast: Client) -> None:
    """The newest closed bars are missing or have less volume, and are right again after."""
    socket = await fast.subscribed(BTC)
    name = await fast.fault("rest_behind", market="binance_spot", lag=0.35)
    bar = (await closed_bars(socket, 3))[-1]
    query = {"symbol": "BTCUSDT", "interval": "1m"}
    start = bar["t"] - 4 * 60_000
    _, behind = await fast.get(KLINES, **query, startTime=start, endTime=bar["t"])
    await fast.end(name)
    _, rows = await fast.get(KLINES, **query, startTime=start, endTime=bar["t"])

    assert ticket(dict(zip("tohlcvTqnVQ", rows[-1], strict=False))) == ticket(bar)
    assert len(rows) == 5
    assert len(behind) < 5
    assert behind[:-1] == rows[: len(behind) - 1]
    assert behind[-1][8] < rows[len(behind) - 1][8]
    await socket.close()


async def test_truncated(slow: Client) -> None:
    """A reply is cut off somewhere: it is no JSON, and the begin of the true one."""
    path, query, _ = _PAGES["binance_spot"]
    url, params = slow.sandbox.url + path, {name: str(value) for name, value in query.items()}
    async with slow.http.get(url, params=params) as reply:
        whole = await reply.read()
    await slow.fault("truncated", market="binance_spot", match="BTC-USDT:1m")
    async with slow.http.get(url, params=params) as reply:
        cut = await reply.read()
        assert reply.status == 200

    assert 0 < len(cut) < len(whole)
    assert whole.startswith(cut)
    with pytest.raises(json.JSONDecodeError):
        json.loads(cut)
    assert (await slow.get(path, **{**query, "symbol": "ETHUSDT"}))[0] == 200


# --- clock_offset


@pytest.mark.parametrize("offset", [600, -90.5])
async def test_clock_offset(slow: Client, offset: float) -> None:
    """The Date header and event times are off, bars are not; then the clock is right again."""
    name = await slow.fault("clock_offset", market="binance_spot", offset=offset)
    socket = await slow.subscribed(BTC)
    frame = (await heard(socket))["data"]
    date = await _date(slow)
    _, clock = await slow.get("/-/clock")
    await slow.end(name)

    assert frame["E"] / 1_000 - clock["now"] == pytest.approx(offset, abs=2)
    assert date - clock["now"] == pytest.approx(offset, abs=2)
    assert NOON <= frame["k"]["t"] / 1_000 <= clock["now"]
    assert await _date(slow) - clock["now"] == pytest.approx(0, abs=2)
    await socket.close()


async def _date(client: Client) -> float:
    url = f"{client.sandbox.url}{KLINES}?symbol=BTCUSDT&interval=1m&limit=1"
    async with client.http.get(url) as reply:
        return parsedate_to_datetime(reply.headers["Date"]).timestamp()


@pytest.mark.parametrize(
    ("market", "path", "where"),
    [
        ("binance_perpetual", "/market/ws", ("E",)),
        ("kucoin_spot", "/", ("data", "time")),
        ("kucoin_perpetual", "/", ("data", "time")),
        ("coinbase_advanced_trade", "/", ("timestamp",)),
    ],
)
def test_event_times_follow_the_clock(market: str, path: str, where: tuple[str, ...]) -> None:
    """With a wrong clock a frame differs in its event time alone."""
    dialect = DIALECTS[market]
    right = world(dialect)
    pair = "BTC-USD" if "coinbase" in market else "BTC-USDT"
    bar = right.market.current(pair, "5m", right.now.market)
    channel = Channel("c", pair, "5m", NOON)
    frames = [
        candle(connected(dialect, path, around), channel, bar, around)
        for around in (right, replace(right, offset=600.0))
    ]

    times = []
    for frame in frames:
        *outer, last = where
        for name in outer:
            frame = frame[name]  # noqa: PLW2901 - a step down the path
        times.append(frame.pop(last))
    assert times[0] != times[1]
    assert frames[0] == frames[1]
