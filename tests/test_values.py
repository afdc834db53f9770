"""Reading values: whichever schema wrote them, and what cannot be read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from confluent_kafka import Producer

from connectors.commands.tail import watch
from connectors.errors import BadFrame, SetupError
from connectors.kafka import Cluster, Stored, TopicPlan, ensure
from connectors.schema import CANDLE, Schema, confluent_prefix, encode
from connectors.values import Values
from tests.commands.test_tail import fields


def stored(value: bytes) -> Stored:
    """A record with this value."""
    return Stored("topic", 2, 7, b"key", value, 0)


def _produce(kafka: str, records: Mapping[str, tuple[bytes, bytes]]) -> None:
    producer = Producer({"bootstrap.servers": kafka})
    for topic, (key, value) in records.items():
        producer.produce(topic, value, key)
    assert producer.flush(20) == 0


@pytest.mark.kafka
async def test_unknown_schema(kafka: str, prefix: str) -> None:
    """A candle of a newer release is read by the schema that the topic of schemas has."""
    tree = json.loads(CANDLE.text)
    tree["fields"].insert(0, {"name": "mood", "type": "string", "default": ""})
    newer = Schema.parse(json.dumps(tree))
    value = encode(newer, {**fields(), "mood": "bullish"}, newer.prefix)
    plan, cluster = TopicPlan(prefix, partitions=1), Cluster(kafka)
    topic, schemas = plan.closed("binance_spot"), plan.schemas()
    await ensure(cluster, [topic, schemas])
    candles = Values(CANDLE, cluster, plan)

    with pytest.raises(SetupError, match=f"schema {newer.key}, which {schemas.name} does not have"):
        await candles.read(stored(value))

    told = (newer.key.encode(), newer.text.encode())
    _produce(kafka, {schemas.name: told, topic.name: (b"k", value)})
    found: list[dict[str, Any]] = []

    async def heed(record: Stored) -> None:
        found.append(await candles.read(record))

    await watch(cluster, [topic.name], heed, beginning=True, follow=False)
    assert found == [fields()]


async def test_not_a_candle() -> None:
    """What is no candle is told with its place."""
    with pytest.raises(BadFrame, match=r"^topic, partition 2, offset 7: neither single-object"):
        await Values(CANDLE, Cluster("k:1"), TopicPlan()).read(stored(b"hello, world"))


async def test_no_registry() -> None:
    """What was written with a schema registry cannot be read without."""
    value = confluent_prefix(7) + b"x"
    with pytest.raises(SetupError, match=r"^topic, partition 2, offset 7 .* --registry$"):
        await Values(CANDLE, Cluster("k:1"), TopicPlan()).read(stored(value))
