"""Checks of an adapter class against the contract, none of which needs a recorded item.

Each is ``check_…(adapter_class) -> None`` and raises NotConforming with advice, or NotApplicable.
Pairs come from the market's recorded list of instruments where there is one.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import math
import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any, get_args

from connectors.adapter import (
    ExchangeAdapter,
    Heartbeat,
    Limits,
    Opening,
    Quiet,
    QuietBars,
    Rate,
    Ready,
    RestPages,
    RestReply,
    RestRequest,
)
from connectors.conformance.advice import fail, listed, require, require_applicable
from connectors.conformance.items import Item, folders, items_of
from connectors.conformance.messages import encodes, size_of, times_in, values_of
from connectors.conformance.pairs import reply_of, rows_of, usual_pairs
from connectors.errors import UsageError
from connectors.model import Grid, Interval, Subscription

AdapterClass = type[ExchangeAdapter]
NOW = 1_790_000_000.0
"""2026-09-21: a moment that is handed to whatever wants one."""
MOMENTS = (951_782_400, 1_582_934_400, 1_699_999_999, 1_790_000_001)
"""Leap days, and moments that are on no grid."""
NO_LIST = b'{"nothing": "of use"}'


def check_made_without_arguments(adapter_class: AdapterClass) -> None:
    """An adapter is made without arguments, as the brief does."""
    try:
        adapter_class()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the adapter's
        fail(
            f"{adapter_class.__name__}() makes an adapter",
            repr(error),
            "give every argument of __init__ a default and implement every abstract method",
        )


def check_name(adapter_class: AdapterClass) -> None:
    """The name is ``venue_market`` in lower case."""
    name = adapter_class.name
    require(
        isinstance(name, str) and re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)+", name),
        "a name like binance_spot",
        name,
        "set `name` to the exchange and its market in lower case, joined by _",
    )


def check_intervals(adapter_class: AdapterClass) -> None:
    """Every interval is in our writing and has its nominal seconds."""
    intervals = adapter_class().get_supported_intervals()
    require(
        isinstance(intervals, dict) and intervals,
        "get_supported_intervals() gives a dict like {'1m': 60}",
        intervals,
        "list every interval that the exchange has, with its seconds",
    )
    for interval, seconds in intervals.items():
        require(
            type(seconds) is int and seconds == _seconds(interval),
            f"{interval!r} -> {_seconds(interval)} seconds as int",
            f"{interval!r} -> {seconds!r}",
            "write intervals as number and one of s m h d w M (a month counts as 30 days)",
        )


def _seconds(interval: str) -> int | str:
    try:
        return Interval.parse(interval).seconds
    except (UsageError, TypeError):
        return "the seconds of an interval like 1m, 4h, 1M"


def check_ws_intervals(adapter_class: AdapterClass) -> None:
    """WebSocket intervals are a list out of the supported ones."""
    _check_subset(adapter_class().get_ws_supported_intervals(), adapter_class, "ws")


def check_rest_intervals(adapter_class: AdapterClass) -> None:
    """REST intervals are a list out of the supported ones."""
    _check_subset(adapter_class().get_rest_supported_intervals(), adapter_class, "rest")


def _check_subset(intervals: Any, adapter_class: AdapterClass, transport: str) -> None:
    method = f"get_{transport}_supported_intervals()"
    require(
        isinstance(intervals, list) and len(set(intervals)) == len(intervals),
        f"{method} gives a list without repetitions",
        intervals,
        "return a list of intervals, [] where there are none",
    )
    strange = set(intervals) - set(adapter_class().get_supported_intervals())
    require(
        not strange,
        f"only intervals that get_supported_intervals() has in {method}",
        f"besides: {listed(sorted(strange))}",
        "add them there with their seconds, or take them out here",
    )


def check_every_interval_is_carried(adapter_class: AdapterClass) -> None:
    """Every interval comes by WebSocket or REST."""
    adapter = adapter_class()
    carried = {*adapter.get_ws_supported_intervals(), *adapter.get_rest_supported_intervals()}
    lost = [interval for interval in adapter.get_supported_intervals() if interval not in carried]
    require(
        not lost,
        "every supported interval is carried by WebSocket or by REST",
        f"by neither: {listed(lost)}",
        "add it to get_ws_supported_intervals or get_rest_supported_intervals, or do not offer it",
    )


def check_trading_pair_format(adapter_class: AdapterClass) -> None:
    """Each pair has a symbol of its own."""
    pairs = usual_pairs(adapter_class)
    require(
        pairs,
        "get_trading_pair_format('BTC-USDT') or that of a recorded instrument gives a symbol",
        "it raises for every pair tried",
        "spell pairs by a plain rule, or record the list of instruments as a rest_instruments item",
    )
    adapter = _ready(adapter_class)
    symbols = {pair: adapter.get_trading_pair_format(pair) for pair in pairs}
    require(
        all(isinstance(symbol, str) and symbol for symbol in symbols.values()),
        "symbols are text",
        symbols,
        "return the exchange's own spelling",
    )
    require(
        len(set(symbols.values())) == len(symbols),
        "different pairs have different symbols",
        symbols,
        "keep base and quote both in the symbol, or mark aliases by Instrument.alias_of",
    )


def check_ws_url(adapter_class: AdapterClass) -> None:
    """The address is one of a WebSocket, or empty without WebSocket candles."""
    adapter = adapter_class()
    url = adapter.get_ws_url()
    if adapter.get_ws_supported_intervals():
        require(
            isinstance(url, str) and re.match(r"wss?://[^/\s]+", url),
            "get_ws_url() gives wss://…",
            url,
            "return the address (without token, if the connect dialogue fetches one)",
        )
    else:
        require(url == "", "'' from get_ws_url()", url, "return '' without WebSocket candles")


def check_channels(adapter_class: AdapterClass) -> None:
    """Every subscription has a channel of its own."""
    adapter = _ready(adapter_class)
    seen: dict[str, Subscription] = {}
    for subscription in _subscriptions(adapter_class, _streamed(adapter)):
        channel = adapter.channel(subscription)
        require(
            isinstance(channel, str) and channel,
            f"channel({subscription}) gives text",
            channel,
            "return the name that subscribe messages and frames use",
        )
        twin = seen.setdefault(channel, subscription)
        require(
            twin == subscription,
            f"channels of {twin} and {subscription} differ",
            f"both are {channel!r}",
            "put symbol and interval both into the channel (aliases: Instrument.alias_of)",
        )


def check_subscribe_messages(adapter_class: AdapterClass) -> None:
    """Full batches can be encoded, keep the limit of bytes, and are the same each time."""
    for method in ("subscribe_messages", "unsubscribe_messages"):
        for channels in _batches(adapter_class):
            messages = getattr(_ready(adapter_class), method)(channels, 7, NOW)
            _check_messages(adapter_class, f"{method}({listed(channels, 3)})", messages)
            again = getattr(_ready(adapter_class), method)(channels, 7, NOW)
            require(
                messages == again,
                f"{method} gives the same for the same arguments",
                f"{messages} and then {again}",
                "use request_id and now instead of a clock, a counter or a random number",
            )


def _check_messages(adapter_class: AdapterClass, call: str, messages: Any) -> None:
    require(
        isinstance(messages, list) and all(map(encodes, messages)),
        f"{call} gives a list of messages (dict, list or text) that JSON can hold",
        messages,
        "return [message] of plain values",
    )
    if call.startswith("subscribe"):
        require(messages, f"{call} gives a message", messages, "return at least one")
    most = adapter_class.limits.message_bytes
    biggest = max(map(size_of, messages), default=0)
    require(
        most is None or biggest <= most,
        f"at most limits.message_bytes = {most} in a message of {call}",
        f"{biggest} bytes for a batch of limits.message_channels = "
        f"{adapter_class.limits.message_channels}",
        "lower limits.message_channels until a full batch of long names fits",
    )


def _batches(adapter_class: AdapterClass) -> Iterator[list[str]]:
    """Full batches, one for each connection group and batch group."""
    adapter = _ready(adapter_class)
    intervals = _streamed(adapter)
    most = adapter_class.limits.message_channels
    pairs = [*usual_pairs(adapter_class), *_long_pairs(adapter, most)]
    groups: dict[tuple[str, str], list[str]] = {}
    for interval, pair in product(sorted(intervals, key=len, reverse=True), pairs):
        subscription = Subscription(adapter_class.name, pair, interval)
        channel = adapter.channel(subscription)
        key = (adapter.connection_group(subscription), adapter.batch_group(channel))
        batch = groups.setdefault(key, [])
        if len(batch) < most and channel not in batch:
            batch.append(channel)
    yield from groups.values()


def _long_pairs(adapter: ExchangeAdapter, count: int) -> list[str]:
    pairs = [f"1000COIN{number}-USDT" for number in range(min(count, 2_000))]
    try:
        return [pair for pair in pairs if adapter.get_trading_pair_format(pair)]
    except Exception:  # noqa: BLE001 - an adapter may know listed pairs only
        return []


def check_subscription_payload(adapter_class: AdapterClass) -> None:
    """The brief's single subscribe message is a dict."""
    adapter = _ready(adapter_class)
    for subscription in _subscriptions(adapter_class, _streamed(adapter)):
        _, pair, interval = subscription
        payload = adapter.get_ws_subscription_payload(pair, interval)
        require(
            isinstance(payload, dict) and payload and encodes(payload),
            f"get_ws_subscription_payload({pair!r}, {interval!r}) gives a dict that JSON can hold",
            payload,
            "return the subscribe message of this one subscription",
        )


def check_noise(adapter_class: AdapterClass) -> None:
    """None is answered with None."""
    parsed = adapter_class().parse_ws_message(None)
    require(
        parsed is None,
        "parse_ws_message(None) is None",
        parsed,
        "begin parse_ws_message with a guard that returns None for what it does not know",
    )


def check_limits(adapter_class: AdapterClass) -> None:
    """Limits are dated, sourced and possible."""
    limits = adapter_class.limits
    require(isinstance(limits, Limits), "limits = Limits(…)", limits, "declare the class's limits")
    require(
        limits.source.strip() and _dated(limits.checked),
        "limits.source says where from, limits.checked a day like '2026-09-21', not in the future",
        f"source={limits.source!r}, checked={limits.checked!r}",
        "name the page of the exchange's documentation and the day on which it said so",
    )
    counts = (
        limits.subscriptions,
        limits.message_channels,
        *(x for x in (limits.connections, limits.message_bytes, limits.lifetime) if x is not None),
    )
    require(
        all(count > 0 for count in counts) and limits.message_channels <= limits.subscriptions,
        "counts above zero, and message_channels not above subscriptions",
        limits,
        "correct the number, or use None where nothing is published",
    )
    told = () if limits.subscribes is None else (limits.subscribes,)
    rates = (limits.messages, *told, limits.attempts, *limits.rest)
    require(
        limits.rest and all(_possible(rate) for rate in rates),
        "messages, subscribes, attempts and rest (a tuple) are Rate(amount, period) above zero",
        limits,
        "correct the rate; without a published one leave the default",
    )


def _possible(rate: Any) -> bool:
    return isinstance(rate, Rate) and 0 < rate.amount < math.inf and 0 < rate.period < math.inf


def _dated(text: str) -> bool:
    try:
        return date.fromisoformat(text) <= datetime.now(UTC).date() + timedelta(days=400)
    except ValueError:
        return re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", text) is not None


def check_heartbeat(adapter_class: AdapterClass) -> None:
    """The heartbeat can be kept."""
    heartbeat = adapter_class.heartbeat
    require(
        isinstance(heartbeat, Heartbeat) and heartbeat.kind in ("server", "protocol", "message"),
        "heartbeat = Heartbeat(kind='server' | 'protocol' | 'message', …)",
        heartbeat,
        "say who pings",
    )
    require(
        0 < heartbeat.every < heartbeat.silence < math.inf,
        "0 < every < silence",
        heartbeat,
        "a connection is dead only after more silence than one period of pings",
    )
    if heartbeat.kind == "message":
        _check_ping(adapter_class)


def _check_ping(adapter_class: AdapterClass) -> None:
    try:
        ping = adapter_class().ping_message(7, NOW)
    except ValueError as error:
        fail("ping_message(request_id, now) gives the ping", repr(error), "implement ping_message")
    require(encodes(ping), "a ping that JSON can hold", ping, "return a dict, a list or text")


def check_close_facts(adapter_class: AdapterClass) -> None:
    """The facts about closing and quiet bars have their types."""
    grace, quiet = adapter_class.close_grace, adapter_class.quiet_bars
    require(
        isinstance(adapter_class.close_flag, bool)
        and isinstance(adapter_class.needs_instruments, bool),
        "close_flag and needs_instruments are bool",
        (adapter_class.close_flag, adapter_class.needs_instruments),
        "say True or False",
    )
    require(
        isinstance(grace, int | float) and 0 <= grace < 3600,
        "close_grace in seconds, 0 to an hour",
        grace,
        "say how long after the close late frames were seen",
    )
    words = get_args(Quiet)
    require(
        isinstance(quiet, QuietBars) and quiet.stream in words and quiet.rest in words,
        f"quiet_bars = QuietBars(stream, rest), each one of {words}",
        quiet,
        "say what becomes of bars without trades",
    )


def check_grid(adapter_class: AdapterClass) -> None:
    """The grid of every interval has the interval's step and keeps its own laws."""
    adapter = adapter_class()
    for interval in adapter.get_supported_intervals():
        grid = adapter.grid(interval)
        require(
            isinstance(grid, Grid) and grid.step == Interval.parse(interval).seconds,
            f"grid({interval!r}) has a step of {Interval.parse(interval).seconds}",
            grid,
            "begin with connectors.model.grid_of(interval) and change the anchor",
        )
        for moment in MOMENTS:
            _check_slots(interval, grid if grid.known else grid.anchored(0), moment)


def _check_slots(interval: str, grid: Grid, moment: int) -> None:
    opened = grid.floor(moment)
    closes = grid.after(opened)
    require(
        opened <= moment < closes and grid.holds(opened) and grid.after(closes, -1) == opened,
        f"the slot of {interval} around {moment} opens before it and closes after it",
        f"opens {opened}, closes {closes}, {grid}",
        "an anchor is the open time of any bar, in UNIX seconds",
    )
    require(
        Interval.parse(interval).unit not in "dwM" or opened % 86_400 == 0,
        f"{interval} bars open at midnight UTC",
        f"one opens at {opened} ({datetime.fromtimestamp(opened, UTC)})",
        "choose the exchange's UTC variant of the interval, or do not offer it",
    )


def check_rest_pages(adapter_class: AdapterClass) -> None:
    """Pages have a size."""
    adapter = adapter_class()
    for interval in _over_rest(adapter):
        pages = adapter.rest_pages(interval)
        require(
            isinstance(pages, RestPages)
            and type(pages.limit) is int
            and pages.limit >= 2
            and (pages.rows is None or pages.rows >= 2),
            f"rest_pages({interval!r}) gives RestPages with a limit of two rows or more",
            pages,
            "say how many rows one request returns and how many rows back history reaches",
        )


def check_rest_request(adapter_class: AdapterClass) -> None:
    """A request for a full page asks for exactly the slots in ``[start, end)``."""
    adapter = _ready(adapter_class)
    for _, pair, interval in _subscriptions(adapter_class, _over_rest(adapter)):
        grid = adapter.grid(interval)
        grid = grid if grid.known else grid.anchored(0)
        limit = adapter.rest_pages(interval).limit
        end = grid.floor(NOW)
        start = grid.after(end, -limit)
        if start < 1_000_000_000:  # a page that reaches back beyond every exchange
            start = grid.after(end, -2)
        request = adapter.rest_request(pair, interval, start, end, limit, NOW)
        _check_asked(request, RestRequest(url="", trading_pair=pair, interval=interval,
                                          start=start, end=end, limit=limit))  # fmt: skip
        _check_covered(adapter, request, grid)


def _check_asked(request: Any, asked: RestRequest) -> None:
    call = f"rest_request({asked.trading_pair!r}, {asked.interval!r}, {asked.start}, {asked.end})"
    require(isinstance(request, RestRequest), f"{call} gives a RestRequest", request, "return one")
    for name in ("trading_pair", "interval", "start", "end", "limit"):
        require(
            getattr(request, name) == getattr(asked, name),
            f"{call} keeps {name}={getattr(asked, name)!r}",
            f"{name}={getattr(request, name)!r}",
            "hand on what was asked: parse_rest_response and the engine read it there",
        )
    require(
        re.match(r"https?://[^/\s]+/", request.url) and request.method in ("GET", "POST"),
        f"{call} goes by GET or POST to an http(s) address",
        (request.method, request.url),
        "fill placeholders in and keep the scheme",
    )
    require(
        isinstance(request.weight, int | float) and 0 < request.weight < math.inf,
        f"{call} has a weight above zero",
        request.weight,
        "say what it costs of limits.rest (rest_weight)",
    )
    require(
        all(type(value) in (str, int) for value in request.params.values())
        and (request.body is None or encodes(request.body)),
        f"{call} has params of text and whole numbers, and a body that JSON can hold",
        (request.params, request.body),
        "convert the values",
    )


def _check_covered(adapter: ExchangeAdapter, request: RestRequest, grid: Grid) -> None:
    times = times_in(values_of(request) | _path_values(request.url))
    last = grid.after(request.end, -1)
    reach = adapter.rest_pages(request.interval).rows
    advice = "send start and end in the exchange's unit; both bounds included: end is end - 1"
    if not times:
        require(reach is not None, "a time among the parameters", values_of(request), advice)
        return
    before, beyond = grid.after(request.start, -2), grid.after(request.end, 2)
    require(
        all(before <= time <= beyond for time in times.values()),
        f"times within two slots of start {request.start} and end {request.end}",
        times,
        advice,
    )
    covers_start = min(times.values()) <= request.start
    covers_end = max(times.values()) >= last
    require(
        covers_start and covers_end if len(times) > 1 else covers_start or covers_end,
        f"the range covers the slots that open from {request.start} to {last}, both included",
        times,
        advice,
    )


def _path_values(url: str) -> dict[str, str]:
    return {f"path {number}": part for number, part in enumerate(url.partition("?")[0].split("/"))}


def check_rest_plain(adapter_class: AdapterClass) -> None:
    """The brief's REST methods give an address and a query."""
    adapter = _ready(adapter_class)
    url = adapter.get_rest_url()
    require(
        isinstance(url, str) and re.match(r"https?://[^/\s]+", url),
        "get_rest_url() gives https://…",
        url,
        "return the address of REST candles",
    )
    for _, pair, interval in _subscriptions(adapter_class, adapter.get_rest_supported_intervals()):
        start = adapter.step(interval) * 10
        params = adapter.get_rest_params(pair, interval, start, start * 2, 10)
        require(
            isinstance(params, dict)
            and all(isinstance(k, str) and type(v) in (str, int) for k, v in params.items()),
            f"get_rest_params({pair!r}, {interval!r}, …) gives a dict of text and whole numbers",
            params,
            "convert the values",
        )


def check_opening(adapter_class: AdapterClass) -> None:
    """The connect dialogue asks over HTTP or returns an address at once."""
    adapter = _ready(adapter_class)
    subscriptions = _subscriptions(adapter_class, _streamed(adapter))
    for group in sorted({adapter.connection_group(each) for each in subscriptions}):
        dialogue = adapter_class().opening(group)
        try:
            request = next(dialogue)
        except StopIteration as end:
            demand_opening(end.value)
        else:
            _check_dialogue_request("opening", request)


def demand_opening(opening: Any, where: object = "") -> None:
    """What ``opening`` returned says where to connect."""
    require(
        isinstance(opening, Opening) and re.match(r"wss?://[^/\s]+", opening.url),
        "opening() returns Opening(url='wss://…')",
        opening,
        "return the address, with the token of the reply where there is one",
        where,
    )
    require(
        all(map(encodes, opening.messages))
        and all(x is None or x > 0 for x in (opening.ping_every, opening.expires)),
        "first messages that JSON can hold, and seconds above zero",
        opening,
        "correct Opening.messages, ping_every or expires (exchanges often say milliseconds)",
        where,
    )


def _check_dialogue_request(method: str, request: Any) -> None:
    require(
        isinstance(request, RestRequest) and re.match(r"https?://[^/\s]+/", request.url),
        f"{method}() yields RestRequest(url='https://…')",
        request,
        "yield requests; the engine sends them and sends you the replies",
    )


def check_instruments(adapter_class: AdapterClass) -> None:
    """The dialogue asks over HTTP, or the exchange has none and needs none."""
    try:
        request = next(adapter_class().instruments())
    except StopIteration as end:
        require(
            end.value == [] and not adapter_class.needs_instruments,
            "instruments() yields a request (needs_instruments says that figures depend on it)",
            f"it returned {end.value!r} at once",
            "yield the request of the instruments list, or set needs_instruments to False",
        )
    else:
        _check_dialogue_request("instruments", request)


def check_instruments_garbage(adapter_class: AdapterClass) -> None:
    """A reply that is no list of instruments is a ValueError."""
    asks = next(adapter_class().instruments(), None) is not None
    require_applicable(asks, "the exchange lists no instruments")
    dialogue = adapter_class().instruments()
    next(dialogue)
    try:
        came = f"it asked on: {dialogue.send(RestReply(200, {}, NO_LIST))}"
    except StopIteration as end:
        came = f"it returned {end.value!r}"
    except ValueError:
        return
    except Exception as error:  # noqa: BLE001 - it is what is reported
        came = repr(error)
    fail(
        f"ValueError from instruments() for the body {NO_LIST.decode()}",
        came,
        "raise ValueError with a sentence where the list is not in the reply",
    )


def check_purity(adapter_class: AdapterClass) -> None:
    """The exchange's file does no I/O, asks no clock and writes no log."""
    for path in files_of(adapter_class):
        found = sorted(set(_impure(ast.parse(path.read_text("utf-8")))))
        require(
            not found,
            f"nothing in {path.name} that does I/O, tells the time, draws lots or logs",
            listed(found),
            "yield a RestRequest instead of fetching, take `now` instead of asking a clock, "
            "and make ids of request_id or of what the exchange gave",
        )


IMPURE_MODULES = {
    "aiohttp", "aiokafka", "asyncio", "concurrent", "ftplib", "http", "httpx", "io", "logging",
    "multiprocessing", "os", "pathlib", "random", "requests", "secrets", "select", "shutil",
    "socket", "sqlite3", "ssl", "structlog", "subprocess", "sys", "tempfile", "threading", "time",
    "urllib.request", "urllib3", "uuid", "websockets",
}  # fmt: skip
IMPURE_CALLS = {"now", "utcnow", "today", "open", "print", "input", "exec", "eval"}
PURE_CONNECTORS = ("adapter", "model", "errors", "exchanges", "plain")


def _impure(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (f"import {a.name}" for a in node.names if _impure_module(a.name))
        elif isinstance(node, ast.ImportFrom):
            yield from _impure_from(node)
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in IMPURE_CALLS:
                yield f"{name}() in line {node.lineno}"


def _impure_from(node: ast.ImportFrom) -> Iterator[str]:
    names = [f"{node.module}.{alias.name}" for alias in node.names]
    if _impure_module(node.module or "") or any(map(_impure_module, names)):
        yield f"from {node.module} import {listed(alias.name for alias in node.names)}"


def _impure_module(name: str) -> bool:
    first, *rest = name.split(".")
    if first == "connectors":
        return bool(rest) and rest[0] not in PURE_CONNECTORS
    return first in IMPURE_MODULES or name in IMPURE_MODULES


def check_docstring(adapter_class: AdapterClass) -> None:
    """The exchange's file begins with its oddities and the date of its facts."""
    path = files_of(adapter_class)[0]
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    lines = [line for line in text.splitlines() if line.strip()]
    require(
        len(lines) >= 3,
        f"{path.name} begins with a docstring: the exchange, then its oddities, one by one",
        text or "no docstring",
        "write first what surprised you, then where it is documented",
    )
    require(
        re.search(r"\b20\d\d-\d\d\b|\b[A-Z][a-z]+ 20\d\d\b", text),
        f"the docstring of {path.name} says of which month its facts are, like 2026-09",
        text,
        "name sources and when they said so",
    )


def files_of(adapter_class: AdapterClass) -> list[Path]:
    """The class's own file, then those of its bases outside the framework."""
    modules = [base.__module__ for base in adapter_class.__mro__ if base is not object]
    strangers = [name for name in modules if name not in ("connectors.adapter", "abc", "builtins")]
    return [Path(inspect.getfile(sys.modules[name])) for name in dict.fromkeys(strangers)]


def check_evidence(adapter_class: AdapterClass) -> None:
    """There are recorded items for every transport that the adapter offers."""
    adapter = adapter_class()
    kinds = {item.kind for item in items_of(adapter_class.name)}
    missing = []
    if adapter.get_ws_supported_intervals() and not kinds & {"ws_candle", "ws_snapshot"}:
        missing.append("a candle frame (ws_candle)")
    if adapter.get_rest_supported_intervals() and "rest_candles" not in kinds:
        missing.append("a REST reply (rest_candles)")
    require(
        not missing,
        f"recorded items of {adapter_class.name} in {listed(folders()) or 'a folder'}",
        f"none that is {listed(missing)}",
        "record what the exchange really sends, one JSON file each, before writing the adapter",
    )


def check_ready_comes(adapter_class: AdapterClass) -> None:
    """Who waits for a greeting before subscribing knows it when it comes."""
    items = items_of(adapter_class.name)
    opening = _opened(adapter_class, [item for item in items if item.kind == "rest_token"])
    awaits = opening is not None and opening.awaits_ready
    require_applicable(awaits, "no greeting is awaited before subscribing")
    frames = [item for item in items if item.kind.startswith("ws_")]
    adapter = _ready(adapter_class)
    require(
        any(isinstance(_parse_quietly(adapter, item.frame), Ready) for item in frames),
        "Ready from parse_ws_message for some recorded frame, since Opening.awaits_ready is set",
        f"not for any of {listed(item.id for item in frames)}",
        "return Ready() for the greeting or the accepted login, and record it",
    )


def _opened(adapter_class: AdapterClass, tokens: list[Item]) -> Opening | None:
    dialogue = adapter_class().opening()
    try:
        next(dialogue)
        for item in tokens:
            dialogue.send(reply_of(item))
    except StopIteration as end:
        return end.value if isinstance(end.value, Opening) else None
    return None


def check_own_state(adapter_class: AdapterClass) -> None:
    """Two adapters of one exchange share nothing that an item changes."""
    untouched, used = adapter_class(), adapter_class()
    before = _state(untouched)
    used.use_instruments(rows_of(adapter_class))
    for item in items_of(adapter_class.name):
        if item.kind.startswith("ws_"):
            _parse_quietly(used, item.frame)
        elif item.kind == "rest_token":
            _drive_quietly(used, reply_of(item))
    require(
        before == _state(untouched),
        "an adapter that was not used stays as it was made",
        f"before {before}, now {_state(untouched)}",
        "keep state of a connection in attributes made by __init__, not in the class or module",
    )


def _state(adapter: ExchangeAdapter) -> str:
    shared = {
        name: value
        for base in type(adapter).__mro__
        if base.__module__ != "connectors.adapter"
        for name, value in vars(base).items()
        if isinstance(value, dict | list | set)
    }
    return f"{getattr(adapter, '__dict__', {})} {shared}"


def _parse_quietly(adapter: ExchangeAdapter, frame: Any) -> Any:
    with contextlib.suppress(Exception):  # the checks of items report it
        return adapter.parse_ws_message(frame)
    return None


def _drive_quietly(adapter: ExchangeAdapter, reply: RestReply) -> None:
    with contextlib.suppress(Exception):  # the checks of items report it
        dialogue = adapter.opening()
        next(dialogue)
        dialogue.send(reply)


def _ready(adapter_class: AdapterClass) -> ExchangeAdapter:
    adapter = adapter_class()
    adapter.use_instruments(rows_of(adapter_class))
    return adapter


def _streamed(adapter: ExchangeAdapter) -> list[str]:
    intervals = adapter.get_ws_supported_intervals()
    require_applicable(intervals, "no candles over WebSocket")
    return intervals


def _over_rest(adapter: ExchangeAdapter) -> list[str]:
    intervals = adapter.get_rest_supported_intervals()
    require_applicable(intervals, "no candles over REST")
    return intervals


def _subscriptions(adapter_class: AdapterClass, intervals: list[str]) -> list[Subscription]:
    pairs = usual_pairs(adapter_class)[:4]
    return [Subscription(adapter_class.name, p, i) for p, i in product(pairs, intervals)]


Check = Callable[[AdapterClass], None]

CHECKS: tuple[Check, ...] = (
    check_made_without_arguments, check_name, check_intervals, check_ws_intervals,
    check_rest_intervals, check_every_interval_is_carried, check_trading_pair_format, check_ws_url,
    check_channels, check_subscribe_messages, check_subscription_payload, check_noise, check_limits,
    check_heartbeat, check_close_facts, check_grid, check_rest_pages, check_rest_request,
    check_rest_plain, check_opening, check_instruments, check_instruments_garbage, check_purity,
    check_docstring, check_evidence, check_ready_comes, check_own_state,
)  # fmt: skip
