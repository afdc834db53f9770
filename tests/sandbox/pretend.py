"""What the sandbox's tests share: recorded frames, the shape of JSON, a standing world."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson

from connectors.sandbox.dialect import (
    Action,
    Channel,
    Conversation,
    Dialect,
    HttpReply,
    HttpRequest,
    Moment,
    Push,
    Send,
    World,
)
from connectors.sandbox.faults import Fault
from connectors.sandbox.market import Bar, Market
from connectors.sandbox.orders import ordered
from connectors.sandbox.server import dialects

WIRE = Path(__file__).parents[1] / "wire"

NOON = 1_795_608_000
"""2026-11-25T12:00Z, where the tests' market time begins."""


def recorded(market: str, name: str) -> Any:
    """The frame of a recorded item."""
    return json.loads((WIRE / market / f"{name}.json").read_text())["frame"]


def shape(value: Any) -> Any:
    """What a JSON value is made of: keys in their order, and types; strings stay strings."""
    if isinstance(value, dict):
        return [(key, shape(part)) for key, part in value.items()]
    if isinstance(value, list):
        return [shape(part) for part in value]
    return type(value).__name__


def kinds(value: dict[str, Any]) -> dict[str, Any]:
    """The shape of an object whose order of keys is the recorder's, not the exchange's."""
    return dict(shape(value))


def world(
    dialect: Dialect,
    at: float = NOON + 30,
    real: float = 0.0,
    refuses: Callable[[str, str], bool] = lambda *_: False,
) -> World:
    """What a dialect may know, at the market time ``at``."""
    market = Market(dialect.book or dialect.market, dialect.listings, dialect.intervals, seed=7)
    place = f"127.0.0.1:8460/{dialect.market}"
    return World(Moment(at, real), market, f"http://{place}", f"ws://{place}", refuses)


def get(dialect: Dialect, path: str, around: World | None = None, /, **query: object) -> HttpReply:
    """The reply to a GET request."""
    asked = HttpRequest("GET", path, {name: str(value) for name, value in query.items()}, {})
    return dialect.answer(asked, around or world(dialect))


def connected(dialect: Dialect, path: str, around: World, **query: str) -> Conversation:
    """A conversation at this path, greeted."""
    found = dialect.connect(HttpRequest("GET", path, query, {}), around)
    assert isinstance(found, Conversation), f"{dialect.market} refuses {path}: {found}"
    list(found.opened(around))
    return found


def said(actions: Iterable[Action]) -> list[Any]:
    """The JSON frames among some actions."""
    return [json.loads(action.frame) for action in actions if isinstance(action, Send)]


def ask(conversation: Conversation, message: object, around: World) -> list[Any]:
    """The JSON frames that answer a message."""
    return said(conversation.received(json.dumps(message), around))


def candle(
    conversation: Conversation, channel: Channel, bar: Bar, around: World, *, closed: bool = False
) -> Any:
    """The JSON frame that carries this bar."""
    (frame,) = conversation.candle(Push(channel, bar, closed=closed, first=False), around)
    return json.loads(frame)


DIALECTS = {dialect.market: dialect for dialect in dialects()}
ONE_MINUTE = Channel("btc", "BTC-USDT", "1m", NOON)
FIVE_MINUTES = Channel("eth", "ETH-USDT", "5m", NOON)


def fault(kind: str, speed: float = 1.0, **wish: object) -> Fault:
    """A fault that was ordered at the real time 100."""
    return ordered({"kind": kind, **wish}, DIALECTS, 100.0, speed)


def doubled(dialect: Dialect, reply: HttpReply) -> Any:
    """The body of a reply some of whose rows come twice, wherever it says that they are."""
    doubling = fault("duplicate_rows", seed=1)
    return json.loads(orjson.dumps(doubling.reply(reply, dialect, world(dialect, real=101)).body))


def push(channel: Channel = ONE_MINUTE, open_time: int = NOON) -> Push:
    """A candle that is due on a channel of Binance."""
    market = world(DIALECTS["binance_spot"]).market
    bar = market.bar(channel.trading_pair, channel.interval, open_time)
    return Push(channel, bar, closed=False, first=False)
