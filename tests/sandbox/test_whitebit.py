"""WhiteBIT's dialect, held against the card and what ccxt's comments show of it."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from connectors.sandbox.dialect import Close, HttpReply, HttpRequest
from connectors.sandbox.whitebit import Whitebit
from tests.sandbox.pretend import NOON, ask, candle, connected, doubled, get, said, shape, world

WHITEBIT = Whitebit()
AROUND = world(WHITEBIT)  # for tests that change nothing in it
KLINE = "/api/v1/public/kline"

# ccxt 4.5.64, whitebit.py and pro/whitebit.py
FRAME: Any = json.loads(
    '{"method":"candles_update","params":[[1655204760,"22374.15","22351.34","22374.27",'
    '"22342.52","30.213426","675499.29718947","BTC_USDT"]],"id":null}'
)
ROWS: Any = json.loads(
    '{"success":true,"message":"","result":['
    '[1591488000,"0.025025","0.025025","0.025029","0.025023","6.181","0.154686629"]]}'
)
CONFIRMED = {"id": 1, "result": {"status": "success"}, "error": None}
INVALID: Any = json.loads('{"error":{"code":1,"message":"invalid argument"},"result":null,"id":1}')


def wish(symbol: object = "BTC_USDT", seconds: object = 60) -> dict[str, Any]:
    """A subscription."""
    return {"id": 1, "method": "candles_subscribe", "params": [symbol, seconds]}


def rows(**query: object) -> list[list[Any]]:
    """The rows of a reply about BTC."""
    body: Any = get(
        WHITEBIT, KLINE, AROUND, **{"market": "BTC_USDT", "interval": "1m", **query}
    ).body
    assert body["success"] is True, body
    found: list[list[Any]] = body["result"]
    return found


def opens(found: list[list[Any]]) -> list[int]:
    """Their open times, in seconds after noon."""
    return [row[0] - NOON for row in found]


def test_frame_as_recorded() -> None:
    """A frame has the recorded keys and types: open, close, high, low, and no interval."""
    conversation = connected(WHITEBIT, "/ws", AROUND)
    ask(conversation, wish(), AROUND)
    bar = AROUND.market.bar("BTC-USDT", "1m", NOON - 60)

    found = candle(conversation, conversation.channels["BTC_USDT"], bar, AROUND)

    assert shape(found) == shape(FRAME)
    (row,) = found["params"]
    figures = (bar.open, bar.close, bar.high, bar.low, bar.volume, bar.quote_volume)
    assert row[0] == NOON - 60
    assert [float(figure) for figure in row[1:7]] == [float(figure) for figure in figures]
    assert row[7] == "BTC_USDT"


def test_rows_as_recorded() -> None:
    """Rows are a frame's without the market, oldest first."""
    body: Any = get(WHITEBIT, KLINE, AROUND, market="BTC_USDT", interval="1m", limit=1).body

    assert shape(body) == shape(ROWS)
    assert opens(rows(limit=3)) == [-120, -60, 0]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"start": NOON - 600, "limit": 2}, [-600, -540]),
        ({"start": NOON - 600, "end": NOON, "limit": 2}, [-120, -60]),
        ({"start": NOON - 120, "end": NOON}, [-120, -60]),
        ({"end": NOON - 60, "limit": 2}, [-180, -120]),
        ({"start": NOON + 60}, []),
    ],
)
def test_bounds(query: dict[str, int], expected: list[int]) -> None:
    """The start is included and the end is not; from a start alone the oldest win."""
    assert opens(rows(**query)) == expected


def test_pages() -> None:
    """100 rows come unless more are asked for, and holes where nothing was traded."""
    assert len(rows()) == 100
    assert len(rows(limit=1_440)) == 1_440
    assert any(late - early > 60 for early, late in pairwise(opens(rows(market="ALGO_USDT"))))


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ({"market": "NO_USDT"}, "market"),
        ({"market": "BTC_PERP"}, "market"),
        ({"interval": "7m"}, "interval"),
        ({"limit": 1_441}, "limit"),
        ({"limit": 0}, "limit"),
        ({"start": "noon"}, "start"),
        ({"end": "noon"}, "end"),
    ],
)
def test_errors_are_http_200(query: dict[str, object], name: str) -> None:
    """A bad parameter is told inside HTTP 200."""
    found = get(WHITEBIT, KLINE, AROUND, **{"market": "BTC_USDT", "interval": "1m", **query})
    body: Any = found.body

    assert (found.status, body["success"], body["result"]) == (200, False, None)
    assert list(body["message"]) == [name]


# --- conversation


def test_confirmation_and_pong() -> None:
    """A subscription is confirmed, a ping answered with its id."""
    conversation = connected(WHITEBIT, "/ws", AROUND)

    assert ask(conversation, wish(), AROUND) == [CONFIRMED]
    ping = {"id": 0, "method": "ping", "params": []}
    assert ask(conversation, ping, AROUND) == [{"id": 0, "result": "pong", "error": None}]


def test_one_subscription_a_market() -> None:
    """Another interval of the same market takes the place of the first; other markets stay."""
    conversation = connected(WHITEBIT, "/ws", AROUND)
    for symbol, seconds in (("BTC_USDT", 60), ("ETH_USDT", 60), ("BTC_USDT", 300)):
        assert ask(conversation, wish(symbol, seconds), AROUND) == [CONFIRMED]

    held = {name: channel.interval for name, channel in conversation.channels.items()}
    before = dict(conversation.channels)
    ask(conversation, wish("BTC_USDT", 300), AROUND)

    assert held == {"BTC_USDT": "5m", "ETH_USDT": "1m"}
    assert conversation.channels == before


def test_unsubscribing_ends_all() -> None:
    """There is one end for all subscriptions."""
    conversation = connected(WHITEBIT, "/ws", AROUND)
    for symbol in ("BTC_USDT", "ETH_USDT"):
        ask(conversation, wish(symbol), AROUND)

    end = {"id": 1, "method": "candles_unsubscribe", "params": []}

    assert ask(conversation, end, AROUND) == [CONFIRMED]
    assert not conversation.channels


def test_unknown_market_is_silent() -> None:
    """A market that is unknown, or has ended, is confirmed and not served."""
    around = world(WHITEBIT)
    around.market.delist("ETH-USDT", NOON, vanish=False)
    conversation = connected(WHITEBIT, "/ws", around)

    for symbol in ("NO_USDT", "btc_usdt", "ETH_USDT"):
        assert ask(conversation, wish(symbol), around) == [CONFIRMED]
    assert not conversation.channels


@pytest.mark.parametrize(
    "message",
    [
        wish(seconds=180),
        wish(seconds="60"),
        wish(seconds=61),
        wish(symbol=["BTC_USDT"]),
        {"id": 1, "method": "candles_subscribe", "params": []},
        {"id": 1, "method": "nope", "params": []},
    ],
)
def test_invalid_argument_as_recorded(message: object) -> None:
    """What is malformed, or an interval that is not streamed, gets the recorded error."""
    assert ask(connected(WHITEBIT, "/ws", AROUND), message, AROUND) == [INVALID]


def test_refused_and_not_json() -> None:
    """What a fault refuses is an invalid argument; what is no JSON is one without an id."""
    around = world(WHITEBIT, refuses=lambda pair, _: pair == "BTC-USDT")
    conversation = connected(WHITEBIT, "/ws", around)

    assert ask(conversation, wish(), around) == [INVALID]
    assert said(conversation.received("nonsense", around)) == [{**INVALID, "id": None}]
    assert not conversation.channels


def test_silent_client_is_closed() -> None:
    """60 s after the client's last message it is closed."""
    conversation = connected(WHITEBIT, "/ws", AROUND)
    assert conversation.due == 60

    ask(conversation, wish(), world(WHITEBIT, real=40))

    assert conversation.due == 100
    assert list(conversation.tick(world(WHITEBIT, real=100))) == [Close()]


def test_instruments() -> None:
    """Each market is told by its name, and whether it is traded."""
    around = world(WHITEBIT)
    around.market.delist("ETH-USDT", NOON, vanish=False)

    body: Any = get(WHITEBIT, "/api/v4/public/markets", around).body

    found = {row["name"]: (row["stock"], row["money"], row["tradesEnabled"]) for row in body}
    assert found["BTC_USDT"] == ("BTC", "USDT", True)
    assert found["ETH_USDT"] == ("ETH", "USDT", False)


def test_other_paths() -> None:
    """Other paths are 404, and too many requests 429."""
    refused = WHITEBIT.connect(HttpRequest("GET", "/", {}, {}), AROUND)

    assert isinstance(refused, HttpReply)
    assert (refused.status, get(WHITEBIT, "/nowhere", AROUND).status) == (404, 404)
    assert WHITEBIT.slow_down(1, AROUND).status == 429


def test_a_fault_finds_the_rows() -> None:
    """Rows are where the reply says that they are."""
    reply = get(WHITEBIT, KLINE, AROUND, market="BTC_USDT", interval="1m", limit=20)

    assert len(doubled(WHITEBIT, reply)["result"]) > 20
