"""Errors that stand in the body of a REST reply, whatever its HTTP status."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from connectors.adapter import (
    RestAnswer,
    RestRefused,
    RestReply,
    RestSlowDown,
    RestUnavailable,
    answer_of_status,
    retry_after,
)
from connectors.plain.symbols import Code

Said = tuple[Any, Any]
"""Code and text of a body; the code is None where it has none."""


def keys(code: str, text: str) -> Callable[[Any], Said]:
    """Reads code and text under these keys of an object."""
    return lambda body: (body.get(code), body.get(text)) if isinstance(body, dict) else (None, None)


def milliseconds_of(header: str) -> Callable[[Mapping[str, str]], float | None]:
    """Reads the seconds to wait from a header of milliseconds, else from Retry-After."""

    def wait(headers: Mapping[str, str]) -> float | None:
        told = headers.get(header, "")
        return int(told) / 1000 if told.isdecimal() else retry_after(headers)

    return wait


@dataclass(frozen=True)
class Envelope:
    """Errors in the body of a REST reply. The body's code is believed before the HTTP status.

    ``said`` gives code and text of a decoded body; ``good`` are the codes of success, ``refused``
    those of a wrong question, ``slow`` those of a limit, and another one with HTTP 200 is asked
    again. ``wait`` reads the seconds to wait from the headers.
    """

    said: Callable[[Any], Said]
    good: Collection[Code] = ()
    refused: Collection[Code] = ()
    slow: Collection[Code] = ()
    wait: Callable[[Mapping[str, str]], float | None] = retry_after

    def trouble(self, reply: RestReply) -> RestAnswer | None:
        """What the reply says instead of what was asked for; None where it is all right."""
        code, text = self._said(reply)
        by_status = None if reply.status == 200 else answer_of_status(reply)
        if code is None or code in self.good:
            if not isinstance(by_status, RestSlowDown):
                return by_status
            return replace(by_status, seconds=self.wait(reply.headers))
        reason = f"{text} (code {code})"
        if code in self.slow or isinstance(by_status, RestSlowDown):
            return RestSlowDown(reason, self.wait(reply.headers))
        if code in self.refused:
            return RestRefused(reason)
        return by_status or RestUnavailable(reason)

    def _said(self, reply: RestReply) -> Said:
        try:
            return self.said(reply.json())
        except (ValueError, TypeError, LookupError, AttributeError):
            return None, None
