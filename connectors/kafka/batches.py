"""A record, what makes Kafka refuse it, and packing records into batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

BATCH_BYTES: Final = 128 * 1024
"""The size of a batch before compression. aiokafka cannot split one, so it stays well below the
topics' ``max.message.bytes``."""

RECORD_BYTES: Final = 512 * 1024
"""The largest single record of the live publisher: it may be larger than a batch, then it is one
by itself, but not larger than ``max.message.bytes`` when it does not compress."""

LATEST_TIMESTAMP: Final = 253_402_300_799_999
"""The end of the year 9999 in milliseconds."""

Place = tuple[str, int]
"""A topic and one of its partitions."""


class Record(NamedTuple):
    """What is written: ``timestamp`` in milliseconds, ``value`` None for a tombstone."""

    topic: str
    partition: int
    key: bytes
    value: bytes | None
    timestamp: int


def refusal(record: Record, limit: int = BATCH_BYTES) -> str | None:
    """Why Kafka would refuse this record, in one sentence; None when it is fine."""
    size = len(record.key) + len(record.value or b"")
    if size > limit:
        return (
            f"the record {record.key!r} for topic {record.topic} has {size} bytes, "
            f"the limit is {limit}"
        )
    if not 0 <= record.timestamp <= LATEST_TIMESTAMP:
        return (
            f"the record {record.key!r} for topic {record.topic} has the timestamp "
            f"{record.timestamp}, the limits are 0 and {LATEST_TIMESTAMP} (milliseconds)"
        )
    return None


def by_place(records: Iterable[Record]) -> dict[Place, list[Record]]:
    """The records of each partition, in their order."""
    places: dict[Place, list[Record]] = {}
    for record in records:
        places.setdefault((record.topic, record.partition), []).append(record)
    return places


def packed(records: Iterable[Record], new_batch: Callable[[], Any]) -> list[Any]:
    """As few closed batches of aiokafka as hold ``records``, in their order."""
    batches: list[Any] = []
    for record in records:
        if not batches or not _append(batches[-1], record):
            batches.append(new_batch())
            _append(batches[-1], record)  # an empty batch takes any record
    for batch in batches:
        batch.close()
    return batches


def _append(batch: Any, record: Record) -> bool:
    taken = batch.append(timestamp=record.timestamp, key=record.key, value=record.value)
    return taken is not None
