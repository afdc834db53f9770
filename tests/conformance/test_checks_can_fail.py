"""A check that cannot fail is a defect: each is shown an adapter that is wrong in one respect."""
# ruff: noqa: ARG002, ARG005 - the contract names the arguments

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.adapter import (
    Closing,
    Confirmed,
    ExchangeAdapter,
    Heartbeat,
    Opening,
    QuietBars,
    Rate,
    Ready,
    Refused,
    RestPages,
    RestRefused,
    RestRequest,
    Rows,
    WSJSONRequest,
)
from connectors.conformance import contract, wire
from connectors.conformance.advice import NotApplicable, NotConforming
from connectors.conformance.items import ASKED, Item, evidence, items_of
from connectors.model import CandleData, Grid, Instrument

from . import toy_items
from .toys import Toy, ToyPlain

Replacement = Callable[..., Any]


@pytest.fixture(autouse=True)
def only_toys(tmp_path: Path) -> Iterator[None]:
    """The toy's items and no others."""
    toy_items.write_items(tmp_path / "wire")
    with evidence(tmp_path / "wire"):
        yield


def broken(**wrong: Any) -> type[ExchangeAdapter]:
    """The toy with some of its attributes replaced."""
    return type("Broken", (Toy,), {"__doc__": "Wrong in one respect.", **wrong})


def gives(value: Any) -> Replacement:
    """A method that returns the value whatever it is asked."""
    return lambda self, *arguments, **named: value


def dialogue(*requests: RestRequest, result: Any) -> Replacement:
    """A dialogue that asks so and returns that."""

    def run(self: Any, group: str = "") -> Any:
        for each in requests:  # noqa: UP028 - a tuple's iterator takes no replies
            yield each
        return result

    return run


def limits(**wrong: Any) -> dict[str, Any]:
    """The toy's limits with something wrong."""
    return {"limits": replace(Toy.limits, **wrong)}


def request(**wrong: Any) -> Replacement:
    """``rest_request`` whose result is wrong in something."""

    def build(self: Toy, *arguments: Any) -> RestRequest:
        made = super(type(self), self).rest_request(*arguments)
        return replace(made, **{k: v(made) if callable(v) else v for k, v in wrong.items()})

    return build


# --- the contract ---------------------------------------------------------------------------------


class Shared(Toy):
    """Keeps its sizes in the class."""

    sizes: dict[str, float] = {}  # noqa: RUF012 - the defect

    def __init__(self) -> None:
        pass

    def use_instruments(self, rows: Any) -> None:
        self.sizes.update({row.symbol: row.contract_size for row in rows})


class Demanding(Toy):
    """Is made with an argument."""

    def __init__(self, key: str) -> None:
        super().__init__()


class Counting(Toy):
    """Draws ids from a counter of the class."""

    drawn = 0

    def subscribe_messages(self, channels: Any, request_id: int, now: float) -> Any:
        type(self).drawn += 1
        return [{"id": self.drawn, "topics": list(channels)}]


ANYTHING: Any = 7
"""Of a type that the contract forbids."""
TOKEN = RestRequest(method="POST", url="https://toy.example/token")
LIST = RestRequest(url="https://toy.example/instruments")
NO_WS = {"get_ws_supported_intervals": gives([]), "get_ws_url": gives("")}

CONTRACT: list[tuple[contract.Check, type[ExchangeAdapter], str]] = [
    (contract.check_made_without_arguments, Demanding, "default"),
    (contract.check_name, broken(name="Toy Spot"), "lower case"),
    (contract.check_intervals, broken(get_supported_intervals=gives({"1m": 61})), "60 seconds"),
    (contract.check_intervals, broken(get_supported_intervals=gives({"1min": 60})), "s m h d w M"),
    (contract.check_intervals, broken(get_supported_intervals=gives({})), "list every interval"),
    (contract.check_ws_intervals, broken(get_ws_supported_intervals=gives(("1m",))), "a list"),
    (contract.check_ws_intervals, broken(get_ws_supported_intervals=gives(["7m"])), "7m"),
    (contract.check_rest_intervals, broken(get_rest_supported_intervals=gives(["9m"])), "9m"),
    (
        contract.check_every_interval_is_carried,
        broken(get_rest_supported_intervals=gives([])),
        "1w, 1M",
    ),
    (contract.check_trading_pair_format, broken(get_trading_pair_format=gives(7)), "text"),
    (contract.check_trading_pair_format, broken(get_trading_pair_format=gives("X")), "alias"),
    (contract.check_ws_url, broken(get_ws_url=gives("https://toy.example")), "wss://"),
    (contract.check_ws_url, broken(get_ws_supported_intervals=gives([])), "''"),
    (contract.check_channels, broken(channel=lambda self, s: s.trading_pair), "interval"),
    (contract.check_channels, broken(channel=gives(None)), "text"),
    (contract.check_subscribe_messages, broken(subscribe_messages=gives([])), "at least one"),
    (contract.check_subscribe_messages, broken(subscribe_messages=gives({"a": 1})), "list of"),
    (contract.check_subscribe_messages, broken(subscribe_messages=gives([{"a": {1}}])), "JSON"),
    (contract.check_subscribe_messages, broken(unsubscribe_messages=gives(None)), "JSON"),
    (contract.check_subscribe_messages, broken(**limits(message_bytes=60)), "lower"),
    (contract.check_subscribe_messages, Counting, "request_id and now"),
    (contract.check_subscription_payload, broken(get_ws_subscription_payload=gives([])), "a dict"),
    (contract.check_noise, broken(parse_ws_message=gives([])), "guard"),
    (contract.check_limits, broken(**limits(source="")), "documentation"),
    (contract.check_limits, broken(**limits(checked="lately")), "'2026-09-21'"),
    (contract.check_limits, broken(**limits(message_channels=11)), "above subscriptions"),
    (contract.check_limits, broken(**limits(messages=Rate(0))), "Rate"),
    (contract.check_limits, broken(limits=None), "declare"),
    (contract.check_heartbeat, broken(heartbeat=Heartbeat("protocol", 60, 60)), "every < silence"),
    (contract.check_heartbeat, broken(ping_message=ExchangeAdapter.ping_message), "implement"),
    (contract.check_heartbeat, broken(ping_message=gives(None)), "a ping that JSON"),
    (contract.check_heartbeat, broken(heartbeat=None), "who pings"),
    (contract.check_close_facts, broken(close_flag=1), "bool"),
    (contract.check_close_facts, broken(close_grace=-1), "seconds"),
    (contract.check_close_facts, broken(quiet_bars=QuietBars(rest=ANYTHING)), "unknown"),
    (contract.check_grid, broken(grid=gives(Grid(60))), "a step of"),
    (contract.check_grid, broken(grid=lambda self, i: Grid(self.step(i), 3600)), "midnight"),
    (contract.check_rest_pages, broken(rest_pages=gives(RestPages(1))), "two rows"),
    (contract.check_rest_request, broken(rest_request=gives(None)), "a RestRequest"),
    (contract.check_rest_request, broken(rest_request=request(start=1)), "keeps start"),
    (contract.check_rest_request, broken(rest_request=request(url="toy.example")), "http(s)"),
    (contract.check_rest_request, broken(rest_request=request(weight=0)), "weight"),
    (contract.check_rest_request, broken(rest_request=request(params={"a": 1.5})), "convert"),
    (contract.check_rest_request, broken(rest_request=request(params={})), "a time"),
    (
        contract.check_rest_request,
        broken(rest_request=request(params=lambda r: {"from": r.start + 1, "to": r.end})),
        "both included",
    ),
    (
        contract.check_rest_request,
        broken(rest_request=request(params=lambda r: {"from": r.start, "to": r.end + 10**9})),
        "two slots",
    ),
    (contract.check_rest_plain, broken(get_rest_url=gives("toy.example")), "address"),
    (contract.check_rest_plain, broken(get_rest_params=gives({"a": None})), "text and whole"),
    (contract.check_opening, broken(opening=dialogue(result=Opening(url="toy"))), "wss://"),
    (contract.check_opening, broken(opening=dialogue(result=None)), "Opening("),
    (
        contract.check_opening,
        broken(opening=dialogue(result=Opening(url="wss://a.b", ping_every=0))),
        "seconds above zero",
    ),
    (
        contract.check_opening,
        broken(opening=dialogue(RestRequest(url="toy"), result=None)),
        "yields RestRequest",
    ),
    (contract.check_instruments, broken(instruments=dialogue(result=[])), "needs_instruments"),
    (
        contract.check_instruments,
        broken(instruments=dialogue(RestRequest(url="toy"), result=[])),
        "yields RestRequest",
    ),
    (
        contract.check_instruments_garbage,
        broken(instruments=dialogue(LIST, result=[])),
        "raise ValueError",
    ),
    (contract.check_evidence, broken(name="toy_unseen"), "record"),
    (contract.check_ready_comes, broken(parse_ws_message=gives(None)), "greeting"),
    (contract.check_own_state, Shared, "__init__"),
]


@pytest.mark.parametrize(
    ("check", "wrong", "advice"),
    CONTRACT,
    ids=[f"{check.__name__}-{number}" for number, (check, *_) in enumerate(CONTRACT)],
)
def test_contract_check_fails(
    check: contract.Check, wrong: type[ExchangeAdapter], advice: str
) -> None:
    """A wrong adapter fails with advice."""
    with pytest.raises(NotConforming, match="do next: ") as failure:
        check(wrong)
    assert advice in str(failure.value)


def _module(folder: Path, source: str) -> type[ExchangeAdapter]:
    """A class ``Filed`` whose file is this source."""
    path = folder / "filed.py"
    path.write_text(source, "utf-8")
    spec = importlib.util.spec_from_file_location("filed", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["filed"] = module
    spec.loader.exec_module(module)
    return module.Filed  # type: ignore[no-any-return]  # a class made by text


CLASS = f"from {__package__}.toys import Toy\nclass Filed(Toy):\n    pass\n"


@pytest.mark.parametrize(
    "line",
    [
        "import asyncio",
        "import time as clock",
        "from aiohttp import ClientSession",
        "import urllib.request",
        "from urllib import request",
        "from uuid import uuid4",
        "from connectors import sandbox",
        "import logging",
        "from datetime import datetime\nMADE = datetime.now()",
        "print('made')",
    ],
)
def test_check_purity_fails(line: str, tmp_path: Path) -> None:
    """An exchange's file that does I/O or asks a clock fails, naming the line's doing."""
    wrong = _module(tmp_path, f'"""Odd.\n\nOf 2026-10.\n\nYes.\n"""\n{line}\n{CLASS}')
    with pytest.raises(NotConforming, match="instead of fetching"):
        contract.check_purity(wrong)


@pytest.mark.parametrize(
    ("docstring", "advice"), [("", "surprised you"), ('"""A\n\nb\n\nc\n"""\n', "of which month")]
)
def test_check_docstring_fails(docstring: str, advice: str, tmp_path: Path) -> None:
    """An exchange's file without oddities or a date fails."""
    with pytest.raises(NotConforming, match=advice):
        contract.check_docstring(_module(tmp_path, docstring + CLASS))


FILED = {contract.check_purity, contract.check_docstring}


def test_every_contract_check_can_fail() -> None:
    """No check of the contract is missing from the list above."""
    assert {check for check, *_ in CONTRACT} | FILED == set(contract.CHECKS)


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
def test_contract_check_passes(check: contract.Check) -> None:
    """The whole toy passes, so that it is the one defect that fails above."""
    check(Toy)


@pytest.mark.parametrize(
    "check",
    [check for check in contract.CHECKS if check is not contract.check_evidence],
    ids=lambda check: check.__name__,
)
def test_plain_adapter_passes(check: contract.Check) -> None:
    """The brief's methods alone, with dated limits, keep the contract as far as it applies."""
    with contextlib.suppress(NotApplicable):
        check(ToyPlain)


NO_REST = {"get_rest_supported_intervals": gives([])}
NOTHING: list[tuple[contract.Check, type[ExchangeAdapter], str]] = [
    (contract.check_channels, broken(**NO_WS), "no candles over WebSocket"),
    (contract.check_subscribe_messages, broken(**NO_WS), "no candles over WebSocket"),
    (contract.check_subscription_payload, broken(**NO_WS), "no candles over WebSocket"),
    (contract.check_opening, broken(**NO_WS), "no candles over WebSocket"),
    (contract.check_rest_pages, broken(**NO_REST), "no candles over REST"),
    (contract.check_rest_request, broken(**NO_REST), "no candles over REST"),
    (contract.check_instruments_garbage, ToyPlain, "lists no instruments"),
    (contract.check_ready_comes, ToyPlain, "no greeting is awaited"),
]


@pytest.mark.parametrize(
    ("check", "plain", "reason"), NOTHING, ids=[check.__name__ for check, *_ in NOTHING]
)
def test_what_is_not_offered_is_not_applicable(
    check: contract.Check, plain: type[ExchangeAdapter], reason: str
) -> None:
    """A check that has nothing to look at says so, and is no silent pass."""
    with pytest.raises(NotApplicable, match=reason):
        check(plain)


# --- items ----------------------------------------------------------------------------------------


def candle(change: Callable[[CandleData], None]) -> Replacement:
    """``candle`` of the toy with one thing changed afterwards."""

    def build(self: Toy, *arguments: Any) -> CandleData:
        made = Toy.candle(self, *arguments)
        change(made)
        return made

    return build


def setting(**wrong: Any) -> Replacement:
    """A change of a candle: these attributes become those values."""

    def change(made: CandleData) -> None:
        for name, value in wrong.items():
            setattr(made, name, value)

    return candle(change)


def newest_first(self: Toy, data: Any) -> Any:
    """``parse_ws_message`` in the wrong order."""
    parsed = Toy.parse_ws_message(self, data)
    return parsed[::-1] if isinstance(parsed, list) else parsed


def in_contracts(self: Toy, data: Any) -> Any:
    """Takes an unknown size for one."""
    self.sizes.setdefault("LTC_USDT", 1.0)
    return Toy.parse_ws_message(self, data)


def as_listed(self: Toy, data: Any, asked: Any = None) -> Any:
    """``parse_rest_response`` that leaves the exchange's order."""
    return Toy.parse_rest_response(self, data, asked)[::-1]


WIRE: list[tuple[str, str, type[ExchangeAdapter], str]] = [
    ("01-candle", "candles", broken(candle=setting(open=1.0000000001)), "check the columns"),
    ("01-candle", "candles", broken(candle=setting(volume=10.0)), "contract_size"),
    ("01-candle", "candles", broken(candle=setting(quote_asset_volume=0.0)), "does not send"),
    ("01-candle", "candles", broken(candle=setting(closed=None)), "close_flag"),
    ("01-candle", "candles", broken(candle=setting(timestamp=1_790_000)), "unit"),
    ("01-candle", "candles", broken(candle=setting(open=1)), "figures as float"),
    ("01-candle", "candles", broken(parse_ws_message=newest_first), "newest first"),
    ("01-candle", "candles", broken(parse_ws_message=gives(None)), "list of CandleData"),
    ("01-candle", "channel", broken(candle=setting(channel="BTC_USDT")), "channel(subscription)"),
    ("01-candle", "channel", broken(candle=setting(channel=None)), "channel(subscription)"),
    (
        "01-candle",
        "request",
        broken(subscribe_messages=gives([{"op": "sub", "topics": ["candles:BTC_USDT:1m"]}])),
        "the nearest is",
    ),
    ("02-candle-size-unknown", "candles", broken(candle=setting(volume=10.0)), "base units"),
    (
        "02-candle-size-unknown",
        "unknown_size",
        broken(parse_ws_message=in_contracts),
        "needs_instruments",
    ),
    ("03-candle-shape", "candles", broken(parse_ws_message=gives([])), "at least one candle"),
    ("10-confirm", "reply", broken(parse_ws_message=gives(Confirmed())), "Confirmed with"),
    ("10-confirm", "reply", broken(parse_ws_message=gives(Confirmed("9"))), "as str"),
    ("10-confirm", "reply", broken(parse_ws_message=gives(Confirmed(ANYTHING))), "as str"),
    (
        "10-confirm",
        "reply",
        broken(parse_ws_message=gives(Confirmed("7", channels=("BTC_USDT",)))),
        "channels out of",
    ),
    (
        "10-confirm",
        "request",
        broken(
            subscribe_messages=lambda self, channels, *_: [
                {"op": "subscribe", "topics": [each]} for each in channels
            ]
        ),
        "what the exchange was sent",
    ),
    ("11-error", "reply", broken(parse_ws_message=gives(None)), "Refused with a reason"),
    ("11-error", "reply", broken(parse_ws_message=gives(Refused("", "8"))), "Refused with"),
    ("11-error", "reply", broken(parse_ws_message=gives(Refused("bad", "8"))), "own words"),
    ("11-error", "reply", broken(parse_ws_message=gives(Refused("unknown topic nope"))), "as str"),
    ("11-error", "reply", broken(parse_ws_message=gives(Closing("bye"))), "Refused with a reason"),
    (
        "16-unsubscribed",
        "request",
        broken(unsubscribe_messages=Toy.subscribe_messages),
        "the nearest is",
    ),
    (
        "17-error-of-another-channel",
        "reply",
        broken(parse_ws_message=gives(Refused("no such topic", "8", ("BTC-USDT",)))),
        "channels out of",
    ),
    ("12-ping", "reply", broken(parse_ws_message=gives(None)), "WSJSONRequest"),
    ("12-ping", "reply", broken(parse_ws_message=gives(WSJSONRequest({"pong": 1}))), "number back"),
    (
        "13-ping-ours",
        "reply",
        broken(ping_message=gives({"op": "PING"}), parse_ws_message=gives(None)),
        "WSJSONRequest",
    ),
    ("14-pong", "reply", broken(parse_ws_message=gives(Confirmed("3"))), "not its business"),
    ("14-pong", "request", broken(ping_message=gives({"op": "ping"})), "ping_message say"),
    ("14-pong", "request", broken(heartbeat=Heartbeat()), "declare the heartbeat"),
    ("15-hello", "reply", broken(parse_ws_message=gives([])), "not its business"),
    ("20-rest", "candles", broken(parse_rest_response=as_listed), "newest first"),
    ("20-rest", "candles", broken(candle=setting(closed=False)), "closed=True or None"),
    ("20-rest", "candles", broken(read_rest_reply=gives(None)), "Rows from"),
    ("20-rest", "request", broken(rest_request=request(method="POST")), "method POST"),
    ("20-rest", "request", broken(rest_request=request(url="https://toy.example/x")), "path /x"),
    (
        "20-rest",
        "request",
        broken(rest_request=request(params=lambda r: {**r.params, "symbol": "BTC-USDT"})),
        "symbol=BTC-USDT",
    ),
    (
        "20-rest",
        "request",
        broken(rest_request=request(params=lambda r: {**r.params, "from": r.start * 1000})),
        "another unit",
    ),
    ("30-rest-error", "reply", broken(read_rest_reply=gives(Rows([]))), "before the rows"),
    ("30-rest-error", "reply", broken(read_rest_reply=gives(RestRefused("no"))), "own words"),
    (
        "31-rest-slow",
        "reply",
        broken(read_rest_reply=gives(RestRefused("Too many requests"))),
        "RestSlowDown",
    ),
    (
        "40-token",
        "reply",
        broken(opening=dialogue(TOKEN, result=Opening(url="wss://toy.example/ws?token=a=b/c"))),
        "url-encoded",
    ),
    (
        "40-token",
        "reply",
        broken(opening=dialogue(TOKEN, result=Opening(url="wss://toy.example/ws?t=a%3Db%2Fc"))),
        "ping period",
    ),
    ("40-token", "request", broken(opening=dialogue(LIST, result=None)), "method GET"),
    ("41-instruments", "reply", broken(instruments=dialogue(LIST, result=[])), "Instrument"),
    (
        "41-instruments",
        "reply",
        broken(instruments=dialogue(LIST, result=[Instrument("BTC-USDT", "BTC_USDT", 0.7)])),
        "contract_size",
    ),
    (
        "41-instruments",
        "reply",
        broken(instruments=dialogue(LIST, result=[Instrument("btcusdt", "BTC_USDT", 0.01)])),
        "BASE-QUOTE",
    ),
    (
        "41-instruments",
        "reply",
        broken(get_trading_pair_format=lambda self, pair: pair.lower()),
        "look the pair up",
    ),
    (
        "41-instruments",
        "reply",
        broken(instruments=dialogue(LIST, result=[Instrument("BTC-USDT", "BTC_USDT", 0.01)] * 2)),
        "repetitions",
    ),
    ("41-instruments", "request", broken(instruments=dialogue(TOKEN, result=[])), "method POST"),
]


def _item(name: str) -> Item:
    return next(item for item in items_of("toy_spot") if item.name == name)


@pytest.mark.parametrize(
    ("name", "check", "wrong", "advice"),
    WIRE,
    ids=[f"{name}-{check}-{number}" for number, (name, check, *_) in enumerate(WIRE)],
)
def test_item_check_fails(name: str, check: str, wrong: type[ExchangeAdapter], advice: str) -> None:
    """A wrong adapter fails on the item, and the message names item, source and next step."""
    item = _item(name)
    with pytest.raises(NotConforming, match="do next: ") as failure:
        wire.checks_of(item)[check](wrong, item)
    assert advice in str(failure.value)
    assert f"toy_spot/{name}.json, made up, from nowhere" in str(failure.value)


def test_every_item_check_can_fail() -> None:
    """No check of an item is missing from the list above."""
    shown = {wire.checks_of(_item(name))[check] for name, check, *_ in WIRE}
    demanded = {
        check
        for name, check in vars(wire).items()
        if name.startswith("check_") and inspect.getmodule(check) is wire
    }
    assert demanded == shown


@pytest.mark.parametrize("name", toy_items.ITEMS)
def test_toy_passes_its_items(name: str) -> None:
    """The whole toy passes, so that it is the one defect that fails above."""
    for check in wire.checks_of(_item(name)).values():
        check(Toy, _item(name))


def test_unknown_kind_is_told() -> None:
    """An item of an unknown kind is no silent pass."""
    with pytest.raises(NotConforming, match="correct the item's kind"):
        wire.checks_of(replace(_item("15-hello"), kind="ws_strange"))


def test_greeting_may_be_ready() -> None:
    """Ready and Closing are right answers to other frames."""
    wire.check_noise(broken(parse_ws_message=gives(Ready())), _item("15-hello"))
    wire.check_noise(broken(parse_ws_message=gives(Closing("soon"))), _item("15-hello"))


def test_a_confirmation_may_name_nothing() -> None:
    """A frame without id and symbol confirms the oldest request; one with a symbol says which."""
    bare = broken(parse_ws_message=gives(Confirmed()))
    wire.check_confirmed(bare, replace(_item("10-confirm"), frame={"ok": True}))
    with pytest.raises(NotConforming, match="names nothing"):
        wire.check_confirmed(bare, replace(_item("10-confirm"), frame={"ok": "BTC_USDT"}))


def test_a_refusal_may_name_another_channel() -> None:
    """A refused channel that carries no candles is named as the frame names it."""
    refused = Refused("no such topic: book:BTC_USDT", "8", ("book:BTC_USDT",))
    wire.check_refused(
        broken(parse_ws_message=gives(refused)), _item("17-error-of-another-channel")
    )


def test_a_refusal_may_name_other_intervals_of_its_pair() -> None:
    """A symbol that is refused is refused for every interval, whatever was asked for."""
    channels = tuple(f"candles:BTC_USDT:{interval}" for interval in ("1m", "1h"))
    item = replace(_item("11-error"), request=toy_items.SUBSCRIBE, trading_pair="BTC-USDT")
    told = Refused("unknown topic nope", "8", channels)
    wire.check_refused(broken(parse_ws_message=gives(told)), item)


def test_a_pair_may_be_written_in_any_script() -> None:
    """Lists have names that are not Latin; capitals alone are demanded."""
    item = replace(_item("41-instruments"), frame={"list": [{"symbol": "龙_USDT", "size": 1}]})
    wire.check_instruments(Toy, item)


def test_what_was_asked_is_asked_again() -> None:
    """Where an item says what ``rest_request`` was asked for, the request is made of that."""
    asked = dict(zip(ASKED, ("1h", 1_790_000_000, 1_790_010_800, 3, 1_790_010_801.5), strict=True))
    request = {"method": "GET", "url": toy_items.REST["url"], "params": {"interval": "1h"}}
    item = replace(_item("20-rest"), asked=asked, request=request, candles=None)
    made = wire.request_of(Toy(), item)

    assert (made.interval, made.start, made.end, made.limit) == tuple(asked[it] for it in ASKED[:4])
