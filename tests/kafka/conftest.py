"""Fixtures of the tests of Kafka."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from connectors.errors import SetupError
from tests.kafka.guarded import Guarded
from tests.kafka.world import World


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A Kafka of these tests: to be frozen, to take rights away from, to log in to."""
    service = Guarded(tmp_path_factory.mktemp("tls"))
    try:
        asyncio.run(service.start())
    except SetupError as lacking:
        pytest.fail(str(lacking), pytrace=False)
    yield service
    asyncio.run(service.stop())


@pytest.fixture
async def world(kafka: str, prefix: str) -> AsyncIterator[World]:
    """The topics of one test in the shared Kafka."""
    async with _world(kafka, prefix) as made:
        yield made


@pytest.fixture
async def own_world(own: Guarded, prefix: str) -> AsyncIterator[World]:
    """The same in the Kafka of these tests."""
    async with _world(own.bootstrap, prefix) as made:
        yield made


@asynccontextmanager
async def _world(bootstrap: str, prefix: str) -> AsyncIterator[World]:
    """Whatever a test does, nothing may be left that asyncio complains about."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
    world = World(bootstrap, prefix)
    await world.create()
    try:
        yield world
    finally:
        await world.end()
    gc.collect()  # a future whose exception nobody looked at complains when it goes
    assert complaints == []
