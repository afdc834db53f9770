"""The real worker under the load, everything on. Told by the environment (see ``settings``).

    python -m benchmarks.ours            (or ``benchmarks/contender``, from anywhere)

The load's bars pass in fractions of a second and the last of them ends about now, so two things
differ from ``candles run``: the clock is behind, so that it says of no bar that it is over (the
frames do), and coverage begins with the bar of the first frame, which a connection of its own,
closed at once, has looked at.
"""

from __future__ import annotations

import asyncio
import signal
import time
from typing import Any, Final

import orjson
from websockets.asyncio.client import connect

from benchmarks.load import EXCHANGE
from benchmarks.settings import Settings
from connectors.clock import Clock
from connectors.endpoints import Endpoints
from connectors.flow import Tally
from connectors.kafka import Cluster
from connectors.model import Subscription
from connectors.telemetry import configure
from connectors.worker import Options, Worker
from connectors.writer import Writer

BEHIND: Final = 57 * 60.0
"""Seconds: before the first bar of a load of up to 200,000 messages, and not so long before the
last one that the worker takes it for one of the future."""


class LoadWorker(Worker):
    """Takes its shard over when the first frame has told what time it is there."""

    first_open: asyncio.Task[int]

    def _writer(self, tally: Tally, accepted: float) -> Writer:
        writer = super()._writer(tally, accepted)
        run = writer.run

        async def run_from_first_frame() -> None:
            writer._accepted = await self.first_open
            await run()

        writer.run = run_from_first_frame  # type: ignore[method-assign] # of this one object
        return writer


async def first_open(settings: Settings) -> int:
    """The open time of the first bar, UNIX seconds."""
    channel = f"{settings.symbols[0].lower()}@kline_{settings.interval}"
    async with connect(f"{settings.stream}/ws", compression=None, proxy=None) as connection:
        wish = {"method": "SUBSCRIBE", "params": [channel], "id": 1}
        await connection.send(orjson.dumps(wish).decode())
        while True:
            message = orjson.loads(await connection.recv())
            if "k" in message:
                return int(message["k"]["t"]) // 1000


def arguments(settings: Settings) -> tuple[Any, ...]:
    """Of a worker that carries the load."""
    return (
        Cluster(settings.kafka),
        [_subscription(symbol, settings.interval) for symbol in settings.symbols],
        Clock(market_origin=time.time() - BEHIND),
        Endpoints(replaced={EXCHANGE: (settings.stream, settings.rest)}),
        Options(
            prefix=settings.run,
            partitions=settings.partitions,
            closed_name=settings.closed,
            live_name=settings.live,
        ),
    )


async def run(settings: Settings) -> Tally:
    """Carry the load until SIGTERM."""
    worker = LoadWorker(*arguments(settings))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    async with worker:
        await worker.prepare()
        worker.first_open = asyncio.create_task(first_open(settings))
        return await worker.run()


def _subscription(symbol: str, interval: str) -> Subscription:
    return Subscription(EXCHANGE, f"{symbol.removesuffix('USDT')}-USDT", interval)


if __name__ == "__main__":
    configure("human")
    print(asyncio.run(run(Settings.told())))
