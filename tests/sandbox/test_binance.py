"""Binance's dialect, held against the cards and what was recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connectors.sandbox.binance import (
    BinanceCoinM,
    BinancePerpetual,
    BinanceSpot,
    BinanceUs,
    contract_size,
)
from connectors.sandbox.dialect import Close, Dialect, HttpReply, HttpRequest, Overstep, World
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

STREAM = {"binance_spot": "/stream", "binance_us": "/stream", "binance_perpetual": "/market/stream"}
SPOT, US, FUTURES, COINS = BinanceSpot(), BinanceUs(), BinancePerpetual(), BinanceCoinM()
EACH = pytest.mark.parametrize("dialect", [SPOT, US, FUTURES], ids=lambda dialect: dialect.market)

SUBSCRIBE = {"method": "SUBSCRIBE", "params": ["btcusdt@kline_1m", "ethusdt@kline_5m"], "id": 1}


def talk(dialect: Dialect, *messages: object, around: World | None = None) -> list[Any]:
    """The answers to the last of these messages on a new connection."""
    around = around or world(dialect)
    conversation = connected(dialect, STREAM[dialect.market], around)
    return [ask(conversation, message, around) for message in messages][-1]


def frame(dialect: Dialect, pair: str, at: float, *, closed: bool = False) -> Any:
    """The 1m frame of a pair at a time; the bar before, final, when closed."""
    around = world(dialect, at)
    conversation = connected(dialect, STREAM[dialect.market], around)
    name = pair.replace("-", "").lower() + "@kline_1m"
    ask(conversation, {"method": "SUBSCRIBE", "params": [name], "id": 1}, around)
    opened = around.market.intervals["1m"].floor(at) - 60 * closed
    bar = around.market.state(pair, "1m", opened, at)
    return candle(conversation, conversation.channels[name], bar, around, closed=closed)


# --- frames


@EACH
def test_confirmation_as_recorded(dialect: Dialect) -> None:
    """One confirmation answers a request, whatever number of streams it names."""
    name = "04-ws-confirm" if dialect is US else "09-ws-confirm"

    assert talk(dialect, SUBSCRIBE) == [recorded(dialect.market, name)]


@EACH
def test_invalid_stream_as_recorded(dialect: Dialect) -> None:
    """One ill-formed name fails the whole request, and is not named."""
    market = dialect.market if dialect is not US else "binance_spot"
    expected = recorded(market, "10-ws-error-invalid-stream")
    request = {"method": "SUBSCRIBE", "params": ["btcusdt@kline_1m", "not asdfads"]}

    assert talk(dialect, {**request, "id": expected["id"]}) == [expected]


def test_too_many_subscriptions_as_recorded() -> None:
    """The 1025th stream of a connection is refused with its whole request."""
    expected = recorded("binance_spot", "11-ws-error-too-many-subscriptions")
    around = world(SPOT)
    conversation = connected(SPOT, "/ws", around)
    for part in range(8):
        names = [f"a{part}x{n}@kline_1m" for n in range(128)]
        assert ask(conversation, {"method": "SUBSCRIBE", "params": names, "id": part}, around)

    one_more = {"method": "SUBSCRIBE", "params": ["btcusdt@kline_1m"], "id": expected["id"]}
    actions = list(conversation.received(json.dumps(one_more), around))

    assert actions[0] == Overstep("subscriptions", 1024, 1025)
    assert said(actions) == [expected]
    assert not conversation.channels


def test_missing_method_as_documented() -> None:
    """A request without a method gets the flat error."""
    assert talk(SPOT, {"id": 1}) == [recorded("binance_spot", "12-ws-error-documented-flat")]


def test_list_of_subscriptions_as_documented() -> None:
    """The list names what was subscribed to, served or not."""
    expected = recorded("binance_spot", "13-ws-list-subscriptions")
    subscribe = {"method": "SUBSCRIBE", "params": expected["result"], "id": 1}

    found = talk(SPOT, subscribe, {"method": "LIST_SUBSCRIPTIONS", "id": expected["id"]})

    assert found == [expected]


@pytest.mark.parametrize(
    ("dialect", "name"),
    [
        (SPOT, "01-ws-candle-open"),
        (SPOT, "02-ws-candle-open-btcusdt"),
        (US, "01-ws-candle-open"),
        (US, "02-ws-candle-open-later"),
        (FUTURES, "01-ws-candle-open"),
        (FUTURES, "04-ws-candle-first-of-minute"),
    ],
)
def test_open_frame_as_recorded(dialect: Dialect, name: str) -> None:
    """An open candle's frame has the recorded keys, in their order, and their types."""
    found = frame(dialect, "BTC-USDT", NOON + 42.5)

    assert shape(found) == shape(recorded(dialect.market, name))
    assert found["data"]["k"]["x"] is False


@pytest.mark.parametrize(
    ("dialect", "name"),
    [
        (SPOT, "03-ws-candle-closed"),
        (US, "03-ws-candle-closed"),
        (FUTURES, "03-ws-candle-closed"),
        (FUTURES, "05-ws-candle-closed-late"),
    ],
)
def test_closed_frame_as_recorded(dialect: Dialect, name: str) -> None:
    """A closed candle's frame has the recorded shape, and says so."""
    found = frame(dialect, "BTC-USDT", NOON + 1.5, closed=True)

    assert shape(found) == shape(recorded(dialect.market, name))
    assert found["data"]["k"]["x"] is True
    assert found["data"]["k"]["T"] == NOON * 1_000 - 1
    assert found["data"]["E"] == NOON * 1_000 + 1_500


def test_frame_without_trades_as_recorded() -> None:
    """Without trades the ids are −1, the volumes zero with all their digits, the prices flat."""
    expected = recorded("binance_spot", "05-ws-candle-open-no-trades")["data"]["k"]
    found = frame(SPOT, "ALGO-USDT", NOON)["data"]["k"]

    for name in "fLvnqVQBx":
        assert found[name] == expected[name]
    assert {found["o"]} == {found["h"], found["l"], found["c"]}


def test_raw_frame_as_recorded() -> None:
    """On /ws frames come bare; SET_PROPERTY puts them into an envelope."""
    around = world(SPOT)
    conversation = connected(SPOT, "/ws/btcusdt@kline_1m", around)
    bar = around.market.current("BTC-USDT", "1m", around.now.market)
    (channel,) = conversation.channels.values()

    bare = candle(conversation, channel, bar, around)
    ask(conversation, {"method": "SET_PROPERTY", "params": ["combined", True], "id": 5}, around)

    assert shape(bare) == shape(recorded("binance_spot", "06-ws-candle-raw-stream"))
    expected = {"stream": "btcusdt@kline_1m", "data": bare}
    assert candle(conversation, channel, bar, around) == expected


@EACH
def test_digits_are_exact(dialect: Dialect) -> None:
    """What is printed is the bar itself, on every pair: no digit is cut off."""
    around = world(dialect)
    for listing in dialect.listings:
        bar = around.market.bar(listing.trading_pair, "1d", NOON - NOON % 86_400)
        row = get(
            dialect,
            _candles(dialect),
            around,
            symbol=listing.symbol,
            interval="1d",
            limit=1,
            endTime=bar.open_ms,
        )
        assert isinstance(row.body, list)
        state = around.market.state(listing.trading_pair, "1d", bar.open_time, around.now.market)
        figures = (state.close, state.volume, state.quote_volume, state.taker_quote_volume)
        assert [float(row.body[0][n]) for n in (4, 5, 7, 10)] == [float(f) for f in figures]


# --- subscribing


@EACH
@pytest.mark.parametrize("name", ["nopeusdt@kline_1m", "btcusdt@kline_7m", "BTCUSDT@kline_1m"])
def test_unknown_is_confirmed_and_not_served(dialect: Dialect, name: str) -> None:
    """A symbol, interval or spelling that does not exist is confirmed all the same."""
    around = world(dialect)
    conversation = connected(dialect, STREAM[dialect.market], around)

    answers = ask(conversation, {"method": "SUBSCRIBE", "params": [name], "id": 3}, around)

    assert answers == [{"result": None, "id": 3}]
    assert not conversation.channels


def test_streams_of_the_address_are_served() -> None:
    """Streams named in the address are served without a request."""
    around = world(SPOT)
    streams = "btcusdt@kline_1m/ethusdt@kline_1M"

    conversation = connected(SPOT, "/stream", around, streams=streams)

    assert list(conversation.channels) == streams.split("/")


def test_unsplit_futures_are_deaf() -> None:
    """Without /market, USD-M confirms and never serves."""
    around = world(FUTURES)
    conversation = connected(FUTURES, "/ws", around)

    assert ask(conversation, SUBSCRIBE, around) == [{"result": None, "id": 1}]
    assert not conversation.channels


@pytest.mark.parametrize("path", ["/", "/wss", "/api/v3/klines", "/market/stream", "/ws/a/b"])
def test_unknown_path_is_refused(path: str) -> None:
    """A WebSocket at another path is not accepted."""
    found = SPOT.connect(HttpRequest("GET", path, {}, {}), world(SPOT))

    assert isinstance(found, HttpReply)
    assert found.status == 404


def test_unsubscribing_ends_it() -> None:
    """What is unsubscribed from is neither served nor listed, the rest stays."""
    around = world(SPOT)
    conversation = connected(SPOT, "/ws", around)
    ask(conversation, SUBSCRIBE, around)

    end = {"method": "UNSUBSCRIBE", "params": ["btcusdt@kline_1m"], "id": 2}
    assert ask(conversation, end, around) == [{"result": None, "id": 2}]

    assert list(conversation.channels) == ["ethusdt@kline_5m"]
    listed = ask(conversation, {"method": "LIST_SUBSCRIPTIONS", "id": 3}, around)
    assert listed == [{"result": ["ethusdt@kline_5m"], "id": 3}]


def test_asking_twice_changes_nothing() -> None:
    """A stream that is subscribed to twice stays one channel."""
    around = world(SPOT)
    conversation = connected(SPOT, "/ws", around)
    ask(conversation, SUBSCRIBE, around)
    before = dict(conversation.channels)

    assert ask(conversation, SUBSCRIBE, around) == [{"result": None, "id": 1}]

    assert conversation.channels == before


def test_long_message_is_dropped() -> None:
    """A message above 4096 bytes on the wire gets no answer, one of 4096 does."""
    around = world(SPOT)
    conversation = connected(SPOT, "/ws", around)
    bare = len(json.dumps({"method": "SUBSCRIBE", "params": [""], "id": 1}))
    fits = {"method": "SUBSCRIBE", "params": ["a" * (4_088 - bare)], "id": 1}
    too_long = {"method": "SUBSCRIBE", "params": ["a" * (4_089 - bare)], "id": 1}

    assert ask(conversation, fits, around) == [{"result": None, "id": 1}]
    actions = list(conversation.received(json.dumps(too_long), around))

    assert actions == [Overstep("message bytes", 4_096, 4_097)]


@pytest.mark.parametrize("request_id", [True, 1.5, -1, "a", None, [1]])
def test_futures_take_unsigned_ids_alone(request_id: object) -> None:
    """On futures any other id is refused with the flat error, on spot text and null are fine."""
    (answer,) = talk(FUTURES, {**SUBSCRIBE, "id": request_id})

    assert answer["code"] == 2
    if request_id in ("a", None, -1):
        assert talk(SPOT, {**SUBSCRIBE, "id": request_id}) == [{"result": None, "id": request_id}]


@EACH
def test_refused_as_if_ill_formed(dialect: Dialect) -> None:
    """A subscription that shall be refused fails its request, another one does not."""
    around = world(dialect, refuses=lambda pair, interval: (pair, interval) == ("ETH-USDT", "5m"))

    (refused,) = talk(dialect, SUBSCRIBE, around=around)
    other = {**SUBSCRIBE, "params": ["ethusdt@kline_1m"]}

    assert refused["error"] == {"code": 2, "msg": "Invalid request: invalid stream"}
    assert talk(dialect, other, around=around) == [{"result": None, "id": 1}]


def test_too_many_messages_close() -> None:
    """Who sends too much is closed with 1008."""
    around = world(SPOT)

    actions = list(connected(SPOT, "/ws", around).flooded(around))

    assert actions == [Close(1008, "Too many requests")]


# --- REST


def _candles(dialect: Dialect) -> str:
    return "/fapi/v1/klines" if dialect is FUTURES else "/api/v3/klines"


@pytest.mark.parametrize(
    ("dialect", "name", "interval"),
    [
        (SPOT, "20-rest-candles-5m-latest", "5m"),
        (SPOT, "23-rest-candles-1d-ethbtc", "1d"),
        (US, "20-rest-candles-1h-open", "1h"),
        (FUTURES, "20-rest-candles-1d", "1d"),
    ],
)
def test_rows_as_recorded(dialect: Dialect, name: str, interval: str) -> None:
    """A row has the recorded columns and types, ascending, the running bar last."""
    rows = recorded(dialect.market, name)

    found = get(dialect, _candles(dialect), symbol="BTCUSDT", interval=interval, limit=len(rows))

    assert isinstance(found.body, list)
    assert shape(found.body) == shape(rows)
    step = dialect.intervals[interval]
    assert found.body[-1][0] == step.floor(NOON + 30) * 1_000
    assert found.body[-1][6] == step.after(step.floor(NOON + 30)) * 1_000 - 1


def opens(reply: HttpReply) -> list[int]:
    """The open times of some rows, in seconds after noon."""
    assert isinstance(reply.body, list)
    return [row[0] // 1_000 - NOON for row in reply.body]


def test_bounds_include_and_start_wins() -> None:
    """Both bounds include their open time; an unaligned start is rounded up; the start wins."""
    early = (NOON - 600) * 1_000
    asked = {"symbol": "BTCUSDT", "interval": "1m"}
    path = "/api/v3/klines"

    both = get(SPOT, path, **asked, startTime=early, endTime=early + 120_000)
    unaligned = get(SPOT, path, **asked, startTime=early + 1, endTime=early + 119_999)
    many = get(SPOT, path, **asked, startTime=early, limit=2)
    until = get(SPOT, path, **asked, endTime=early, limit=2)

    assert opens(both) == [-600, -540, -480]
    assert opens(unaligned) == [-540]
    assert opens(many) == [-600, -540]
    assert opens(until) == [-660, -600]
    assert len(opens(get(SPOT, path, **asked))) == 500
    assert len(opens(get(SPOT, path, **asked, limit=5_000))) == 1_000


def test_history_begins_with_the_listing() -> None:
    """A start before the listing gives the first candle first."""
    found = get(FUTURES, "/fapi/v1/klines", symbol="BTCUSDT", interval="1d", startTime=0, limit=1)

    assert isinstance(found.body, list)
    assert found.body[0][0] == 1_577_836_800_000


@EACH
def test_errors_as_recorded(dialect: Dialect) -> None:
    """An unknown symbol or interval is answered with HTTP 400 and the recorded body."""
    market = dialect.market if dialect is not US else "binance_spot"
    no_symbol = get(dialect, _candles(dialect), symbol="NOPE", interval="1m")
    no_interval = get(dialect, _candles(dialect), symbol="BTCUSDT", interval="7m")

    assert (no_symbol.status, no_symbol.body) == (400, recorded(market, "30-rest-error-symbol"))
    expected = recorded("binance_spot", "31-rest-error-interval")
    assert (no_interval.status, no_interval.body) == (400, expected)
    assert get(dialect, "/nowhere").status == 404


def test_slow_down_as_recorded() -> None:
    """Too much weight is answered with 429, the recorded sentence, and Retry-After in seconds."""
    found = US.slow_down(7, world(US))

    assert found.status == 429
    assert found.body == recorded("binance_spot", "32-rest-error-weight")
    assert found.headers == {"Retry-After": "7"}
    assert US.slow_down(None, world(US)).headers == {}


@pytest.mark.parametrize(
    ("dialect", "limit", "weight"),
    [
        (SPOT, 1_000, 2),
        (FUTURES, 99, 1),
        (FUTURES, 100, 2),
        (FUTURES, 1_000, 5),
        (FUTURES, 1_500, 10),
    ],
)
def test_weight_of_candles(dialect: Dialect, limit: int, weight: int) -> None:
    """Candles cost what the card says for their limit."""
    found = get(dialect, _candles(dialect), symbol="BTCUSDT", interval="1M", limit=limit)

    assert [charge.weight for charge in found.charges] == [weight]


@EACH
def test_instruments_as_recorded(dialect: Dialect) -> None:
    """exchangeInfo has the recorded keys, and each symbol the recorded ones with their types."""
    path = "/fapi/v1/exchangeInfo" if dialect is FUTURES else "/api/v3/exchangeInfo"
    expected = recorded(dialect.market, "40-rest-instruments")

    found = get(dialect, path).body

    assert isinstance(found, dict)
    assert kinds(found["symbols"][0]) == kinds(expected["symbols"][0])
    assert kinds(found["rateLimits"][0]) == kinds(expected["rateLimits"][0])
    assert kinds(found).keys() >= {"exchangeFilters", "rateLimits", "serverTime", "symbols"}
    assert {row["symbol"] for row in found["symbols"]} >= {"BTCUSDT", "ETHUSDT"}


def test_one_instrument() -> None:
    """One symbol may be asked for; an unknown one is an error."""
    found = get(SPOT, "/api/v3/exchangeInfo", symbol="BTCUSDT").body
    unknown = get(SPOT, "/api/v3/exchangeInfo", symbol="NOPE")

    assert isinstance(found, dict)
    assert [row["symbol"] for row in found["symbols"]] == ["BTCUSDT"]
    assert unknown.status == 400


@EACH
def test_rows_and_frames_agree(dialect: Dialect) -> None:
    """The row of history has the same figures, as text, as the frame that closed the bar."""
    pushed = frame(dialect, "BTC-USDT", NOON + 1.0, closed=True)["data"]["k"]
    around = world(dialect)
    reply = get(dialect, _candles(dialect), around, symbol="BTCUSDT", interval="1m", limit=2)

    assert isinstance(reply.body, list)
    assert reply.body[0] == [pushed[name] for name in "tohlcvTqnVQ"] + ["0"]


# --- COIN-M


COIN_ROWS, COIN_INSTRUMENTS = "/dapi/v1/klines", "/dapi/v1/exchangeInfo"
DAY = 86_400_000

# bmoscon/cryptofeed and thrasher-corp/gocryptotrader, as in the recordings
COIN_FRAME = json.loads(
    '{"stream":"etcusd_perp@kline_1m","data":{"e":"kline","E":1626916405061,"s":"ETCUSD_PERP",'
    '"k":{"t":1626916380000,"T":1626916439999,"s":"ETCUSD_PERP","i":"1m","f":19095548,'
    '"L":19095855,"o":"42.305","c":"42.278","h":"42.343","l":"42.268","v":"55100","n":308,'
    '"x":false,"q":"13015.30429960","V":"50438","Q":"11913.42471197","B":"0"}}}'
)
COIN_ROW = json.loads(
    '[1672531200000, "16531.2", "16615.9", "16486.6", "16607.9", "2067959", 1672617599999, '
    '"12496.62852978", 53963, "1094352", "6613.94163914", "0"]'
)
COIN_INSTRUMENT = json.loads(
    '{"symbol": "BTCUSD_PERP", "pair": "BTCUSD", "contractType": "PERPETUAL", "deliveryDate": '
    '4133404800000, "onboardDate": 1597042800000, "contractStatus": "TRADING", "contractSize": 100,'
    '"marginAsset": "BTC", "baseAsset": "BTC", "quoteAsset": "USD", "pricePrecision": 1, '
    '"quantityPrecision": 0}'
)


def coin_rows(**query: object) -> list[list[Any]]:
    """Daily rows of BTC in COIN-M's history."""
    asked = {"symbol": "BTCUSD_PERP", "interval": "1d", **query}
    body = get(COINS, COIN_ROWS, **asked).body
    assert isinstance(body, list), body
    return body


def test_coin_frame_as_recorded() -> None:
    """A frame has the recorded keys and types, and beside them those of 2026."""
    around = world(COINS)
    name = "btcusd_perp@kline_1m"
    talking = connected(COINS, "/stream", around, streams=name)
    bar = around.market.current("BTC-USD", "1m", around.now.market)

    found = candle(talking, talking.channels[name], bar, around)

    assert (found["data"].pop("st"), found["data"].pop("ps")) == (2, "BTCUSD")
    assert shape(found) == shape(COIN_FRAME)


def test_coin_rows_as_recorded() -> None:
    """A row has the recorded columns: contracts, base volume, and the taker's of both."""
    (row,) = coin_rows(limit=1)
    around = world(COINS)
    bar = around.market.current("BTC-USD", "1d", around.now.market)

    assert shape(row) == shape(COIN_ROW)
    assert [int(row[5]) * 100, float(row[7])] == [bar.quote_volume, float(bar.volume)]
    assert [int(row[9]) * 100, float(row[10])] == [bar.taker_quote_volume, float(bar.taker_volume)]


def test_coin_contracts_are_whole() -> None:
    """On every pair the volume is a whole number of contracts."""
    around = world(COINS)
    for listing in COINS.listings:
        bar = around.market.bar(listing.trading_pair, "4h", NOON - 4 * 3_600)
        assert bar.trades
        assert bar.quote_volume % contract_size(listing.base) == 0, listing.symbol


def test_coin_instruments_as_recorded() -> None:
    """Instruments have the recorded keys; the status has its own name; a dated future is there."""
    body = get(COINS, COIN_INSTRUMENTS).body
    assert isinstance(body, dict)
    rows = {row["symbol"]: row for row in body["symbols"]}

    assert shape(rows["BTCUSD_PERP"]) == shape(COIN_INSTRUMENT)
    sizes = [rows[name]["contractSize"] for name in ("BTCUSD_PERP", "ETHUSD_PERP")]
    assert sizes == [100, 10]
    assert rows["BTCUSD_261225"]["contractType"] != "PERPETUAL"


def test_coin_history_gives_the_latest_of_a_range() -> None:
    """The latest rows within the bounds win; one bound alone means 200 days; more is refused."""
    midnight = NOON * 1_000 - NOON * 1_000 % DAY
    start = midnight - 400 * DAY

    both = coin_rows(startTime=start, endTime=start + 10 * DAY, limit=3)
    only_start = coin_rows(startTime=start)
    only_end = coin_rows(endTime=start)
    too_long = get(
        COINS, COIN_ROWS, symbol="BTCUSD_PERP", interval="1d", startTime=start, endTime=midnight
    )

    assert [(row[0] - start) // DAY for row in both] == [8, 9, 10]
    assert [(rows[0][0] - start) // DAY for rows in (only_start, only_end)] == [0, -200]
    assert [(rows[-1][0] - start) // DAY for rows in (only_start, only_end)] == [200, 0]
    assert len(coin_rows()) == 500
    expected = {"code": -4088, "msg": "Maximum time interval is 200 days."}
    assert (too_long.status, too_long.body) == (400, expected)


def test_coin_is_not_split() -> None:
    """COIN-M is served on the plain paths, and has no others."""
    around = world(COINS)
    talking = connected(COINS, "/ws", around)
    asked = {"method": "SUBSCRIBE", "params": ["btcusd_perp@kline_1m"], "id": 1}

    assert ask(talking, asked, around) == [{"result": None, "id": 1}]
    assert list(talking.channels) == ["btcusd_perp@kline_1m"]
    assert isinstance(COINS.connect(HttpRequest("GET", "/market/ws", {}, {}), around), HttpReply)
