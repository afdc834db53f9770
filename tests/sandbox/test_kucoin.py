"""KuCoin's dialect, held against the recorded frames first and then met over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
import websockets

from connectors.sandbox import kucoin
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
from connectors.sandbox.kucoin import DIALECTS, Kucoin
from connectors.sandbox.market import Market
from connectors.sandbox.server import Sandbox

WIRE = Path(__file__).parents[1] / "wire"
NOON = 1_795_348_800 + 42.5  # Sunday 2026-11-22, 42.5 s after a full minute
SPOT_ROWS, PERPETUAL_ROWS = "/api/v1/market/candles", "/api/v1/kline/query"
OPEN = int(NOON) // 60 * 60
ACK = {"id": "1", "type": "ack"}
TOPICS = {"kucoin_spot": "/market/candles:", "kucoin_perpetual": "/contractMarket/limitCandle:"}


def recorded(name: str) -> Any:
    """Return one item of `tests/wire/`, such as `kucoin_spot/05-ws-confirm`."""
    return json.loads((WIRE / f"{name}.json").read_text())


def shape(value: object) -> object:
    """Return the keys and the types of what they hold; rows count as one."""
    if isinstance(value, dict):
        return {key: shape(held) for key, held in value.items()}
    if isinstance(value, list):
        return (
            [shape(value[0])] if value and isinstance(value[0], list) else list(map(shape, value))
        )
    return type(value)


class Talk:
    """One dialect and its market at a chosen time, without sockets."""

    def __init__(self, market: str) -> None:
        spot, perpetual = (make() for make in DIALECTS)
        self.dialect: Kucoin = {"kucoin_spot": spot, "kucoin_perpetual": perpetual}[market]
        self.market = Market(market, self.dialect.listings, self.dialect.intervals)
        self.refuses: Callable[[str, str], bool] = lambda *_: False

    def world(self, market: float = NOON, real: float = 0.0) -> World:
        """Return the world at this market time and this real time."""
        here = f"127.0.0.1:1/{self.dialect.market}"
        moment = Moment(market, real)
        return World(moment, self.market, f"http://{here}", f"ws://{here}", self.refuses)

    def ask(self, path: str, /, method: str = "GET", **query: object) -> HttpReply:
        """Ask by REST."""
        words = {name.rstrip("_"): str(value) for name, value in query.items()}
        return self.dialect.answer(HttpRequest(method, path, words, {}), self.world())

    def rows(self, path: str, **query: object) -> list[list[Any]]:
        """Ask by REST for rows and return them."""
        body: Any = self.ask(path, "GET", **query).body
        assert body["code"] == "200000", body
        rows: list[list[Any]] = body["data"]
        return rows

    def token(self) -> str:
        """Fetch a token."""
        body: Any = self.ask("/api/v1/bullet-public", "POST").body
        token: str = body["data"]["token"]
        return token

    def connect(self, market: float = NOON, **query: str) -> Conversation:
        """Open a connection, with a token of its own unless another is given."""
        words = {"token": self.token(), "connectId": "probebook"} | query
        conversation = self.dialect.connect(HttpRequest("GET", "/", words, {}), self.world(market))
        assert isinstance(conversation, Conversation)
        return conversation

    def said(self, conversation: Conversation, message: object) -> list[Any]:
        """Send a message and return the frames of the answer."""
        return frames(conversation.received(json.dumps(message), self.world()))

    def wish(self, name: str, kind: str = "subscribe", **more: object) -> dict[str, object]:
        """Return a request for `BTC-USDT_1min` and the like, numbered 1."""
        topic = TOPICS[self.dialect.market] + name
        return {"id": "1", "type": kind, "topic": topic, "response": True} | more

    def serve(self, name: str, since: float) -> Conversation:
        """Return a connection that subscribed to this one channel at that market time."""
        conversation = self.connect()
        asked = json.dumps(self.wish(name))
        assert frames(conversation.received(asked, self.world(since))) == [ACK]
        return conversation

    def pushed(
        self, conversation: Conversation, open_time: int, at: float, *, first: bool
    ) -> list[Any]:
        """Return the frames for a bar as it stands at `at`."""
        [channel] = conversation.channels.values()
        bar = self.market.state(channel.trading_pair, channel.interval, open_time, at)
        push = Push(channel, bar, closed=False, first=first)
        return [json.loads(frame) for frame in conversation.candle(push, self.world(at))]


@pytest.fixture
def spot() -> Talk:
    """KuCoin's spot market."""
    return Talk("kucoin_spot")


@pytest.fixture
def perpetual() -> Talk:
    """KuCoin's perpetuals."""
    return Talk("kucoin_perpetual")


@pytest.fixture(params=["kucoin_spot", "kucoin_perpetual"])
def either(request: pytest.FixtureRequest) -> Talk:
    """Each of the two markets."""
    return Talk(request.param)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A sandbox on a free port, a minute of market time a second."""
    async with Sandbox(port=0, speed=60, seed=5, start=NOON) as running:
        yield running


def frames(actions: Iterable[Action]) -> list[Any]:
    """Return what is sent, parsed."""
    return [json.loads(action.frame) for action in actions if isinstance(action, Send)]


# --- against the recordings


@pytest.mark.parametrize(
    "item", ["kucoin_spot/01-rest-token-spot", "kucoin_perpetual/02-rest-token-futures"]
)
def test_token(item: str) -> None:
    """A token's reply is the recorded one, but for the token and the address, which is here."""
    expected = recorded(item)["frame"]
    talk = Talk(item.partition("/")[0])

    body: Any = talk.ask("/api/v1/bullet-public", "POST").body

    assert shape(expected) == shape(body)
    assert "=" in body["data"]["token"]
    here = {"endpoint": f"ws://127.0.0.1:1/{talk.dialect.market}/"}
    [server] = expected["data"]["instanceServers"]
    assert [server | here] == body["data"]["instanceServers"]


def test_token_is_posted(either: Talk) -> None:
    """A token asked by GET is not found."""
    assert either.ask("/api/v1/bullet-public").status == 404


def test_welcome(either: Talk) -> None:
    """The first frame is the welcome, which repeats `connectId`."""
    expected = recorded("kucoin_perpetual/04-ws-welcome-futures")["frame"]
    assert frames(either.connect().opened(either.world())) == [expected]


def test_confirmation(spot: Talk) -> None:
    """The acknowledgement repeats the request's id as text, a number's too."""
    item = recorded("kucoin_spot/05-ws-confirm")
    request = item["request"] | {"topic": "/market/candles:BTC-USDT_1min"}
    assert spot.said(spot.connect(), request) == [item["frame"]]


def test_unknown_symbol(perpetual: Talk) -> None:
    """An unknown symbol is acknowledged as recorded, and nothing is served."""
    item = recorded("kucoin_perpetual/06-ws-confirm-unknown-symbol")
    request = item["request"] | {"topic": "/contractMarket/limitCandle:NOPEUSDTM_1min"}
    conversation = perpetual.connect()

    assert perpetual.said(conversation, request) == [item["frame"]]
    assert not conversation.channels


@pytest.mark.parametrize(
    "item", ["kucoin_spot/08-ws-error-topic-spot", "kucoin_perpetual/07-ws-error-topic"]
)
def test_unknown_topic(item: str) -> None:
    """Another kind of topic is refused as recorded."""
    talk = Talk(item.partition("/")[0])
    expected = recorded(item)
    assert talk.said(talk.connect(), expected["request"]) == [expected["frame"]]


def test_unknown_type(either: Talk) -> None:
    """A message of an unknown type is refused as documented."""
    expected = recorded("kucoin_spot/09-ws-error-type")["frame"]
    assert either.said(either.connect(), {"id": "1", "type": "shout"}) == [expected]


@pytest.mark.parametrize("text", ["not json", "[]", "7"])
def test_not_json(either: Talk, text: str) -> None:
    """What is no JSON object is refused with code 400 and an id of the server's own."""
    [error] = frames(either.connect().received(text, either.world()))
    assert (error["type"], error["code"], bool(error["id"])) == ("error", 400, True)


def test_pong(either: Talk) -> None:
    """A ping is answered with its id and the time in microseconds."""
    item = recorded("kucoin_perpetual/12-ws-pong")
    [pong] = either.said(either.connect(), item["request"])
    assert item["frame"] | {"timestamp": int(NOON * 1e6)} == pong


def test_ping_timeout(either: Talk) -> None:
    """Who sends nothing for 60 s is warned as recorded, and closed half a second later."""
    expected = recorded("kucoin_perpetual/10-ws-error-ping-timeout")["frame"]
    conversation = either.connect()
    assert conversation.due == 60
    conversation.received('{"id":"1","type":"ping"}', either.world(real=50))
    assert conversation.due == 110

    warning = frames(conversation.tick(either.world(real=110)))
    assert (warning, conversation.due) == ([expected], 110.5)
    assert list(conversation.tick(either.world(real=110.5))) == [Close(1000, "Bye")]


def test_data_is_no_ping(spot: Talk) -> None:
    """Frames that the server sends do not put the end off."""
    conversation = spot.connect()
    spot.said(conversation, spot.wish("BTC-USDT_1min"))
    [channel] = conversation.channels.values()
    bar = spot.market.current("BTC-USDT", "1m", NOON)
    assert conversation.candle(Push(channel, bar, closed=False, first=True), spot.world(real=50))
    assert conversation.due == 60


@pytest.mark.parametrize(
    ("item", "name", "first"),
    [
        ("kucoin_spot/13-ws-candle-update", "BTC-USDT_1min", False),
        ("kucoin_spot/15-ws-candle-add", "BTC-USDT_1min", True),
        ("kucoin_perpetual/21-ws-candle-futures-live", "XBTUSDTM_1min", True),
    ],
)
def test_candle_frame(item: str, name: str, *, first: bool) -> None:
    """A candle's frame has the recorded keys, types, subject and unit of time."""
    expected = recorded(item)["frame"]
    talk = Talk(item.partition("/")[0])
    at = OPEN + 50.5

    [frame] = talk.pushed(talk.serve(name, OPEN + 40), OPEN, at, first=first)

    digits = len(str(expected["data"]["time"]))
    assert shape(expected) == shape(frame)
    assert expected["subject"] == frame["subject"]
    assert TOPICS[talk.dialect.market] + name == frame["topic"]
    assert int(at * 10 ** (digits - 10)) == frame["data"]["time"]
    figures = frame["data"]["candles"]
    assert [f"{Decimal(figure):f}" for figure in figures] == figures


def test_first_frame_of_a_bar(spot: Talk) -> None:
    """Spot's first frame of a bar is an `add`, all later ones are `update`s."""
    conversation = spot.serve("BTC-USDT_1min", OPEN - 60)
    subjects = [
        frame["subject"].rpartition(".")[2]
        for open_time, at, first in (
            (OPEN, OPEN + 10, True),
            (OPEN, OPEN + 20, False),
            (OPEN, OPEN + 30, False),
            (OPEN + 60, OPEN + 70, True),
        )
        for frame in spot.pushed(conversation, open_time, at, first=first)
    ]
    assert subjects == ["add", "update", "update", "add"]


def test_first_trade_after_subscribing(spot: Talk) -> None:
    """A bar that was empty yet when the client subscribed begins with an `add`, too."""
    conversation = spot.serve("BTC-USDT_1min", OPEN)
    [frame] = spot.pushed(conversation, OPEN, OPEN + 50, first=False)
    assert frame["subject"] == "trade.candles.add"


def gap(talk: Talk) -> int:
    """Return the open time of a bar with trades after one without."""
    bars = [talk.market.bar("ALGO-USDT", "1m", OPEN - 60 * n) for n in range(200, 1, -1)]
    found = (new for old, new in pairwise(bars) if new.trades and not old.trades)
    return next(found).open_time


def test_trade_after_a_gap(spot: Talk) -> None:
    """Spot sends the empty bar just before a new one, volume 0 at the last close, as an `add`."""
    open_time = gap(spot)
    conversation = spot.serve("ALGO-USDT_1min", open_time - 300)

    empty, new = spot.pushed(conversation, open_time, open_time + 60, first=True)

    close = empty["data"]["candles"][1]
    assert empty["data"]["candles"] == [str(open_time - 60), *[close] * 4, "0", "0"]
    assert new["data"]["candles"][0] == str(open_time)
    assert {empty["subject"], new["subject"]} == {"trade.candles.add"}


def test_perpetual_after_a_gap(perpetual: Talk) -> None:
    """Perpetuals send nothing for an empty bar."""
    open_time = gap(perpetual)
    conversation = perpetual.serve("ALGOUSDTM_1min", open_time - 300)
    assert len(perpetual.pushed(conversation, open_time, open_time + 60, first=True)) == 1


def test_order_of_spot_figures(spot: Talk) -> None:
    """Spot: open time, open, close, high, low, base volume, quote turnover; live and by REST."""
    bar = spot.market.bar("BTC-USDT", "1m", OPEN - 60)
    expected = [OPEN - 60, bar.open, bar.close, bar.high, bar.low, bar.volume, bar.quote_volume]
    [row] = spot.rows(SPOT_ROWS, symbol="BTC-USDT", type="1min", startAt=OPEN - 60, endAt=OPEN - 1)
    conversation = spot.serve("BTC-USDT_1min", OPEN - 90)
    [frame] = spot.pushed(conversation, OPEN - 60, OPEN, first=True)
    assert expected == list(map(Decimal, row)) == list(map(Decimal, frame["data"]["candles"]))


def test_order_of_perpetual_figures(perpetual: Talk) -> None:
    """Perpetuals: close third live and fifth by REST; lots and turnover change places, too."""
    bar = perpetual.market.bar("BTC-USDT", "1m", OPEN - 60)
    lots = bar.volume / Decimal("0.001")
    query = {"symbol": "XBTUSDTM", "granularity": 1, "from_": (OPEN - 60) * 1_000}
    [row, _] = perpetual.rows(PERPETUAL_ROWS, **query)
    conversation = perpetual.serve("XBTUSDTM_1min", OPEN - 90)
    [frame] = perpetual.pushed(conversation, OPEN - 60, OPEN, first=True)

    prices = [bar.open, bar.high, bar.low, bar.close]
    assert [bar.open_ms, *map(float, prices), lots, float(bar.quote_volume)] == row
    live = [OPEN - 60, bar.open, bar.close, bar.high, bar.low, bar.quote_volume, lots]
    assert live == list(map(Decimal, frame["data"]["candles"]))


def test_lots_of_an_inverse_contract(perpetual: Talk) -> None:
    """Of a contract margined in its coin, a lot is one dollar, and the turnover is in the coin."""
    bar = perpetual.market.bar("BTC-USD", "1m", OPEN - 60)
    query = {"symbol": "XBTUSDM", "granularity": 1, "from_": (OPEN - 60) * 1_000}
    [row, _] = perpetual.rows(PERPETUAL_ROWS, **query)
    assert [int(bar.quote_volume), float(bar.volume)] == row[5:]


@pytest.mark.parametrize(
    ("item", "path", "query"),
    [
        ("kucoin_spot/32-rest-candles-doc", SPOT_ROWS, {"symbol": "BTC-USDT", "type": "1min"}),
        ("kucoin_spot/31-rest-candles-1week", SPOT_ROWS, {"symbol": "BTC-USDT", "type": "1week"}),
        (
            "kucoin_perpetual/33-rest-candles-futures-7col",
            PERPETUAL_ROWS,
            {"symbol": "XBTUSDTM", "granularity": 1},
        ),
    ],
)
def test_rest_rows(item: str, path: str, query: dict[str, str]) -> None:
    """A reply has the recorded keys and types: spot text, perpetuals numbers."""
    expected = recorded(item)["frame"]
    talk = Talk(item.partition("/")[0])
    assert shape(expected) == shape(talk.ask(path, **query).body)


def test_weeks(spot: Talk, perpetual: Talk) -> None:
    """Weeks begin on Thursday on spot, as recorded, and on Monday for perpetuals."""
    week = 604_800
    recorded_rows = recorded("kucoin_spot/31-rest-candles-1week")["frame"]["data"]
    rows = spot.rows(SPOT_ROWS, symbol="BTC-USDT", type="1week")
    assert (
        {0} == {int(row[0]) % week for row in rows} == {int(row[0]) % week for row in recorded_rows}
    )
    weeks = perpetual.rows(PERPETUAL_ROWS, symbol="XBTUSDTM", granularity=10_080)
    assert {1_653_868_800 % week} == {row[0] // 1_000 % week for row in weeks}


@pytest.mark.parametrize(
    ("item", "path"),
    [
        ("kucoin_spot/39-rest-instruments-spot", "/api/v1/symbols"),
        ("kucoin_spot/39-rest-instruments-spot", "/api/v2/symbols"),
        ("kucoin_perpetual/40-rest-instruments-futures", "/api/v1/contracts/active"),
    ],
)
def test_instruments(item: str, path: str) -> None:
    """What is recorded of instruments is listed with the same names, sizes and states."""
    expected = recorded(item)["frame"]["data"]
    talk = Talk(item.partition("/")[0])
    body: Any = talk.ask(path).body
    listed = {row["symbol"]: row for row in body["data"]}
    invented = {"baseMinSize", "baseIncrement", "priceIncrement", "isMarginEnabled", "market"}
    invented |= {"quoteMinSize", "quoteIncrement"}
    for row in expected:
        ours = listed[row["symbol"]]
        assert shape(row) == shape({key: ours[key] for key in row})
        same = row.keys() - invented
        assert {key: row[key] for key in same} == {key: ours[key] for key in same}


@pytest.mark.parametrize(
    ("item", "market", "path", "query"),
    [
        ("36-rest-error-bad-interval", "spot", SPOT_ROWS, {"symbol": "BTC-USDT", "type": "7min"}),
        ("37-rest-error-bad-symbol", "spot", SPOT_ROWS, {"symbol": "NO-USDT", "type": "1min"}),
        (
            "36-rest-error-bad-interval",
            "perpetual",
            PERPETUAL_ROWS,
            {"symbol": "XBTUSDTM", "granularity": 3},
        ),
        (
            "37-rest-error-bad-symbol",
            "perpetual",
            PERPETUAL_ROWS,
            {"symbol": "BTC-USDT", "granularity": 1},
        ),
    ],
)
def test_rest_error(item: str, market: str, path: str, query: dict[str, str]) -> None:
    """A bad interval or symbol is refused as recorded, inside HTTP 200."""
    reply = Talk(f"kucoin_{market}").ask(path, **query)
    assert (200, recorded(f"kucoin_spot/{item}")["frame"]) == (reply.status, reply.body)


def test_rate_limit_reply(either: Talk) -> None:
    """Too many requests are answered as documented; the wait is in milliseconds."""
    item = recorded("kucoin_spot/38-rest-error-rate-limit")
    reply = either.dialect.slow_down(3, either.world())
    assert (item["http_status"], item["frame"]) == (reply.status, reply.body)
    assert reply.headers == {"gw-ratelimit-reset": "3000"}


# --- paging


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"startAt": OPEN - 120}, [0, 1, 2]),
        ({"startAt": OPEN - 120, "endAt": OPEN - 60}, [1, 2]),
        ({"startAt": OPEN - 119, "endAt": OPEN - 1}, [1]),
        ({"startAt": OPEN, "endAt": OPEN - 60}, []),
    ],
)
def test_spot_window(spot: Talk, query: dict[str, int], expected: list[int]) -> None:
    """Spot: both bounds include, newest first, the running bar where the window reaches now."""
    rows = spot.rows(SPOT_ROWS, symbol="BTC-USDT", type="1min", **query)
    assert [str(OPEN - 60 * bars) for bars in expected] == [row[0] for row in rows]


def test_spot_pages(spot: Talk) -> None:
    """Spot gives the newest 1500 rows of a window, and without `startAt` the newest 100."""
    query = {"symbol": "BTC-USDT", "type": "1min", "endAt": OPEN}
    wide = spot.rows(SPOT_ROWS, startAt=OPEN - 200_000, **query)
    usual = spot.rows(SPOT_ROWS, **query)
    assert (len(wide), len(usual)) == (1_500, 100)
    assert wide[:100] == usual


@pytest.mark.parametrize("value", ["-1", "soon", ""])
def test_bad_times(either: Talk, value: str) -> None:
    """A negative or unreadable time is refused inside HTTP 200."""
    spot = either.dialect.market == "kucoin_spot"
    query = (
        {"symbol": "BTC-USDT", "type": "1min", "startAt": value}
        if spot
        else {"symbol": "XBTUSDTM", "granularity": "1", "from_": value}
    )
    reply = either.ask(SPOT_ROWS if spot else PERPETUAL_ROWS, **query)
    body: Any = reply.body
    assert (reply.status, body["code"]) == (200, "400100")


@pytest.mark.parametrize(
    ("query", "first", "last"),
    [
        ({}, OPEN - 499 * 60, OPEN),
        ({"from_": (OPEN - 60_000) * 1_000}, OPEN - 60_000, OPEN - 60_000 + 499 * 60),
        ({"to": (OPEN - 60) * 1_000}, OPEN - 500 * 60, OPEN - 60),
        ({"from_": (OPEN - 180) * 1_000, "to": (OPEN - 60) * 1_000}, OPEN - 180, OPEN - 60),
        ({"from_": (OPEN - 180) * 1_000 + 1}, OPEN - 120, OPEN),
    ],
)
def test_perpetual_window(perpetual: Talk, query: dict[str, int], first: int, last: int) -> None:
    """Perpetuals: oldest first, 500 rows at most, counted from `from` if given, else from `to`."""
    rows = perpetual.rows(PERPETUAL_ROWS, symbol="XBTUSDTM", granularity=1, **query)
    assert [row[0] for row in rows] == list(range(first * 1_000, last * 1_000 + 1, 60_000))


def test_bars_without_trades_are_missing(either: Talk) -> None:
    """History lacks the bars without trades, and a page is filled with others."""
    spot = either.dialect.market == "kucoin_spot"
    if spot:
        rows = either.rows(SPOT_ROWS, symbol="ALGO-USDT", type="1min")
        times = [int(row[0]) for row in rows][::-1]
    else:
        rows = either.rows(PERPETUAL_ROWS, symbol="ALGOUSDTM", granularity=1)
        times = [row[0] // 1_000 for row in rows]
    assert len(rows) == (100 if spot else 500)
    bars = either.market.bars("ALGO-USDT", "1m", times[0], times[-1], NOON)
    assert times == [bar.open_time for bar in bars if bar.trades]


# --- conversation


@pytest.mark.parametrize("name", ["NO-USDT_1min", "BTC-USDT_7min", "BTC-USDT_1month", "BTC-USDT"])
def test_unserved_spot_topic(spot: Talk, name: str) -> None:
    """What spot does not serve is acknowledged and stays silent."""
    conversation = spot.connect()
    assert spot.said(conversation, spot.wish(name)) == [ACK]
    assert not conversation.channels


def test_topics_joined_by_commas(spot: Talk, perpetual: Talk) -> None:
    """Perpetuals take several topics in one, spot takes them for an unknown symbol."""
    served = []
    for talk, names in (
        (perpetual, "XBTUSDTM_1min,ETHUSDTM_1hour,NOPEUSDTM_1min"),
        (spot, "BTC-USDT_1min,ETH-USDT_1hour"),
    ):
        conversation = talk.connect()
        assert talk.said(conversation, talk.wish(names)) == [ACK]
        served.append(list(conversation.channels))
    prefix = "/contractMarket/limitCandle:"
    assert served == [[f"{prefix}XBTUSDTM_1min", f"{prefix}ETHUSDTM_1hour"], []]


@pytest.mark.parametrize("name", ["XBTUSDTM_3min", "XBTUSDTM_1month", "XBTUSDM_8hour"])
def test_intervals_only_live(perpetual: Talk, name: str) -> None:
    """Perpetuals serve intervals that history does not have."""
    assert list(perpetual.serve(name, NOON).channels) == [f"/contractMarket/limitCandle:{name}"]


def test_unsubscribing(spot: Talk) -> None:
    """After unsubscribing a topic is served no more."""
    conversation = spot.connect()
    for name in ("BTC-USDT_1min", "ETH-USDT_1min"):
        spot.said(conversation, spot.wish(name))
    assert spot.said(conversation, spot.wish("BTC-USDT_1min", "unsubscribe")) == [ACK]
    assert list(conversation.channels) == ["/market/candles:ETH-USDT_1min"]


def test_no_response_wanted(spot: Talk) -> None:
    """Without `response` nothing is acknowledged, but served all the same."""
    conversation = spot.connect()
    assert spot.said(conversation, spot.wish("BTC-USDT_1min", response=False)) == []
    assert conversation.channels


def test_refused_on_request(either: Talk) -> None:
    """A subscription that a fault refuses is answered as a topic that does not exist."""
    either.refuses = lambda pair, interval: (pair, interval) == ("ETH-USDT", "1m")
    conversation = either.connect()
    symbol = "ETH-USDT" if either.dialect.market == "kucoin_spot" else "ETHUSDTM"
    [error] = either.said(conversation, either.wish(f"{symbol}_1min"))
    assert (error["type"], error["code"], conversation.channels) == ("error", 404, {})
    assert either.said(conversation, either.wish(f"{symbol}_3min")) == [ACK]


def overstepped(actions: Iterable[Action]) -> list[tuple[str, float, float]]:
    """Return which limits were overstepped."""
    return [
        (action.limit, action.allowed, action.seen)
        for action in actions
        if isinstance(action, Overstep)
    ]


def test_topics_a_message(perpetual: Talk) -> None:
    """A message with more than 100 topics is refused whole."""
    conversation = perpetual.connect()
    asked = perpetual.wish(",".join(["XBTUSDTM_1min"] * 101))
    actions = list(conversation.received(json.dumps(asked), perpetual.world()))
    assert overstepped(actions) == [("topics a message", 100, 101)]
    assert [frame["type"] for frame in frames(actions)] == ["error"]
    assert not conversation.channels


def test_topics_a_connection(spot: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond so many topics a connection is refused further ones and keeps those it has."""
    monkeypatch.setattr(kucoin, "TOPICS_A_CONNECTION", 2)
    conversation = spot.connect()
    told = [
        overstepped(conversation.received(json.dumps(spot.wish(name)), spot.world()))
        for name in ("BTC-USDT_1min", "ETH-USDT_1min", "BTC-USDT_1min", "SOL-USDT_1min")
    ]
    assert told == [[], [], [], [("topics a connection", 2, 3)]]
    assert len(conversation.channels) == 2


@pytest.mark.parametrize("token", ["", "made-up", "other market", "old"])
def test_bad_token(spot: Talk, perpetual: Talk, token: str) -> None:
    """Without a valid token of this market there is no welcome, but an error and the end."""
    words = {"other market": perpetual.token(), "old": spot.token()}
    conversation = spot.connect(NOON + 86_400, token=words.get(token, token))

    actions = list(conversation.opened(spot.world()))

    assert [frame["type"] for frame in frames(actions)] == ["error"]
    assert isinstance(actions[-1], Close)


def test_token_of_yesterday(spot: Talk) -> None:
    """A token is valid for 24 hours."""
    conversation = spot.connect(NOON + 86_399)
    assert [frame["type"] for frame in frames(conversation.opened(spot.world()))] == ["welcome"]


# --- over real sockets


async def address(sandbox: Sandbox, market: str) -> str:
    """Return where to connect, as a token's reply tells it."""
    url = f"{sandbox.url}/{market}/api/v1/bullet-public"
    async with aiohttp.ClientSession() as session, session.post(url) as reply:
        data = (await reply.json())["data"]
    query = urlencode({"token": data["token"], "connectId": "7"})
    return f"{data['instanceServers'][0]['endpoint']}?{query}"


async def truth(sandbox: Sandbox, path: str, start: float, end: float) -> list[dict[str, Any]]:
    """Return the true bars of `market/pair/interval` with open time in `[start, end]`."""
    url = f"{sandbox.url}/-/truth/{path}?start={start}&end={end + 1}"
    async with aiohttp.ClientSession() as session, session.get(url) as reply:
        candles: list[dict[str, Any]] = (await reply.json())["candles"]
        return candles


async def newest(socket: websockets.ClientConnection, bars: int) -> dict[int, list[float]]:
    """Return the last figures of each bar until so many are known, by open time."""
    states: dict[int, list[float]] = {}
    while len(states) < bars:
        message = json.loads(await socket.recv())
        if message["type"] == "message":
            open_time, *figures = message["data"]["candles"]
            states[int(open_time)] = list(map(float, figures))
    return states


async def test_last_states_of_perpetuals_are_the_truth(sandbox: Sandbox) -> None:
    """The last state of each bar that was pushed is the truth, late as it comes."""
    async with (
        websockets.connect(await address(sandbox, "kucoin_perpetual")) as socket,
        asyncio.timeout(20),
    ):
        assert json.loads(await socket.recv()) == {"id": "7", "type": "welcome"}
        await socket.send(json.dumps(Talk("kucoin_perpetual").wish("XBTUSDTM_1min")))
        states = dict(sorted((await newest(socket, 6)).items())[1:-2])

    expected = await truth(sandbox, "kucoin_perpetual/BTC-USDT/1m", min(states), max(states))
    names = ("open", "close", "high", "low", "quote_asset_volume")
    assert {bar["open_time"]: [bar[name] for name in names] for bar in expected} == {
        open_time: figures[:5] for open_time, figures in states.items()
    }
    for bar in expected:
        assert bar["volume"] == pytest.approx(states[bar["open_time"]][5] * 0.001, rel=1e-12)


async def test_spot_history_is_the_truth(sandbox: Sandbox) -> None:
    """Two pages, walked back by `endAt`, are the truth, without the bars that had no trades."""
    rows: list[list[str]] = []
    url = f"{sandbox.url}/kucoin_spot{SPOT_ROWS}?symbol=ATOM-USDT&type=5min"
    async with aiohttp.ClientSession() as session:
        for _ in range(2):
            end = int(rows[-1][0]) - 1 if rows else OPEN - 1
            async with session.get(f"{url}&endAt={end}") as reply:
                rows += (await reply.json())["data"]

    expected = await truth(sandbox, "kucoin_spot/ATOM-USDT/5m", int(rows[-1][0]), int(rows[0][0]))
    names = ("open_time", "open", "close", "high", "low", "volume", "quote_asset_volume")
    assert len(expected) == 200
    assert [[bar[name] for name in names] for bar in expected] == [
        list(map(float, row)) for row in reversed(rows)
    ]


async def test_no_snapshot() -> None:
    """Subscribing brings no candle as long as nothing is traded."""
    async with (
        Sandbox(port=0, speed=1e-9) as sandbox,
        websockets.connect(await address(sandbox, "kucoin_spot")) as socket,
        asyncio.timeout(10),
    ):
        await socket.send(json.dumps(Talk("kucoin_spot").wish("BTC-USDT_1week")))
        heard = [json.loads(await socket.recv())["type"] for _ in range(2)]
        for _ in range(5):
            await socket.send('{"id":"1","type":"ping"}')
            heard.append(json.loads(await socket.recv())["type"])
    assert heard == ["welcome", "ack", *["pong"] * 5]


async def test_updates_tell_of_trades(sandbox: Sandbox) -> None:
    """Each frame of a bar tells of more trades than the one before."""
    async with (
        websockets.connect(await address(sandbox, "kucoin_spot")) as socket,
        asyncio.timeout(20),
    ):
        await socket.send(json.dumps(Talk("kucoin_spot").wish("BTC-USDT_1min")))
        volumes: dict[str, list[float]] = {}
        while len(volumes) < 4:
            message = json.loads(await socket.recv())
            if message["type"] == "message":
                candle = message["data"]["candles"]
                volumes.setdefault(candle[0], []).append(float(candle[5]))

    for seen in volumes.values():
        assert sorted(set(seen)) == seen
        assert seen[0] > 0


async def test_client_that_never_pings(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data does not keep a connection open: who never pings is told so and closed with 1000."""
    monkeypatch.setattr(kucoin, "SILENCE", 0.3)
    monkeypatch.setattr(kucoin, "LAST_GRACE", 0.1)
    async with (
        websockets.connect(await address(sandbox, "kucoin_spot")) as socket,
        asyncio.timeout(10),
    ):
        heard = [json.loads(message) async for message in socket]
    assert heard[-1] == {"type": "error", "code": 400, "data": "ping timeout"}
    assert (socket.close_code, socket.close_reason) == (1000, "Bye")


async def test_messages_in_ten_seconds() -> None:
    """The 101st message within ten seconds ends the connection and stands in the journal."""
    async with Sandbox(port=0, speed=0.001) as sandbox:
        async with websockets.connect(await address(sandbox, "kucoin_spot")) as socket:
            for _ in range(101):
                await socket.send('{"id":"1","type":"ping"}')
            async with asyncio.timeout(10):
                heard = [json.loads(await socket.recv())["type"] for _ in range(101)]
                with pytest.raises(websockets.ConnectionClosedError, match="1008"):
                    await socket.recv()
        url = f"{sandbox.url}/-/journal?market=kucoin_spot"
        async with aiohttp.ClientSession() as session, session.get(url) as reply:
            noted = (await reply.json())["overstepped"]

    assert heard == ["welcome", *["pong"] * 100]
    assert [(over["allowed"], over["seen"]) for over in noted] == [(100, 101)]


async def test_budget_headers(sandbox: Sandbox) -> None:
    """Every reply tells what is left of the 2000 units; candles cost 3, a token 10."""
    async with aiohttp.ClientSession() as session:
        await address(sandbox, "kucoin_spot")
        url = f"{sandbox.url}/kucoin_spot{SPOT_ROWS}?symbol=BTC-USDT&type=1min"
        async with session.get(url) as reply:
            headers = reply.headers
    assert headers["gw-ratelimit-limit"] == "2000"
    assert headers["gw-ratelimit-remaining"] == "1987"
    assert 0 < int(headers["gw-ratelimit-reset"]) <= 30_000
