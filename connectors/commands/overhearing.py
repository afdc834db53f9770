"""What is overheard of one connection: frames, what its adapter makes of them, and what is sent.

Each frame is of a *sort*, by which a recorder keeps the first of each.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from connectors.adapter import Confirmed, ExchangeAdapter, Message, Parsed, Rate, Refused
from connectors.commands.recorder import Sort
from connectors.model import CandleData
from connectors.session import Session


@dataclass
class Ear:
    """What one connection's adapter makes of frames, and what it was asked to send."""

    data: Any = None
    parsed: Parsed = None
    unpacked: str | bytes | None = None
    asked: dict[str, tuple[tuple[str, ...], list[Message]]] = field(default_factory=dict)
    since: dict[str, float] = field(default_factory=dict)
    ping: Message | None = None
    pings: int = 0

    def request(self, request_id: str | None, channels: Sequence[str | None]) -> Message | None:
        """The subscribe message that an answer or a candle belongs to, None where it is unsure."""
        if request_id is not None:
            found = [self.asked[request_id]] if request_id in self.asked else []
        elif channels:
            found = [each for each in self.asked.values() if channels[0] in each[0]]
        else:
            found = list(self.asked.values()) if len(self.asked) == 1 else []
        for wanted, messages in reversed(found):
            if len(messages) == 1:
                return messages[0]
            if channels and len(messages) == len(wanted) and channels[0] in wanted:
                return messages[wanted.index(str(channels[0]))]
        return None


def overheard(adapter_class: type[ExchangeAdapter], ear: Ear) -> ExchangeAdapter:
    """An adapter of this class that tells an ear what goes in and out.

    It subscribes one channel a message, so that each answer is tied to its own. These are many
    messages: at half the pace, those of two periods are not too many if they arrive in one.
    """
    told = adapter_class.limits
    slow = None if told.subscribes is None else _half(told.subscribes)

    class Overheard(adapter_class):  # type: ignore[valid-type,misc]  # known at run time only
        limits = replace(told, message_channels=1, messages=_half(told.messages), subscribes=slow)

        def parse_ws_message(self, data: Any) -> Parsed:
            ear.data = data
            ear.parsed = super().parse_ws_message(data)
            return ear.parsed

        def unpack_frame(self, frame: bytes) -> str | bytes:
            ear.unpacked = super().unpack_frame(frame)
            return ear.unpacked

        def subscribe_messages(
            self, channels: Sequence[str], request_id: int, now: float
        ) -> list[Message]:
            messages: list[Message] = super().subscribe_messages(channels, request_id, now)
            ear.asked[str(request_id)] = tuple(channels), messages
            return messages

        def ping_message(self, request_id: int, now: float) -> Message:
            ear.ping = super().ping_message(request_id, now)
            ear.pings += 1
            return ear.ping

    return Overheard()


def _half(rate: Rate) -> Rate:
    return replace(rate, amount=rate.amount / 2)


class Heard(Session):
    """A session that counts the control frames."""

    controls = 0

    def alive(self, now: float) -> None:
        """A control frame came: the connection lives."""
        self.controls += 1
        super().alive(now)


def sort_of(interval: str, candles: Sequence[CandleData]) -> Sort:
    """Frames of one interval are kept by what they say of closing, and of trades."""
    states = {candle.closed for candle in candles}
    said = "closed" if True in states else "open" if False in states else ""
    quiet = "" if any(candle.volume for candle in candles) else "no-trades"
    kind = "ws_candle" if len(candles) <= 2 else "ws_snapshot"
    return Sort(kind, "-".join(filter(None, (interval, said, quiet))))


def asked_before(ear: Ear, sort: Sort) -> Message | None:
    """What was sent before a frame of this sort came."""
    match ear.parsed:
        case list() as candles:
            return ear.request(None, [candle.channel for candle in candles])
        case Confirmed(request_id, channels) | Refused(_, request_id, channels):
            return ear.request(request_id, channels)
    return ear.ping if sort.kind == "ws_pong" else None


def slug(text: str) -> str:
    """A name for a file."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:40]
