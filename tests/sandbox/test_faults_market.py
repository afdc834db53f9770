"""Misbehaviours that change the truth: for all who ask, and for all intervals alike."""

from __future__ import annotations

import json
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from connectors.sandbox.dialect import Moment
from connectors.sandbox.faults import Fault
from connectors.sandbox.market import Bar, Market
from tests.sandbox.pretend import DIALECTS, NOON, fault
from tests.sandbox.test_market import sums
from tests.sandbox.wired import (
    BTC,
    KLINES,
    Client,
    closed_bars,
    eventually,
    heard,
    silent,
    ticket,
)

BEGIN, END = NOON - 7_200, NOON + 7_200
TRUTH = "/-/truth/binance_spot/BTC-USDT/1m"


def market_of(name: str = "binance_spot") -> Market:
    """A market of its own."""
    dialect = DIALECTS[name]
    return Market(name, dialect.listings, dialect.intervals, seed=7, upcoming=dialect.upcoming)


PLAIN = market_of()


def turn(one: Fault, market: Market, at: float) -> None:
    """Let it strike at a market time."""
    now = Moment(at, 100 + at - NOON)
    one.strike(now)
    one.change(market, DIALECTS["binance_spot"], now)


def page(market: Market, pair: str, interval: str = "1m", at: float = END) -> list[Bar]:
    """The bars of two hours before and after noon."""
    return list(market.bars(pair, interval, BEGIN, END - 1, at))


def agree(market: Market, pair: str) -> None:
    """Longer bars are the sums of the shorter ones."""
    for long, short in (("5m", "1m"), ("1h", "1m"), ("15m", "5m")):
        for bar in page(market, pair, long):
            parts = list(market.bars(pair, short, bar.open_time, bar.close_time - 1, END))
            traded = [part for part in parts if part.trades]
            assert sums([bar]) == sums(traded or parts)


def rows_as_truth(rows: list[list[Any]]) -> list[dict[str, float]]:
    """Rows of Binance's history as the truth has them."""
    return [ticket(dict(zip("tohlcvTqnVQ", row, strict=False))) for row in rows]


async def same_everywhere(client: Client, bars: list[dict[str, Any]]) -> None:
    """Live bars are what history and truth have."""
    first, last = bars[0]["t"], bars[-1]["t"]
    query = {"symbol": "BTCUSDT", "interval": "1m", "startTime": first, "endTime": last}
    _, rows = await client.get(KLINES, **query)
    _, truth = await client.get(TRUTH, start=first // 1_000, end=last // 1_000 + 1)
    shown = [{**bar, "revision": 0} for bar in truth["candles"]]
    assert rows_as_truth(rows) == shown == [ticket(bar) for bar in bars]


# --- no_trades


def test_no_trades_while_it_acts() -> None:
    """Bars are flat from its begin to its end, and as before besides; all intervals agree."""
    market = market_of()
    quiet = fault("no_trades", match="BTC-USDT:1m", duration=600)
    turn(quiet, market, NOON + 90)
    turn(quiet, market, NOON + 690)

    bars = {bar.open_time: bar for bar in page(market, "BTC-USDT")}
    assert [n for n in range(-120, 120) if not bars[NOON + 60 * n].trades] == list(range(2, 11))
    flat = bars[NOON + 180]
    assert {flat.open, flat.high, flat.low, flat.close} == {bars[NOON + 60].close}
    assert list(bars.values())[:121] == page(PLAIN, "BTC-USDT")[:121]
    assert page(market, "ETH-USDT") == page(PLAIN, "ETH-USDT")
    agree(market, "BTC-USDT")


def test_states_of_the_past_do_not_change() -> None:
    """What was seen before a halt began is what is seen of that time after."""
    market = market_of()
    seen = market.state("BTC-USDT", "1m", NOON, NOON + 29.9)
    turn(fault("no_trades"), market, NOON + 30)

    assert market.state("BTC-USDT", "1m", NOON, NOON + 29.9) == seen
    half = market.state("BTC-USDT", "1m", NOON, NOON + 30)
    assert market.bar("BTC-USDT", "1m", NOON).trades == half.trades


async def test_no_trades(fast: Client) -> None:
    """Live, history and truth are flat alike; when it is deleted, trades go on."""
    socket = await fast.subscribed(BTC)
    await closed_bars(socket, 2)
    name = await fast.fault("no_trades", market="binance_spot", match="BTC-USDT")
    bars = await closed_bars(socket, 6)
    await fast.end(name)
    bars += await closed_bars(socket, 6)

    trades = [bar["n"] for bar in bars]
    assert trades[3:6] == [0, 0, 0]
    assert all(trades[-3:])
    await same_everywhere(fast, bars)
    await socket.close()


async def test_no_trades_where_quiet_bars_are_left_out(fast: Client) -> None:
    """Coinbase has no such bars, on neither of its markets, as they have one order book."""
    await fast.fault("no_trades", market="coinbase_exchange", match="BTC-USD")
    since = (await fast.get("/-/clock"))[1]["now"] + 60

    async def later() -> bool:
        return bool((await fast.get("/-/clock"))[1]["now"] > since + 1_200)

    await eventually(later)
    for market in ("coinbase_exchange", "coinbase_advanced_trade"):
        _, still = await fast.get(f"/-/truth/{market}/BTC-USD/1m", start=since)
        _, busy = await fast.get(f"/-/truth/{market}/ETH-USD/1m", start=since)
        assert still["candles"] == []
        assert len(busy["candles"]) > 15


# --- late_correction


def test_correction_is_of_the_newest_old_enough() -> None:
    """The newest bar changes that closed long enough ago, and the longer bars around it."""
    market = market_of()
    turn(fault("late_correction", match="BTC-USDT:1m", age=30, seed=3), market, NOON + 629)

    pages = page(market, "BTC-USDT"), page(PLAIN, "BTC-USDT")
    assert [new.open_time for new, old in zip(*pages, strict=True) if new != old] == [NOON + 480]
    ((before, after),) = market.closed("BTC-USDT", "1m", NOON + 480, NOON + 481, END)
    assert before == PLAIN.bar("BTC-USDT", "1m", NOON + 480)
    assert (after.open, after.close) == (before.open, before.close)
    assert (after.trades, after.final) == (before.trades + 2, True)
    assert after.volume > before.volume
    ((_, five_minutes),) = market.closed("BTC-USDT", "5m", NOON + 300, NOON + 301, END)
    assert five_minutes.trades == PLAIN.bar("BTC-USDT", "5m", NOON + 300).trades + 2
    ((hour,),) = market.closed("BTC-USDT", "1h", NOON, NOON + 1, END)
    assert hour.trades == PLAIN.bar("BTC-USDT", "1h", NOON).trades + 2
    agree(market, "BTC-USDT")
    assert page(market, "ETH-USDT") == page(PLAIN, "ETH-USDT")


def test_correction_is_not_known_before() -> None:
    """As of a time before the correction, all stands as it did."""
    market = market_of()
    turn(fault("late_correction"), market, NOON + 629)

    assert page(market, "BTC-USDT", at=NOON + 628) == page(PLAIN, "BTC-USDT", at=NOON + 628)
    closed = list(market.closed("BTC-USDT", "1m", NOON, END, NOON + 628))
    assert [len(revisions) for revisions in closed] == [1] * 10


def test_corrections_are_drawn_by_the_seed() -> None:
    """The same seed corrects alike, another one otherwise."""
    found = []
    for seed in (1, 1, 2):
        market = market_of()
        turn(fault("late_correction", seed=seed), market, NOON + 629)
        found.append(page(market, "BTC-USDT"))

    assert found[0] == found[1] != found[2]


def test_quiet_pairs_are_corrected_where_they_had_trades() -> None:
    """No bar without trades gets any: the exchange has as many bars as before."""
    market = market_of()
    turn(fault("late_correction", match="ALGO-USDT:1m"), market, NOON + 629)
    new, old = page(market, "ALGO-USDT"), page(PLAIN, "ALGO-USDT")

    assert new != old
    assert [bar.open_time for bar in new if bar.trades] == [
        bar.open_time for bar in old if bar.trades
    ]


def test_the_end_of_late_corrections_corrects_nothing() -> None:
    """A deleted order changes no further bar: nobody would be told of it."""
    market = market_of()
    order = fault("late_correction", match="BTC-USDT:1m")
    turn(order, market, NOON + 629)
    before = page(market, "BTC-USDT")
    order.finish()
    order.change(market, DIALECTS["binance_spot"], Moment(NOON + 829, 300))
    assert before == page(market, "BTC-USDT")


async def test_late_correction(fast: Client) -> None:
    """History and truth have the new values, truth both revisions; no frame tells of it."""
    socket = await fast.subscribed(BTC)
    first = (await closed_bars(socket, 3))[0]["t"] // 1_000
    wish = {"market": "binance_spot", "match": "BTC-USDT:1m", "age": 60}
    await fast.fault("late_correction", **wish)
    bars = await closed_bars(socket, 3)
    last = bars[-1]["t"] // 1_000
    _, newest = await fast.get(TRUTH, start=first - 600, end=last)
    _, every = await fast.get(TRUTH, start=first - 600, end=last, history=1)
    (revised,) = [bar for bar in newest["candles"] if bar["revision"]]
    both = [bar for bar in every["candles"] if bar["open_time"] == revised["open_time"]]

    assert [bar["revision"] for bar in both] == [0, 1]
    assert both[1] == revised
    assert both[0]["volume"] < revised["volume"]
    assert len(every["candles"]) == len(newest["candles"]) + 1
    start = revised["open_time"] * 1_000
    _, rows = await fast.get(KLINES, symbol="BTCUSDT", interval="1m", startTime=start, limit=1)
    assert rows_as_truth(rows) == [{**revised, "revision": 0}]
    assert start not in {bar["t"] for bar in bars}
    await socket.close()


async def test_correction_on_the_stream_where_wanted(fast: Client) -> None:
    """Where it is ordered, a frame with the new values comes."""
    socket = await fast.subscribed(BTC)
    bars = await closed_bars(socket, 4)
    await fast.fault("late_correction", market="binance_spot", age=60, resent=True)
    while len({bar["t"] for bar in bars}) == len(bars):
        bars += await closed_bars(socket, 1)

    again = bars[-1]
    before = next(bar for bar in bars if bar["t"] == again["t"])
    assert again["n"] == before["n"] + 2
    await same_everywhere(fast, [again])
    await socket.close()


async def test_coinbase_sends_corrections(fast: Client) -> None:
    """On Coinbase an older candle comes again, unasked."""
    socket = await fast.connect("/coinbase_advanced_trade")
    wish = {"type": "subscribe", "product_ids": ["BTC-USD"], "channel": "candles"}
    await socket.send(json.dumps(wish))
    starts: list[int] = []
    while len(set(starts)) < 4:
        starts += await _updates(socket)
    await fast.fault("late_correction", market="coinbase_advanced_trade", match="BTC-USD:5m")
    while not starts or starts[-1] == max(starts):
        starts += await _updates(socket)

    assert starts[-1] in {max(starts) - 300, max(starts) - 600}
    await socket.close()


async def _updates(socket: ClientConnection) -> list[int]:
    events = [event for event in (await heard(socket))["events"] if event.get("type") == "update"]
    return [int(candle["start"]) for event in events for candle in event["candles"]]


# --- delist, list


def test_delisted_pair_has_no_more_bars() -> None:
    """The running bar is the last one, with the trades that it had."""
    market = market_of()
    turn(fault("delist", match="BTC-USDT"), market, NOON + 90)
    bars = page(market, "BTC-USDT")

    assert bars[-1].open_time == NOON + 60
    assert bars[:-1] == page(PLAIN, "BTC-USDT")[: len(bars) - 1]
    assert bars[-1].trades == PLAIN.state("BTC-USDT", "1m", NOON + 60, NOON + 90).trades
    assert bars == market.latest("BTC-USDT", "1m", END, END, len(bars))
    assert not market.trades("BTC-USDT")
    assert "BTC-USDT" in market.listings
    assert page(market, "ETH-USDT") == page(PLAIN, "ETH-USDT")
    agree(market, "BTC-USDT")


def test_relisted_pair_has_a_hole() -> None:
    """When the fault ends the pair goes on, without the bars between."""
    market = market_of()
    one = fault("delist", match="BTC-USDT", duration=600, vanish=True)
    turn(one, market, NOON + 90)
    assert "BTC-USDT" not in market.listings
    assert "BTCUSDT" not in market.symbols
    turn(one, market, NOON + 690)

    slots = {(bar.open_time - NOON) // 60 for bar in page(market, "BTC-USDT")}
    assert set(range(-120, 120)) - slots == set(range(2, 11))
    assert market.symbols["BTCUSDT"].trading_pair == "BTC-USDT"
    agree(market, "BTC-USDT")


def test_one_pair_by_the_seed() -> None:
    """Without a match one pair ends, the same for the same seed."""
    gone = []
    for seed in (1, 1, 2, 3, 4):
        market = market_of()
        turn(fault("delist", seed=seed), market, NOON)
        gone += set(PLAIN.listings) - set(market.books(trading=True))

    assert len(gone) == 5
    assert gone[0] == gone[1]
    assert len(set(gone)) > 1


def test_aliases_end_with_their_book() -> None:
    """Coinbase's other names of a product end with it."""
    market = market_of("coinbase_advanced_trade")
    turn(fault("delist", match="BTC-USD"), market, NOON)

    assert not market.trades("BTC-USD")
    assert not market.trades("BTC-USDC")
    assert market.trades("ETH-USDC")


def test_upcoming_pair_is_listed() -> None:
    """A new pair begins with the running bar; when the fault ends, it ends."""
    market = market_of()
    one = fault("list", match="SUI-USDT", duration=600)
    assert not market.was_listed("SUI-USDT")
    turn(one, market, NOON + 90)

    bars = page(market, "SUI-USDT", at=NOON + 300)
    assert [bar.open_time for bar in bars] == [NOON + 60 * n for n in range(1, 6)]
    assert bars[0].first_trade == 0
    assert market.latest("SUI-USDT", "1m", END, NOON + 300, 500) == bars
    (day,) = market.latest("SUI-USDT", "1d", END, NOON + 300, 500)
    assert day.open_time == NOON - 43_200
    turn(one, market, NOON + 690)
    assert page(market, "SUI-USDT")[-1].open_time == NOON + 660
    assert market.books(trading=False) == ["SUI-USDT", "NEAR-USDT"]
    agree(market, "SUI-USDT")


_BINANCE = ("symbols", "symbol", "status")
_OKX = ("data", "instId", "state")
_INSTRUMENTS: dict[str, tuple[str, tuple[str, str, str], object, object]] = {
    "binance_spot": ("/api/v3/exchangeInfo", _BINANCE, "TRADING", "BREAK"),
    "binance_us": ("/api/v3/exchangeInfo", _BINANCE, "TRADING", "BREAK"),
    "binance_perpetual": ("/fapi/v1/exchangeInfo", _BINANCE, "TRADING", "SETTLING"),
    "okx_spot": ("/api/v5/public/instruments?instType=SPOT", _OKX, "live", "suspend"),
    "okx_perpetual": ("/api/v5/public/instruments?instType=SWAP", _OKX, "live", "suspend"),
    "kucoin_spot": ("/api/v2/symbols", ("data", "symbol", "enableTrading"), True, False),
    "kucoin_perpetual": (
        "/api/v1/contracts/active",
        ("data", "symbol", "status"),
        "Open",
        "Closed",
    ),
    "coinbase_advanced_trade": (
        "/api/v3/brokerage/market/products",
        ("products", "product_id", "status"),
        "online",
        "delisted",
    ),
    "coinbase_exchange": ("/products", ("", "id", "status"), "online", "delisted"),
}


async def _statuses(client: Client, market: str) -> dict[str, object]:
    path, (rows, name, status), _, _ = _INSTRUMENTS[market]
    async with client.http.get(f"{client.sandbox.url}/{market}{path}") as reply:
        body = await reply.json()
    return {row[name]: row[status] for row in (body[rows] if rows else body)}


def _market(client: Client, name: str) -> Market:
    return client.sandbox.sites[name].market


async def _ends(client: Client, market: str, pair: str) -> None:
    async def ended() -> bool:
        return not _market(client, market).trades(pair)

    await eventually(ended)


async def _begins(client: Client, market: str, pair: str) -> None:
    async def begun() -> bool:
        return _market(client, market).trades(pair)

    await eventually(begun)


@pytest.mark.parametrize("market", list(_INSTRUMENTS))
async def test_instruments_tell(slow: Client, market: str) -> None:
    """Instruments tell the end in the exchange's word, the vanished not at all, and new ones."""
    _, _, live, over = _INSTRUMENTS[market]
    quote = "USD" if "coinbase" in market else "USDT"
    btc, eth = (_market(slow, market).listings[f"{base}-{quote}"].symbol for base in ("BTC", "ETH"))
    before = await _statuses(slow, market)
    await slow.fault("delist", market=market, match=f"BTC-{quote}")
    await slow.fault("delist", market=market, match=f"ETH-{quote}", vanish=True)
    await slow.fault("list", market=market, match="SUI-*")
    await _begins(slow, market, f"SUI-{quote}")
    after = await _statuses(slow, market)

    assert (before[btc], after[btc]) == (live, over)
    assert eth not in after
    (new,) = after.keys() - before.keys()
    assert (new[:3], after[new]) == ("SUI", live)
    touched = {name for name in before if name.startswith((btc, eth))}
    same = before.keys() - touched
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    _, pairs = await slow.get(f"/-/pairs/{market}")
    told = {row["trading_pair"] for row in pairs["pairs"]}
    assert {f"BTC-{quote}", f"ETH-{quote}", f"SUI-{quote}"} & told == {f"SUI-{quote}"}


async def test_delist(fast: Client) -> None:
    """The stream falls silent after the last bar; history stays, and is the truth."""
    socket = await fast.subscribed(BTC)
    last = (await closed_bars(socket, 2))[-1]["t"]
    await fast.fault("delist", market="binance_spot", match="BTC-USDT")
    while not await silent(socket, 0.5):
        pass
    _, rows = await fast.get(KLINES, symbol="BTCUSDT", interval="1m", startTime=last)
    _, truth = await fast.get(TRUTH, start=last // 1_000)

    assert 1 <= len(rows) < 10
    assert rows_as_truth(rows) == truth["candles"]
    await socket.close()


async def test_vanished(slow: Client) -> None:
    """A pair that has vanished is unknown to requests, and its truth is still told."""
    await slow.fault("delist", market="binance_spot", match="BTC-USDT", vanish=True)
    await _ends(slow, "binance_spot", "BTC-USDT")

    reply = await slow.get(KLINES, symbol="BTCUSDT", interval="1m")
    assert reply == (400, {"code": -1121, "msg": "Invalid symbol."})
    status, truth = await slow.get(TRUTH, start=NOON - 600)
    assert (status, len(truth["candles"])) == (200, 10)


async def test_vanishing_under_a_subscription(fast: Client) -> None:
    """Who is subscribed gets the last bar, then silence; the connection lives."""
    socket = await fast.subscribed(BTC)
    await closed_bars(socket, 1)
    await fast.fault("delist", market="binance_spot", match="BTC-USDT", vanish=True)
    while not await silent(socket, 0.5):
        pass

    await socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 9}))
    assert await heard(socket) == {"result": [BTC], "id": 9}
    await socket.close()


async def test_ended_channels_are_refused_where_they_are(slow: Client) -> None:
    """OKX refuses a channel of an ended pair; Binance confirms it."""
    for market in ("okx_spot", "binance_spot"):
        await slow.fault("delist", market=market, match="BTC-USDT")
        await _ends(slow, market, "BTC-USDT")
    okx = await slow.connect("/okx_spot/ws/v5/business")
    argument = {"channel": "candle1m", "instId": "BTC-USDT"}
    await okx.send(json.dumps({"op": "subscribe", "args": [argument]}))

    assert (await heard(okx))["code"] == "60018"
    binance = await slow.subscribed(BTC)
    await okx.close()
    await binance.close()


async def test_list(fast: Client) -> None:
    """A new pair is streamed and in history from its first bar on."""
    path = "/-/truth/binance_spot/SUI-USDT/1m"
    assert (await fast.get(path))[0] == 404
    await fast.fault("list", market="binance_spot", match="SUI-USDT")
    await _begins(fast, "binance_spot", "SUI-USDT")
    socket = await fast.subscribed("suiusdt@kline_1m")
    bars = await closed_bars(socket, 3)
    last = bars[-1]["t"]
    _, rows = await fast.get(KLINES, symbol="SUIUSDT", interval="1m", endTime=last)
    _, truth = await fast.get(path, end=last / 1_000 + 1)

    assert rows_as_truth(rows) == truth["candles"]
    assert rows_as_truth(rows[-3:]) == [ticket(bar) for bar in bars]
    assert len(rows) < 60
    await socket.close()
