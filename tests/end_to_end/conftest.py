"""Fixtures of the tests from end to end."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from connectors.sandbox.kafka import LocalKafka
from connectors.sandbox.server import Sandbox
from tests.conftest import _running
from tests.end_to_end.ordinary import Ordinary, run_ordinary
from tests.end_to_end.stage import SPEED, Stage, report


@pytest.fixture(scope="session")
def seed() -> int:
    """Of the sandbox's candles and faults; CANDLE_SEED repeats one."""
    return int(os.environ.get("CANDLE_SEED") or random.randrange(10_000))


@pytest.fixture
async def stage(kafka: str, prefix: str, seed: int) -> AsyncIterator[Stage]:
    """A sandbox of the test's own, and a prefix in the shared Kafka."""
    async for made in _stage(kafka, prefix, seed):
        yield made


@pytest.fixture(scope="session")
def own_kafka() -> Iterator[LocalKafka]:
    """A Kafka of these tests' own: to be frozen and killed."""
    service = LocalKafka()
    with _running(service):
        yield service


@pytest.fixture
async def own_stage(own_kafka: LocalKafka, prefix: str, seed: int) -> AsyncIterator[Stage]:
    """A sandbox, and a prefix in the Kafka that may be frozen and killed."""
    async for made in _stage(own_kafka.bootstrap, prefix, seed):
        yield made


async def _stage(kafka: str, prefix: str, seed: int) -> AsyncIterator[Stage]:
    """Whatever a test does, nothing may be left that asyncio complains about."""
    report(f"CANDLE_SEED={seed} repeats it")
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
    async with Sandbox(0, SPEED, seed) as sandbox:
        yield Stage(sandbox, kafka, prefix, random.Random(seed))
    gc.collect()  # a future whose exception nobody looked at complains when it goes
    assert complaints == []


@pytest.fixture(scope="session")
def ordinary(kafka: str, seed: int) -> Ordinary:
    """A run without any faults, that has ended: everything that it left behind."""
    return asyncio.run(run_ordinary(kafka, f"test-{uuid.uuid4().hex[:12]}", seed))
