"""The schemas as a public contract: explained, typed in time, and able to grow."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import avro.schema
import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

PROJECT = Path(__file__).parents[1]
FOLDER = PROJECT / "schemas"
NAMES = ("candle_data", "coverage", "dead_letter", "subscription")
TIMES = re.compile(r".*_(time|at)|start|end|since")
FROZEN = """
A schema that a release has written with never changes. Not released yet: copy the file over
schemas/released/{name}.{version}.avsc. Released: add the new one as {name}.{next}.avsc beside it.
"""


def tree(name: str) -> dict[str, Any]:
    """A current schema as JSON."""
    return json.loads((FOLDER / f"{name}.avsc").read_text())  # type: ignore[no-any-return]  # an object


def named_types(part: Any) -> Iterator[dict[str, Any]]:
    """Every record and enum in a schema, the outermost first."""
    if isinstance(part, list):
        for branch in part:
            yield from named_types(branch)
    elif isinstance(part, dict):
        if part["type"] in ("record", "enum"):
            yield part
        for field in part.get("fields", ()):
            yield from named_types(field["type"])
        yield from named_types(part.get("items"))
        if isinstance(part["type"], dict | list):
            yield from named_types(part["type"])


def fields(name: str) -> Iterator[dict[str, Any]]:
    """Every field of every record in a schema."""
    for part in named_types(tree(name)):
        yield from part.get("fields", ())


def releases(name: str) -> list[Path]:
    """The kept versions of a schema, the oldest first."""
    found = (FOLDER / "released").glob(f"{name}.*.avsc")
    return sorted(found, key=lambda path: int(path.name.split(".")[1]))


@pytest.mark.parametrize("name", NAMES)
def test_everything_is_explained(name: str) -> None:
    """Every record, enum and field says in a sentence what it is."""
    parts = [*named_types(tree(name)), *fields(name)]
    assert not [part["name"] for part in parts if not part.get("doc", "").endswith(".")]


@pytest.mark.parametrize("name", NAMES)
def test_times_are_typed_as_times(name: str) -> None:
    """Fields of time, and no others, are timestamp-millis, said inside the type object."""
    time = {"type": "long", "logicalType": "timestamp-millis"}
    for field in fields(name):
        expected = bool(TIMES.fullmatch(field["name"]))
        assert expected == (field["type"] in (time, ["null", time])), field["name"]
        assert "logicalType" not in field, field["name"]


def test_candle_data_is_the_public_contract() -> None:
    """CandleData has the fields of version 1 in their order; what is optional defaults to null."""
    expected = (
        "exchange trading_pair interval open_time close_time open high low close volume "
        "quote_asset_volume n_trades taker_buy_base_volume taker_buy_quote_volume "
        "closed close_reason revision late event_time published_at"
    )
    found = tree("candle_data")["fields"]
    assert expected == " ".join(field["name"] for field in found)
    optional = [field for field in found if isinstance(field["type"], list)]
    assert len(optional) == 5
    assert all(f["type"][0] == "null" and f["default"] is None for f in optional)


@pytest.mark.parametrize("name", ["coverage", "dead_letter", "subscription"])
def test_what_is_ours_can_lose_any_field(name: str) -> None:
    """Every field of the topics that only we write has a default, so it may go or come later."""
    assert not [field["name"] for field in fields(name) if "default" not in field]


@pytest.mark.parametrize("name", NAMES)
def test_enums_can_grow(name: str) -> None:
    """Every enum has a default, which an older reader sees for a symbol that it does not know."""
    enums = [part for part in named_types(tree(name)) if part["type"] == "enum"]
    assert not [enum["name"] for enum in enums if enum.get("default") not in enum["symbols"]]


@pytest.mark.parametrize("name", NAMES)
def test_the_current_schema_is_kept_as_a_release(name: str) -> None:
    """The newest kept version of a schema is the current one, to the letter."""
    newest = releases(name)[-1]
    version = int(newest.name.split(".")[1])
    advice = FROZEN.format(name=name, version=version, next=version + 1)
    assert json.loads(newest.read_text()) == tree(name), advice


@pytest.mark.parametrize("name", NAMES)
def test_released_versions_are_numbered_without_gaps(name: str) -> None:
    """The kept versions of a schema are 1, 2, 3 and so on."""
    found = [path.name for path in releases(name)]
    assert [f"{name}.{number}.avsc" for number in range(1, len(found) + 1)] == found


def incompatibilities(reader: str, writer: str) -> set[str]:
    """Why ``reader`` cannot read what ``writer`` wrote, as the Avro project's own check says."""
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]  # it is untyped
    verdict = checker.get_compatibility(avro.schema.parse(reader), avro.schema.parse(writer))
    if verdict.compatibility is SchemaCompatibilityType.compatible:
        return set()
    return set(verdict.messages)


@pytest.mark.parametrize(
    "released", [path for name in NAMES for path in releases(name)], ids=lambda path: path.name
)
def test_full_transitive(released: Path) -> None:
    """Each released version reads what the current one writes, and the other way round."""
    current = (FOLDER / f"{released.name.split('.')[0]}.avsc").read_text()
    assert set() == incompatibilities(released.read_text(), current)
    assert set() == incompatibilities(current, released.read_text())


def test_the_compatibility_check_can_fail() -> None:
    """A new field without a default is found out: the check is no formality."""
    current = tree("candle_data")
    grown = {**current, "fields": [*current["fields"], {"name": "new", "type": "long"}]}
    assert set() == incompatibilities(json.dumps(current), json.dumps(grown))
    assert set() != incompatibilities(json.dumps(grown), json.dumps(current))


def test_the_wheel_holds_the_schemas(tmp_path: Path) -> None:
    """The wheel holds every schema, and the package finds them there with no checkout near."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=PROJECT, check=True, capture_output=True)  # noqa: S603 - ours
    wheel = next(tmp_path.glob("*.whl"))
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".avsc")}
    assert {f"connectors/_schemas/{p.relative_to(FOLDER)}" for p in FOLDER.rglob("*.avsc")} == held
    program = (
        "import connectors.schema as s; print(s.__file__, s.CANDLE.key, *s.released(s.CANDLE.name))"
    )
    result = subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(wheel)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert result.stdout.startswith(str(wheel))
