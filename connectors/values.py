"""Reading the values of topics, whichever schema wrote them.

Both framings are read; a schema that this release does not know is looked up in the topic of
schemas, or in the schema registry where there is one.
"""

from __future__ import annotations

from typing import Any

from connectors.errors import BadFrame, SetupError
from connectors.kafka import Cluster, Stored, TopicPlan, read_topic
from connectors.registry import SchemaRegistry
from connectors.schema import Reader, Schema, UnknownSchema


class Values:
    """Reads one kind of record from the topics of a plan. ``registry`` is open, or None."""

    def __init__(
        self,
        schema: Schema,
        cluster: Cluster,
        plan: TopicPlan,
        registry: SchemaRegistry | None = None,
    ) -> None:
        self._cluster = cluster
        self._plan = plan
        self._registry = registry
        self._reader = Reader(schema)

    async def read(self, stored: Stored) -> dict[str, Any]:
        """The record by its schema's names, times in UNIX milliseconds.

        BadFrame where it is none, SetupError where its schema cannot be had.
        """
        place = f"{stored.topic}, partition {stored.partition}, offset {stored.offset}"
        return await self.decode(stored.value or b"", place)

    async def decode(self, value: bytes, place: str) -> dict[str, Any]:
        """The same for a value alone; ``place`` says in the error where it was found."""
        try:
            return self._reader.read(value)
        except UnknownSchema as unknown:
            self._reader.add(unknown.prefix, await self._schema(unknown, place))
            return self._reader.read(value)
        except BadFrame as bad:
            raise BadFrame(f"{place}: {bad}") from bad

    async def _schema(self, unknown: UnknownSchema, place: str) -> str | bytes:
        if unknown.schema_id is None:
            return await self._published(unknown.key, place)
        if self._registry is None:
            raise SetupError(f"{place} was written with a schema registry: give it with --registry")
        return await self._registry.schema(unknown.schema_id)

    async def _published(self, key: str, place: str) -> bytes:
        topic = self._plan.schemas().name
        async for record in read_topic(self._cluster, topic):
            if record.key == key.encode() and record.value is not None:
                return record.value
        raise SetupError(f"{place} was written with the schema {key}, which {topic} does not have")
