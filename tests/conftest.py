"""What tests share: one real Kafka and one real schema registry for the whole run.

Both are processes of this machine, started when the first test asks for them. Where something is
missing for them, the tests that need them fail with the sentence that says what to install; they
are never skipped.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from connectors.errors import SetupError
from connectors.sandbox.kafka import LocalKafka
from connectors.sandbox.registry import LocalRegistry


@contextmanager
def _running(service: LocalKafka | LocalRegistry) -> Iterator[None]:
    try:
        asyncio.run(service.start())
    except SetupError as missing:
        raise pytest.fail.Exception(str(missing), pytrace=False) from None
    try:
        yield
    finally:
        asyncio.run(service.stop())


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """The address of a one-broker Apache Kafka, shared by all tests: use ``prefix`` for names."""
    service = LocalKafka()
    with _running(service):
        yield service.bootstrap


@pytest.fixture(scope="session")
def registry() -> Iterator[str]:
    """The URL of a schema registry with Confluent's API, shared by all tests."""
    service = LocalRegistry()
    with _running(service):
        yield service.url


@pytest.fixture
def prefix() -> str:
    """A prefix for topics, groups and ids that no other test has; without dots."""
    return f"test-{uuid.uuid4().hex[:12]}"
