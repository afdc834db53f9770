"""The independent reader must itself be right, or every count that rests on it is worth nothing."""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.oracle import read_topics


async def _create(kafka: str, topic: str, partitions: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, partitions, 1)])
    finally:
        await admin.close()


async def test_committed_only(kafka: str, prefix: str) -> None:
    """Committed records are found with all they carry, aborted ones are not."""
    await _create(kafka, topic := f"{prefix}.candles", 2)
    async with AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=prefix) as producer:
        async with producer.transaction():
            await producer.send_and_wait(
                topic, b"one", b"a", partition=1, timestamp_ms=1_000, headers=[("h", b"x")]
            )
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"two", b"a", partition=1)
        await producer.abort_transaction()
        async with producer.transaction():
            await producer.send_and_wait(topic, b"three", b"b", partition=0, timestamp_ms=3_000)

    found = read_topics(kafka, topic)

    assert [(r.partition, r.offset, r.timestamp, r.key, r.value, r.headers) for r in found] == [
        (0, 0, 3_000, b"b", b"three", ()),
        (1, 0, 1_000, b"a", b"one", (("h", b"x"),)),
    ]


async def test_open_transaction(kafka: str, prefix: str) -> None:
    """A transaction that is still open makes reading fail instead of hiding what comes after it."""
    await _create(kafka, topic := f"{prefix}.candles", 1)
    async with AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=prefix) as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"one")

        with pytest.raises(AssertionError, match="open transaction"):
            read_topics(kafka, topic, seconds=2)

        await producer.abort_transaction()


def test_unknown_topic(kafka: str, prefix: str) -> None:
    """A topic that does not exist is an error, not an empty result."""
    with pytest.raises(AssertionError, match="cannot be read"):
        read_topics(kafka, f"{prefix}.nothing")
