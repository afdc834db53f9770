"""An independent reader: librdkafka and fastavro read every record back; none of our code."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import fastavro
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined] # as its documentation has it
    AdminClient,
    NewTopic,
    OffsetSpec,
)

from benchmarks.load import Load

SCHEMA: Final = Path(__file__).parents[1] / "schemas/candle_data.avsc"
FRAMING: Final = 10  # bytes of single-object encoding before a value
SILENCE: Final = 10.0  # seconds without a record after which no more are expected
LEADER_SECONDS: Final = 30.0  # the longest that a partition is without leader, on a busy machine

Offsets = dict[tuple[str, int], int]
"""By topic and partition."""


@dataclass
class Count:
    """What of the load is in the topics; every pair's records have to be in order in each."""

    records: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    disordered: int = 0
    closed: int = 0


class Reader:
    """Sees the topics of a run from outside."""

    def __init__(self, kafka: str) -> None:
        self._kafka = kafka
        self._admin = AdminClient({"bootstrap.servers": kafka, "log_level": 0})
        self._schema = fastavro.parse_schema(json.loads(SCHEMA.read_text()))

    def create(self, topics: Iterable[str], partitions: int) -> None:
        """Make the topics of candles."""
        new = [NewTopic(topic, partitions, 1) for topic in topics]
        for made in self._admin.create_topics(new).values():
            made.result()

    def delete(self, prefix: str) -> None:
        """Remove every topic of a run."""
        for gone in self._admin.delete_topics(self._topics(prefix)).values():
            gone.result()

    def ends(self, prefix: str) -> Offsets:
        """The ends of every topic of a run."""
        known = self._admin.list_topics(timeout=10).topics
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call] # it has no types
        wanted = {
            TopicPartition(topic, partition): latest
            for topic in self._topics(prefix)
            for partition in known[topic].partitions
        }
        deadline = time.monotonic() + LEADER_SECONDS
        while wanted:
            found = self._admin.list_offsets(wanted, request_timeout=10)
            try:
                return {(at.topic, at.partition): end.result().offset for at, end in found.items()}
            except KafkaException:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.1)
        return {}

    def _topics(self, prefix: str) -> list[str]:
        known = self._admin.list_topics(timeout=10).topics
        return [name for name in known if name.startswith(f"{prefix}.")]

    def count(self, topics: Iterable[str], load: Load, first: int) -> Count:
        """Hold what is committed in the topics against the messages from number ``first`` on."""
        found = Count()
        seen: set[int] = set()
        newest: dict[tuple[str, str], int] = {}
        for topic, record in self._records(set(topics)):
            seq = round(record["volume"] * 1000)
            if seq < first:
                continue
            found.records += 1
            found.closed += record["closed"]
            found.doubled += seq in seen
            seen.add(seq)
            found.wrong += not _says(record, load, seq)
            lane = topic, record["trading_pair"]
            found.disordered += newest.get(lane, -1) > seq
            newest[lane] = seq
        found.lost = load.messages - first - len(seen)
        return found

    def _records(self, topics: set[str]) -> Iterable[tuple[str, dict[str, Any]]]:
        consumer = Consumer(
            {
                "bootstrap.servers": self._kafka,
                "log_level": 0,
                "group.id": "benchmark",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            }
        )
        known = self._admin.list_topics(timeout=10).topics
        left = {(topic, part) for topic in topics for part in known[topic].partitions}
        consumer.assign([TopicPartition(topic, part, 0) for topic, part in left])
        try:
            heard = time.monotonic()
            while left and time.monotonic() - heard < SILENCE:
                for message in consumer.consume(10_000, timeout=0.2):
                    heard = time.monotonic()
                    error = message.error()
                    if error is None:
                        yield str(message.topic()), self._read(message.value() or b"")
                    elif error.code() == KafkaError._PARTITION_EOF:
                        left.discard((message.topic(), message.partition()))
        finally:
            consumer.close()

    def _read(self, value: bytes) -> dict[str, Any]:
        body = io.BytesIO(value[FRAMING:])
        return cast(dict[str, Any], fastavro.schemaless_reader(body, self._schema, None))


def _says(record: dict[str, Any], load: Load, seq: int) -> bool:
    state = load.state(seq)
    told = record["trading_pair"], int(record["open_time"].timestamp()), record["closed"]
    return told == (state.trading_pair, state.open_time, state.closed) and (
        abs(record["close"] - state.close) < 1e-9
    )
