"""How a check ends early: what was expected, what came, where, and what to do next; or why it
says nothing about this adapter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NoReturn

LONGEST: Final = 700


class NotConforming(AssertionError):  # noqa: N818 - a state of the adapter
    """What every failed check raises. ``where`` is the item with its source, "" without one."""

    def __init__(self, expected: object, came: object, then: str, where: object = "") -> None:
        self.expected = _short(expected)
        self.came = _short(came)
        self.then = then
        self.where = str(where)
        lines = [
            f"expected: {self.expected}",
            f"came:     {self.came}",
            *([f"item:     {self.where}"] if self.where else []),
            f"do next:  {self.then}",
        ]
        super().__init__("\n" + "\n".join(lines))


class NotApplicable(Exception):  # noqa: N818 - nothing has gone wrong
    """The check has nothing to look at here; the message is the reason."""


def fail(expected: object, came: object, then: str, where: object = "") -> NoReturn:
    """End a check: the adapter does not hold it."""
    raise NotConforming(expected, came, then, where)


def require(holds: object, expected: object, came: object, then: str, where: object = "") -> None:
    """Fail with advice unless ``holds``."""
    if not holds:
        fail(expected, came, then, where)


def require_applicable(applies: object, reason: str) -> None:
    """End the check without a verdict unless there is something to look at."""
    if not applies:
        raise NotApplicable(reason)


def listed(values: Iterable[object], most: int = 8) -> str:
    """The first few values in writing."""
    texts = [str(value) for value in values]
    return ", ".join(texts[:most]) + (f" … ({len(texts)})" if len(texts) > most else "")


def _short(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= LONGEST else text[:LONGEST] + " …"
