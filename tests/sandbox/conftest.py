"""Sandboxes for the tests over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from connectors.sandbox.server import Sandbox
from tests.sandbox.pretend import NOON
from tests.sandbox.wired import Client


async def _client(speed: float) -> AsyncIterator[Client]:
    async with Sandbox(0, speed, seed=5, start=NOON) as sandbox, aiohttp.ClientSession() as http:
        yield Client(sandbox, http)


@pytest.fixture
async def fast() -> AsyncIterator[Client]:
    """A sandbox where a minute lasts 0.1 s."""
    async for client in _client(600):
        yield client


@pytest.fixture
async def slow() -> AsyncIterator[Client]:
    """A sandbox in real time."""
    async for client in _client(1):
        yield client
