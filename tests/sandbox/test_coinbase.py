"""Coinbase's dialects, held against the card and what was recorded."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from connectors.sandbox.coinbase import CoinbaseAdvancedTrade, CoinbaseExchange
from connectors.sandbox.dialect import Close, Conversation, HttpReply, HttpRequest, Moment, World
from tests.sandbox.pretend import (
    NOON,
    ask,
    candle,
    connected,
    get,
    kinds,
    recorded,
    said,
    shape,
    world,
)

ADVANCED, EXCHANGE = CoinbaseAdvancedTrade(), CoinbaseExchange()
MARKET = "coinbase_advanced_trade"
PRODUCTS = "/api/v3/brokerage/market/products"
CANDLES = f"{PRODUCTS}/BTC-USD/candles"
HEARTBEATS = {"type": "subscribe", "channel": "heartbeats"}


def subscribe(*products: str) -> dict[str, object]:
    """A subscribe message."""
    return {"type": "subscribe", "product_ids": list(products), "channel": "candles"}


def without_client(frame: dict[str, Any]) -> dict[str, Any]:
    """The frame as production sends it since 2026: without the empty client_id."""
    return {key: value for key, value in frame.items() if key != "client_id"}


def later(around: World, seconds: float) -> World:
    """The same world some real seconds later, at speed 1."""
    now = Moment(around.now.market + seconds, around.now.real + seconds)
    return replace(around, now=now)


@pytest.fixture
def around() -> World:
    """A world a few minutes after noon."""
    return world(ADVANCED, NOON + 200.5)


@pytest.fixture
def conversation(around: World) -> Conversation:
    """A new connection."""
    return connected(ADVANCED, "/", around)


# --- WebSocket


def test_confirmation_as_recorded(conversation: Conversation, around: World) -> None:
    """The confirmation lists the subscriptions, after a snapshot, numbered in one sequence."""
    expected = without_client(recorded(MARKET, "10-ws-confirm"))

    snapshot, confirmation = ask(conversation, subscribe("BTC-USD"), around)

    assert shape(confirmation) == shape(expected)
    assert confirmation["events"] == [{"subscriptions": {"candles": ["BTC-USD"]}}]
    assert [snapshot["sequence_num"], confirmation["sequence_num"]] == [0, 1]


def test_snapshot_as_recorded(conversation: Conversation, around: World) -> None:
    """The snapshot holds the newest bars, newest first, each in the documented shape."""
    expected = recorded(MARKET, "03-ws-snapshot-no-client-id")

    snapshot, _ = ask(conversation, subscribe("BTC-USD"), around)

    assert shape(snapshot["events"][0]["candles"][0]) == shape(expected["events"][0]["candles"][0])
    assert list(snapshot) == list(expected)
    starts = [int(row["start"]) for row in snapshot["events"][0]["candles"]]
    assert starts == [NOON - 300 * n for n in range(5)]


def test_update_as_recorded(conversation: Conversation, around: World) -> None:
    """An update has the recorded keys, in their order, and types: all strings, start too."""
    ask(conversation, subscribe("BTC-USD"), around)
    bar = around.market.current("BTC-USD", "5m", around.now.market)

    found = candle(conversation, conversation.channels["BTC-USD"], bar, around)

    assert shape(found) == shape(without_client(recorded(MARKET, "01-ws-candle-update")))
    assert found["events"][0]["candles"][0]["start"] == str(NOON)
    assert found["sequence_num"] == 2


def test_heartbeat_as_recorded(conversation: Conversation, around: World) -> None:
    """Once asked for, a heartbeat comes each real second, counted by an integer."""
    expected = without_client(recorded(MARKET, "12-ws-heartbeat-integer-counter"))
    ask(conversation, HEARTBEATS, around)

    assert conversation.due == around.now.real + 1
    beats = [said(conversation.tick(later(around, n)))[0] for n in (1, 2)]

    assert shape(beats[0]) == shape(expected)
    assert [beat["events"][0]["heartbeat_counter"] for beat in beats] == [1, 2]


@pytest.mark.parametrize(
    "message",
    [
        {"type": "subscribe", "product_ids": ["BTC-USD"], "channel": "full"},
        {"type": "subscribe", "product_ids": ["BTC-USD"], "channel": ["candles"]},
        {"channel": "candles"},
        [],
    ],
)
def test_error_as_recorded(message: object, conversation: Conversation, around: World) -> None:
    """An unknown channel is answered with the recorded error, which names nothing."""
    assert ask(conversation, message, around) == [recorded(MARKET, "13-ws-error")]


def test_text_that_is_not_json(conversation: Conversation, around: World) -> None:
    """What is not JSON is an error, too."""
    assert said(conversation.received("ping", around)) == [recorded(MARKET, "13-ws-error")]


def test_unknown_product_is_missing(conversation: Conversation, around: World) -> None:
    """A product that does not exist, or shall be refused, is missing in the confirmation."""
    refusing = replace(around, refuses=lambda pair, _: pair == "ETH-USD")

    *_, confirmation = ask(conversation, subscribe("NOPE-USD", "BTC-USD", "ETH-USD"), refusing)

    assert confirmation["events"][0]["subscriptions"] == {"candles": ["BTC-USD"]}
    assert list(conversation.channels) == ["BTC-USD"]


def test_alias_is_served_under_its_true_name(conversation: Conversation, around: World) -> None:
    """Frames of X-USDC say X-USD, and both names together are one channel."""
    snapshot, confirmation = ask(conversation, subscribe("BTC-USDC"), around)
    again = ask(conversation, subscribe("BTC-USD"), around)

    assert {row["product_id"] for row in snapshot["events"][0]["candles"]} == {"BTC-USD"}
    assert confirmation["events"][0]["subscriptions"] == {"candles": ["BTC-USDC"]}
    assert again[0]["events"][0]["subscriptions"] == {"candles": ["BTC-USDC", "BTC-USD"]}
    assert list(conversation.channels) == ["BTC-USD"]


def test_unsubscribing_lists_what_is_left(conversation: Conversation, around: World) -> None:
    """After an unsubscribe the confirmation lists the rest; without products nothing is left."""
    ask(conversation, subscribe("BTC-USD", "ETH-USD"), around)

    end = {**subscribe("BTC-USD"), "type": "unsubscribe"}
    (one_left,) = ask(conversation, end, around)
    (none_left,) = ask(conversation, {"type": "unsubscribe", "channel": "candles"}, around)

    assert one_left["events"][0]["subscriptions"] == {"candles": ["ETH-USD"]}
    assert none_left["events"][0]["subscriptions"] == {}
    assert not conversation.channels


def test_first_subscribe_must_come_in_five_seconds(
    conversation: Conversation, around: World
) -> None:
    """A connection without a subscribe message is closed after 5 s."""
    assert conversation.due == around.now.real + 5
    assert list(conversation.tick(later(around, 5))) == [Close()]


def test_closed_without_updates(conversation: Conversation, around: World) -> None:
    """Without heartbeats a connection is closed 60 s after its last candle, with them never."""
    ask(conversation, subscribe("BTC-USD"), around)
    bar = around.market.current("BTC-USD", "5m", around.now.market)
    candle(conversation, conversation.channels["BTC-USD"], bar, later(around, 20))

    assert list(conversation.tick(later(around, 60))) == []
    assert conversation.due == around.now.real + 80
    assert list(conversation.tick(later(around, 80))) == [Close()]

    ask(conversation, HEARTBEATS, later(around, 80))
    assert len(said(conversation.tick(later(around, 400)))) == 1


@pytest.mark.parametrize("dialect", [ADVANCED, EXCHANGE])
def test_no_other_websocket(dialect: CoinbaseAdvancedTrade | CoinbaseExchange) -> None:
    """Advanced Trade takes connections at its root alone, Exchange none for candles."""
    path = "/ws" if dialect is ADVANCED else "/"

    found = dialect.connect(HttpRequest("GET", path, {}, {}), world(dialect))

    assert isinstance(found, HttpReply)


# --- REST of Advanced Trade


def starts(reply: HttpReply) -> list[int]:
    """The open times of some rows, in seconds after noon."""
    body = reply.body
    rows = body["candles"] if isinstance(body, dict) else body
    assert isinstance(rows, list)
    return [int(row["start"] if isinstance(row, dict) else row[0]) - NOON for row in rows]


def test_rows_as_recorded() -> None:
    """Rows are objects of strings in the recorded order, newest first, bounds included."""
    expected = recorded(MARKET, "20-rest-candles-1h")
    asked = {"granularity": "ONE_HOUR", "start": NOON - 3_600, "end": NOON}

    found = get(ADVANCED, CANDLES, **asked)

    assert shape(found.body) == shape(expected)
    assert starts(found) == [0, -3_600]


def test_unaligned_start_leaves_its_bucket_out() -> None:
    """An unaligned start is not rounded down."""
    asked = {"granularity": "ONE_MINUTE", "start": NOON - 119, "end": NOON}

    assert starts(get(ADVANCED, CANDLES, **asked)) == [0, -60]


@pytest.mark.parametrize(("bars", "status"), [(349, 200), (350, 400), (400, 400)])
def test_too_many_candles_as_recorded(bars: int, status: int) -> None:
    """A span of 350 candles is refused with the recorded body, not trimmed."""
    asked = {"granularity": "ONE_MINUTE", "start": NOON - 60 * bars, "end": NOON}

    found = get(ADVANCED, CANDLES, **asked)

    assert found.status == status
    if status == 400:
        assert found.body == recorded(MARKET, "31-rest-error-too-many-candles")


def test_unknown_product_as_recorded() -> None:
    """An unknown product is answered with 404 and the recorded body."""
    expected = recorded(MARKET, "32-rest-error-unknown-product")

    for path in (f"{PRODUCTS}/NOPE-USD", f"{PRODUCTS}/NOPE-USD/candles"):
        found = get(ADVANCED, path, granularity="ONE_MINUTE")
        assert (found.status, found.body) == (404, expected)


def test_rate_as_documented() -> None:
    """Too many requests are answered with 429 and the documented body, without Retry-After."""
    found = ADVANCED.slow_down(None, world(ADVANCED))

    assert (found.status, found.body) == (429, recorded(MARKET, "30-rest-error-rate"))
    assert not found.headers
    assert not ADVANCED.retry_after


def test_products_as_recorded() -> None:
    """The list of products has the recorded keys and types, with aliases both ways."""
    expected = recorded(MARKET, "40-rest-instruments")

    found = get(ADVANCED, PRODUCTS, product_type="SPOT").body

    assert isinstance(found, dict)
    rows = {row["product_id"]: row for row in found["products"]}
    assert found.keys() == expected.keys()
    assert shape(rows["BTC-USD"]) == shape(expected["products"][0])
    assert shape(rows["BTC-USDC"]) == shape(expected["products"][1])
    assert rows["BTC-USD"]["alias_to"] == ["BTC-USDC"]
    assert rows["BTC-USDC"]["alias"] == "BTC-USD"
    assert rows["USDT-USDC"]["alias"] == ""


def test_the_rest() -> None:
    """A bad granularity is 400, the path that needs a login 401, any other 404."""
    assert get(ADVANCED, CANDLES, granularity="ONE_WEEK").status == 400
    assert get(ADVANCED, CANDLES, granularity="ONE_DAY", start="x", end="y").status == 400
    assert get(ADVANCED, "/api/v3/brokerage/products").status == 401
    assert get(ADVANCED, "/nowhere").status == 404


def test_replies_are_cached_a_second() -> None:
    """A reply is as of the last whole second, unless no-cache is asked for."""
    around = world(ADVANCED, NOON + 59.999)
    query = {"granularity": "ONE_MINUTE", "start": str(NOON), "end": str(NOON)}
    asked = HttpRequest("GET", CANDLES, query, {})
    fresh = replace(asked, headers={"cache-control": "no-cache"})
    market = around.market

    rows = [ADVANCED.answer(request, around).body for request in (asked, fresh)]

    volumes = [
        f"{market.state('BTC-USD', '1m', NOON, at).volume.normalize():f}"
        for at in (NOON + 59, NOON + 59.999)
    ]
    assert [row["candles"][0]["volume"] for row in rows if isinstance(row, dict)] == volumes


# --- REST of Exchange


EXCHANGE_CANDLES = "/products/BTC-USD/candles"


def test_exchange_rows_as_recorded() -> None:
    """Rows are numbers: time, low, high, open, close, volume; newest first."""
    expected = recorded("coinbase_exchange", "21-rest-candles-1m")
    asked = {"granularity": 60, "start": NOON - 120, "end": NOON}

    found = get(EXCHANGE, EXCHANGE_CANDLES, **asked)

    assert shape(found.body) == shape(expected)
    assert starts(found) == [0, -60, -120]
    assert isinstance(found.body, list)
    for _, low, high, opened, closed, _ in found.body:
        assert low <= min(opened, closed) <= max(opened, closed) <= high


def test_exchange_takes_iso_times_and_the_bar_before() -> None:
    """ISO 8601 is taken as well; the bar that contains the start comes, too."""
    asked = {"granularity": 60, "start": "2026-11-25T11:58:30Z", "end": "2026-11-25T11:59:00"}

    assert starts(get(EXCHANGE, EXCHANGE_CANDLES, **asked)) == [-60, -120]


def test_exchange_ignores_a_lonely_bound() -> None:
    """With one bound missing, the newest 350 rows come, up to five minutes old."""
    around = world(EXCHANGE, NOON + 299)

    found = starts(get(EXCHANGE, EXCHANGE_CANDLES, around, granularity=60, start=NOON - 60))

    assert len(found) >= 349
    assert found[0] <= 0


@pytest.mark.parametrize(
    ("path", "query", "status", "name"),
    [
        (EXCHANGE_CANDLES, {"granularity": 1_800}, 400, "32-rest-error-granularity"),
        ("/products/BTC-USDC/candles", {"granularity": 60}, 404, "31-rest-error-not-found"),
        (
            EXCHANGE_CANDLES,
            {"granularity": 60, "start": NOON - 60 * 301, "end": NOON},
            400,
            "30-rest-error-too-many",
        ),
    ],
)
def test_exchange_errors_as_recorded(
    path: str, query: dict[str, object], status: int, name: str
) -> None:
    """What cannot be answered is answered with the recorded status and body."""
    found = get(EXCHANGE, path, **query)

    assert (found.status, found.body) == (status, recorded("coinbase_exchange", name))


def test_exchange_takes_301_rows() -> None:
    """Three hundred intervals are 301 rows, as both bounds are included."""
    asked = {"granularity": 60, "start": NOON - 18_000, "end": NOON}

    assert len(starts(get(EXCHANGE, EXCHANGE_CANDLES, **asked))) == 301


def test_exchange_products_as_recorded() -> None:
    """A product has the recorded keys and types."""
    expected = recorded("coinbase_exchange", "40-rest-instruments")[0]

    found = get(EXCHANGE, "/products").body

    assert isinstance(found, list)
    assert kinds(found[0]) == kinds(expected)


def test_bars_without_trades_are_left_out() -> None:
    """On a quiet pair history has holes, in both markets the same ones."""
    bounds = {"start": NOON - 60 * 300, "end": NOON - 60}
    one = get(EXCHANGE, "/products/ALGO-USD/candles", granularity=60, **bounds)
    other = get(ADVANCED, f"{PRODUCTS}/ALGO-USD/candles", granularity="ONE_MINUTE", **bounds)

    assert 0 < len(starts(one)) < 250
    assert starts(one) == starts(other)
    assert json.dumps(one.body)
