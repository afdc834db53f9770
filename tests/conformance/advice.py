"""How a check fails: what was expected, what came, where, and what to do next."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

LONGEST = 700


def fail(expected: object, came: object, then: str, where: object = "") -> NoReturn:
    """Raise the AssertionError that every failed check raises."""
    lines = [
        f"expected: {_short(expected)}",
        f"came:     {_short(came)}",
        *([f"item:     {where}"] if where else []),
        f"do next:  {then}",
    ]
    raise AssertionError("\n" + "\n".join(lines))


def require(holds: object, expected: object, came: object, then: str, where: object = "") -> None:
    """Fail with advice unless ``holds``."""
    if not holds:
        fail(expected, came, then, where)


def listed(values: Iterable[object], most: int = 8) -> str:
    """The first few values in writing."""
    texts = [str(value) for value in values]
    return ", ".join(texts[:most]) + (f" … ({len(texts)})" if len(texts) > most else "")


def _short(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= LONGEST else text[:LONGEST] + " …"
