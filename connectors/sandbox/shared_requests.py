"""What dialects do the same way: read what a client sends, refuse it, print numbers. Pure."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson

from connectors.sandbox.dialect import Frame, HttpReply


class Refused(Exception):  # noqa: N818  (an answer, not an error)
    """A request is refused: the reply that says so."""

    def __init__(self, reply: HttpReply) -> None:
        self.reply = reply


def whole(query: Mapping[str, str], name: str, refusal: HttpReply) -> int | None:
    """Return a parameter that is a whole number, at least 0; None where it is absent.

    Raises:
        Refused: it is something else; the reply is `refusal`.

    """
    value = query.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit()):
        raise Refused(refusal)
    return int(value)


def understood(frame: Frame) -> dict[str, Any] | None:
    """Return a client's message where it is a JSON object, else None."""
    try:
        message = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return None
    return message if isinstance(message, dict) else None


def written(message: object) -> str:
    """Return a message as compact JSON text."""
    return orjson.dumps(message).decode()


def number(printed: str) -> orjson.Fragment:
    """Return a number that JSON shows exactly as it is printed, trailing zeros included."""
    return orjson.Fragment(printed.encode())


def digits(step: Decimal) -> int:
    """Return how many digits after the point a step has: 2 for 0.01."""
    return max(0, -int(step.normalize().as_tuple().exponent))
