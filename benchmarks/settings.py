"""What a contender is told, by environment variables."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Settings:
    """Where everything is, and how it is named.

    ``closed`` and ``live`` are two topics, to be used both or one; ``run`` is a name that no other
    run has. ``stream`` is the WebSocket address without its path.
    """

    kafka: str
    stream: str
    rest: str
    closed: str
    live: str
    partitions: int
    symbols: tuple[str, ...]
    interval: str
    run: str

    @classmethod
    def told(cls) -> Self:
        """As the driver has told this process."""
        told = os.environ
        return cls(
            kafka=told["BENCH_BROKER"],
            stream=told["BENCH_WS_RAW"].removesuffix("/ws"),
            rest=told["BENCH_REST"],
            closed=told["BENCH_TOPIC"],
            live=told["BENCH_TOPIC_OPEN"],
            partitions=int(told["BENCH_PARTITIONS"]),
            symbols=tuple(told["BENCH_SYMBOLS"].split(",")),
            interval=told["BENCH_INTERVAL"],
            run=told["BENCH_RUN"],
        )

    def environment(self) -> dict[str, str]:
        """The same, for another process."""
        return {
            "BENCH_BROKER": self.kafka,
            "BENCH_WS_RAW": f"{self.stream}/ws",
            "BENCH_REST": self.rest,
            "BENCH_TOPIC": self.closed,
            "BENCH_TOPIC_OPEN": self.live,
            "BENCH_PARTITIONS": str(self.partitions),
            "BENCH_SYMBOLS": ",".join(self.symbols),
            "BENCH_INTERVAL": self.interval,
            "BENCH_RUN": self.run,
        }
