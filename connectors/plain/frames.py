"""Frames that are no JSON object, and channels that are made of symbol and code."""

from __future__ import annotations

import zlib
from typing import Any

from connectors.adapter import Parsed

UNPACKED_BYTES = 16 * 1024 * 1024
"""A packed frame may not become larger than this."""


def no_object(data: Any, *texts: str) -> Parsed:
    """What ``parse_ws_message`` makes of a frame that is no JSON object: None.

    ValueError for a text that is none of ``texts``: it is a broken frame.
    """
    if type(data) is str and data not in texts:
        expected = " or ".join(("JSON", *texts))
        raise ValueError(f"a frame is to be {expected}, not {data[:200]!r}")
    return None


def parts(channel: str) -> tuple[str, str]:
    """Code and symbol of a channel as ``PlainAdapter.channel_of`` makes it."""
    code, _, symbol = channel.partition(":")
    return code, symbol


def gunzip(frame: bytes) -> bytes:
    """A gzip, zlib or raw deflate frame unpacked; ValueError for a broken or a huge one."""
    window = zlib.MAX_WBITS | 32 if frame[:1] in (b"\x1f", b"\x78") else -zlib.MAX_WBITS
    packed = zlib.decompressobj(window)
    try:
        unpacked = packed.decompress(frame, UNPACKED_BYTES)
    except zlib.error as problem:
        raise ValueError(f"a frame cannot be unpacked: {problem}") from problem
    if not packed.eof:
        raise ValueError(f"a packed frame is cut off or has more than {UNPACKED_BYTES} bytes")
    return unpacked
