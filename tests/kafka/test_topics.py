"""Topics: created and checked."""

from __future__ import annotations

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from connectors.errors import SetupError, UsageError
from connectors.kafka import Cluster, TopicPlan, ensure, missing, watermarks
from connectors.kafka.batches import BATCH_BYTES
from connectors.kafka.bounded import end_client

pytestmark = pytest.mark.kafka


async def _configs(cluster: Cluster, name: str) -> dict[str, str]:
    admin = AIOKafkaAdminClient(**cluster.options)
    await admin.start()
    try:
        wanted = ConfigResource(ConfigResourceType.TOPIC, name)
        (answer,) = await admin.describe_configs([wanted])
        return {entry[0]: entry[1] for entry in answer.resources[0][4]}
    finally:
        await end_client(admin)


async def test_topics_are_created_as_they_shall_be(kafka: str, prefix: str) -> None:
    """Every topic of the plan is created with its partitions and settings, and only once."""
    cluster, plan = Cluster(kafka), TopicPlan(prefix, partitions=5, shards=4)
    specs = [
        plan.closed("x"),
        plan.live("x"),
        plan.coverage("websocket"),
        plan.fixed_coverage(),
        plan.subscriptions("rest"),
        plan.dead_letters(),
        plan.schemas(),
    ]
    names = [spec.name for spec in specs]
    assert await missing(cluster, specs) == names
    assert await ensure(cluster, specs) == names
    assert await missing(cluster, specs) == []
    assert await ensure(cluster, specs) == []
    for spec in specs:
        found = await _configs(cluster, spec.name)
        assert {name: found[name] for name in spec.configs} == dict(spec.configs), spec.name
        assert len(await watermarks(cluster, spec.name)) == spec.partitions


def test_the_settings_that_truth_hangs_on() -> None:
    """Closed candles are never deleted nor refused for their time; coverage is compacted."""
    plan = TopicPlan("p")
    closed = plan.closed("x")
    assert (closed.name, closed.partitions) == ("p.x.closed", 12)
    assert closed.configs["retention.ms"] == "-1"
    assert int(closed.configs["segment.ms"]) == 100 * 365 * 86_400_000
    assert closed.configs["message.timestamp.after.max.ms"] == "9223372036854775807"
    assert closed.configs["message.timestamp.before.max.ms"] == "9223372036854775807"
    assert int(closed.configs["max.message.bytes"]) > 4 * BATCH_BYTES
    coverage = plan.fixed_coverage()
    assert (coverage.name, coverage.partitions) == ("p.coverage.fixed", 1)
    assert coverage.configs["cleanup.policy"] == "compact"
    assert coverage.configs["min.cleanable.dirty.ratio"] == "0.05"
    assert coverage.configs["max.compaction.lag.ms"] == "1800000"


async def test_another_number_of_partitions_is_refused(kafka: str, prefix: str) -> None:
    """A topic with another number of partitions is a sentence that names both numbers."""
    cluster = Cluster(kafka)
    await ensure(cluster, [TopicPlan(prefix, partitions=2).closed("x")])
    for check in (ensure, missing):
        with pytest.raises(SetupError, match=r"x\.closed has 2 partitions where 3 are expected"):
            await check(cluster, [TopicPlan(prefix, partitions=3).closed("x")])


async def test_copies_that_the_cluster_cannot_hold(kafka: str, prefix: str) -> None:
    """More copies than there are brokers is a sentence that names the topic."""
    with pytest.raises(SetupError, match=f"does not create topic {prefix}.x.closed: .*replication"):
        await ensure(Cluster(kafka), [TopicPlan(prefix, replication=3).closed("x")])


@pytest.mark.parametrize("prefix_", ["a.b", "", "a b"])
def test_a_prefix_that_cannot_be(prefix_: str) -> None:
    """A prefix with a dot, or none, is refused."""
    with pytest.raises(UsageError, match="without dots"):
        TopicPlan(prefix_)


def test_names_of_topics_of_candles_are_templates() -> None:
    """Topics of candles are named as wished, the others keep to the prefix."""
    plan = TopicPlan("p", closed_name="bars-{exchange}", live_name="{prefix}-all")
    assert (plan.closed("x").name, plan.live("x").name) == ("bars-x", "p-all")
    assert plan.dead_letters().name == "p.dead-letters"


@pytest.mark.parametrize("template", ["{exchnge}", "{", "{0}", "{prefix.x}"])
def test_a_template_that_cannot_be_used(template: str) -> None:
    """A template with another word than prefix and exchange is a sentence that names it."""
    with pytest.raises(UsageError, match=r"the template .* cannot be used: write \{prefix\}"):
        TopicPlan("p", closed_name=template)


def test_closed_and_live_in_one_topic() -> None:
    """Closed candles and live updates never share a topic."""
    with pytest.raises(UsageError, match="cannot share a topic"):
        TopicPlan("p", closed_name="all", live_name="all")
