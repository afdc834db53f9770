"""Misbehaviours of the candle frames: pure, and over real sockets."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections import Counter

import pytest
from websockets.asyncio.client import ClientConnection

from connectors.sandbox.dialect import Moment
from connectors.sandbox.faults import Fault
from connectors.sandbox.faults_stream import garbled
from tests.sandbox.pretend import FIVE_MINUTES, NOON, ONE_MINUTE, fault, push
from tests.sandbox.wired import (
    BTC,
    ETH,
    KLINES,
    PATIENCE,
    SPOT,
    Client,
    closed_bars,
    heard,
    silent,
    ticket,
)

FRAME = '{"e":"kline","k":{"o":"97250.10","x":true}}'


# --- stall


def test_stall_holds_candles_back() -> None:
    """While it stalls no matching candle comes, then they come again."""
    stall = fault("stall", duration=3, match="BTC-*")

    assert stall.frames([FRAME], push(), 101) == []
    assert stall.frames([FRAME], push(FIVE_MINUTES), 101) == [FRAME]
    assert stall.frames([FRAME], push(), 103) == [FRAME]


async def test_stall(fast: Client) -> None:
    """A stalled connection answers and sends no candle; what closed meanwhile never comes."""
    socket = await fast.subscribed(BTC)
    before = (await closed_bars(socket, 2))[-1]
    name = await fast.fault("stall", market="binance_spot")
    while not await silent(socket, 0.4):
        pass

    await socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 9}))
    assert await heard(socket) == {"result": [BTC], "id": 9}
    await fast.end(name)

    after = (await closed_bars(socket, 1))[0]
    assert after["t"] > before["t"] + 120_000
    await socket.close()


# --- repeat, reorder


@pytest.mark.parametrize(("kind", "sizes"), [("repeat", {2, 3}), ("reorder", {1})])
def test_when_copies_go(kind: str, sizes: set[int]) -> None:
    """While it acts, frames go as often and as late as the seed says; then once and at once."""
    one, same, other = (fault(kind, duration=3, delay=0.5, seed=seed) for seed in (1, 1, 2))
    drawn = [[each.copies(ONE_MINUTE, 101) for _ in range(50)] for each in (one, same, other)]

    assert drawn[0] == drawn[1] != drawn[2]
    assert {len(copies) for copies in drawn[0]} == sizes
    delays = [delay for copies in drawn[0] for delay in copies]
    assert min(delays) == 0
    assert 0.3 < max(delays) <= 0.5
    assert one.copies(ONE_MINUTE, 103) == (0.0,)
    assert fault(kind, match="BTC-USDT").copies(FIVE_MINUTES, 101) == (0.0,)


async def _frames(socket: ClientConnection, closed: int) -> list[str]:
    """All candle frames until so many different bars are closed."""
    found: list[str] = []
    bars: set[int] = set()
    while len(bars) < closed:
        raw = await asyncio.wait_for(socket.recv(), PATIENCE)
        bar = json.loads(raw)["data"]["k"]
        found.append(str(raw))
        if bar["x"]:
            bars.add(bar["t"])
    return found


def _closes(frames: list[str]) -> list[int]:
    bars = [json.loads(frame)["data"]["k"] for frame in frames]
    return [bar["t"] // 60_000 for bar in bars if bar["x"]]


async def test_repeat(fast: Client) -> None:
    """Frames come again, exactly the same, some of them after later ones; none is missing."""
    await fast.fault("repeat", market="binance_spot", match="BTC-USDT:1m", delay=0.5)
    socket = await fast.subscribed(BTC)
    spared = await fast.subscribed(ETH)

    frames = await _frames(socket, 20)

    times = Counter(frames)
    assert max(times.values()) >= 2
    closes = _closes(frames)
    assert sorted(closes) != closes
    assert sorted(set(closes)) == list(range(min(closes), max(closes) + 1))
    assert max(Counter(await _frames(spared, 5)).values()) == 1
    await socket.close()
    await spared.close()


async def test_reorder(fast: Client) -> None:
    """Frames overtake each other; each comes once, those that were held also after the fault."""
    name = await fast.fault("reorder", market="binance_spot", delay=0.5)
    socket = await fast.subscribed(BTC)
    frames = await _frames(socket, 20)
    await fast.end(name)
    frames += await _frames(socket, 20)

    assert max(Counter(frames).values()) == 1
    closes = _closes(frames)
    assert sorted(closes[:20]) != closes[:20]
    assert closes[-10:] == list(range(closes[-10], closes[-10] + 10))
    whole = set(range(min(closes), max(closes[:20])))
    assert whole <= set(closes)
    await socket.close()


# --- skip_candle


def _skipped(skip: Fault, minutes: range, pair: str = "BTC-USDT") -> list[int]:
    return [n for n in minutes if skip.skips(pair, "1m", NOON + 60 * n, 101)]


def test_skip_takes_the_next_bars() -> None:
    """Without a period the next `count` bars are skipped that open after the order."""
    skip = fault("skip_candle", count=2, match="BTC-USDT:1m")
    assert _skipped(skip, range(5)) == []
    skip.strike(Moment(NOON + 30, 100))

    assert _skipped(skip, range(2)) == [1]
    assert _skipped(skip, range(4)) == [1, 2]
    assert not skip.over(101)
    assert _skipped(skip, range(5), "ETH-USDT") == []
    assert _skipped(skip, range(5)) == [1, 2]
    assert skip.over(101)


def test_skip_takes_one_each_time() -> None:
    """With a period one bar is skipped at each occurrence, of each matching pair."""
    skip = fault("skip_candle", every=5, count=2)
    skip.strike(Moment(NOON + 30, 105))
    assert _skipped(skip, range(4)) == [1]
    skip.strike(Moment(NOON + 230, 110))

    assert _skipped(skip, range(1, 8)) == [1, 4]
    assert _skipped(skip, range(3, 8), "ETH-USDT") == [4]
    assert skip.over(110)


async def test_skip_candle(fast: Client) -> None:
    """No frame of the bar comes, on no connection; history and truth have it."""
    one, two = await fast.subscribed(BTC), await fast.subscribed(BTC, ETH)
    await closed_bars(one, 1)
    await fast.fault("skip_candle", market="binance_spot", match="BTC-USDT:1m", count=2)
    frames = [json.loads(frame)["data"]["k"] for frame in await _frames(one, 12)]

    slots = [bar["t"] // 60_000 for bar in frames]
    first, last = min(slots), max(slots)
    missing = sorted(set(range(first, last)) - set(slots))
    assert len(missing) == 2
    start = missing[0] * 60_000
    _, rows = await fast.get(KLINES, symbol="BTCUSDT", interval="1m", startTime=start, limit=2)
    bounds = {"start": start // 1_000, "end": start // 1_000 + 120}
    _, truth = await fast.get("/-/truth/binance_spot/BTC-USDT/1m", **bounds)
    assert [row[0] // 60_000 for row in rows] == missing
    shown = [ticket(dict(zip("tohlcvTqnVQ", row, strict=False))) for row in rows]
    assert truth["candles"] == shown
    other = [json.loads(raw)["data"]["k"] for raw in await _frames(two, 20)]
    assert not {bar["t"] // 60_000 for bar in other if bar["s"] == "BTCUSDT"} & set(missing)
    assert {bar["t"] // 60_000 for bar in other if bar["s"] == "ETHUSDT"} >= set(missing)
    assert (await fast.get("/-/faults"))[1]["active"] == []
    await one.close()
    await two.close()


async def test_skipped_bar_is_in_no_frame_of_another(fast: Client) -> None:
    """OKX carries the new bar beside the one that closes: not the skipped one."""
    socket = await fast.connect("/okx_spot/ws/v5/business")
    argument = {"channel": "candle1m", "instId": "BTC-USDT"}
    await fast.fault("skip_candle", market="okx_spot", count=8)
    await socket.send(json.dumps({"op": "subscribe", "args": [argument]}))
    assert (await heard(socket))["event"] == "subscribe"

    slots: list[int] = []
    while not slots or slots[-1] < slots[0] + 12 * 60_000:
        slots += [int(row[0]) for row in (await heard(socket))["data"][::-1]]

    gaps = {after - before for before, after in itertools.pairwise(slots)}
    assert gaps <= {0, 60_000, 9 * 60_000}
    assert 9 * 60_000 in gaps
    await socket.close()


# --- garble, giant, bomb


def test_garble_breaks_as_many_as_asked_for() -> None:
    """Without a period the next `count` matching frames are broken, and no more."""
    garble = fault("garble", count=2, match="BTC-USDT")

    frames = [
        garble.frames([FRAME], push(channel), 101)
        for channel in (ONE_MINUTE, FIVE_MINUTES, ONE_MINUTE, ONE_MINUTE)
    ]

    assert [found == [FRAME] for found in frames] == [False, True, False, True]
    assert garble.over(101)


def test_garble_breaks_one_each_time() -> None:
    """With a period one frame is broken in each."""
    garble = fault("garble", every=5)

    frames = [garble.frames([FRAME], push(), now) for now in (101, 106, 107, 111)]

    assert [found == [FRAME] for found in frames] == [True, False, True, False]


def test_garbled_is_never_the_frame() -> None:
    """Whatever is drawn, no price can be read off it; text stays text."""
    luck = random.Random(1)

    for _ in range(300):
        found = garbled(FRAME, luck)
        assert isinstance(found, str)
        with pytest.raises((ValueError, KeyError, TypeError, IndexError)):
            float(json.loads(found)["k"]["o"])
    assert isinstance(garbled(FRAME.encode(), luck), bytes)


def test_same_seed_same_garble() -> None:
    """The seed decides how frames are broken."""
    one, same, other = (fault("garble", seed=seed) for seed in (1, 1, 2))
    found = [[f.frames([FRAME], push(), 101)[0] for _ in range(10)] for f in (one, same, other)]

    assert found[0] == found[1] != found[2]


async def test_garble(fast: Client) -> None:
    """So many frames are broken as were ordered, and the connection lives on."""
    await fast.fault("garble", market="binance_spot", count=5, seed=11)
    socket = await fast.subscribed(BTC)
    good: list[float] = []
    bad: list[str | bytes] = []

    while len(good) < 10:
        raw = await asyncio.wait_for(socket.recv(), PATIENCE)
        try:
            good.append(float(json.loads(raw)["data"]["k"]["c"]))
        except (ValueError, KeyError, TypeError):
            bad.append(raw)

    assert len(bad) == 5
    await socket.close()


def test_giant_is_the_frame_with_blanks() -> None:
    """One frame is padded, unless more are ordered, and means what it meant."""
    giant = fault("giant", size=1_000)
    frames = [giant.frames([FRAME], push(), 101)[0] for _ in range(2)]

    assert [len(frame) for frame in frames] == [1_000, len(FRAME)]
    assert json.loads(frames[0]) == json.loads(FRAME)
    assert giant.over(101)
    assert len(fault("giant").frames([b"{}"], push(), 101)[0]) == 8 * 2**20
    assert len(fault("bomb").frames(["{}"], push(), 101)[0]) == 32 * 2**20


async def test_giant(fast: Client) -> None:
    """One frame is oversized: a client with a bound closes, one without reads on."""
    await fast.fault("giant", market="binance_spot", size=2**21, count=2)
    bounded = await fast.subscribed(BTC)
    await asyncio.wait_for(bounded.wait_closed(), PATIENCE)
    assert bounded.protocol.close_sent is not None
    assert bounded.protocol.close_sent.code == 1009

    sizes: list[int] = []
    async with fast.http.ws_connect(fast.sandbox.url + SPOT, max_msg_size=0) as socket:
        await socket.send_json({"method": "SUBSCRIBE", "params": [BTC], "id": 1})
        while len(sizes) < 10:
            sizes.append(len(str((await socket.receive(PATIENCE)).data)))
    assert sizes.count(2**21) == 1


async def test_bomb(fast: Client) -> None:
    """Where messages are compressed, a small one on the wire becomes a huge one."""
    size = 2**22
    await fast.fault("bomb", market="coinbase_advanced_trade", size=size)
    async with fast.http.ws_connect(
        f"{fast.sandbox.url}/coinbase_advanced_trade", max_msg_size=0, compress=15
    ) as socket:
        assert socket.compress
        wish = {"type": "subscribe", "product_ids": ["BTC-USD"], "channel": "candles"}
        await socket.send_json(wish)
        sizes: list[int] = []
        while size not in sizes:
            sizes.append(len(str((await socket.receive(PATIENCE)).data)))
        assert max(sizes[:-1]) < 10_000
        assert (await socket.receive_json(timeout=PATIENCE))["channel"] == "candles"


async def test_messages_are_compressed_as_the_exchange_does(slow: Client) -> None:
    """Those who may compress do when they are asked to; the others never do."""
    for path, compresses in ((SPOT, False), ("/coinbase_advanced_trade", True)):
        url = slow.sandbox.url + path
        async with slow.http.ws_connect(url, compress=15) as asked:
            assert bool(asked.compress) == compresses
        async with slow.http.ws_connect(url) as plain:
            assert not plain.compress
