"""Orders for faults: from the JSON of `POST /-/faults` to a `Fault`, or a sentence why not."""

from collections.abc import Callable, Iterator, Mapping
from math import inf

from connectors.sandbox import faults_market, faults_rest, faults_socket, faults_stream
from connectors.sandbox.dialect import Dialect
from connectors.sandbox.faults import Fault, Order, Schedule

_KINDS_IN = (faults_market, faults_rest, faults_socket, faults_stream)


class FaultOrderError(ValueError):
    """An order for a fault that cannot be carried out; its text is one sentence."""


def kinds() -> dict[str, type[Fault]]:
    """Return the kinds that work, by name."""
    return {kind.kind: kind for module in _KINDS_IN for kind in _kinds_in(vars(module))}


def _kinds_in(names: Mapping[str, object]) -> Iterator[type[Fault]]:
    for thing in names.values():
        if isinstance(thing, type) and issubclass(thing, Fault) and "kind" in vars(thing):
            yield thing


def ordered(wish: object, markets: Mapping[str, Dialect], now: float, speed: float = 1.0) -> Fault:
    """Return the fault that `wish` (JSON) orders at the real time `now`.

    Raises:
        FaultOrderError: it is not understood; the text says what would be right.

    """
    if not isinstance(wish, dict):
        raise FaultOrderError('a fault is ordered as JSON: {"kind": "drop"}')
    known = kinds()
    if wish.get("kind") not in known:
        raise FaultOrderError(f"kind must be one of {', '.join(sorted(known))}")
    kind = known[wish["kind"]]
    _check_names(wish, kind)
    if wish.get("market") not in {None, *markets}:
        raise FaultOrderError(f"market must be one of {', '.join(sorted(markets))}")
    _check_fit(kind, wish.get("market"), markets)
    return kind(
        Order(
            kind=kind.kind,
            market=wish.get("market"),
            match=_match(wish),
            seed=_whole(wish, "seed", 0) or 0,
            schedule=Schedule(
                start=now,
                every=_seconds(wish, "every"),
                count=_whole(wish, "count", 1),
                duration=_seconds(wish, "duration"),
            ),
            options=_options(wish, kind),
            speed=speed,
        )
    )


_NAMES = ("kind", "market", "every", "count", "duration", "match", "seed")


def _check_names(wish: Mapping[str, object], kind: type[Fault]) -> None:
    allowed = (*_NAMES, *kind.options)
    for name in wish:
        if name not in allowed:
            raise FaultOrderError(f"{kind.kind} knows no {name!r}, only {', '.join(allowed)}")


def _check_fit(kind: type[Fault], market: str | None, markets: Mapping[str, Dialect]) -> None:
    why = kind.unfit(markets[market]) if market else None
    if why:
        fit = [name for name, dialect in sorted(markets.items()) if not kind.unfit(dialect)]
        raise FaultOrderError(
            f"{kind.kind} is not applicable to {market}, which {why}; "
            f"it is to {', '.join(fit) or 'none'}"
        )


def _match(wish: Mapping[str, object]) -> str | None:
    match = wish.get("match")
    if match is not None and not isinstance(match, str):
        raise FaultOrderError("match must be PAIR or PAIR:INTERVAL, such as BTC-USDT:1m")
    return match


def _seconds(wish: Mapping[str, object], name: str) -> float | None:
    value = wish.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < inf:
        raise FaultOrderError(f"{name} must be a number of seconds above 0")
    return float(value)


def _whole(wish: Mapping[str, object], name: str, least: int) -> int | None:
    value = wish.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise FaultOrderError(f"{name} must be a whole number, at least {least}")
    return value


def _options(wish: Mapping[str, object], kind: type[Fault]) -> dict[str, object]:
    options = {name: wish[name] for name in kind.options if name in wish}
    for name, value in options.items():
        fits, sentence = _OPTIONS[name]
        if not fits(value):
            raise FaultOrderError(f"{name} must be {sentence}")
    return options


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -inf < value < inf


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and _is_number(value) and value >= 0


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LARGEST


_LARGEST = 2**28
_SECONDS = (_is_seconds, "a number of seconds, at least 0")
_FLAG = (_is_flag, "true or false")
_OPTIONS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "age": _SECONDS,
    "delay": _SECONDS,
    "frames": _FLAG,
    "lag": _SECONDS,
    "notice": _SECONDS,
    "offset": (_is_number, "a number of seconds, negative for a clock that is slow"),
    "resent": _FLAG,
    "rest": _FLAG,
    "retry_after": (
        lambda value: _is_flag(value) or _is_seconds(value),
        "true, false or a number of seconds",
    ),
    "size": (_is_size, f"a whole number of bytes, at most {_LARGEST}"),
    "vanish": _FLAG,
}
