"""What a record in Kafka is, beside its figures: key, partition, timestamp, topic, framing."""

from __future__ import annotations

import io
import json
from collections import defaultdict
from typing import Any

import fastavro
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it exports both
    AdminClient,
    ConfigResource,
)
from confluent_kafka.cimpl import NewTopic
from fastavro.schema import fingerprint, to_parsing_canonical_form

from connectors.registry import SchemaRegistry
from tests.end_to_end.ordinary import Ordinary
from tests.end_to_end.stage import Stage
from tests.end_to_end.truth import Candle, by_name, in_milliseconds, name_of
from tests.oracle import Record, read_topics
from tests.test_registry import by_a_stranger

pytestmark = pytest.mark.kafka


def test_an_ordinary_run_equals_the_truth(ordinary: Ordinary) -> None:
    """Without any faults every closed candle is in Kafka once, equal to the truth, in order."""
    assert ordinary.findings.amiss == [], f"CANDLE_SEED={ordinary.seed} repeats it"
    assert ordinary.findings.expected >= len(ordinary.wishes)
    assert (ordinary.findings.late, ordinary.findings.revisions) == (0, 0), ordinary.findings
    assert ordinary.after["overstepped"] == []


def test_keys(ordinary: Ordinary) -> None:
    """The key of a candle is its exchange and trading pair."""
    for record, candle in (*ordinary.closed, *ordinary.live):
        assert record.key == f"{candle['exchange']}:{candle['trading_pair']}".encode()


def test_topics_carry_one_exchange(ordinary: Ordinary) -> None:
    """A topic carries the candles of the exchange that it is named after."""
    for kind, found in (("closed", ordinary.closed), ("live", ordinary.live)):
        for record, candle in found:
            assert record.topic == f"{ordinary.prefix}.{candle['exchange']}.{kind}"


def test_partitions_are_those_of_other_producers(ordinary: Ordinary) -> None:
    """A key lies where librdkafka's ``murmur2_random``, the default of Java clients, puts it."""
    used: dict[bytes, set[int]] = defaultdict(set)
    for record, _ in (*ordinary.closed, *ordinary.live):
        used[record.key or b""].add(record.partition)
    expected = partitions_by_librdkafka(ordinary, list(used))
    assert expected == used
    assert len({tuple(places) for places in used.values()}) == 3, "all partitions are used"


def partitions_by_librdkafka(ordinary: Ordinary, keys: list[bytes]) -> dict[bytes, set[int]]:
    """Where a producer that shares none of our code puts these keys, among three partitions."""
    topic = f"{ordinary.prefix}.oracle"
    server: dict[str, str | int | float | bool] = {"bootstrap.servers": ordinary.kafka}
    admin = AdminClient(server)  # kept until it has answered
    for created in admin.create_topics([NewTopic(topic, 3)]).values():
        created.result()
    producer = Producer({**server, "partitioner": "murmur2_random"})
    for key in keys:
        producer.produce(topic, key=key)
    assert producer.flush(10) == 0
    return {record.key or b"": {record.partition} for record in read_topics(ordinary.kafka, topic)}


def test_a_closed_candle_bears_its_close_time(ordinary: Ordinary) -> None:
    """The timestamp of a closed record is the candle's close time."""
    for record, candle in ordinary.closed:
        assert record.timestamp == candle["close_time"]


def test_an_update_bears_its_event_time(ordinary: Ordinary) -> None:
    """The timestamp of a live record is the exchange's event time, else that of its receipt."""
    for record, candle in ordinary.live:
        if candle["event_time"] is not None:
            assert record.timestamp == candle["event_time"]
        assert record.timestamp >= candle["open_time"], candle
        late = record.timestamp - candle["close_time"]
        assert late < 60_000, f"a minute after its bar's end an update still came: {candle}"


def test_the_live_topic_never_carries_a_closed_state(ordinary: Ordinary) -> None:
    """Updates are open, closed candles are closed and say why."""
    assert {False} == {candle["closed"] for _, candle in ordinary.live}
    assert {True} == {candle["closed"] for _, candle in ordinary.closed}
    assert {"UNKNOWN"} == {candle["close_reason"] for _, candle in ordinary.live}
    assert "UNKNOWN" not in {candle["close_reason"] for _, candle in ordinary.closed}


def test_published_in_real_time(ordinary: Ordinary) -> None:
    """``published_at`` is the time of the machine, and goes forward with the offsets."""
    for records in (ordinary.closed, ordinary.live):
        places: dict[tuple[str, int], list[int]] = defaultdict(list)
        for record, candle in records:
            places[record.topic, record.partition].append(candle["published_at"])
        assert all(times == sorted(times) for times in places.values())


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("okx_spot.closed", {"cleanup.policy": "delete", "retention.ms": "-1"}),
        ("okx_spot.live", {"cleanup.policy": "delete", "retention.ms": str(6 * 3_600_000)}),
        ("coverage.fixed", {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.05"}),
        ("schemas", {"cleanup.policy": "compact"}),
        ("dead-letters", {"cleanup.policy": "delete"}),
    ],
)
def test_configs_of_topics(ordinary: Ordinary, topic: str, expected: dict[str, str]) -> None:
    """A run creates its topics with the settings that are documented."""
    found = configs(ordinary.kafka, f"{ordinary.prefix}.{topic}")
    assert expected == {name: found[name] for name in expected}
    if topic != "dead-letters":
        assert found["message.timestamp.type"] == "CreateTime"
        assert found["message.timestamp.after.max.ms"] == str(2**63 - 1)


def configs(kafka: str, topic: str) -> dict[str, str]:
    """A topic's settings, as Kafka's own admin tools see them."""
    wanted = ConfigResource(ConfigResource.Type.TOPIC, topic)
    admin = AdminClient({"bootstrap.servers": kafka})  # kept until it has answered
    (answer,) = admin.describe_configs([wanted]).values()
    return {entry.name: entry.value for entry in answer.result().values()}


# --- coverage


def test_coverage_speaks_of_exactly_what_is_there(ordinary: Ordinary) -> None:
    """The newest coverage of each wish counts its published candles, and nothing is missing."""
    coverage = newest_coverage(ordinary)
    closed = dict(by_name(candle for _, candle in ordinary.closed))
    assert sorted(ordinary.wishes) == sorted(coverage)
    for name, record in coverage.items():
        published = {candle["open_time"] for candle in closed.get(name, ())}
        runs = [in_milliseconds(run) for run in record["runs"]]
        assert {run["state"] for run in runs} <= {"SETTLED"}, f"{name}: {runs}"
        assert sum(run["count"] for run in runs) == len(published), f"{name}: {runs}"
        assert all(runs[0]["start"] <= slot < runs[-1]["end"] for slot in published)


def newest_coverage(ordinary: Ordinary) -> dict[str, dict[str, Any]]:
    """The newest coverage of each subscription, decoded with the schema found in Kafka."""
    schemas = schemas_in(ordinary.others)
    newest: dict[str, dict[str, Any]] = {}
    for record in ordinary.others:
        if record.topic.endswith(".coverage.fixed") and record.key != b"#owner":
            fields = by_fingerprint(record, schemas)
            assert record.key == name_of(fields).encode()
            newest[name_of(fields)] = in_milliseconds(fields)
    return newest


# --- framing


def schemas_in(records: list[Record]) -> dict[bytes, Any]:
    """The writer schemas in the topic of schemas, by the fingerprint that Avro's rules give."""
    found = {}
    for record in records:
        if record.topic.endswith(".schemas"):
            schema = json.loads(record.value or b"")
            mark = fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO")
            assert (record.key or b"").decode() == mark, "the key of a schema is its fingerprint"
            found[bytes.fromhex(mark)] = fastavro.parse_schema(schema)
    return found


def by_fingerprint(record: Record, schemas: dict[bytes, Any]) -> Candle:
    """What fastavro alone reads, with the schema that the value's fingerprint leads to."""
    value = record.value or b""
    assert value[:2] == b"\xc3\x01", f"no single object: {value[:12]!r}"
    assert value[2:10] in schemas, f"no schema {value[2:10].hex()} among {list(schemas)}"
    fields = fastavro.schemaless_reader(io.BytesIO(value[10:]), schemas[value[2:10]], None)
    assert isinstance(fields, dict)
    return fields


def test_fastavro_alone_reads_every_topic(ordinary: Ordinary) -> None:
    """Without a registry each value names its schema, which lies in Kafka and reads it."""
    schemas = schemas_in(ordinary.others)
    for record, candle in (*ordinary.closed, *ordinary.live):
        assert candle == in_milliseconds(by_fingerprint(record, schemas))
    assert len(newest_coverage(ordinary)) == len(ordinary.wishes)


async def test_a_run_with_a_schema_registry(stage: Stage, registry: str) -> None:
    """With a registry confluent-kafka's own deserializer reads every topic, and all is true."""

    def decode(record: Record) -> Candle:
        return in_milliseconds(by_a_stranger(registry, record.topic, record.value or b""))

    wishes = ["binance_spot:BTC-USDT:1m", "kucoin_perpetual:BTC-USDT:1m"]
    async with stage.running(wishes, registry=SchemaRegistry(registry)):
        until = stage.market + 150
        findings = await stage.complete(until, decode=decode)
    assert findings.amiss == []
    live = [decode(record) for record in await stage.records("live")]
    assert sorted(wishes) == sorted({name_of(candle) for candle in live})
    coverage = [decode(record) for record in await stage.read("coverage.fixed")]
    assert {name_of(fields) for fields in coverage if fields["exchange"]} == {*wishes}
    assert await stage.read("schemas") == [], "with a registry Kafka needs no schemas"
