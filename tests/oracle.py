"""What a consumer sees that shares none of our code: librdkafka, read_committed, to the very end.

The end is the high watermark, taken by a reader that does not honour transactions: a
read-committed one would be told the last stable offset, behind which committed records may hide.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)


@dataclass(frozen=True)
class Record:
    """One record as a consumer sees it; ``timestamp`` in milliseconds, as it was produced."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


def read_topics(bootstrap: str, *topics: str, seconds: float = 30.0) -> list[Record]:
    """Every committed record of ``topics``, ordered by topic, partition, offset.

    Fails when a topic does not exist, or when an end is not reached within ``seconds``: then an
    open transaction hides what comes after it.
    """
    ends = _high_watermarks(bootstrap, topics)
    consumer = _consumer(bootstrap, "read_committed")
    try:
        consumer.list_topics(timeout=10)  # else it learns who leads what only after half a second
        consumer.assign([TopicPartition(*place, OFFSET_BEGINNING) for place in ends])
        records = _read(consumer, ends, seconds)
    finally:
        consumer.close()
    return sorted(records, key=lambda record: (record.topic, record.partition, record.offset))


def _consumer(bootstrap: str, isolation: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"oracle-{uuid.uuid4().hex}",  # librdkafka wants one; nothing is committed
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": isolation,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 50,
        }
    )


def _high_watermarks(bootstrap: str, topics: tuple[str, ...]) -> dict[tuple[str, int], int]:
    consumer = _consumer(bootstrap, "read_uncommitted")
    try:
        return {
            (topic, partition): _high_watermark(consumer, topic, partition)
            for topic in topics
            for partition in _partitions(consumer, topic)
        }
    finally:
        consumer.close()


def _high_watermark(consumer: Consumer, topic: str, partition: int) -> int:
    """Asked for again, up to half a minute, while a leader moves or a broker comes back."""
    deadline = time.monotonic() + 30.0
    while True:
        try:
            place = TopicPartition(topic, partition)
            return int(consumer.get_watermark_offsets(place, timeout=10)[1])
        except KafkaException:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)  # librdkafka tells nobody when a leader is back


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    found = consumer.list_topics(topic, timeout=10).topics[topic]
    assert found.error is None, f"topic {topic} cannot be read: {found.error}"
    return list(found.partitions)


def _read(consumer: Consumer, ends: dict[tuple[str, int], int], seconds: float) -> list[Record]:
    records: list[Record] = []
    missing = {place: end for place, end in ends.items() if end > 0}
    deadline = time.monotonic() + seconds
    while missing:
        assert time.monotonic() < deadline, f"not read to the end, an open transaction? {missing}"
        for message in consumer.consume(1000, timeout=0.05):
            place, offset = (message.topic(), message.partition()), message.offset()
            if message.error() is None:
                records.append(_record(message))
            elif message.error().code() != KafkaError._PARTITION_EOF:
                raise AssertionError(f"reading {place} failed: {message.error()}")
            elif offset >= ends[place]:
                missing.pop(place, None)
    return records


def _record(message: Message) -> Record:
    return Record(
        message.topic(),
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        tuple(message.headers() or ()),
    )
