"""KuCoin: what its recorded frames cannot say to the conformance suite."""
# ruff: noqa: SIM300 - the expected stands before the actual

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from connectors.adapter import (
    Closing,
    Confirmed,
    ExchangeAdapter,
    Refused,
    RestRefused,
    RestReply,
    RestRequest,
    RestSlowDown,
    RestUnavailable,
    Rows,
)
from connectors.exchanges.kucoin import KuCoinPerpetual, KuCoinSpot
from connectors.model import MONDAY, Instrument, Subscription

WIRE = Path(__file__).parents[1] / "wire"
SPOT_TOPIC = "/market/candles:"
FUTURES_TOPIC = "/contractMarket/limitCandle:"


def item(name: str) -> dict[str, Any]:
    """The recorded item whose file name begins so."""
    [path] = WIRE.glob(f"{name}*.json")
    return json.loads(path.read_text())


def reply(body: Any, status: int = 200, **headers: str) -> RestReply:
    """An HTTP reply with this body."""
    return RestReply(
        status, {key.replace("_", "-"): value for key, value in headers.items()}, orjson.dumps(body)
    )


def ended(dialogue: Generator[RestRequest, RestReply, Any], *replies: RestReply) -> Any:
    """What a dialogue returns after these replies."""
    try:
        next(dialogue)
        for each in replies:
            dialogue.send(each)
    except StopIteration as end:
        return end.value
    raise AssertionError("the dialogue asks for more")


@pytest.fixture
def perpetual() -> KuCoinPerpetual:
    """One that has the recorded contracts, XBTUSDTM and the inverse XBTUSDM."""
    made = KuCoinPerpetual()
    made.use_instruments(ended(made.instruments(), reply(item("kucoin_perpetual/40")["frame"])))
    return made


# --- connecting ---


@pytest.mark.parametrize(
    ("market", "name"),
    [(KuCoinSpot, "kucoin_spot/01"), (KuCoinPerpetual, "kucoin_perpetual/02")],
)
def test_the_token_dialogue(market: type[ExchangeAdapter], name: str):
    """A POST gives the token that stands, encoded, in an address of its own for each connection."""
    recorded = item(name)
    dialogue = market().opening()
    request = next(dialogue)
    wanted, data = recorded["request"], recorded["frame"]["data"]
    tokens = [data["token"], "made up=="]
    openings = [
        ended(market().opening(), reply({"code": "200000", "data": {**data, "token": token}}))
        for token in tokens
    ]
    urls = [urlsplit(opening.url) for opening in openings]
    queries = [parse_qs(url.query) for url in urls]

    assert (wanted["method"], wanted["url"]) == (request.method, request.url)
    assert request.weight == 10
    assert data["instanceServers"][0]["endpoint"] == f"wss://{urls[0].netloc}/"
    assert tokens == [query["token"][0] for query in queries]
    assert "=" not in urls[0].query.split("&")[0].removeprefix("token=")
    assert queries[0]["connectId"] != queries[1]["connectId"]
    assert (18.0, True, 86_400) == (
        openings[0].ping_every,
        openings[0].awaits_ready,
        openings[0].expires,
    )


def test_the_ping_period_is_the_servers():
    """A server that wants pings every 50 s, as they did formerly, gets them so."""
    frame = item("kucoin_spot/01")["frame"]
    frame["data"]["instanceServers"][0]["pingInterval"] = 50_000

    assert ended(KuCoinSpot().opening(), reply(frame)).ping_every == 50


@pytest.mark.parametrize(
    "body", [{"code": "429000", "msg": "Too Many Requests"}, {"code": "200000", "data": {}}, []]
)
def test_a_reply_without_token(body: Any):
    """A reply that holds no token is a ValueError, not an address."""
    dialogue = KuCoinSpot().opening()
    next(dialogue)

    with pytest.raises(ValueError, match=r"\w"):
        dialogue.send(reply(body))


def test_a_ping_as_printed():
    """A ping is JSON with a text as id."""
    assert item("kucoin_spot/11")["frame"] == KuCoinSpot().ping_message(1545910590801, 0)


# --- subscribing ---


@pytest.mark.parametrize(
    ("pair", "interval", "name"),
    [
        ("BTC-USDT", "1m", "kucoin_spot/13"),
        ("BTC-USDT", "1h", "kucoin_spot/19"),
        ("BTC-USDT", "1m", "kucoin_perpetual/21"),
        ("LTC-USDT", "1m", "kucoin_perpetual/23"),
    ],
)
def test_subscribing_as_recorded(pair: str, interval: str, name: str):
    """The subscribe message is the recorded one, by the plain rule where nothing is listed."""
    adapter = KuCoinSpot() if "spot" in name else KuCoinPerpetual()
    wanted = item(name)["request"]
    channel = adapter.channel(Subscription(adapter.name, pair, interval))

    assert wanted == adapter.get_ws_subscription_payload(pair, interval)
    assert [{**wanted, "id": "7"}] == adapter.subscribe_messages([channel], 7, 0)
    assert [{**wanted, "id": "8", "type": "unsubscribe"}] == adapter.unsubscribe_messages(
        [channel], 8, 0
    )


def test_futures_topics_share_a_message():
    """Futures symbols go with commas into one message, at most 100 of them."""
    channels = [f"{FUTURES_TOPIC}C{number}USDTM_1min" for number in range(101)]
    first, second = KuCoinPerpetual().subscribe_messages(channels, 7, 0)

    names = first["topic"].removeprefix(FUTURES_TOPIC).split(",")
    assert (100, "C0USDTM_1min", "C99USDTM_1min") == (len(names), names[0], names[-1])
    assert (channels[100], "7") == (second["topic"], second["id"])


def test_spot_topics_go_alone():
    """For spot no form with commas is known: each topic has a message, under one id."""
    channels = [f"{SPOT_TOPIC}BTC-USDT_1min", f"{SPOT_TOPIC}ETH-USDT_1min"]
    messages = KuCoinSpot().subscribe_messages(channels, 7, 0)

    assert channels == [message["topic"] for message in messages]
    assert {"7"} == {message["id"] for message in messages}
    assert KuCoinSpot.limits.message_channels == 1


def test_answers_by_id():
    """Acknowledgement and refusal name the request; a refusal's text stands under either name."""
    adapter = KuCoinPerpetual()

    assert Confirmed("7") == adapter.parse_ws_message({"id": 7, "type": "ack"})
    assert Refused("404: topic does not exist", "p28") == adapter.parse_ws_message(
        item("kucoin_perpetual/07")["frame"]
    )
    assert Refused("invalid request data", "p18") == adapter.parse_ws_message(
        {"id": "p18", "result": False, "reason": "invalid request data"}
    )


def test_a_ping_timeout_refuses_nothing():
    """The error that precedes a close announces the close and no refusal."""
    frame = item("kucoin_perpetual/10")["frame"]

    assert Closing("ping timeout") == KuCoinPerpetual().parse_ws_message(frame)


# --- figures ---


def test_lots_become_the_nearest_double_of_base_coins(perpetual):
    """12785 lots of 0.001 are 12.785 to the last bit, where a product would be its neighbour."""
    frame = item("kucoin_perpetual/21")["frame"]
    for lots in range(1, 3000):
        frame["data"]["candles"][6] = str(lots)
        [candle] = perpetual.parse_ws_message(frame)
        assert float(f"{lots}e-3") == candle.volume


def test_lots_without_a_contract_are_no_volume():
    """Without the instruments a futures candle raises instead of counting lots as coins."""
    frame = item("kucoin_perpetual/21")["frame"]

    with pytest.raises(ValueError, match="XBTUSDTM"):
        KuCoinPerpetual().parse_ws_message(frame)


def test_inverse_contracts_have_no_base_volume(perpetual):
    """A candle of an inverse contract raises: its lots are USD, at prices that nobody told."""
    frame = item("kucoin_perpetual/21")["frame"]
    frame["data"]["symbol"] = "XBTUSDM"

    with pytest.raises(ValueError, match="XBTUSDM"):
        perpetual.parse_ws_message(frame)


def test_a_column_more_does_no_harm():
    """A row that has grown at its end, as futures rows have once, is still read."""
    frame = item("kucoin_spot/13")["frame"]
    [candle] = KuCoinSpot().parse_ws_message(frame)
    frame["data"]["candles"].append("1")

    assert [candle] == KuCoinSpot().parse_ws_message(frame)


@pytest.mark.parametrize(
    "row", [[], ["1790274180"], None, "1234567", ["x", *"123456"], ["1", *"1234", "NaN", "6"]]
)
def test_an_unreadable_row_is_no_candle(row: Any):
    """A candle frame whose row cannot be read raises instead of becoming an invented candle."""
    frame = item("kucoin_spot/13")["frame"]
    frame["data"]["candles"] = row

    with pytest.raises((ValueError, IndexError, TypeError)):
        KuCoinSpot().parse_ws_message(frame)


# --- intervals and grids ---


def test_how_intervals_are_carried():
    """Spot's months are polled; futures 3m and 1M have no REST; futures have no 6h at all."""
    spot, perpetual = KuCoinSpot(), KuCoinPerpetual()
    without_rest = set(perpetual.get_supported_intervals()) - set(
        perpetual.get_rest_supported_intervals()
    )

    assert ["1M"] == [
        each for each in spot.get_supported_intervals() if spot.transport(each) == "rest"
    ]
    assert {"3m", "1M"} == without_rest
    assert "6h" not in perpetual.get_supported_intervals()


def test_spot_weeks_begin_on_thursday():
    """Every recorded week of spot lies on its grid, and on no grid of Mondays."""
    grid = KuCoinSpot().grid("1w")
    opened = [int(row[0]) for row in item("kucoin_spot/31")["frame"]["data"]]

    assert [True] * 4 == [grid.holds(time) for time in opened]
    assert not any((time - MONDAY) % 604_800 == 0 for time in opened)


def test_futures_weeks_are_learned():
    """Futures weeks are known after the first bar: the Monday of the one frame seen, in 2022."""
    grid = KuCoinPerpetual().grid("1w")

    assert not grid.known
    assert MONDAY == grid.anchored(1653868800).anchor


# --- REST ---


def test_a_spot_request_as_printed():
    """The request for candles is the documented one."""
    wanted = item("kucoin_spot/32")["request"]
    adapter = KuCoinSpot()

    assert wanted["url"] == adapter.get_rest_url()
    assert wanted["params"] == adapter.get_rest_params("BTC-USDT", "1m", 1566703297, 1566789757, 9)


def test_spot_never_asks_for_a_bar_at_the_end():
    """Whether endAt includes is disputed, so no bar opens there; a negative start is refused."""
    request = KuCoinSpot().rest_request("BTC-USDT", "1m", -60, 120, 3, 0)

    assert (0, 119) == (request.params["startAt"], request.params["endAt"])
    assert request.weight == 3


def test_a_futures_request(perpetual):
    """Futures want the listed symbol, minutes and milliseconds."""
    request = perpetual.rest_request("BTC-USDT", "1m", 1757659080, 1757659200, 2, 0)

    wanted = item("kucoin_perpetual/33")["request"]
    bounds = {"from": 1757659080_000, "to": 1757659199_000}
    assert (wanted["url"], wanted["params"] | bounds) == (request.url, request.params)


def test_futures_granularities_are_the_published_ones():
    """Every interval with REST has one of the granularities, and the other way round."""
    published = {1, 5, 15, 30, 60, 120, 240, 480, 720, 1440, 10080}
    adapter = KuCoinPerpetual()
    asked = {
        adapter.get_rest_params("BTC-USDT", interval, 0, 1, 1)["granularity"]
        for interval in adapter.get_rest_supported_intervals()
    }

    assert published == asked


def test_futures_rows_need_the_request():
    """Rows do not name their contract: without the request they cannot be counted."""
    with pytest.raises(ValueError, match="request"):
        KuCoinPerpetual().parse_rest_response(item("kucoin_perpetual/33")["frame"])


def test_rest_answers_in_http_200():
    """A code inside HTTP 200 decides: rows, a refusal, slower, or another try."""
    adapter = KuCoinSpot()
    request = adapter.rest_request("BTC-USDT", "1m", 0, 60, 1, 0)

    def answer(body: Any, status: int = 200, **headers: str) -> Any:
        return adapter.read_rest_reply(reply(body, status, **headers), request)

    limit = item("kucoin_spot/38")["frame"]
    assert isinstance(answer(item("kucoin_spot/32")["frame"]), Rows)
    for name in ("36", "37"):
        frame = item(f"kucoin_spot/{name}")["frame"]
        assert isinstance(refused := answer(frame), RestRefused)
        assert frame["msg"] in refused.reason
    for status in (200, 429):
        assert answer(limit, status, gw_ratelimit_reset="1500").seconds == 1.5
        assert answer(limit, status).seconds is None
    assert isinstance(answer(limit, 429), RestSlowDown)
    assert isinstance(answer({"code": "777", "msg": "unheard of"}), RestUnavailable)
    assert answer({}, 451).blocked


@pytest.mark.parametrize("body", [{"code": "200000"}, {"code": "200000", "data": [[1]]}, [], {}, 7])
def test_a_body_that_cannot_be_read(body: Any):
    """HTTP 200 with a body of another shape is a ValueError, never an empty page."""
    adapter = KuCoinSpot()
    request = adapter.rest_request("BTC-USDT", "1m", 0, 60, 1, 0)

    with pytest.raises(ValueError, match="cannot be read"):
        adapter.read_rest_reply(reply(body), request)


# --- instruments ---


def test_spot_instruments():
    """Symbols are the pairs; one that cannot be traded says so."""
    dialogue = KuCoinSpot().instruments()

    assert next(dialogue).url == "https://api.kucoin.com/api/v2/symbols"
    assert [
        Instrument("BTC-USDT", "BTC-USDT"),
        Instrument("ZEL-BTC", "ZEL-BTC", tradable=False),
    ] == ended(KuCoinSpot().instruments(), reply(item("kucoin_spot/39")["frame"]))


def test_futures_instruments():
    """Perpetuals only, XBT as BTC, scaled names as they are; inverse ones are not for candles."""
    recorded = item("kucoin_perpetual/40")
    rows = recorded["frame"]["data"]
    made_up = {**rows[0], "symbol": "10PEPEUSDTM", "multiplier": 100, "status": "Paused"}
    dated = {**rows[0], "symbol": "XBTMZ26", "type": "FFICSX"}
    rows += [made_up, dated]

    assert recorded["request"]["url"] == next(KuCoinPerpetual().instruments()).url
    assert [
        Instrument("BTC-USDT", "XBTUSDTM", 0.001, status="Open"),
        Instrument(
            "BTC-USD",
            "XBTUSDM",
            1.0,
            inverse=True,
            tradable=False,
            status="Open",
            unsupported="its lots cannot be told in base coins (inverse)",
        ),
        Instrument("10PEPE-USDT", "10PEPEUSDTM", 100.0, tradable=False, status="Paused"),
    ] == ended(KuCoinPerpetual().instruments(), reply(recorded["frame"]))


def test_the_plain_rule_for_symbols():
    """Without the list a futures symbol is base, quote and M, with XBT for BTC."""
    adapter = KuCoinPerpetual()
    pairs = ("BTC-USDT", "ETH-USDT", "BTC-USDC", "BTC-USD")

    assert ["XBTUSDTM", "ETHUSDTM", "XBTUSDCM", "XBTUSDM"] == [
        adapter.get_trading_pair_format(pair) for pair in pairs
    ]
