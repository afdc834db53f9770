"""Tables for people: alignment, times, and what is not there."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from connectors.commands.tables import console, minute, table


def printed(*args: object, width: int = 80) -> list[str]:
    """The lines of a table."""
    out = StringIO()
    Console(file=out, width=width).print(table(*args))  # type: ignore[arg-type]  # as they come
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_table() -> None:
    """Numbers stand to the right, None is a dash, brackets are no markup, the total is apart."""
    rows = [["[red]a", 1, None], ["b", 200, "x"]]

    heading, _, *body = printed(("name", "count", "why"), rows, ["total", 201, ""])

    assert heading.split() == ["name", "count", "why"]
    assert [line.split() for line in body if line] == [
        ["[red]a", "1", "–"],
        ["b", "200", "x"],
        ["total", "201"],
    ]
    assert body[0].index("1") == body[1].index("200") + 2


def test_empty_table() -> None:
    """A table without rows has its headings."""
    assert printed(("name", "count"), [])[0].split() == ["name", "count"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1_795_608_000, "2026-11-25 12:00"),
        (1_795_608_001, "2026-11-25 12:00:01"),
        (0, "1970-01-01 00:00"),
        (None, None),
    ],
)
def test_minute(seconds: int | None, text: str | None) -> None:
    """Times are in UTC, with seconds where they have some."""
    assert minute(seconds) == text


def test_console(capsys: pytest.CaptureFixture[str]) -> None:
    """What goes into a file is not cut to the width of a terminal."""
    console().print(table(("name", "why"), [["x" * 90, "y" * 90]]))

    assert f"{'x' * 90}  {'y' * 90}" in capsys.readouterr().out
