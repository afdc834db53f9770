"""What cannot be read: a sample of it goes to the topic of dead letters, with bytes and reason.

All of it is counted. A flood of unreadable messages fills neither the topic nor our memory: past
``SAMPLE`` they are left out, and the next letter says how many were.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Final

from connectors.adapter import Rate
from connectors.clock import Clock
from connectors.codec import encode_dead_letter
from connectors.kafka import LivePublisher
from connectors.limits import Budget
from connectors.records import DeadLetter
from connectors.telemetry import FrameUnreadable

SAMPLE: Final = Rate(60, 60.0)
"""At most so many letters of one exchange in so many real seconds."""


class DeadLetters:
    """Writes them to ``topic`` by way of ``publisher``; ``prefix`` names their schema."""

    def __init__(self, publisher: LivePublisher, topic: str, prefix: bytes, clock: Clock) -> None:
        self._publisher = publisher
        self._topic = topic
        self._prefix = prefix
        self._clock = clock
        self._budgets: defaultdict[str, Budget] = defaultdict(lambda: Budget([SAMPLE]))
        self._omitted: Counter[str] = Counter()

    def add(self, exchange: str, reason: str, frame: bytes, transport: str, binary: bool) -> None:
        """One message that cannot be read, or not wholly."""
        FrameUnreadable(exchange=exchange, reason=reason).tell()
        if not self._budgets[exchange].take(self._clock.real()):
            self._omitted[exchange] += 1
            return
        at = int(self._clock.wall() * 1000)
        letter = DeadLetter(
            exchange=exchange,
            reason=reason,
            frame=frame,
            size=len(frame),
            received_at=at,
            binary=binary,
            transport=transport,
            omitted=self._omitted.pop(exchange, 0),
        )
        value = encode_dead_letter(letter, self._prefix)
        token = ("dead letter", exchange)
        self._publisher.add(self._topic, 0, exchange.encode(), value, at, token)
