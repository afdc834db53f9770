"""The list of what cannot hold: ``exceptions.toml``, read and checked."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

from .advice import fail

FILE = Path(__file__).with_name("exceptions.toml")


def reasons(text: str | None = None) -> dict[tuple[str, str], str]:
    """``(item or market, check) -> reason``; AssertionError for an entry that says too little."""
    table = tomllib.loads(FILE.read_text("utf-8") if text is None else text)
    found: dict[tuple[str, str], str] = {}
    for entry in table.get("exception", []):
        missing = [key for key in ("where", "checks", "reason") if not entry.get(key)]
        assert not missing, f"{entry} in {FILE.name} lacks {missing}: say where, checks and reason"
        for check in entry["checks"]:
            key = (entry["where"], check)
            assert key not in found, f"{key} stands twice in {FILE.name}: remove one"
            found[key] = entry["reason"]
    return found


def hold_to_reason(run: Callable[[], None], reason: str | None, where: str) -> None:
    """Run a check; with a reason it has to fail, or the reason is out of date."""
    try:
        _advised(run, where)
    except AssertionError:
        if reason is None:
            raise
        return
    assert reason is None, (
        f"{where} holds now, but exceptions.toml says that it cannot: {reason}\n"
        f"do next:  remove the check from that entry"
    )


def _advised(run: Callable[[], None], where: str) -> None:
    """An error of the adapter's own is a failure with advice, too."""
    try:
        run()
    except AssertionError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the author is told
        came = f"{type(error).__name__}: {error}"
        advice = (
            "see the last line of the adapter in the traceback: it cannot read what it was given"
        )
        fail("an answer", came, advice, where)
