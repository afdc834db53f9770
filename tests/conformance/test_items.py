"""Items: where they are looked for, and what is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from connectors.conformance.exceptions import reasons
from connectors.conformance.items import evidence, items_of, read, recorded_markets
from connectors.errors import UsageError

GOOD: dict[str, Any] = {"market": "toy_spot", "kind": "ws_other", "frame": {"a": 1}}


def written(path: Path, item: Any) -> Path:
    """The item in a file."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(item if isinstance(item, str) else json.dumps(item), "utf-8")
    return path


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ("{", "cannot be read as an item"),
        ("[]", "cannot be read as an item"),
        ({**GOOD, "kind": None}, "it lacks kind"),
        ({"market": "toy_spot", "kind": "ws_other"}, "it lacks frame or frame_base64"),
        ({**GOOD, "asked": {"start": 1}}, "lacks interval of asked, end of asked"),
        ({**GOOD, "frame_base64": "?"}, "cannot be read as an item"),
        ({**GOOD, "candles": [{"open": "1"}]}, "lacks open_time_ms of a candle, interval of a"),
    ],
)
def test_what_is_no_item_is_told(tmp_path: Path, item: Any, told: str) -> None:
    """A file that is no item is one sentence with its name."""
    path = written(tmp_path / "01.json", item)
    with pytest.raises(UsageError, match=told) as failure:
        read(path)
    assert str(path) in str(failure.value)


def test_items_lie_in_a_folder_of_their_market_or_loose(tmp_path: Path) -> None:
    """A folder for each market, or one folder of items; in the order of their names."""
    written(tmp_path / "toy_spot" / "02.json", GOOD)
    written(tmp_path / "toy_spot" / "01.json", GOOD)
    written(tmp_path / "03.json", GOOD)
    written(tmp_path / "04.json", {**GOOD, "market": "other_spot"})

    with evidence(tmp_path):
        assert [item.name for item in items_of("toy_spot")] == ["01", "02", "03"]
        assert recorded_markets() == ["toy_spot"]
    assert items_of("toy_spot") == ()


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ('[[exception]]\nwhere = "a/b"\nchecks = ["candles"]', "lacks"),
        ('[[exception]]\nwhere = "a/b"\nchecks = ["c", "c"]\nreason = "r"', "twice"),
        ("[[exception", "cannot be read"),
    ],
)
def test_an_exception_without_reason_is_refused(tmp_path: Path, text: str, advice: str) -> None:
    """Every exception says where, which checks and why, once."""
    with pytest.raises(UsageError, match=advice):
        reasons(written(tmp_path / "exceptions.toml", text))
