"""Tables for people, as wide as the terminal is, or as wide as they get where there is none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

NOTHING: Final = "–"
WIDE: Final = 240
"""Columns of a table that goes into a file or another program."""

Cell = str | int | None


def table(
    headings: Sequence[str], rows: Iterable[Sequence[Cell]], last: Sequence[Cell] = ()
) -> Table:
    """Numbers to the right, everything else to the left, ``last`` apart below."""
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    body = list(rows)
    for place, heading in enumerate(headings):
        numbers = any(isinstance(row[place], int) for row in body)
        made.add_column(heading, justify="right" if numbers else "left", overflow="fold")
    for row in body:
        made.add_row(*map(_text, row))
    if last:
        made.add_section()
        made.add_row(*map(_text, last))
    return made


def _text(cell: Cell) -> Text:
    return Text(NOTHING if cell is None else str(cell))


def minute(seconds: int | None) -> str | None:
    """A UNIX time to the minute, or to the second where it has one, in UTC."""
    if seconds is None:
        return None
    form = "%Y-%m-%d %H:%M:%S" if seconds % 60 else "%Y-%m-%d %H:%M"
    return datetime.fromtimestamp(seconds, UTC).strftime(form)


def console() -> Console:
    """Where tables are printed: stdout."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=WIDE)
