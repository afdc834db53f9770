"""Checks of an adapter class against one recorded item.

``checks_of(item)`` names what the kind of an item demands; each check is
``check(adapter_class, item) -> None`` and raises NotConforming with advice. Frames are handed
over as the engine does: unpacked and decoded, with the recorded instruments known.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any
from urllib.parse import quote

import orjson

from connectors.adapter import (
    Closing,
    Confirmed,
    ExchangeAdapter,
    Message,
    Ready,
    Refused,
    RestRefused,
    RestRequest,
    RestSlowDown,
    RestUnavailable,
    Rows,
    WSJSONRequest,
)
from connectors.conformance.advice import fail, listed, require
from connectors.conformance.contract import NOW, demand_opening
from connectors.conformance.items import ASKED, FIGURES, Item, items_of
from connectors.conformance.messages import (
    Leaf,
    differences,
    encodes,
    in_writing,
    leaves,
    rest_values,
    times_in,
)
from connectors.conformance.pairs import (
    PROBE_SIZE,
    drive_instruments,
    pair_for,
    pairs_in,
    prepared,
    reply_of,
    sizes_unknown,
    spelled_in,
)
from connectors.model import CandleData, Instrument, Subscription

AdapterClass = type[ExchangeAdapter]


# --- handing frames over --------------------------------------------------------------------------


def receive(adapter: ExchangeAdapter, item: Item) -> Any:
    """``parse_ws_message`` of the frame, as the engine would call it."""
    frame = item.frame
    if item.binary is not None:
        frame = adapter.unpack_frame(item.binary)
        frame = _decoded(frame)
    return adapter.parse_ws_message(frame)


def _decoded(frame: str | bytes) -> Any:
    try:
        return orjson.loads(frame)
    except ValueError:
        return frame.decode() if isinstance(frame, bytes) else frame


def _connected(adapter_class: AdapterClass, item: Item) -> ExchangeAdapter:
    """An adapter whose connection has seen the confirmations of the same request."""
    adapter = prepared(adapter_class, item)
    channels = [adapter.channel(each) for each in asked(adapter, item)]
    if channels:
        adapter.subscribe_messages(channels, 1, NOW)
    for other in items_of(item.market):
        if other.kind == "ws_confirm" and other.request == item.request is not None:
            receive(adapter, other)
    return adapter


def subscribe_message(item: Item) -> Message | None:
    """The recorded subscribe message, None where only an address or nothing is known."""
    request = item.request
    if isinstance(request, dict) and "url" in request:
        return request.get("sent")
    return request if isinstance(request, dict | list) else None


def asked(adapter: ExchangeAdapter, item: Item) -> list[Subscription]:
    """The subscriptions whose own message is part of the recorded one."""
    wanted = leaves(subscribe_message(item))
    if not wanted:
        return []
    found: dict[str, Subscription] = {}
    for subscription in _possible(adapter, item):
        channel = adapter.channel(subscription)
        messages = _messages(adapter, item, [channel])
        if messages and _part_of(leaves(messages[0]), wanted):
            found.setdefault(channel, subscription)
    return list(found.values())


def _messages(adapter: ExchangeAdapter, item: Item, channels: list[str]) -> list[Message]:
    """What the adapter sends: an unsubscribe message, where such a one was recorded."""
    recorded = orjson.dumps(subscribe_message(item)).decode().lower()
    unsubscribes = "unsub" in recorded
    make = adapter.unsubscribe_messages if unsubscribes else adapter.subscribe_messages
    return make(channels, 1, NOW)


def _part_of(part: Counter[Leaf], whole: Counter[Leaf]) -> bool:
    return bool(part) and set(part) <= set(whole)


def _possible(adapter: ExchangeAdapter, item: Item) -> Iterator[Subscription]:
    for pair, interval in product(pairs_in(adapter, item), adapter.get_ws_supported_intervals()):
        yield Subscription(item.market, pair, interval)


# --- subscribe messages and pings -----------------------------------------------------------------


def check_subscribe_message(adapter_class: AdapterClass, item: Item) -> None:
    """The adapter sends what was sent then; ids and clocks are free."""
    adapter = prepared(adapter_class, item)
    recorded = leaves(subscribe_message(item))
    subscriptions = asked(adapter, item)
    if not subscriptions:
        fail(
            f"some subscription's message is {in_writing(recorded)}",
            _nearest_message(adapter, item),
            "make subscribe_messages say what the exchange was sent",
            item,
        )
    channels = [adapter.channel(each) for each in subscriptions]
    if len(channels) > adapter.limits.message_channels:
        return  # sent one by one, and each is a part of what was recorded
    sent = _messages(adapter, item, channels)
    require(
        len(sent) == 1 and leaves(sent[0]) == recorded,
        in_writing(recorded),
        " and ".join(in_writing(leaves(each)) for each in sent),
        f"make subscribe_messages({listed(channels)}) say what the exchange was sent",
        item,
    )


def _nearest_message(adapter: ExchangeAdapter, item: Item) -> str:
    wanted = set(leaves(subscribe_message(item)))
    made = [
        leaves(message)
        for each in _possible(adapter, item)
        for message in _messages(adapter, item, [adapter.channel(each)])
    ]
    if not made:
        return 'no pair of the item could be told: put "trading_pair" into it'
    return f"the nearest is {in_writing(max(made, key=lambda one: len(wanted & set(one))))}"


def check_ping_sent(adapter_class: AdapterClass, item: Item) -> None:
    """The ping is the one that was sent then; ids and clocks are free."""
    sent = item.request if item.kind == "ws_pong" else item.frame
    adapter = prepared(adapter_class, item)
    require(
        adapter.heartbeat.kind == "message",
        "heartbeat.kind 'message': the exchange was pinged by a message",
        adapter.heartbeat,
        "declare the heartbeat and implement ping_message",
        item,
    )
    ping = adapter.ping_message(7, NOW)
    require(
        leaves(ping) == leaves(sent) and _keys(ping) == _keys(_unquoted(sent)),
        sent,
        ping,
        "make ping_message say what the exchange was sent",
        item,
    )


def _keys(message: Any) -> set[str]:
    return set(message) if isinstance(message, dict) else set()


def _unquoted(message: Any) -> Any:
    return _decoded(message) if isinstance(message, str) else message


# --- candles --------------------------------------------------------------------------------------


def check_ws_candles(adapter_class: AdapterClass, item: Item) -> None:
    """The frame gives exactly the candles of the item, oldest first."""
    candles = receive(_connected(adapter_class, item), item)
    _check_candles(candles, item, flagged=adapter_class.close_flag)


def check_rest_candles(adapter_class: AdapterClass, item: Item) -> None:
    """The reply gives exactly the candles of the item, oldest first, by both ways of reading."""
    adapter = prepared(adapter_class, item)
    request = request_of(adapter, item)
    reply = reply_of(item)
    _check_candles(adapter.parse_rest_response(reply.json(), request), item, flagged=False)
    answer = adapter.read_rest_reply(reply, request)
    if not isinstance(answer, Rows):
        advice = "return Rows(self.parse_rest_response(reply.json(), request)) for a good reply"
        fail("Rows from read_rest_reply", answer, advice, item)
    _check_candles(answer.candles, item, flagged=False)


def _check_candles(candles: Any, item: Item, *, flagged: bool) -> None:
    require(
        isinstance(candles, list) and all(isinstance(each, CandleData) for each in candles),
        "a list of CandleData",
        candles,
        "return the candles of this frame",
        item,
    )
    if item.candles is None:
        require(candles, "at least one candle", candles, "return what is in the frame", item)
        return
    expected = sorted(item.candles, key=lambda candle: candle["open_time_ms"])
    times = [each["open_time_ms"] / 1000 for each in expected]
    require(
        [each.timestamp for each in candles] == times,
        f"candles that open at {times} (UNIX seconds, oldest first)",
        [each.timestamp for each in candles],
        "check column, unit and order of the time, and reverse what comes newest first",
        item,
    )
    for wanted, candle in zip(expected, candles, strict=True):
        _check_figures(wanted, candle, item)
        _check_closed(wanted["closed"], candle, item, flagged=flagged)


def _check_figures(wanted: dict[str, Any], candle: CandleData, item: Item) -> None:
    expected = {name: _figure(wanted, key, item) for key, name in FIGURES.items()}
    if expected["volume"] is None:
        del expected["volume"]  # nobody knows it, and CandleData has no candle without volume
    came = {name: getattr(candle, name) for name in expected}
    wrong = {name: figure for name, figure in came.items() if figure != expected[name]}
    require(
        not wrong,
        {name: expected[name] for name in wrong},
        wrong,
        "check the columns; volume is in base units (contracts times Instrument.contract_size), "
        "and what the exchange does not send is None",
        item,
    )
    require(
        all(type(getattr(candle, name)) is float for name in ("open", "high", "low", "close")),
        "figures as float",
        candle,
        "let CandleData convert them",
        item,
    )


def _figure(wanted: dict[str, Any], key: str, item: Item) -> float | None:
    if key == "volume" and wanted[key] is None and sizes_unknown(item):
        return float(wanted["volume_contracts"]) * PROBE_SIZE
    return None if wanted[key] is None else float(wanted[key])


def _check_closed(wanted: bool | None, candle: CandleData, item: Item, *, flagged: bool) -> None:
    """Where people knew more than the frame says, None is right too; never the opposite."""
    exact = flagged or wanted is None
    require(
        candle.closed is wanted or (candle.closed is None and not exact),
        f"closed={wanted}{'' if exact else ' or None'} of the candle at {candle.timestamp}",
        f"closed={candle.closed}",
        "tell what the frame says, None where it does not say (close_flag tells which)",
        item,
    )


def check_channels(adapter_class: AdapterClass, item: Item) -> None:
    """Each candle bears the channel of its subscription."""
    adapter = _connected(adapter_class, item)
    candles = receive(adapter, item)
    require(isinstance(candles, list), "candles", candles, "return the candles", item)
    intervals = {each["interval"] for each in item.candles or ()}
    expected = {
        adapter.channel(each)
        for each in _possible(adapter, item)
        if not intervals or each.interval in intervals
    }
    found = {candle.channel for candle in candles}
    if found == {None} and adapter.limits.subscriptions == 1:
        return
    require(
        found <= expected,
        f"CandleData.channel out of {sorted(expected)}"
        if expected
        else "an offered interval and a pair that can be told from the item",
        found,
        "build CandleData.channel from the frame as channel(subscription) builds it; where an "
        'item does not name its pair, put "trading_pair" into it',
        item,
    )


def check_unknown_contract_size(adapter_class: AdapterClass, item: Item) -> None:
    """Without the instrument, contracts are never given as if they were base units."""
    adapter = adapter_class()
    if item.kind == "rest_candles":
        request = request_of(prepared(adapter_class, item), item)
        read: Callable[[], Any] = lambda: adapter.parse_rest_response(item.frame, request)  # noqa: E731 - a choice of two
    else:
        read = lambda: receive(adapter, item)  # noqa: E731 - a choice of two
    try:
        came = read()
    except Exception as error:  # noqa: BLE001 - it is to be named, of whatever type
        came = f"{type(error).__name__}: {error}"
        symbols = [adapter.get_trading_pair_format(pair_for(adapter, item))]
        holds = any(spelled_in(symbol, came) for symbol in symbols)
    else:
        holds = not came
    require(
        holds,
        "an error that names the symbol whose contract size is not known, or no candle",
        came,
        "set needs_instruments, and look the size up so that an unknown symbol raises",
        item,
    )


# --- other frames ---------------------------------------------------------------------------------


def check_confirmed(adapter_class: AdapterClass, item: Item) -> None:
    """A confirmation is tied to its request by id or by channels."""
    parsed = receive(_connected(adapter_class, item), item)
    if "unsub" in orjson.dumps(item.frame).decode().lower() and parsed is None:
        return
    named = isinstance(parsed, Confirmed) and (parsed.request_id is not None or parsed.channels)
    require(
        named or (parsed == Confirmed() and _names_nothing(adapter_class, item)),
        "Confirmed with request_id or channels (with neither, where the frame names nothing)",
        parsed,
        "return Confirmed(request_id=…) or Confirmed(channels=(…,))",
        item,
    )
    _check_tied(adapter_class, parsed, item)


def _names_nothing(adapter_class: AdapterClass, item: Item) -> bool:
    """Whether neither an id nor a symbol stands among the frame's values."""
    adapter = prepared(adapter_class, item)
    text = " ".join(value for _, value in leaves(item.frame))
    symbols = {adapter.get_trading_pair_format(pair) for pair in pairs_in(adapter, item)}
    return _frame_id(item) is None and not any(spelled_in(symbol, text) for symbol in symbols)


def check_refused(adapter_class: AdapterClass, item: Item) -> None:
    """A refusal has a reason and names its request as far as the frame does."""
    parsed = receive(_connected(adapter_class, item), item)
    if isinstance(parsed, Closing) and _frame_id(item) is None:
        return
    require(
        isinstance(parsed, Refused) and parsed.reason.strip(),
        "Refused with a reason",
        parsed,
        "return Refused(reason, request_id=…) (Closing, where it ends the connection)",
        item,
    )
    require(
        _speaks_of(parsed.reason, item.frame),
        "a reason with the exchange's own words",
        parsed.reason,
        "put the frame's message into the reason",
        item,
    )
    _check_tied(adapter_class, parsed, item)


def _check_tied(adapter_class: AdapterClass, parsed: Confirmed | Refused, item: Item) -> None:
    wanted = _frame_id(item)
    require(
        (parsed.request_id is None or isinstance(parsed.request_id, str))
        and isinstance(parsed.channels, tuple)
        and (wanted is None or parsed.request_id == wanted),
        f"request_id={wanted!r} (text) and channels as a tuple",
        parsed,
        "take the id of the frame as str: it is what ties the answer to its request",
        item,
    )
    adapter = prepared(adapter_class, item)
    told = [] if isinstance(parsed, Refused) else asked(adapter, item)  # a symbol may be refused
    known = {adapter.channel(each) for each in told or _possible(adapter, item)}
    text = orjson.dumps(item.frame).decode()
    of_others = not any(channel in text for channel in known)
    if of_others and all(channel in text for channel in parsed.channels):
        return  # it speaks of a channel that carries no candles, and so does the answer
    require(
        not known or set(parsed.channels) <= known,
        f"channels out of {sorted(known)}",
        parsed.channels,
        "write them as channel(subscription) does",
        item,
    )


def _frame_id(item: Item) -> str | None:
    """The id that the frame gives back, where it is one that we would have sent."""
    if not isinstance(item.frame, dict):
        return None
    for key in ("id", "req_id", "reqid", "request_id"):
        value = item.frame.get(key)
        sent = subscribe_message(item)
        returned = not isinstance(sent, dict) or key not in sent or str(sent[key]) == str(value)
        if isinstance(value, str | int) and value != "" and returned and _is_id(value):
            return str(value)
    return None


def _is_id(value: str | int) -> bool:
    return re.fullmatch(r"[A-Za-z]{0,3}\d+", str(value)) is not None


def _speaks_of(reason: str, frame: Any) -> bool:
    if isinstance(frame, str):
        return frame in reason
    values = re.findall(r"[A-Za-z0-9][\w .'-]*", orjson.dumps(frame).decode())
    return any(len(value) >= 3 and value.strip() in reason for value in values)


def check_ping(adapter_class: AdapterClass, item: Item) -> None:
    """The exchange's ping is answered with its own number; our own is what ping_message makes."""
    adapter = prepared(adapter_class, item)
    ours = "client to server" in item.words.lower()
    if ours or (adapter.heartbeat.kind == "message" and _same_ping(adapter, item)):
        check_ping_sent(adapter_class, item)
        return
    parsed = receive(adapter, item)
    if not _wants_answer(item.frame):
        _check_nothing(parsed, item)
        return
    require(
        isinstance(parsed, WSJSONRequest) and encodes(parsed.payload),
        "WSJSONRequest(payload=…), the answer to the exchange's ping",
        parsed,
        "return the pong that the exchange's documentation asks for",
        item,
    )
    numbers = re.findall(r"\d{6,}", orjson.dumps(item.frame).decode())
    answer = orjson.dumps(parsed.payload).decode()
    require(
        all(number in answer for number in numbers),
        f"the ping's own {listed(numbers)} in the answer",
        answer,
        "send the ping's number back",
        item,
    )


def _same_ping(adapter: ExchangeAdapter, item: Item) -> bool:
    return leaves(adapter.ping_message(7, NOW)) == leaves(item.frame)


def _wants_answer(frame: Any) -> bool:
    text = orjson.dumps(frame).decode().lower()
    return re.search(r'"(ping|test_request|public/heartbeat)"', text) is not None


def check_noise(adapter_class: AdapterClass, item: Item) -> None:
    """What is neither candle, confirmation, refusal nor ping is None, Ready or Closing."""
    _check_nothing(receive(_connected(adapter_class, item), item), item)


def _check_nothing(parsed: Any, item: Item) -> None:
    require(
        parsed is None or isinstance(parsed, Ready | Closing),
        "None (noise), Ready (a greeting) or Closing (an announcement)",
        parsed,
        "let parse_ws_message return None for frames that are not its business",
        item,
    )


# --- REST -----------------------------------------------------------------------------------------


def request_of(adapter: ExchangeAdapter, item: Item) -> RestRequest:
    """The adapter's request that is nearest to the recorded one."""
    made = list(_requests(adapter, item))
    if isinstance(item.request, dict):
        recorded = item.request
        return min(made, key=lambda request: len(differences(recorded, request)))
    return made[0]


def _requests(adapter: ExchangeAdapter, item: Item) -> Iterator[RestRequest]:
    if item.asked is not None:
        yield adapter.rest_request(pair_for(adapter, item), *(item.asked[key] for key in ASKED))
        return
    offered = adapter.get_rest_supported_intervals()
    told = list(dict.fromkeys(candle["interval"] for candle in item.candles or ()))
    for pair in pairs_in(adapter, item) or [pair_for(adapter, item)]:
        for interval in told or offered:
            start, end = _range(adapter, item, interval)
            limit = _limit(adapter, item, interval)
            if interval in offered:
                yield adapter.rest_request(pair, interval, start, end, limit, float(end))
            else:  # such rows are still to be read
                yield RestRequest(url=adapter.get_rest_url(), trading_pair=pair, limit=limit,
                                  interval=interval, start=start, end=end)  # fmt: skip


def _range(adapter: ExchangeAdapter, item: Item, interval: str) -> tuple[int, int]:
    step = adapter.step(interval)
    times = sorted(times_in(_recorded_values(item)).values())
    if len(times) >= 2:
        return int(times[0]) // step * step, int(times[-1]) // step * step + step
    opened = [candle["open_time_ms"] // 1000 for candle in item.candles or ()]
    opened = opened or [int(NOW) // step * step]
    return min(opened), max(opened) + step


def _limit(adapter: ExchangeAdapter, item: Item, interval: str) -> int:
    values = {key.lower(): value for key, value in _recorded_values(item).items()}
    told = values.get("limit", "")
    return int(told) if told.isdigit() else adapter.rest_pages(interval).limit


def _recorded_values(item: Item) -> dict[str, str]:
    if not isinstance(item.request, dict) or "url" not in item.request:
        return {}
    return rest_values(item.request["url"], item.request.get("params"), item.request.get("body"))


def check_rest_request(adapter_class: AdapterClass, item: Item) -> None:
    """The adapter's request equals the recorded one in method, path and parameters."""
    adapter = prepared(adapter_class, item)
    request = request_of(adapter, item)
    _check_same_request(request, item, "rest_request")


def check_dialogue_request(adapter_class: AdapterClass, item: Item) -> None:
    """The first request of a dialogue equals the recorded one."""
    method = "opening" if item.kind == "rest_token" else "instruments"
    request = next(getattr(adapter_class(), method)(), None)
    if request is None:
        fail(f"a request from {method}()", request, "yield the recorded request", item)
    _check_same_request(request, item, method)


def _check_same_request(request: RestRequest, item: Item, method: str) -> None:
    found = differences(item.request, request)
    require(
        not found,
        f"{item.request.get('method', 'GET')} {item.request['url']} {item.request.get('params')}",
        f"{listed(found)} in {request.method} {request.url} {dict(request.params)} {request.body}",
        f"make {method} ask as it was asked then (an address that has moved since: list the item "
        "in exceptions.toml with the reason)",
        item,
    )


def check_rest_error(adapter_class: AdapterClass, item: Item) -> None:
    """An error is never rows; a rate limit is a call to slow down."""
    adapter = prepared(adapter_class, item)
    pair, interval = pair_for(adapter, item), adapter.get_rest_supported_intervals()[0]
    step = adapter.step(interval)
    start = int(NOW) // step * step
    request = adapter.rest_request(pair, interval, start - step, start, 2, NOW)
    statuses = statuses_of(item)
    for status in statuses:
        answer = adapter.read_rest_reply(reply_of(item, status), request)
        _check_answer(answer, status, item, slow=bool({418, 429} & set(statuses)))


def _check_answer(answer: Any, status: int, item: Item, *, slow: bool) -> None:
    wanted = (RestSlowDown,) if slow else (RestRefused, RestSlowDown, RestUnavailable)
    require(
        isinstance(answer, wanted) and answer.reason.strip(),
        f"{' or '.join(each.__name__ for each in wanted)} with a reason for HTTP {status}",
        answer,
        "override read_rest_reply: look at the body's code before the rows",
        item,
    )
    require(
        _speaks_of(answer.reason, item.frame),
        "a reason with the exchange's own words",
        answer.reason,
        "put the body's message into the reason",
        item,
    )


def statuses_of(item: Item) -> list[int]:
    """HTTP statuses of an error: as recorded, as the source says, or what such bodies come with."""
    if item.http_status is not None:
        return [item.http_status]
    named = [int(number) for number in re.findall(r"HTTP (\d{3})\b", item.words)]
    slow = re.search(r"too many request|rate ?limit|ratelimit", item.text, re.IGNORECASE)
    return list(dict.fromkeys(named)) or [429 if slow else 400]


def check_token(adapter_class: AdapterClass, item: Item) -> None:
    """The connect dialogue puts the reply's token into the address, url-encoded."""
    token = _find(item.frame, "token")
    dialogue = adapter_class().opening()
    try:
        next(dialogue)
        for _ in range(5):
            dialogue.send(reply_of(item))
    except StopIteration as end:
        opening = end.value
    else:
        fail("opening() ends after the token", "it asks on", "return Opening(url=…)", item)
    demand_opening(opening, item)
    require(
        quote(str(token), safe="") in opening.url,
        f"the token, url-encoded ({quote(str(token), safe='')}), in the address",
        opening.url,
        "use urllib.parse.quote(token, safe='')",
        item,
    )
    period = _find(item.frame, "pingInterval")
    require(
        period is None or opening.ping_every == int(period) / 1000,
        f"ping_every={period} ms in seconds",
        opening.ping_every,
        "take the ping period from the reply",
        item,
    )


def _find(value: Any, key: str) -> Any:
    """The first value under a key, at any depth."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, dict) and key in value:
        return value[key]
    return next((found for each in inner if (found := _find(each, key)) is not None), None)


def check_instruments(adapter_class: AdapterClass, item: Item) -> None:
    """The recorded list gives rows whose symbols and contract sizes are the list's own."""
    rows = drive_instruments(adapter_class(), [item])
    require(
        rows and all(isinstance(row, Instrument) for row in rows),
        "a list of Instrument",
        rows,
        "return a row for each instrument of this market",
        item,
    )
    pairs = [row.trading_pair for row in rows]
    require(len(set(pairs)) == len(pairs), "each pair once", pairs, "drop repetitions", item)
    adapter = adapter_class()
    adapter.use_instruments(rows)
    numbers = {abs(float(text)) for text in re.findall(r"\d+(?:\.\d+)?(?:e-?\d+)?", item.text)}
    for row in rows:
        _check_row(adapter, row, numbers, item)


def _check_row(adapter: ExchangeAdapter, row: Instrument, numbers: set[float], item: Item) -> None:
    require(
        re.fullmatch(r"[^\s:a-z-]+-[^\s:a-z-]+", row.trading_pair)
        and row.symbol.lower() in item.text.lower(),
        "trading_pair BASE-QUOTE in upper case and the symbol of the list",
        row,
        "write the pair from base and quote",
        item,
    )
    require(
        row.contract_size > 0
        and (row.contract_size in numbers | {1.0} or _is_product(row.contract_size, numbers)),
        "a contract_size above zero that the list tells (1.0 where volumes are in base units)",
        row,
        "take it from the list: base units per contract, quote units where inverse",
        item,
    )
    spelled = adapter.get_trading_pair_format(row.trading_pair)
    require(
        row.alias_of is not None or spelled == row.symbol,
        f"get_trading_pair_format({row.trading_pair!r}) == {row.symbol!r} after use_instruments",
        spelled,
        "look the pair up in the rows before using the plain rule",
        item,
    )


def _is_product(size: float, numbers: set[float]) -> bool:
    return any(abs(one * other - size) < 1e-12 * size for one, other in product(numbers, repeat=2))


# --- what an item demands -------------------------------------------------------------------------

ItemCheck = Callable[[AdapterClass, Item], None]

KINDS: dict[str, dict[str, ItemCheck]] = {
    "ws_candle": {"candles": check_ws_candles, "channel": check_channels},
    "ws_snapshot": {"candles": check_ws_candles, "channel": check_channels},
    "ws_confirm": {"reply": check_confirmed},
    "ws_error": {"reply": check_refused},
    "ws_ping": {"reply": check_ping},
    "ws_pong": {"reply": check_noise},
    "ws_other": {"reply": check_noise},
    "rest_candles": {"candles": check_rest_candles},
    "rest_error": {"reply": check_rest_error},
    "rest_token": {"reply": check_token, "request": check_dialogue_request},
    "rest_instruments": {"reply": check_instruments, "request": check_dialogue_request},
}


def checks_of(item: Item) -> dict[str, ItemCheck]:
    """The checks of an item by name."""
    if item.kind not in KINDS:
        fail(f"a kind out of {listed(KINDS)}", item.kind, "correct the item's kind", item)
    checks = dict(KINDS[item.kind])
    if item.request is None:
        checks.pop("request", None)
    if item.kind in ("ws_candle", "ws_snapshot", "ws_confirm") and subscribe_message(item):
        checks["request"] = check_subscribe_message
    if item.kind == "ws_pong" and item.request is not None:
        checks["request"] = check_ping_sent
    if item.kind == "rest_candles" and item.request is not None:
        checks["request"] = check_rest_request
    if sizes_unknown(item):
        checks["unknown_size"] = check_unknown_contract_size
    return checks
