"""The floor: the same libraries with as little as possible between them, and none of the promises.

    python -m benchmarks.floor

websockets, orjson, Avro packed by hand, aiokafka's ``send_batch`` with ours' settings and flush
tick. It knows one exchange and its own 200 symbols; every state goes into one topic. It does not
reconnect, settle, repair, confirm, count or stop gracefully. Its parts stand alone, so that
``stages`` can measure each.
"""

from __future__ import annotations

import asyncio
import os
import signal
import struct
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.load import EXCHANGE, INTERVAL
from benchmarks.settings import Settings
from connectors.kafka.live import IDEMPOTENT, TICK_SECONDS
from connectors.schema import CANDLE

QUEUE: Final = 1024  # frames that websockets may hold before it stops reading

# --- encode ---------------------------------------------------------------------------------------

_FIGURES: Final = struct.Struct("<5dBd").pack
_TAKERS: Final = struct.Struct("<BdBd").pack
_OPEN: Final = b"\x00\x00\x00\x00\x02"  # closed, reason, revision, late; an event time follows
_CLOSED: Final = b"\x01\x02\x00\x00\x02"


def _varint(number: int) -> bytes:
    number <<= 1
    packed = bytearray()
    while number > 0x7F:
        packed.append(number & 0x7F | 0x80)
        number >>= 7
    packed.append(number)
    return bytes(packed)


def _text(text: str) -> bytes:
    return _varint(len(text)) + text.encode()


class Numbers(dict[int, bytes]):
    """Packed integers; they repeat."""

    def __missing__(self, number: int) -> bytes:
        if len(self) > 4096:
            self.clear()
        packed = self[number] = _varint(number)
        return packed


def make_encode(symbols: tuple[str, ...]) -> Callable[[dict[str, Any], int], bytes]:
    """A function: an event and the time in milliseconds -> the value of its record."""
    heads = {
        symbol: CANDLE.prefix + _text(EXCHANGE) + _text(f"{symbol[:-4]}-USDT") + _text(INTERVAL)
        for symbol in symbols
    }
    numbers = Numbers()

    def encode(event: dict[str, Any], now: int) -> bytes:
        k = event["k"]
        figures = float(k["o"]), float(k["h"]), float(k["l"]), float(k["c"]), float(k["v"])
        return b"".join(
            (
                heads[k["s"]],
                numbers[k["t"]],
                numbers[k["T"] + 1],
                _FIGURES(*figures, 2, float(k["q"])),
                b"\x02",
                numbers[k["n"]],
                _TAKERS(2, float(k["V"]), 2, float(k["Q"])),
                _CLOSED if k["x"] else _OPEN,
                numbers[event["E"]],
                numbers[now],
            )
        )

    return encode


# --- produce --------------------------------------------------------------------------------------


class Batches:
    """One open batch a partition, handed over when it is full, and all of them by ``flush``."""

    def __init__(self, producer: Any, topic: str, partitions: int) -> None:
        self._producer = producer
        self._topic = topic
        self._open: list[Any] = [None] * partitions
        self._locks = [asyncio.Lock() for _ in range(partitions)]
        self._flying: set[asyncio.Future[Any]] = set()

    def append(self, partition: int, key: bytes, value: bytes, at: int) -> bool:
        """False where the batch is full: hand it over, then append again."""
        batch = self._open[partition]
        if batch is None:
            batch = self._open[partition] = self._producer.create_batch()
        return batch.append(timestamp=at, key=key, value=value) is not None

    async def hand_over(self, partition: int) -> None:
        """Under a lock: ``send_batch`` lets two callers overtake each other."""
        async with self._locks[partition]:
            batch, self._open[partition] = self._open[partition], None
            if batch is not None:
                batch.close()
                sent = await self._producer.send_batch(batch, self._topic, partition=partition)
                self._flying.add(sent)
                sent.add_done_callback(self._landed)

    async def flush(self) -> None:
        """Hand every batch over."""
        for partition, batch in enumerate(self._open):
            if batch is not None:
                await self.hand_over(partition)

    async def settled(self) -> None:
        """Wait until all that was handed over is acknowledged."""
        while self._flying:
            await asyncio.wait(self._flying)

    def _landed(self, sent: asyncio.Future[Any]) -> None:
        self._flying.discard(sent)
        if sent.exception() is not None:
            print("a batch was refused:", sent.exception(), file=sys.stderr)
            os._exit(1)


def new_producer(kafka: str) -> Any:
    """With the settings of ours."""
    return AIOKafkaProducer(bootstrap_servers=kafka, **IDEMPOTENT)


def places(symbols: tuple[str, ...], partitions: int) -> dict[str, tuple[int, bytes]]:
    """Each symbol's partition and key."""
    keys = {symbol: f"{EXCHANGE}:{symbol[:-4]}-USDT".encode() for symbol in symbols}
    return {symbol: ((murmur2(key) & 0x7FFFFFFF) % partitions, key) for symbol, key in keys.items()}


# --- receive, and all together --------------------------------------------------------------------


async def subscribed(settings: Settings) -> ClientConnection:
    """A connection with every symbol subscribed."""
    connection = await connect(
        f"{settings.stream}/ws", compression=None, ping_interval=None, max_queue=QUEUE, proxy=None
    )
    channels = [f"{symbol.lower()}@kline_{settings.interval}" for symbol in settings.symbols]
    wish = {"method": "SUBSCRIBE", "params": channels, "id": 1}
    await connection.send(orjson.dumps(wish).decode())
    return connection


async def run(settings: Settings) -> None:
    """Carry the load until killed."""
    producer = new_producer(settings.kafka)
    await producer.start()
    await producer.partitions_for(settings.live)
    batches = Batches(producer, settings.live, settings.partitions)
    ticking = asyncio.create_task(_tick(batches))
    encode, where = make_encode(settings.symbols), places(settings.symbols, settings.partitions)
    connection = await subscribed(settings)
    receive, loads, wall = connection.recv, orjson.loads, time.time
    while not ticking.done():
        event = loads(await receive(decode=False))
        if "k" in event:
            value = encode(event, int(wall() * 1000))
            partition, key = where[event["s"]]
            while not batches.append(partition, key, value, event["E"]):
                await batches.hand_over(partition)
    await ticking


async def _tick(batches: Batches) -> None:
    while True:
        await asyncio.sleep(TICK_SECONDS)
        await batches.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    asyncio.run(run(Settings.told()))
