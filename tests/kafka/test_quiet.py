"""aiokafka's loggers write a few lines."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from aiokafka import errors

from connectors.kafka import Cluster, LivePublisher, quieten
from connectors.kafka.quiet import RateLimit
from connectors.sandbox.process import free_ports

pytestmark = pytest.mark.kafka


def test_a_storm_of_equal_lines_is_a_few() -> None:
    """Of a thousand equal lines three are written, and the next window says how many were not."""
    limit = RateLimit(lines=3, window=60)

    def line(text: str, at: float) -> logging.LogRecord:
        record = logging.makeLogRecord({"name": "aiokafka.conn", "msg": text, "args": ("x",)})
        record.created = at
        return record

    passed = [limit.filter(line("lost %s", at=n / 100)) for n in range(1_000)]
    assert passed == [True] * 3 + [False] * 997
    assert limit.filter(line("other %s", at=10.0))
    later = line("lost %s", at=61.0)
    assert limit.filter(later)
    assert later.getMessage() == "lost x (and 997 more like it before)"


@pytest.fixture
def quiet() -> Iterator[None]:
    """The loggers of aiokafka are limited for one test."""
    quieten(lines=2, window=3_600)
    yield
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("aiokafka")]:
        logging.getLogger(name).filters.clear()


async def test_an_absent_kafka_does_not_fill_the_log(
    quiet: None, caplog: pytest.LogCaptureFixture
) -> None:
    """Every logger of aiokafka is limited: an absent Kafka writes a few lines, not hundreds."""
    publisher = LivePublisher(Cluster(f"127.0.0.1:{free_ports(1)[0]}"))
    for _ in range(10):
        with pytest.raises(errors.KafkaConnectionError):
            await publisher._start()
        await publisher.close()
    lines = [record for record in caplog.records if record.name.startswith("aiokafka")]
    assert 1 <= len(lines) <= 4
