"""The table of exceptions: raised by a fake, and by a real Kafka where it can be provoked."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import errors
from confluent_kafka.admin import ResourceType

from connectors.errors import (
    AccessError,
    ConnectorError,
    Fenced,
    RecordRefused,
    SetupError,
    ShardLost,
    Unreachable,
)
from connectors.kafka import Cluster, Record, Shard
from connectors.kafka.failures import TABLE, Stage, explain, row_of
from tests.kafka.guarded import deny
from tests.kafka.world import REAL, SHORT, Script, World, answering, failing, nothing

pytestmark = pytest.mark.kafka


PROVOKED_BY_FAKE: list[tuple[Exception, Stage, type[ConnectorError]]] = [
    (errors.ProducerFenced(), Stage.SEND, Fenced),
    (errors.ProducerFenced(), Stage.COMMIT, Fenced),
    (errors.InvalidProducerEpoch(), Stage.SEND, Fenced),
    (errors.OutOfOrderSequenceNumber(), Stage.SEND, ShardLost),
    (errors.UnknownProducerId(), Stage.SEND, ShardLost),
    (errors.InvalidTxnState(), Stage.COMMIT, ShardLost),
    (errors.InvalidProducerIdMapping(), Stage.SEND, ShardLost),
    (errors.InvalidTimestampError(), Stage.SEND, RecordRefused),
    (errors.MessageSizeTooLargeError(), Stage.SEND, RecordRefused),
    (errors.RecordListTooLargeError(), Stage.SEND, RecordRefused),
    (errors.UnknownError(), Stage.SEND, RecordRefused),
    (errors.UnknownError(), Stage.COMMIT, ShardLost),
    (errors.TopicAuthorizationFailedError("t"), Stage.SEND, AccessError),
    (errors.TransactionalIdAuthorizationFailed("i"), Stage.START, AccessError),
    (errors.ClusterAuthorizationFailedError(), Stage.START, AccessError),
    (errors.GroupAuthorizationFailedError("g"), Stage.SEND, AccessError),
    (errors.UnknownTopicOrPartitionError(), Stage.SEND, SetupError),
    (errors.KafkaTimeoutError(), Stage.SEND, ShardLost),
    (TimeoutError(), Stage.START, Unreachable),
    (TimeoutError(), Stage.SEND, ShardLost),
    (TimeoutError(), Stage.COMMIT, ShardLost),
    (AssertionError("Invalid state transition"), Stage.SEND, ShardLost),
    (errors.IllegalOperation("Not in the middle of a transaction"), Stage.COMMIT, ShardLost),
    (errors.ProducerClosed(), Stage.SEND, ShardLost),
    (errors.KafkaError("Unexpected error during batch delivery"), Stage.SEND, ShardLost),
    (errors.KafkaError("Unexpected error during batch delivery"), Stage.COMMIT, ShardLost),
    (AttributeError("a defect"), Stage.SEND, ShardLost),
]


@pytest.mark.parametrize(
    ("raised", "stage", "expected"),
    PROVOKED_BY_FAKE,
    ids=[f"{type(raised).__name__}-{stage.name}" for raised, stage, _ in PROVOKED_BY_FAKE],
)
async def test_every_row_of_the_table(
    raised: Exception, stage: Stage, expected: type[ConnectorError]
) -> None:
    """Each exception becomes the error that the table says, the producer goes, nothing is asked."""
    fail = failing(raised)
    make = Script(
        start=fail if stage is Stage.START else nothing,
        begin=nothing,
        send=answering(raised if stage is Stage.SEND else None),
        commit=fail,
    )
    shard = Shard(Cluster("localhost:1"), "t.coverage.fixed", new_producer=make)
    shard._read = lambda: _answered([])  # type: ignore[method-assign]  # there is no Kafka here
    with pytest.raises(expected) as told:
        await _a_life(shard, Record("t.x.closed", 0, b"k", b"v", 1))
    assert type(told.value) is expected
    assert not shard.held
    assert "abort" not in make.asked
    assert ("commit" in make.asked) == (stage is Stage.COMMIT)
    assert make.made[0]._closed


async def _answered(value: list[tuple[bytes, bytes | None]]) -> list[tuple[bytes, bytes | None]]:
    return value


def test_the_table_is_tested_whole() -> None:
    """Every row and every class of exception in the table is in the list above."""
    tried = {(row_of(raised, stage), type(raised)) for raised, stage, _ in PROVOKED_BY_FAKE}
    listed = {(row, each) for row in TABLE for each in row.raised}
    by_other_tests = {errors.KafkaConnectionError, Exception}  # a closed port; any other
    assert {each for _, each in listed - tried} == by_other_tests


def test_a_hidden_lack_of_rights_is_found() -> None:
    """aiokafka hides a missing right behind the death of its sender; the cause still tells."""
    death = errors.KafkaError("Unexpected error during batch delivery")
    death.__cause__ = errors.TopicAuthorizationFailedError("t")
    assert isinstance(explain(death, Stage.SEND, "shard s"), AccessError)
    death.__cause__ = errors.UnknownError()
    assert isinstance(explain(death, Stage.SEND, "shard s"), ShardLost)


async def test_an_expired_transaction(own_world: World) -> None:
    """A transaction that took longer than Kafka allows is void, and nothing of it is seen."""

    async def late(producer: Any) -> None:
        await asyncio.sleep(2.5)  # Kafka's own clock cannot be awaited
        await REAL.commit_transaction(producer)

    settings = {"transaction_timeout_ms": 500}
    shard = own_world.shard(new_producer=Script(commit=late), settings=settings)
    await shard.take_over()
    with pytest.raises((Fenced, ShardLost)):
        await shard.commit([own_world.candle(1), own_world.covered("one")])
    assert await own_world.visible() == []


async def test_a_topic_that_is_not_there(world: World) -> None:
    """A record for a topic that does not exist says which command makes it."""
    shard = world.shard(settings={"request_timeout_ms": 500}, limits=SHORT)
    await shard.take_over()
    with pytest.raises(SetupError, match="candles topics"):
        await shard.commit([Record(f"{world.plan.prefix}.nowhere", 0, b"k", b"v", 1)])


async def test_a_coverage_topic_that_is_not_there(kafka: str, prefix: str) -> None:
    """A shard whose coverage topic does not exist says which command makes it."""
    shard = Shard(Cluster(kafka), f"{prefix}.coverage.fixed")
    with pytest.raises(SetupError, match=f"topic {prefix}.coverage.fixed does not exist"):
        await shard.take_over()


async def test_a_partition_that_is_not_there(world: World) -> None:
    """A record for a partition that its topic does not have is a sentence, not a riddle."""
    shard = world.shard()
    await shard.take_over()
    with pytest.raises(SetupError, match="has 3 partitions and no partition 7"):
        await shard.commit([Record(world.closed, 7, b"k", b"v", 1)])


async def test_without_the_right_to_write(own_world: World) -> None:
    """Who may not write to a topic is told so, with its name; it is never retried."""
    await deny(own_world.bootstrap, ResourceType.TOPIC, own_world.closed)
    shard = own_world.shard(limits=SHORT)
    await shard.take_over()
    with pytest.raises(AccessError, match="lacks a right"):
        await shard.commit([own_world.candle(1), own_world.covered("one")])
    assert await own_world.shard().take_over() == []
    assert await own_world.visible(own_world.coverage) == []


async def test_without_the_right_to_the_transactional_id(own_world: World) -> None:
    """Who may not use the shard's transactional id is told so when taking over."""
    name = f"{own_world.coverage}-0"
    await deny(own_world.bootstrap, ResourceType.TRANSACTIONAL_ID, name)
    with pytest.raises(AccessError, match="lacks a right"):
        await own_world.shard(limits=SHORT).take_over()


async def _a_life(shard: Shard, record: Record) -> None:
    await shard.take_over()
    await shard.commit([record])
