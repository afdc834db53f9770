"""The local schema registry, for real: it registers and forgets, and leaves nothing behind."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

import aiohttp
import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from connectors.errors import SetupError, UsageError
from connectors.sandbox.registry import LocalRegistry

SCHEMA = '{"type": "record", "name": "Bar", "fields": [{"name": "open", "type": "double"}]}'


def test_registers(registry: str, prefix: str) -> None:
    """Confluent's own client registers a schema and finds it by its id."""
    with SchemaRegistryClient({"url": registry}) as client:
        number = client.register_schema(f"{prefix}-value", Schema(SCHEMA, "AVRO"))
        assert client.get_latest_version(f"{prefix}-value").schema_id == number
        assert client.get_schema(number).schema_type == "AVRO"


async def test_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the end nothing listens, and no file is left."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    service = LocalRegistry()
    async with service:
        url = service.url
    async with aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.ClientConnectorError):
            await client.get(url)
    with pytest.raises(UsageError, match="not running: start it first"):
        _ = service.url
    assert os.listdir(tmp_path) == []


async def test_port_taken() -> None:
    """A taken port is refused with one sentence."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=f"^port {port} is taken: stop "):
            await LocalRegistry(port=port).start()
