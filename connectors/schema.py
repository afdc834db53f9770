"""Pure: the Avro schemas of the topics, how a value says which schema wrote it, and its reader.

A value on a topic is a *prefix*, which names the writer's schema, and the Avro binary encoding:

* without a schema registry (single-object encoding): ``C3 01`` and eight bytes of the schema's
  CRC-64-AVRO fingerprint, little endian. ``Schema.prefix``.
* with one (Confluent's wire format): ``00`` and four bytes of the registry's id, big endian.
  ``confluent_prefix(id)``.

`Reader` reads both. It knows every version of a schema that was ever released; what it does not
know it reports as `UnknownSchema`, and whoever does the I/O looks the prefix up (in the schema
registry, or in the topic of schemas under ``UnknownSchema.key``) and hands the schema over with
``Reader.add``. The only I/O here is reading the packaged schemas, once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from io import BytesIO
from pathlib import Path
from typing import Any, Final, cast

import fastavro
import orjson
from fastavro.schema import (
    SchemaParseException,
    UnknownType,
    fingerprint,
    parse_schema,
    to_parsing_canonical_form,
)

from connectors.errors import BadFrame, ConnectorError, SetupError

SINGLE_OBJECT: Final = b"\xc3\x01"
CONFLUENT: Final = b"\x00"

_UNREADABLE: Final = (
    EOFError,
    IndexError,
    KeyError,
    MemoryError,
    OverflowError,
    StopIteration,
    TypeError,
    ValueError,
    struct.error,
    fastavro.read.SchemaResolutionError,
)
"""What fastavro raises on bytes that a schema did not write."""


class UnknownSchema(ConnectorError):  # noqa: N818 - the schema is unknown, nothing is wrong
    """A value was written with a schema that is not at hand: look it up, ``add`` it, read again.

    ``schema_id`` is the registry's id, None in single-object encoding; there ``key`` is the key of
    the schema in the topic of schemas, "" with a registry.
    """

    def __init__(self, prefix: bytes) -> None:
        self.prefix = prefix
        registered = prefix.startswith(CONFLUENT)
        self.schema_id = int.from_bytes(prefix[1:]) if registered else None
        self.key = "" if registered else prefix[2:].hex()
        name = f"id {self.schema_id} of a schema registry" if registered else self.key
        super().__init__(f"the schema that wrote this record is not at hand: {name}")


@dataclass(frozen=True, slots=True)
class Schema:
    """One version of a schema: its full name, JSON text, and the prefix that names it in a value.

    ``parsed`` is fastavro's, without logical types: times stay numbers.
    """

    name: str
    text: str
    prefix: bytes
    parsed: dict[str, Any]

    @classmethod
    def parse(cls, text: str | bytes) -> Schema:
        """From JSON text; SetupError where it is no schema of a record."""
        try:
            tree = orjson.loads(text)
            canonical = to_parsing_canonical_form(tree)
            parsed = parse_schema(_without_logical_types(tree))
        except (ValueError, KeyError, TypeError, UnknownType, SchemaParseException) as problem:
            raise SetupError(f"this is no Avro schema ({problem!r}): {text[:80]!r}") from problem
        if not isinstance(parsed, dict) or parsed.get("type") != "record":
            raise SetupError(f"this is an Avro schema, but of no record: {text[:80]!r}")
        prefix = SINGLE_OBJECT + bytes.fromhex(fingerprint(canonical, "CRC-64-AVRO"))
        return cls(parsed["name"], orjson.dumps(tree).decode(), prefix, parsed)

    @property
    def key(self) -> str:
        """The fingerprint in hexadecimal, in the order of the bytes in a value.

        It is the key of the schema in the topic of schemas, where ``text`` is its value.
        """
        return self.prefix[2:].hex()


def confluent_prefix(schema_id: int) -> bytes:
    """What precedes a value whose schema the registry knows under this id."""
    return CONFLUENT + schema_id.to_bytes(4)


def encode(schema: Schema, record: dict[str, Any], prefix: bytes) -> bytes:
    """A value: the prefix and the record, times in it being UNIX milliseconds."""
    out = BytesIO()
    out.write(prefix)
    fastavro.schemaless_writer(out, schema.parsed, record)
    return out.getvalue()


class Reader:
    """Reads values of one kind of record, whichever known schema of that kind wrote them.

    Fields that the writer did not know get their defaults, those that this release does not know
    are left out, and symbols of an enum that it does not know become the enum's default.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._writers: dict[bytes, Schema] = {}
        for version in (schema, *released(schema.name)):
            self._writers[version.prefix] = version

    def add(self, prefix: bytes, text: str | bytes) -> None:
        """From now on values with this prefix are read with this writer's schema.

        SetupError where the text is no schema, or has not the fingerprint that the prefix tells.
        """
        writer = Schema.parse(text)
        if prefix.startswith(SINGLE_OBJECT) and prefix != writer.prefix:
            raise SetupError(
                f"schema {writer.name} has the fingerprint {writer.key}, "
                f"not {prefix[2:].hex()}, under which it was found"
            )
        self._writers[prefix] = writer

    def read(self, value: bytes) -> dict[str, Any]:
        """The record, times in UNIX milliseconds; UnknownSchema, or BadFrame where it is none."""
        prefix = _prefix_of(value)
        writer = self._writers.get(prefix)
        if writer is None:
            raise UnknownSchema(prefix)
        if writer.name != self._schema.name:
            raise BadFrame(f"this is a record of {writer.name}, not of {self._schema.name}")
        body = BytesIO(value)
        body.seek(len(prefix))
        same = writer.prefix == self._schema.prefix
        try:
            record = fastavro.schemaless_reader(
                body, writer.parsed, None if same else self._schema.parsed
            )
        except _UNREADABLE as problem:
            raise BadFrame(f"no record of {writer.name}: {problem!r}") from problem
        if body.tell() != len(value):
            raise BadFrame(f"{len(value) - body.tell()} bytes too many for {writer.name}")
        return cast(dict[str, Any], record)


def _prefix_of(value: bytes) -> bytes:
    length = 10 if value.startswith(SINGLE_OBJECT) else 5 if value.startswith(CONFLUENT) else 0
    if not length or len(value) < length:
        raise BadFrame(f"neither single-object nor Confluent framing: {value[:10].hex()}")
    return value[:length]


def _without_logical_types(tree: Any) -> Any:
    if isinstance(tree, list):
        return [_without_logical_types(branch) for branch in tree]
    if not isinstance(tree, dict):
        return tree
    return {
        name: part if name == "default" else _without_logical_types(part)
        for name, part in tree.items()
        if name != "logicalType"
    }


# --- the packaged schemas -------------------------------------------------------------------------


def _folder() -> Traversable:
    """Inside the package where it was installed from a wheel, beside it in a checkout."""
    installed = resources.files("connectors") / "_schemas"
    return installed if installed.is_dir() else Path(__file__).parents[1] / "schemas"


def packaged(name: str) -> Schema:
    """The current version of ``candle_data``, ``coverage``, ``subscription``, ``dead_letter``."""
    return Schema.parse((_folder() / f"{name}.avsc").read_text())


@cache
def _all_released() -> tuple[Schema, ...]:
    files = (_folder() / "released").iterdir()
    return tuple(Schema.parse(file.read_text()) for file in files if file.name.endswith(".avsc"))


def released(name: str) -> Iterable[Schema]:
    """Every version of a schema that a release has written with, by its full name."""
    return (schema for schema in _all_released() if schema.name == name)


CANDLE: Final = packaged("candle_data")
COVERAGE: Final = packaged("coverage")
WISH: Final = packaged("subscription")
DEAD_LETTER: Final = packaged("dead_letter")
