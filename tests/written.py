"""Coverage and closed candles as a connector writes them, without one: for tests of readers."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import Producer

from connectors.codec import (
    CandleEncoder,
    candle_key,
    coverage_key,
    encode_coverage,
    partition_of,
)
from connectors.kafka import Cluster, Record, TopicPlan, ensure
from connectors.model import CandleData, CloseReason, Subscription, grid_of
from connectors.records import CoverageRecord
from connectors.schema import CANDLE


class Written:
    """The topics of one prefix in a Kafka."""

    def __init__(self, kafka: str, prefix: str) -> None:
        self.cluster = Cluster(kafka)
        self.plan = TopicPlan(prefix, partitions=3, shards=2)
        self.flags = ["--kafka", kafka, "--prefix", prefix]

    async def create(self, *exchanges: str, transports: Iterable[str] = ()) -> None:
        """Create what a fixed run creates, and the coverage of these transports."""
        await ensure(
            self.cluster,
            [
                self.plan.fixed_coverage(),
                *map(self.plan.closed, exchanges),
                *map(self.plan.coverage, transports),
            ],
        )

    def write(self, *records: Record) -> None:
        """Write these, in this order."""
        producer = Producer({"bootstrap.servers": self.cluster.bootstrap, "acks": "all"})
        for record in records:
            producer.produce(
                record.topic,
                record.value,
                record.key,
                partition=record.partition,
                timestamp=record.timestamp,
            )
        left = producer.flush(20)
        assert left == 0, f"Kafka has not taken {left} records"

    def coverage(self, record: CoverageRecord, topic: str = "", partition: int = 0) -> Record:
        """A record of coverage, of a fixed run where no topic is told."""
        name = topic or self.plan.fixed_coverage().name
        return Record(name, partition, coverage_key(record), encode_coverage(record), 1_000)

    def candle(
        self, subscription: Subscription, candle: CandleData, revision: int = 0, late: bool = False
    ) -> Record:
        """A closed candle, on UTC's usual grid."""
        topic = self.plan.closed(subscription.exchange)
        grid = grid_of(subscription.interval)
        key = candle_key(subscription)
        value = CandleEncoder(subscription, grid, CANDLE.prefix).encode(
            candle,
            published_at=0,
            closed=True,
            reason=CloseReason.EXCHANGE_FLAG,
            revision=revision,
            late=late,
        )
        closes = grid.after(candle.timestamp) * 1000
        return Record(topic.name, partition_of(key, topic.partitions), key, value, closes)
