"""candles conformance: an adapter that lives elsewhere, right and wrong in several ways."""

from __future__ import annotations

import itertools
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from connectors import exchanges
from connectors.cli import main
from tests.commands import outside

PACKAGES = (f"outside_{number}" for number in itertools.count())
"""A name for each: what was imported once under a name stays."""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a package in the current directory that has yet to be written, with items."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    outside.write_items(tmp_path / "tests" / "wire")
    return next(PACKAGES)


def call(*words: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr."""
    found = CliRunner().invoke(main, ["conformance", *words], prog_name="candles")
    return found.exit_code, found.stdout, found.stderr


def told(*words: str) -> dict[str, Any]:
    """What --json tells."""
    return dict(json.loads(call(*words, "--json")[1]))


def test_a_right_adapter_passes(package: str) -> None:
    """By its module's name, with the items of tests/wire here: status 0 and a line of counts."""
    outside.write_package(Path(), package)
    status, printed, said = call(f"{package}.my_exchange")

    assert (status, said) == (0, "")
    assert re.fullmatch(
        r"passed \d\d · not applicable 2 \(the exchange lists no instruments: 1; "
        r"no greeting is awaited before subscribing: 1\) · failed 0\n",
        printed,
    )


def test_a_class_and_a_folder_of_items_are_found(package: str, tmp_path: Path) -> None:
    """By module:Class, with items that lie elsewhere, without a folder for the market."""
    outside.write_package(Path(), package)
    loose = tmp_path / "tests" / "wire" / "example_spot"
    loose.rename(tmp_path / "loose")
    status, printed, _ = call(f"{package}.my_exchange:ExampleSpot", "--items", "loose")

    assert status == 0, printed


def test_what_a_module_builds_upon_is_not_checked(package: str) -> None:
    """An adapter of another package that a module imports is not the author's."""
    imports = "from connectors.exchanges.okx import *\nfrom connectors.model"
    source = outside.SOURCE.replace("from connectors.model", imports)
    outside.write_package(Path(), package, source)
    found = told(f"{package}.my_exchange")

    where = {each["where"].partition("/")[0] for each in found["not_applicable"] + found["failed"]}
    assert where == {"example_spot"}


WRONG = {
    "columns": ('"t", "o", "h", "l"', '"t", "o", "l", "h"', "01-ws-candle candles", "the columns"),
    "key": ('Columns("t"', 'Columns("time"', "20-rest-candles candles", "KeyError('time')"),
    "channel": (
        'channel=data["topic"]',
        'channel=""',
        "01-ws-candle channel",
        "CandleData.channel",
    ),
    "closed": ("closed=row[", "closed=not row[", "01-ws-candle candles", "what the frame says"),
    "topic": ('f"candle.{', 'f"kline.{', "02-ws-confirm request", "the exchange was sent"),
    "confirmed": ('Confirmed(data["id"])', "Confirmed()", "02-ws-confirm reply", "request_id=…"),
    "error": ("good=[0]", "good=[0, 1001]", "30-rest-error reply", "KeyError('data')"),
    "unit": ('"limit")', '"limit", time=str)', "20-rest-candles request", "rest_request"),
    "limits": ('="2026-09"', '="lately"', "check_limits", "the day on which it said so"),
    "clock": ("from connectors.ad", "import time\nfrom connectors.ad", "check_purity", "a clock"),
    "raises": (
        'data["topic"], c',
        'data["name"], c',
        "01-ws-candle candles",
        "look at that line",
    ),
}
"""What is written wrong, which check notices, and a word of its advice."""


@pytest.mark.parametrize(("right", "wrong", "failing", "word"), WRONG.values(), ids=WRONG)
def test_a_wrong_adapter_fails(
    package: str, right: str, wrong: str, failing: str, word: str
) -> None:
    """Each mistake is told with item, check, what was expected, what came, and what to do."""
    assert right in outside.SOURCE
    outside.write_package(Path(), package, outside.SOURCE.replace(right, wrong))
    status, printed, said = call(f"{package}.my_exchange", "--json")

    assert (status, said) == (1, "")
    failed = json.loads(printed)["failed"]
    where, _, check = failing.rpartition(" ")
    found = [
        each
        for each in failed
        if each["where"] == (f"example_spot/{where}" if where else "example_spot")
        and each["check"] == check
    ]
    assert len(found) == 1, failed
    assert word in " ".join(map(str, found[0].values()))
    assert all(found[0][key] for key in ("expected", "came", "do_next"))
    assert (found[0]["item"] is not None) is bool(where)


def test_failures_are_a_table(package: str) -> None:
    """For a person: a row for each failure, then the counts, and status 1."""
    source = outside.SOURCE.replace('="2026-09"', '="lately"')
    outside.write_package(Path(), package, source)
    status, printed, _ = call(f"{package}.my_exchange")

    assert status == 1
    head, *_, last = printed.splitlines()
    assert head.split()[:4] == ["where", "check", "expected", "came"]
    assert last.endswith("failed 1")
    assert "lately" in printed


def test_without_items_evidence_is_demanded(package: str, tmp_path: Path) -> None:
    """No recorded item is no pass: one failure asks for evidence."""
    outside.write_package(Path(), package)
    (tmp_path / "empty").mkdir()
    (failed,) = told(f"{package}.my_exchange", "--items", "empty")["failed"]

    assert failed["check"] == "check_evidence"
    assert "record what the exchange really sends" in failed["do_next"]


def test_an_exception_beside_the_items_is_heeded(package: str) -> None:
    """What cannot hold is not applicable, with the author's reason; nothing else changes."""
    outside.write_package(Path(), package, outside.SOURCE.replace("closed=row[", "closed=not row["))
    text = '[[exception]]\nwhere = "example_spot/01-ws-candle"\nchecks = ["candles"]\n'
    Path("tests/wire/exceptions.toml").write_text(text + 'reason = "turned around"', "utf-8")
    found = told(f"{package}.my_exchange")

    assert found["failed"] == []
    assert {"turned around"} < {each["reason"] for each in found["not_applicable"]}


@pytest.mark.parametrize(
    ("words", "right"),
    [
        ("binance_spto", "'binance_spto' is no exchange, no entry point .* No module named"),
        ("{}.nothing", "is no exchange, .* No module named '{}.nothing'"),
        ("{}.my_exchange:Nothing", "has no attribute 'Nothing'"),
        ("{}.my_exchange:ROW", "is no class: name a module, or module:Class"),
        ("{}", "{} has no adapter: write a class with a name"),
        ("{}.my_exchange --items nowhere", "'nowhere' does not exist"),
        ("{}.my_exchange --items broken", "broken/01.json is no item: it lacks kind, frame"),
        ("{}.my_exchange --exceptions broken/01.json", "cannot be read"),
    ],
)
def test_wrong_use(package: str, words: str, right: str) -> None:
    """Wrong use is one sentence that says what would be right, and status 2."""
    outside.write_package(Path(), package)
    Path("broken").mkdir()
    Path("broken/01.json").write_text('{"market": "example_spot"}', "utf-8")
    status, printed, said = call(*words.format(package).split())

    assert (status, printed) == (2, "")
    assert re.fullmatch(r"candles: .+\n", said), said
    assert re.search(right.format(package), said), said


@pytest.fixture
def _exchanges_anew() -> Iterator[None]:
    """Exchanges are looked for anew, and once more when the test is over."""
    exchanges._adapters.cache_clear()
    yield
    exchanges._adapters.cache_clear()


@pytest.mark.usefixtures("_exchanges_anew")
def test_an_installed_adapter_is_found_by_its_entry_point(package: str, tmp_path: Path) -> None:
    """What a distribution names in the group is found by its name and the market's."""
    outside.write_package(Path(), package)
    outside.write_entry_point(tmp_path, package, f"{package}.my_exchange")
    sys.path.append(str(tmp_path))
    for name in (package, "example_spot"):
        status, printed, said = call(name)
        assert (status, said) == (0, "")
        assert printed.endswith("failed 0\n")
    assert "example_spot" in exchanges.names()


def test_our_own_adapter_is_checked_by_its_name() -> None:
    """An exchange of ours, with the items and exceptions of this repository."""
    root = Path(__file__).parent.parent
    exceptions = root / "conformance" / "exceptions.toml"
    status, printed, said = call(
        "okx_spot", "--items", str(root / "wire"), "--exceptions", str(exceptions)
    )
    assert (status, said) == (0, ""), printed
    assert "cut at UTC+8" in printed
