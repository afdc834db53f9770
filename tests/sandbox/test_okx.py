"""OKX's dialect, held against the recorded frames first and then met over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import websockets

from connectors.sandbox import okx
from connectors.sandbox.dialect import (
    Action,
    Close,
    Conversation,
    HttpReply,
    HttpRequest,
    Moment,
    Overstep,
    Push,
    Send,
    World,
)
from connectors.sandbox.market import Market
from connectors.sandbox.okx import DIALECTS, Okx, Quarters
from connectors.sandbox.server import Sandbox

WIRE = Path(__file__).parents[1] / "wire"
NOON = 1_795_348_800 + 42.5  # 2026-11-22, 42.5 s after a full minute
BUSINESS, PUBLIC = okx.CHANNELS
CANDLES, HISTORY = "/api/v5/market/candles", "/api/v5/market/history-candles"
INSTRUMENTS = "/api/v5/public/instruments"


def recorded(name: str) -> Any:
    """Return one item of `tests/wire/`, such as `okx_spot/10-ws-confirm`."""
    return json.loads((WIRE / f"{name}.json").read_text())


def shape(value: object) -> object:
    """Return keys in their order and the types of what they hold; rows count as one."""
    if isinstance(value, dict):
        return [(key, shape(held)) for key, held in value.items()]
    if isinstance(value, list):
        return (
            [shape(value[0])] if value and isinstance(value[0], list) else list(map(shape, value))
        )
    return type(value)


class Talk:
    """One dialect and its market at a chosen time, without sockets."""

    def __init__(self, market: str) -> None:
        spot, perpetual = (make() for make in DIALECTS)
        self.dialect: Okx = {"okx_spot": spot, "okx_perpetual": perpetual}[market]
        self.market = Market(market, self.dialect.listings, self.dialect.intervals)
        self.refuses: Callable[[str, str], bool] = lambda *_: False

    def world(self, market: float = NOON, real: float = 0.0) -> World:
        """Return the world at this market time and this real time."""
        here = f"127.0.0.1:1/{self.dialect.market}"
        moment = Moment(market, real)
        return World(moment, self.market, f"http://{here}", f"ws://{here}", self.refuses)

    def get(self, path: str, **query: object) -> HttpReply:
        """Ask by REST."""
        words = {name: str(value) for name, value in query.items()}
        return self.dialect.answer(HttpRequest("GET", path, words, {}), self.world())

    def rows(self, path: str, **query: object) -> list[list[str]]:
        """Ask by REST for rows and return them."""
        body: Any = self.get(path, **query).body
        assert body["code"] == "0", body
        rows: list[list[str]] = body["data"]
        return rows

    def connect(self, path: str = BUSINESS) -> Conversation:
        """Open a connection."""
        conversation = self.dialect.connect(HttpRequest("GET", path, {}, {}), self.world())
        assert isinstance(conversation, Conversation)
        return conversation

    def said(self, conversation: Conversation, message: object) -> list[Any]:
        """Send a message and return the frames of the answer."""
        return frames(conversation.received(json.dumps(message), self.world()))


@pytest.fixture
def spot() -> Talk:
    """OKX's spot market."""
    return Talk("okx_spot")


@pytest.fixture
def perpetual() -> Talk:
    """OKX's perpetual swaps."""
    return Talk("okx_perpetual")


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A sandbox on a free port, a minute of market time a second."""
    async with Sandbox(port=0, speed=60, seed=5, start=NOON) as running:
        yield running


def frames(actions: Iterable[Action]) -> list[Any]:
    """Return what is sent, parsed where it is JSON."""
    sent = [action.frame for action in actions if isinstance(action, Send)]
    return [frame if frame == "pong" else json.loads(frame) for frame in sent]


def wish(*channels: str, op: str = "subscribe", **more: object) -> dict[str, object]:
    """Return a request for channels written `candle1m:BTC-USDT`."""
    split = (channel.split(":") for channel in channels)
    args = [{"channel": channel, "instId": symbol} for channel, symbol in split]
    return {**more, "op": op, "args": args}


def without_connection(frame: dict[str, object]) -> list[tuple[str, object]]:
    """Return a frame's members in their order, but for the connection's own id."""
    return [(key, value) for key, value in frame.items() if key != "connId"]


# --- against the recordings


@pytest.mark.parametrize("item", ["10-ws-confirm", "12-ws-unsubscribe-confirm"])
def test_confirmation(spot: Talk, item: str) -> None:
    """A confirmation is the recorded one, but for the connection's id and the channel asked."""
    expected = recorded(f"okx_spot/{item}")["frame"]
    expected["arg"] = {"channel": "candle1Dutc", "instId": "BTC-USDT"}
    more = {"id": expected["id"]} if "id" in expected else {}
    request = wish("candle1Dutc:BTC-USDT", op=expected["event"], **more)

    [confirmation] = spot.said(spot.connect(), request)

    assert without_connection(expected) == without_connection(confirmation)
    assert len(expected["connId"]) == len(confirmation["connId"])


def test_wrong_path(spot: Talk) -> None:
    """A candle channel asked on the public path is answered as recorded in 2026."""
    item = recorded("okx_spot/19-ws-error-wrong-url-or-channel")

    [error] = spot.said(spot.connect(PUBLIC), item["request"]["sent"])

    assert without_connection(item["frame"]) == without_connection(error)


def test_invalid_request(spot: Talk) -> None:
    """A request that is not understood is quoted whole, as documented."""
    expected = recorded("okx_spot/13-ws-error-invalid-request")["frame"]
    request = '{"id": "1512", "op": "subscribe", "argss":[]}'

    [error] = frames(spot.connect().received(request, spot.world()))

    expected["msg"] = f"Invalid request: {request}"
    assert without_connection(expected) == without_connection(error)


def test_ping_is_text(spot: Talk) -> None:
    """The text ping is answered by the text pong."""
    ping, pong = (recorded(f"okx_spot/{name}")["frame"] for name in ("16-ws-ping", "17-ws-pong"))
    assert frames(spot.connect().received(ping, spot.world())) == [pong]


@pytest.mark.parametrize(
    ("item", "symbol", "closed"),
    [
        ("okx_spot/01-ws-candle-open", "BTC-USDT", False),
        ("okx_spot/02-ws-candle-closed", "BTC-USDT", True),
        ("okx_spot/04-ws-candle-closed-no-trades", "ALGO-USDT", True),
        ("okx_perpetual/03-ws-candle-open", "BTC-USDT-SWAP", False),
        ("okx_perpetual/04-ws-candle-two-rows-fixture", "BTC-USDT-SWAP", True),
    ],
)
def test_candle_frame(item: str, symbol: str, *, closed: bool) -> None:
    """A candle's frame has the recorded keys, order and types, and nine figures in plain text."""
    expected = recorded(item)["frame"]
    talk = Talk(item.partition("/")[0])

    [frame] = pushed(talk, symbol, expected["arg"]["channel"], closed=closed)

    parsed = json.loads(frame)
    assert shape(expected) == shape(parsed)
    assert {"channel": expected["arg"]["channel"], "instId": symbol} == parsed["arg"]
    assert parsed["data"][-1][8] == ("1" if closed else "0")
    for row in parsed["data"]:
        assert [str(Decimal(figure)) for figure in row] == row


def pushed(talk: Talk, symbol: str, channel: str, *, closed: bool, bars: int = 0) -> list[Any]:
    """Return the frames for one bar, `bars` bars after the one that runs at noon."""
    conversation = talk.connect()
    talk.said(conversation, wish(f"{channel}:{symbol}"))
    [served] = conversation.channels.values()
    grid = talk.dialect.intervals[served.interval]
    open_time = grid.floor(NOON)
    for _ in range(bars):
        open_time = grid.after(open_time)
    at = grid.after(open_time) + 1.0 if closed else open_time + 30.0
    bar = talk.market.state(served.trading_pair, served.interval, open_time, at)
    push = Push(served, bar, closed=closed, first=False)
    return list(conversation.candle(push, talk.world(at)))


def test_two_rows_at_the_end_of_a_bar(spot: Talk) -> None:
    """Of four bars' closing frames one carries the new bar too, newest first."""
    sent = [pushed(spot, "BTC-USDT", "candle1m", closed=True, bars=n) for n in range(4)]
    data = [json.loads(frame)["data"] for [frame] in sent]

    assert sorted(map(len, data)) == [1, 1, 1, 2]
    [(new, old)] = [rows for rows in data if len(rows) == 2]
    assert int(new[0]) == int(old[0]) + 60_000
    assert (new[8], old[8]) == ("0", "1")


@pytest.mark.parametrize(
    ("item", "path", "query"),
    [
        ("okx_spot/20-rest-candles-1h", CANDLES, {"instId": "BTC-USDT", "bar": "1H"}),
        ("okx_perpetual/20-rest-candles-1m-linear", HISTORY, {"instId": "BTC-USDT-SWAP"}),
        ("okx_perpetual/21-rest-candles-1m-inverse", CANDLES, {"instId": "BTC-USD-SWAP"}),
    ],
)
def test_rest_rows(item: str, path: str, query: dict[str, str]) -> None:
    """A reply has the recorded keys and types, newest first, and only its first row may be open."""
    expected = recorded(item)["frame"]
    talk = Talk(item.partition("/")[0])

    reply = talk.get(path, **query)

    body: Any = reply.body
    times = [int(row[0]) for row in body["data"]]
    assert shape(expected) == shape(body)
    assert times == sorted(times, reverse=True)
    assert [row[8] for row in body["data"]] == ["0" if path == CANDLES else "1", *["1"] * 99]


@pytest.mark.parametrize("market", ["okx_spot", "okx_perpetual"])
def test_instruments(market: str) -> None:
    """Instruments have at least the recorded keys, and what is listed is what was recorded."""
    item = recorded(f"{market}/40-rest-instruments")
    talk = Talk(market)

    body: Any = talk.get(INSTRUMENTS, **item["request"]["params"]).body

    listed = {row["instId"]: row for row in body["data"]}
    names = ("baseCcy", "quoteCcy", "ctVal", "ctValCcy", "ctType", "ctMult", "settleCcy", "state")
    for row in item["frame"]["data"]:
        assert row.keys() <= listed[row["instId"]].keys()
        assert [row[name] for name in (*names, "uly", "instType")] == [
            listed[row["instId"]][name] for name in (*names, "uly", "instType")
        ]


@pytest.mark.parametrize(
    ("item", "path", "query", "message"),
    [
        ("30-rest-error-parameter", CANDLES, {"instId": "BTC-USDT", "bar": "7m"}, "bar"),
        ("30-rest-error-parameter", CANDLES, {"instId": "BTC-USDT", "bar": "1s"}, "bar"),
        ("30-rest-error-parameter", HISTORY, {"instId": "BTC-USDT", "bar": "5Dutc"}, "bar"),
        ("30-rest-error-parameter", CANDLES, {}, "instId"),
        ("30-rest-error-parameter", CANDLES, {"instId": "BTC-USDT", "limit": "0"}, "limit"),
        ("30-rest-error-parameter", CANDLES, {"instId": "BTC-USDT", "after": "x"}, "after"),
        ("30-rest-error-parameter", INSTRUMENTS, {}, "instType"),
    ],
)
def test_bad_parameter(
    spot: Talk, item: str, path: str, query: dict[str, str], message: str
) -> None:
    """A bad parameter is named in the recorded form, inside HTTP 200."""
    expected = recorded(f"okx_spot/{item}")["frame"] | {"msg": f"Parameter {message} error"}
    reply = spot.get(path, **query)
    assert (200, expected) == (reply.status, reply.body)


def test_unknown_instrument(spot: Talk) -> None:
    """A pair that is not listed, or is another market's, is refused with 51001."""
    for symbol in ("NO-USDT", "BTC-USDT-SWAP"):
        body: Any = spot.get(CANDLES, instId=symbol).body
        assert body["code"] == "51001"


def test_rate_limit_reply(spot: Talk) -> None:
    """Too many requests are answered by turns as HTTP 429, as documented, and inside HTTP 200."""
    expected = recorded("okx_spot/31-rest-error-rate")["frame"]
    first, second = (spot.dialect.slow_down(None, spot.world()) for _ in range(2))
    body: Any = second.body
    assert (429, expected) == (first.status, first.body)
    assert (200, expected["code"], list(expected)) == (second.status, body["code"], list(body))


# --- what figures mean


def test_volumes_of_spot(spot: Talk) -> None:
    """On spot, column 5 is base, 6 and 7 are quote."""
    [row] = spot.rows(HISTORY, instId="BTC-USDT", bar="1H", limit=1)
    bar = spot.market.bar("BTC-USDT", "1h", int(row[0]) // 1_000)
    assert [bar.volume, bar.quote_volume, bar.quote_volume] == list(map(Decimal, row[5:8]))


@pytest.mark.parametrize(
    ("symbol", "size", "counted"), [("BTC-USDT-SWAP", "0.01", 6), ("BTC-USD-SWAP", "100", 7)]
)
def test_volumes_of_swaps(perpetual: Talk, symbol: str, size: str, counted: int) -> None:
    """On swaps, contracts times their size are base or, inverse, quote; 6 is base, 7 is quote."""
    [row] = perpetual.rows(HISTORY, instId=symbol, bar="1H", limit=1)
    pair = symbol.removesuffix("-SWAP")
    bar = perpetual.market.bar(pair, "1h", int(row[0]) // 1_000)
    assert Decimal(row[counted]) == Decimal(row[5]) * Decimal(size)
    assert [bar.volume, bar.quote_volume] == list(map(Decimal, row[6:8]))


def test_bars_without_trades_are_flat(spot: Talk) -> None:
    """History has no holes: a bar without trades stands at the last close, its volume `0`."""
    rows = spot.rows(HISTORY, instId="ALGO-USDT", limit=100)
    flat = [(row, older) for row, older in pairwise(rows) if row[5] == "0"]

    assert {int(row[0]) - int(older[0]) for row, older in pairwise(rows)} == {60_000}
    assert flat
    assert all(row[1:5] == [older[4]] * 4 for row, older in flat)


# --- paging


def minute(bars: int) -> int:
    """Return the open time of the bar so many before the running one, in ms."""
    return (int(NOON) // 60 - bars) * 60_000


def opened(rows: list[list[str]]) -> list[int]:
    """Return the open times of rows in ms."""
    return [int(row[0]) for row in rows]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"limit": 2}, [0, 1]),
        ({"limit": 2, "after": minute(5)}, [6, 7]),
        ({"limit": 2, "before": minute(5)}, [0, 1]),
        ({"before": minute(3)}, [0, 1, 2]),
        ({"before": minute(5), "after": minute(2)}, [3, 4]),
        ({"before": minute(9), "after": minute(2), "limit": 2}, [3, 4]),
        ({"before": minute(2) - 1, "after": minute(2) + 1}, [2]),
        ({"before": minute(1), "after": minute(1)}, []),
    ],
)
def test_cursors(spot: Talk, query: dict[str, int], expected: list[int]) -> None:
    """`after` means older, `before` newer, both exclusive; the newest win."""
    rows = spot.rows(CANDLES, instId="BTC-USDT", **query)
    assert [minute(bars) for bars in expected] == opened(rows)


def test_page_sizes(spot: Talk) -> None:
    """A page has 100 rows unless more is asked; candles gives 300 at most, history 100."""
    sizes = [
        len(spot.rows(path, instId="BTC-USDT", **query))
        for path in (CANDLES, HISTORY)
        for query in ({}, {"limit": 301})
    ]
    assert sizes == [100, 300, 100, 100]


def test_reach_of_candles(spot: Talk) -> None:
    """Candles has the latest 1440 rows; what is older is only in history."""
    edge = minute(1_438)
    older = [
        opened(spot.rows(path, instId="BTC-USDT", after=edge, limit=3))
        for path in (CANDLES, HISTORY)
    ]
    assert older == [[minute(1_439)], [minute(1_439), minute(1_440), minute(1_441)]]


def test_reach_of_seconds(spot: Talk) -> None:
    """One-second bars are only in history, and only of the last three months."""
    now = int(NOON) * 1_000
    recent = spot.rows(HISTORY, instId="BTC-USDT", bar="1s", after=now - 80 * 86_400_000)
    gone = spot.rows(HISTORY, instId="BTC-USDT", bar="1s", after=now - 100 * 86_400_000)
    assert (len(recent), len(gone)) == (100, 0)


def test_history_lacks_the_running_bar(spot: Talk) -> None:
    """History's newest row is the last closed bar."""
    assert opened(spot.rows(HISTORY, instId="BTC-USDT", limit=1)) == [minute(1)]


# --- conversation


def test_each_argument_is_answered_for_itself(spot: Talk) -> None:
    """A bad argument is refused by an error without `arg`; the good ones beside it are served."""
    conversation = spot.connect()
    channels = ("candle1m:BTC-USDT", "candle1m:NO-USDT", "candle8H:BTC-USDT", "candle1H:ETH-USDT")

    answers = spot.said(conversation, wish(*channels))

    kinds = [answer["event"] for answer in answers]
    assert kinds == ["subscribe", "error", "error", "subscribe"]
    assert list(conversation.channels) == ["candle1m:BTC-USDT", "candle1H:ETH-USDT"]
    assert [answer.get("arg") for answer in answers[1:3]] == [None, None]
    assert "channel:candle1m,instId:NO-USDT doesn't exist" in answers[1]["msg"]


@pytest.mark.parametrize("channel", ["tickers", "mark-price-candle1m", "candle1D", "candle"])
def test_other_channels(spot: Talk, channel: str) -> None:
    """Only candles in UTC are served; other channels are refused with 60018."""
    [error] = spot.said(spot.connect(), wish(f"{channel}:BTC-USDT"))
    assert error["code"] == "60018"


@pytest.mark.parametrize(
    "message",
    [
        "not json",
        "[]",
        '{"op":"shout","args":[{"channel":"candle1m","instId":"BTC-USDT"}]}',
        '{"op":"subscribe","args":[]}',
        '{"op":"subscribe","args":["candle1m"]}',
        '{"op":"subscribe","args":[{"channel":"candle1m"}]}',
        '{"id":"a-b","op":"subscribe","args":[{"channel":"candle1m","instId":"BTC-USDT"}]}',
        '{"id":7,"op":"subscribe","args":[{"channel":"candle1m","instId":"BTC-USDT"}]}',
        json.dumps(wish("candle1m:BTC-USDT", id="1" * 33)),
    ],
)
def test_malformed_request(spot: Talk, message: str) -> None:
    """What is no well-formed request is refused with 60012, and nothing is served."""
    conversation = spot.connect()
    [error] = frames(conversation.received(message, spot.world()))
    assert error["code"] == "60012"
    assert not conversation.channels


def test_unsubscribing(spot: Talk) -> None:
    """After unsubscribing a channel is served no more."""
    conversation = spot.connect()
    spot.said(conversation, wish("candle1m:BTC-USDT", "candle1H:BTC-USDT"))
    spot.said(conversation, wish("candle1m:BTC-USDT", op="unsubscribe"))
    assert list(conversation.channels) == ["candle1H:BTC-USDT"]


def test_subscribing_twice(spot: Talk) -> None:
    """A channel that is served already is confirmed again and goes on."""
    conversation = spot.connect()
    for _ in range(2):
        [answer] = spot.said(conversation, wish("candle1m:BTC-USDT"))
        assert answer["event"] == "subscribe"
    assert len(conversation.channels) == 1


def test_refused_on_request(spot: Talk) -> None:
    """A subscription that a fault refuses is answered as a channel that does not exist."""
    spot.refuses = lambda pair, interval: (pair, interval) == ("BTC-USDT", "1m")
    answers = spot.said(spot.connect(), wish("candle1m:BTC-USDT", "candle3m:BTC-USDT"))
    assert [answer["event"] for answer in answers] == ["error", "subscribe"]


def test_idle_connection(spot: Talk) -> None:
    """A connection is closed 30 s after the last frame, whichever way it went."""
    conversation = spot.connect()
    assert conversation.due == 30

    conversation.received("ping", spot.world(real=20))
    assert conversation.due == 50

    spot.said(conversation, wish("candle1m:BTC-USDT"))
    [channel] = conversation.channels.values()
    bar = spot.market.current("BTC-USDT", "1m", NOON)
    list(conversation.candle(Push(channel, bar, closed=False, first=True), spot.world(real=45)))
    assert conversation.due == 75

    [close] = conversation.tick(spot.world(real=75))
    assert isinstance(close, Close)
    assert close.code == 4004


def overstepping(actions: Iterable[Action]) -> tuple[list[str], list[int]]:
    """Return which limits were overstepped and the codes of closing."""
    done = list(actions)
    limits = [action.limit for action in done if isinstance(action, Overstep)]
    return limits, [action.code for action in done if isinstance(action, Close)]


def test_requests_an_hour(spot: Talk) -> None:
    """A connection has 480 requests in an hour of market time; pings do not count."""
    conversation = spot.connect()
    text = json.dumps(wish("candle1m:BTC-USDT"))
    for number in range(480):
        conversation.received("ping", spot.world(NOON + number))
        assert frames(conversation.received(text, spot.world(NOON + number)))
    beyond = overstepping(conversation.received(text, spot.world(NOON + 3_599)))
    later = overstepping(conversation.received(text, spot.world(NOON + 3_602)))
    assert (beyond, later) == ((["requests an hour"], [4008]), ([], []))


def test_length_of_a_request(spot: Talk) -> None:
    """A request above 64 KB closes the connection with 1009."""
    long = json.dumps(wish(*["candle1m:BTC-USDT"] * 1_500))
    assert overstepping(spot.connect().received(long, spot.world())) == (
        ["bytes a message"],
        [1009],
    )


def test_other_paths(spot: Talk) -> None:
    """Other paths are refused, by HTTP and in the handshake."""
    refused = spot.dialect.connect(HttpRequest("GET", "/ws/v5/private", {}, {}), spot.world())
    assert isinstance(refused, HttpReply)
    assert (refused.status, spot.get("/api/v5/market/tickers").status) == (404, 404)


@pytest.mark.parametrize(
    ("time", "first", "after"),
    [
        (1_767_225_600, 1_767_225_600, 1_775_001_600),  # 2026-01-01, and the first of April
        (1_775_001_599, 1_767_225_600, 1_775_001_600),
        (1_796_083_200, 1_790_812_800, 1_798_761_600),  # 2026-12-01: October to January
    ],
)
def test_quarters(time: int, first: int, after: int) -> None:
    """Quarters begin on the first of January, April, July and October."""
    assert (Quarters().floor(time), Quarters().after(first)) == (first, after)


# --- over real sockets


def closed_rows(message: str | bytes) -> list[list[str]]:
    """Return the closed rows of a frame."""
    return [row for row in json.loads(message).get("data", ()) if row[8] == "1"]


async def truth(sandbox: Sandbox, path: str, start: float, end: float) -> list[dict[str, Any]]:
    """Return the true bars of `market/pair/interval` with open time in `[start, end]`."""
    url = f"{sandbox.url}/-/truth/{path}?start={start}&end={end + 1}"
    async with aiohttp.ClientSession() as session, session.get(url) as reply:
        candles: list[dict[str, Any]] = (await reply.json())["candles"]
        return candles


def as_true(row: list[str], volume: int) -> list[float | None]:
    """Return a row in the order of the truth."""
    return [int(row[0]) / 1_000, *map(float, row[1:5]), float(row[volume]), float(row[7])]


FIGURES = ("open_time", "open", "high", "low", "close", "volume", "quote_asset_volume")


@pytest.mark.parametrize(
    ("market", "symbol", "volume"),
    [
        ("okx_spot", "BTC-USDT", 5),
        ("okx_spot", "ALGO-USDT", 5),
        ("okx_perpetual", "ETH-USDT-SWAP", 6),
        ("okx_perpetual", "BTC-USD-SWAP", 6),
    ],
)
async def test_closed_candles_are_the_truth(
    sandbox: Sandbox, market: str, symbol: str, volume: int
) -> None:
    """The closed candles that are pushed are the truth, each once, without holes."""
    rows: list[list[str]] = []
    url = f"{sandbox.url.replace('http', 'ws')}/{market}{BUSINESS}"
    async with websockets.connect(url) as socket, asyncio.timeout(20):
        await socket.send(json.dumps(wish(f"candle1m:{symbol}")))
        while len(rows) < 4:
            rows += closed_rows(await socket.recv())

    first, last = int(rows[0][0]) / 1_000, int(rows[-1][0]) / 1_000
    pair = symbol.removesuffix("-SWAP")
    expected = await truth(sandbox, f"{market}/{pair}/1m", first, last)
    assert [[bar[name] for name in FIGURES] for bar in expected] == [
        as_true(row, volume) for row in rows
    ]


async def test_a_bar_ends_before_the_next_begins(sandbox: Sandbox) -> None:
    """No frame of a bar goes before the closing frame of the bar before, only in one with it."""
    opens: list[int] = []
    url = f"{sandbox.url.replace('http', 'ws')}/okx_spot{BUSINESS}"
    async with websockets.connect(url) as socket, asyncio.timeout(20):
        await socket.send(json.dumps(wish("candle1m:BTC-USDT")))
        while len(set(opens)) < 5:
            data = json.loads(await socket.recv()).get("data")
            opens += [int(data[-1][0])] if data else []
    assert opens == sorted(opens)


async def test_the_current_candle_comes_first(sandbox: Sandbox) -> None:
    """After the confirmation the current candle is pushed, trades or not."""
    url = f"{sandbox.url.replace('http', 'ws')}/okx_spot{BUSINESS}"
    async with websockets.connect(url) as socket, asyncio.timeout(10):
        await socket.send(json.dumps(wish("candle1Mutc:ALGO-USDT")))
        confirmation, candle = [json.loads(await socket.recv()) for _ in range(2)]

    assert confirmation["event"] == "subscribe"
    [[open_time, *_, confirm]] = candle["data"]
    assert (int(open_time), confirm) == (1_793_491_200_000, "0")  # 2026-11-01


async def test_pages_are_the_truth(sandbox: Sandbox) -> None:
    """History, walked back page by page, is the truth."""
    rows: list[list[str]] = []
    url = f"{sandbox.url}/okx_spot{HISTORY}?instId=BTC-USDT&bar=5m"
    async with aiohttp.ClientSession() as session:
        for _ in range(3):
            cursor = f"&after={rows[-1][0]}" if rows else ""
            async with session.get(url + cursor) as reply:
                rows += (await reply.json())["data"]

    first, last = int(rows[-1][0]) / 1_000, int(rows[0][0]) / 1_000
    expected = await truth(sandbox, "okx_spot/BTC-USDT/5m", first, last)
    assert len(expected) == 300
    assert [[bar[name] for name in FIGURES] for bar in expected] == [
        as_true(row, 5) for row in reversed(rows)
    ]


async def test_silent_client_is_closed(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who neither sends nor is sent anything is closed with 4004."""
    monkeypatch.setattr(okx, "IDLE", 0.1)
    url = f"{sandbox.url.replace('http', 'ws')}/okx_spot{BUSINESS}"
    async with websockets.connect(url) as socket, asyncio.timeout(10):
        await socket.wait_closed()
    assert socket.close_code == 4004


async def test_rate_limit() -> None:
    """The 21st request to history within two seconds is refused and stands in the journal."""
    async with Sandbox(port=0, speed=0.001) as sandbox, aiohttp.ClientSession() as session:
        codes = []
        for _ in range(21):
            async with session.get(f"{sandbox.url}/okx_spot{HISTORY}?instId=BTC-USDT") as reply:
                codes.append((await reply.json())["code"])
        async with session.get(f"{sandbox.url}/-/journal?market=okx_spot") as reply:
            overstepped = (await reply.json())["overstepped"]

    assert codes == [*["0"] * 20, "50011"]
    assert [(over["allowed"], over["seen"]) for over in overstepped] == [(20, 21)]


async def test_new_connections() -> None:
    """The fourth connection within a second is refused."""
    async with Sandbox(port=0, speed=0.001) as sandbox:
        url = f"{sandbox.url.replace('http', 'ws')}/okx_spot{BUSINESS}"
        for _ in range(3):
            async with websockets.connect(url):
                pass
        with pytest.raises(websockets.InvalidStatus, match="429"):
            await websockets.connect(url)
