"""What happened on the sandbox, for tests and for people: the answer to `/-/journal`."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from connectors.sandbox.dialect import Channel

_KEPT = 1_000  # closed connections and oversteppings, the newest ones


@dataclass(slots=True)
class ConnectionRecord:
    """One WebSocket connection; times are market time in UNIX seconds."""

    id: int
    market: str
    path: str
    opened_at: float
    channels: Mapping[str, Channel]
    closed_at: float | None = None
    received: int = 0
    sent: int = 0

    def report(self) -> dict[str, object]:
        """Return it as JSON has it."""
        return {
            "id": self.id,
            "market": self.market,
            "path": self.path,
            "opened_at": self.opened_at,
            "closed_at": self.closed_at,
            "received": self.received,
            "sent": self.sent,
            "subscriptions": len(self.channels),
        }

    def subscriptions(self) -> list[dict[str, object]]:
        """Return its living subscriptions as JSON has them."""
        if self.closed_at is not None:
            return []
        return [
            {
                "market": self.market,
                "connection": self.id,
                "channel": channel.name,
                "trading_pair": channel.trading_pair,
                "interval": channel.interval,
                "since": channel.since,
            }
            for channel in self.channels.values()
        ]


@dataclass(slots=True)
class Journal:
    """The journal of one market."""

    market: str
    connections: deque[ConnectionRecord] = field(default_factory=lambda: deque(maxlen=_KEPT))
    requests: Counter[str] = field(default_factory=Counter)
    overstepped: deque[dict[str, object]] = field(default_factory=lambda: deque(maxlen=_KEPT))

    def overstep(self, limit: str, allowed: float, seen: float, at: float) -> None:
        """Note that the client overstepped a limit at market time `at`."""
        self.overstepped.append(
            {"market": self.market, "limit": limit, "allowed": allowed, "seen": seen, "at": at}
        )


def report(journals: Iterable[Journal]) -> dict[str, object]:
    """Return some markets' journals as one answer."""
    chosen = list(journals)
    records = [record for journal in chosen for record in journal.connections]
    return {
        "connections": [record.report() for record in records],
        "subscriptions": [line for record in records for line in record.subscriptions()],
        "messages": sum(record.received for record in records),
        "requests": {
            f"{journal.market}{path}": count
            for journal in chosen
            for path, count in sorted(journal.requests.items())
        },
        "overstepped": [line for journal in chosen for line in journal.overstepped],
    }
