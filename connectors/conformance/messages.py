"""Compares what an adapter would send with what was recorded: ids, clocks and order are free."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson

from connectors.adapter import Message, RestRequest
from connectors.model import milliseconds

ID_KEYS = {"id", "req_id", "reqid", "request_id", "requestid", "cid"}
CLOCK_KEYS = {"time", "timestamp", "ts", "nonce"}
COUNT_KEYS = {"limit", "count", "size", "num", "rows", "n", "countback", "pagesize", "step"}

Leaf = tuple[str, str]

_ID = re.compile(r"[A-Za-z]{0,3}\d+|[0-9a-f-]{20,36}")
"""What is a request's own under ``id``, a key that may name a channel as well."""


def leaves(message: Message | None) -> Counter[Leaf]:
    """Every value of a message with its path; what false and null say, absence says as well."""
    if isinstance(message, str):
        message = _decoded(message)
    return Counter(_leaves(message, ""))


def encodes(message: object) -> bool:
    """Whether it can be sent: text, or a dict or list that JSON can hold."""
    if isinstance(message, str):
        return True
    try:
        return isinstance(message, (dict, list)) and bool(orjson.dumps(message))
    except TypeError:
        return False


def size_of(message: Message) -> int:
    """Bytes on the wire."""
    return len(message.encode() if isinstance(message, str) else orjson.dumps(message))


def in_writing(leaf_counts: Counter[Leaf]) -> str:
    """Leaves for a person."""
    return ", ".join(f"{path or 'text'}={value}" for path, value in sorted(leaf_counts))


def _leaves(value: Any, path: str) -> Iterator[Leaf]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not _free(key, inner, path):
                yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner, f"{path}[]")
    elif value is not None and value is not False:
        yield path, orjson.dumps(value).decode()


def _free(key: str, value: Any, path: str) -> bool:
    if path or isinstance(value, Mapping | list):
        return False
    is_id = key.lower() in ID_KEYS and (key.lower() != "id" or _ID.fullmatch(str(value)))
    return bool(is_id) or (key.lower() in CLOCK_KEYS and not isinstance(value, bool))


def _decoded(text: str) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:
        return text


# --- REST -----------------------------------------------------------------------------------------


def rest_values(url: str, params: Any, body: Any = None) -> dict[str, str]:
    """Query, parameters and body of a request as one flat table of text."""
    table = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    for part in (params, body):
        decoded = _decoded(part) if isinstance(part, str) else part
        table |= {path: value.strip('"') for path, value in _flat(decoded, "")}
    return table


def _flat(value: Any, path: str) -> Iterator[Leaf]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _flat(inner, f"{path}[{number}]")
    elif value is not None:
        yield path, value if isinstance(value, str) else orjson.dumps(value).decode()


def values_of(request: RestRequest) -> dict[str, str]:
    """``rest_values`` of a request as an adapter makes it."""
    return rest_values(request.url, dict(request.params), request.body)


def path_of(url: str) -> str:
    """The path of an address, decoded."""
    return unquote(urlsplit(url).path).rstrip("/")


def seconds_in(value: str) -> float | None:
    """A parameter's value as a time, None where it is none (before 2001 nothing is a time)."""
    try:
        time = milliseconds(value) / 1000
    except (ValueError, OverflowError):
        return None
    return time if time >= 1_000_000_000 else None


def times_in(values: Mapping[str, str]) -> dict[str, float]:
    """The parameters that are times, in seconds."""
    found = {key: seconds_in(value) for key, value in values.items()}
    return {key: time for key, time in found.items() if time is not None}


def differences(recorded: dict[str, Any], made: RestRequest) -> list[str]:
    """What of a recorded request the adapter's request lacks or says otherwise."""
    method = str(recorded.get("method", "GET")).upper()
    found = [f"method {made.method} instead of {method}"] if made.method.upper() != method else []
    if path_of(recorded["url"]) != path_of(made.url):
        found.append(f"path {path_of(made.url)} instead of {path_of(recorded['url'])}")
    wanted = rest_values(recorded["url"], recorded.get("params"), recorded.get("body"))
    return found + _different_values(wanted, values_of(made))


def _different_values(wanted: dict[str, str], got: dict[str, str]) -> list[str]:
    found = []
    for key, value in wanted.items():
        if seconds_in(value) is not None:
            if key in got and not _same_unit(value, got[key]):
                found.append(f"{key}={got[key]} in another unit or form than {value}")
        elif key.lower() in COUNT_KEYS and value.isdigit():
            if key in got and not got[key].isdigit():
                found.append(f"{key}={got[key]} is no number of rows")
        elif got.get(key) != value:
            found.append(f"{key}={got.get(key, '(missing)')} instead of {value}")
    if times_in(wanted) and not times_in(got):
        found.append("no time among the parameters")
    return found


def _same_unit(one: str, other: str) -> bool:
    try:
        return 0.9 < float(other) / float(one) < 1.1
    except ValueError:
        return seconds_in(other) is not None and not (_number(one) or _number(other))


def _number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()
