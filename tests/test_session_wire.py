"""Whole conversations with the real dialects, made of the recorded frames.

Only request ids are put in anew, and what a docstring calls made up.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors import exchanges
from connectors.adapter import ExchangeAdapter, Opening, RestReply
from connectors.conformance.items import Item, evidence, items_of
from connectors.conformance.pairs import pairs_in, prepared
from connectors.errors import BadFrame
from connectors.model import CandleData, Instrument, Subscription
from connectors.session import ANSWER_WITHIN, ASK_AT_MOST, Session

WIRE = Path(__file__).parent / "wire"
START = 1000.0
WALL = 1_790_000_000.0
STREAMED = [name for name in exchanges.names() if exchanges.get(name)().get_ws_url()]
BINANCE = ["binance_perpetual", "binance_spot", "binance_us"]


def frame(path: str, **changes: Any) -> Any:
    """A recorded frame, with some of its top keys changed."""
    told = orjson.loads((WIRE / f"{path}.json").read_bytes())["frame"]
    return {**told, **changes} if changes else told


def opening_of(adapter: ExchangeAdapter) -> Opening:
    """What the connect dialogue returns when the recorded token is its answer."""
    dialogue = adapter.opening()
    try:
        next(dialogue)
        (token,) = (WIRE / adapter.name).glob("*-rest-token-*.json")
        dialogue.send(RestReply(200, {}, orjson.dumps(orjson.loads(token.read_bytes())["frame"])))
    except StopIteration as end:
        opening: Opening = end.value
        return opening
    raise AssertionError(f"{adapter.name} asks for more than a token")


class Talk:
    """A session with a real dialect, its clock, and what was said."""

    def __init__(self, market: str, *wishes: str, adapter: ExchangeAdapter | None = None) -> None:
        rows = [Instrument("BTC-USDT", "XBTUSDTM", 0.001)] if market == "kucoin_perpetual" else []
        self.adapter = adapter or exchanges.get(market)()
        if adapter is None:
            self.adapter.use_instruments(rows)
        self.session = Session(self.adapter, opening_of(self.adapter), START)
        self.now = START
        self.session.want(map(self.channel, wishes))

    def channel(self, wish: str) -> str:
        """The channel of ``BTC-USDT:1m``."""
        pair, interval = wish.split(":")
        return self.adapter.channel(Subscription(self.adapter.name, pair, interval))

    def channels(self, *wishes: str) -> set[str]:
        """The channels of several."""
        return set(map(self.channel, wishes))

    def says(self, after: float = 0.0) -> list[Any]:
        """What goes out so many seconds later, JSON where it is JSON."""
        self.now += after
        texts = self.session.texts(self.now, WALL)
        return [orjson.loads(text) if text[:1] in "{[" else text for text in texts]

    def hears(self, *frames: Any) -> list[CandleData] | None:
        """Tell it these frames now; what the last one gave."""
        given = None
        for told in frames:
            packed = isinstance(told, bytes)
            data = (
                told if packed else told.encode() if isinstance(told, str) else orjson.dumps(told)
            )
            given = self.session.receive(data, packed, self.now)
        return given

    @property
    def rejected(self) -> list[tuple[str, bool]]:
        """Channel, and whether for want of room."""
        return [(it.channel, it.limit) for it in self.session.rejected]


# --- Binance ---


@pytest.mark.parametrize("market", BINANCE)
def test_binance_confirms_a_batch_by_id(market: str) -> None:
    """Two streams in one message, one confirmation, then candles of either."""
    talk = Talk(market, "BTC-USDT:1m", "ETH-USDT:5m")
    params = ["btcusdt@kline_1m", "ethusdt@kline_5m"]
    assert talk.says() == [{"method": "SUBSCRIBE", "params": params, "id": 1}]
    talk.hears(frame(f"{market}/{'04' if market == 'binance_us' else '09'}-ws-confirm"))
    assert talk.session.confirmed == set(params)

    given = talk.hears(frame("binance_spot/06-ws-candle-raw-stream"))
    assert given is not None
    assert (given[0].channel, given[0].timestamp) == ("btcusdt@kline_1m", 1519422600)
    assert talk.session.delivering == {"btcusdt@kline_1m"}


@pytest.mark.parametrize("market", BINANCE)
def test_binance_refuses_a_batch_for_one_stream(market: str) -> None:
    """The message is split until the bad one stands alone."""
    talk = Talk(market, "BTC-USDT:1m", "not asdfads:1m", "ETH-USDT:1m")
    while said := talk.says(after=1):
        for message in said:
            path = "binance_perpetual/10-ws-error-invalid-stream"
            if all("not" not in stream for stream in message["params"]):
                path = "binance_spot/09-ws-confirm"
            talk.hears(frame(path, id=message["id"]))

    assert [channel for channel, _ in talk.rejected] == [talk.channel("not asdfads:1m")]
    assert talk.session.confirmed == talk.channels("BTC-USDT:1m", "ETH-USDT:1m")


def test_binance_has_no_more_room() -> None:
    """``Too many subscriptions`` blames the number, and splits nothing."""
    talk = Talk("binance_spot", "BTC-USDT:1m", "ETH-USDT:1m")
    talk.says()
    talk.hears(frame("binance_spot/11-ws-error-too-many-subscriptions", id=1))

    assert talk.rejected == [("btcusdt@kline_1m", True), ("ethusdt@kline_1m", True)]
    assert talk.says(after=ANSWER_WITHIN) == []


def test_binance_answers_without_an_id() -> None:
    """The documented flat error is the oldest request's."""
    talk = Talk("binance_spot", "BTC-USDT:1m")
    talk.says()
    talk.hears(frame("binance_spot/12-ws-error-documented-flat"))

    assert talk.rejected == [("btcusdt@kline_1m", False)]


def test_binance_announces_its_shutdown() -> None:
    """Either form of it asks for a new connection."""
    for item in ("14-ws-server-shutdown-raw", "15-ws-server-shutdown-combined"):
        talk = Talk("binance_spot", "BTC-USDT:1m")
        talk.hears(frame(f"binance_spot/{item}"))
        assert "shutdown" in str(talk.session.closing)


def test_binance_unsubscribes_and_subscribes_again() -> None:
    """The confirmation of the unsubscribe has the same form, and accepts nothing."""
    talk = Talk("binance_spot", "BTC-USDT:1m")
    talk.says()
    talk.hears(frame("binance_spot/09-ws-confirm"))
    talk.session.again("btcusdt@kline_1m")
    assert [message["method"] for message in talk.says()] == ["UNSUBSCRIBE", "SUBSCRIBE"]
    talk.hears(frame("binance_spot/09-ws-confirm", id=2))
    assert talk.session.confirmed == set()

    talk.hears(frame("binance_spot/09-ws-confirm", id=3))
    assert talk.session.confirmed == {"btcusdt@kline_1m"}


# --- Coinbase ---


def listing(*products: str) -> Any:
    """The recorded confirmation with other products."""
    name = "coinbase_advanced_trade/10-ws-confirm"
    return frame(name, events=[{"subscriptions": {"candles": list(products)}}])


def test_coinbase_from_the_first_subscribe_to_candles() -> None:
    """Heartbeats first, within the five seconds that it allows; then the products."""
    talk = Talk("coinbase_advanced_trade", "ETH-USDT:5m", "BTC-USD:5m")
    assert talk.says() == [{"type": "subscribe", "channel": "heartbeats"}]
    assert talk.session.due(talk.now) < START + 5
    talk.now = talk.session.due(talk.now)
    (message,) = talk.says()
    assert message["product_ids"] == ["ETH-USDT", "BTC-USD"]

    talk.hears(
        frame("coinbase_advanced_trade/11-ws-heartbeat-documented"),
        frame("coinbase_advanced_trade/10-ws-confirm"),
    )
    assert talk.session.confirmed == {"ETH-USDT"}
    talk.hears(listing("ETH-USDT", "BTC-USD"))
    assert talk.session.confirmed == {"ETH-USDT", "BTC-USD"}

    given = talk.hears(frame("coinbase_advanced_trade/01-ws-candle-update"))
    assert given is not None
    assert (given[0].channel, given[0].timestamp) == ("BTC-USD", 1733062200)
    assert talk.session.delivering == {"BTC-USD"}


def test_coinbase_does_not_list_an_unknown_product() -> None:
    """What is missing in its list is asked for again, alone, and at last rejected."""
    talk = Talk("coinbase_advanced_trade", "ETH-USDT:5m", "NOPE-USD:5m")
    said = talk.says() + talk.says(after=2)
    for _ in range(ASK_AT_MOST):
        talk.hears(frame("coinbase_advanced_trade/10-ws-confirm"))
        said += talk.says(after=ANSWER_WITHIN)

    products = [message["product_ids"] for message in said[1:]]
    assert products == [["ETH-USDT", "NOPE-USD"], ["NOPE-USD"], ["NOPE-USD"]]
    assert talk.rejected == [("NOPE-USD", False)]
    assert talk.session.confirmed == {"ETH-USDT"}


def test_coinbase_names_nothing_in_an_error() -> None:
    """It is taken for the answer to the request."""
    talk = Talk("coinbase_advanced_trade", "BTC-USD:5m")
    talk.says()
    talk.says(after=2)
    talk.hears(frame("coinbase_advanced_trade/13-ws-error"))

    assert [it.reason for it in talk.session.rejected] == ["authentication failure"]


# --- KuCoin ---


@pytest.mark.parametrize(
    ("market", "welcome", "candle"),
    [
        ("kucoin_spot", "03-ws-welcome-spot", "13-ws-candle-update"),
        ("kucoin_perpetual", "04-ws-welcome-futures", "21-ws-candle-futures-live"),
    ],
)
def test_kucoin_from_the_token_to_candles(market: str, welcome: str, candle: str) -> None:
    """Nothing before its welcome; an ack; candles; our pings and its pongs."""
    talk = Talk(market, "BTC-USDT:1m")
    assert "token=" in talk.session.opening.url
    assert talk.says() == []
    talk.hears(frame(f"{market}/{welcome}"))
    (message,) = talk.says()
    channel = talk.channel("BTC-USDT:1m")
    assert (message["type"], message["topic"], message["id"]) == ("subscribe", channel, "1")

    talk.hears(frame("kucoin_spot/05-ws-confirm"))
    assert talk.session.confirmed == {channel}
    given = talk.hears(frame(f"{market}/{candle}"))
    assert given is not None
    assert given[0].channel == channel
    assert talk.session.delivering == {channel}

    every = talk.session.opening.ping_every
    assert every is not None
    assert talk.says(after=every) == [{"id": "2", "type": "ping"}]
    assert talk.hears(frame("kucoin_perpetual/12-ws-pong", id="2")) is None


def test_kucoin_refuses_a_topic_by_id() -> None:
    """Spot has one topic a message, so the id tells which."""
    talk = Talk("kucoin_spot", "BTC-USDT:1m", "NOPE-USDT:1m")
    talk.hears(frame("kucoin_spot/03-ws-welcome-spot"))
    assert len(talk.says()) == 2
    talk.hears(frame("kucoin_spot/05-ws-confirm"))
    talk.hears(frame("kucoin_spot/08-ws-error-topic-spot", id="2"))

    assert talk.rejected == [(talk.channel("NOPE-USDT:1m"), False)]
    assert talk.session.confirmed == talk.channels("BTC-USDT:1m")


def test_kucoin_refuses_a_message_of_several_topics() -> None:
    """Futures topics travel together, and are asked for in halves after a refusal."""
    talk = Talk("kucoin_perpetual", "BTC-USDT:1m", "NOPE-USDT:1m", "LTC-USDT:1m")
    talk.hears(frame("kucoin_perpetual/04-ws-welcome-futures"))
    while said := talk.says():
        for message in said:
            bad = "NOPE" in message["topic"]
            path = "07-ws-error-topic" if bad else "06-ws-confirm-unknown-symbol"
            talk.hears(frame(f"kucoin_perpetual/{path}", id=message["id"]))

    assert talk.rejected == [(talk.channel("NOPE-USDT:1m"), False)]
    assert talk.session.confirmed == talk.channels("BTC-USDT:1m", "LTC-USDT:1m")


def test_kucoin_missed_our_pings() -> None:
    """It says so and closes; no subscription is to blame."""
    talk = Talk("kucoin_perpetual", "BTC-USDT:1m")
    talk.hears(frame("kucoin_perpetual/04-ws-welcome-futures"))
    talk.says()
    talk.hears(frame("kucoin_perpetual/10-ws-error-ping-timeout"))

    assert talk.session.closing == "ping timeout"
    assert talk.rejected == []


def test_kucoin_refuses_before_its_welcome() -> None:
    """Then it can only be the token that is bad (the moment is made up)."""
    talk = Talk("kucoin_spot", "BTC-USDT:1m")
    talk.hears(frame("kucoin_spot/09-ws-error-type"))

    assert "refuses the login" in str(talk.session.verdict(talk.now))
    assert talk.rejected == []


# --- OKX ---


def accepted(name: str, symbol: str, **more: Any) -> Any:
    """The documented confirmation with another arg."""
    return frame("okx_spot/10-ws-confirm", arg={"channel": name, "instId": symbol}, **more)


@pytest.mark.parametrize("market", ["okx_spot", "okx_perpetual"])
def test_okx_confirms_arg_by_arg(market: str) -> None:
    """One message, a frame for each arg, then candles and pings of bare text."""
    talk = Talk(market, "BTC-USDT:1m", "BTC-USDT:1h")
    symbol = "BTC-USDT-SWAP" if market == "okx_perpetual" else "BTC-USDT"
    (message,) = talk.says()
    names = ["candle1m", "candle1H"]
    assert message["args"] == [{"channel": name, "instId": symbol} for name in names]

    talk.hears(accepted("candle1m", symbol, id=message["id"]))
    assert talk.session.confirmed == {f"candle1m:{symbol}"}
    talk.hears(accepted("candle1H", symbol, id=message["id"]))
    assert talk.session.confirmed == talk.session.desired

    item = {"okx_spot": "01-ws-candle-open", "okx_perpetual": "03-ws-candle-open"}[market]
    given = talk.hears(frame(f"{market}/{item}"))
    assert given is not None
    assert talk.session.delivering == {given[0].channel}
    assert talk.says(after=20) == [frame("okx_spot/16-ws-ping")]
    assert talk.hears(frame("okx_spot/17-ws-pong")) is None
    assert talk.session.verdict(talk.now + 29) is None


def test_okx_names_the_culprit_in_its_text() -> None:
    """The refused one is quoted there; the others of the batch are confirmed all the same."""
    talk = Talk("okx_perpetual", "BTC-USDT:1s", "BTC-USDT:1m")
    (message,) = talk.says()
    talk.hears(
        frame("okx_perpetual/10-ws-error-wrong-url-or-channel", id=message["id"]),
        accepted("candle1m", "BTC-USDT-SWAP", id=message["id"]),
    )

    assert talk.rejected == [("candle1s:BTC-USDT-SWAP", False)]
    assert talk.session.confirmed == {"candle1m:BTC-USDT-SWAP"}
    assert talk.says(after=ANSWER_WITHIN) == []


def test_okx_refuses_a_request_as_a_whole() -> None:
    """Known by its id, or without one (recorded before ids were sent): split and asked again."""
    for name, changes in (
        ("13-ws-error-invalid-request", {"id": "1"}),
        ("14-ws-error-migrated", {}),
    ):
        talk = Talk("okx_spot", "BTC-USDT:1m", "ETH-BTC:1m")
        talk.says()
        talk.hears(frame(f"okx_spot/{name}", **changes))
        assert [len(message["args"]) for message in talk.says()] == [1, 1]


@pytest.mark.parametrize("with_id", [True, False])
def test_okx_confirms_an_unsubscribe_in_either_form(with_id: bool) -> None:
    """With and without an id it is no acceptance, and the subscribe after it is."""
    talk = Talk("okx_spot", "BTC-USDT:1m")
    talk.says()
    talk.hears(accepted("candle1m", "BTC-USDT", id="1"))
    talk.session.again("candle1m:BTC-USDT")
    assert [message["op"] for message in talk.says()] == ["unsubscribe", "subscribe"]
    arg = {"channel": "candle1m", "instId": "BTC-USDT"}
    more = {"id": "2"} if with_id else {}
    talk.hears(frame("okx_spot/12-ws-unsubscribe-confirm", arg=arg, **more))
    assert talk.session.confirmed == set()

    talk.hears(accepted("candle1m", "BTC-USDT", id="3"))
    assert talk.session.confirmed == {"candle1m:BTC-USDT"}


def test_okx_s_hourly_limit_keeps_no_ping_back() -> None:
    """After 384 subscribe messages in an hour the next has to wait, and the pings do not."""
    talk = Talk("okx_spot")
    asked = 0
    while asked < 480 * 0.8:
        talk.session.want([f"candle1m:C{asked}-USDT"])
        said = talk.says(after=0.25)
        asked += sum(text != "ping" for text in said)
        for message in said:
            if message != "ping":
                arg = message["args"][0]
                talk.hears(accepted(arg["channel"], arg["instId"], id=message["id"]))
    talk.session.want(["candle1m:LAST-USDT"])

    said = [text for _ in range(10) for text in talk.says(after=20)]
    assert said == ["ping"] * 10
    talk.hears("pong")
    assert talk.session.due(talk.now) == talk.now + 20


def test_okx_announces_an_upgrade() -> None:
    """The connection is to be replaced."""
    talk = Talk("okx_spot")
    talk.hears(frame("okx_spot/15-ws-notice-upgrade"))

    assert "service upgrade" in str(talk.session.closing)


# --- all of them ---


def recorded_wishes(adapter: ExchangeAdapter, item: Item) -> list[str]:
    """What may have been subscribed to when this candle frame came, as ``BTC-USDT:1m``."""
    interval = (item.candles or [{"interval": ""}])[0]["interval"]
    streamed = interval in adapter.get_ws_supported_intervals()
    return [f"{pair}:{interval}" for pair in pairs_in(adapter, item)[:4] if streamed]


@pytest.mark.parametrize("market", STREAMED)
def test_every_recorded_frame_leaves_the_session_able_to_talk(market: str) -> None:
    """Whatever a market was heard to say, in any session, gives candles, nothing, or BadFrame."""
    with evidence(WIRE):
        items = [item for item in items_of(market) if item.kind.startswith("ws_")]
        telling = [item for item in items if item.candles]
        first = (telling or items)[0]
        adapter = prepared(exchanges.get(market), first)
        wishes = recorded_wishes(adapter, first)
    talk = Talk(market, *wishes, adapter=adapter)
    talk.says()
    candles = 0
    for item in items:
        with suppress(BadFrame):  # what we send stands among them, and contracts of unknown size
            candles += len(talk.hears(item.binary or item.frame) or ())
        talk.says(after=1)

    assert candles > 0 or not telling
    assert talk.session.due(talk.now) > talk.now or talk.session.verdict(talk.now)


@pytest.mark.parametrize("market", STREAMED)
def test_no_budget_can_starve_a_ping(market: str) -> None:
    """A ping that just misses its room still leaves before the silence that kills."""
    adapter = exchanges.get(market)()
    if adapter.heartbeat.kind == "message":
        every = opening_of(adapter).ping_every or adapter.heartbeat.every
        assert every + adapter.limits.messages.period < adapter.heartbeat.silence
