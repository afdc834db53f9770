"""Orders for faults: from the JSON of `POST /-/faults` to a `Fault`, or a sentence why not."""

from collections.abc import Collection, Mapping
from math import inf

from connectors.sandbox.faults import Fault, Order, Schedule, kinds


class FaultOrderError(ValueError):
    """An order for a fault that cannot be carried out; its text is one sentence."""


def ordered(wish: object, markets: Collection[str], now: float) -> Fault:
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
        )
    )


_NAMES = ("kind", "market", "every", "count", "duration", "match", "seed")


def _check_names(wish: Mapping[str, object], kind: type[Fault]) -> None:
    allowed = (*_NAMES, *kind.options)
    for name in wish:
        if name not in allowed:
            raise FaultOrderError(f"{kind.kind} knows no {name!r}, only {', '.join(allowed)}")


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
        if not isinstance(value, int | float) or not 0 <= value < inf:
            raise FaultOrderError(f"{name} must be true, false or a number of seconds")
    return options
