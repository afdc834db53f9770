"""The command ``candles conformance``: anybody's adapter, held against the contract and items."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
import orjson

from connectors import exchanges
from connectors.commands.program import with_settings
from connectors.commands.tables import console, table
from connectors.conformance import suite
from connectors.conformance.advice import NotConforming
from connectors.conformance.exceptions import Reasons, reasons
from connectors.conformance.finding import find
from connectors.conformance.items import evidence
from connectors.conformance.suite import Outcome
from connectors.settings import Settings

ITEMS: Final = Path("tests/wire")
"""Where items lie unless it is said, from the current directory."""
EXCEPTIONS: Final = "exceptions.toml"
HEADINGS: Final = ("where", "check", "expected", "came", "do next")


@click.command(
    "conformance",
    epilog=f"Example: candles conformance {exchanges.names()[0]} --items tests/wire --json",
)
@click.argument("adapter")
@click.option(
    "--items",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help=f"Recorded items: a folder for each market, or the items.  [default {ITEMS}]",
)
@click.option(
    "--exceptions",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"What cannot hold, with reasons.  [default {EXCEPTIONS} beside the items]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_settings()
def conformance(
    adapter: str, items: Path | None, exceptions: Path | None, as_json: bool, settings: Settings
) -> None:
    """Check an ADAPTER: an exchange's name, an entry point, a module, or MODULE:CLASS.

    Modules are found from the current directory, too. It is held against the contract, and against
    recorded items of what its exchange really sends.

    Exit status 0 where nothing failed, 1 where something did.
    """
    del settings
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    folders = [items or ITEMS] if items or ITEMS.is_dir() else []
    known = _reasons(exceptions, folders)
    with evidence(*folders):
        found = [one for market in find(adapter) for one in suite.outcomes(market, known)]
    if as_json:
        click.echo(orjson.dumps(as_dict(found), option=orjson.OPT_INDENT_2))
    else:
        show(found)
    sys.exit(1 if failures(found) else 0)


def _reasons(file: Path | None, folders: Sequence[Path]) -> Reasons:
    beside = [folder / EXCEPTIONS for folder in folders if (folder / EXCEPTIONS).is_file()]
    chosen = [file] if file else beside
    return reasons(chosen[0]) if chosen else {}


def failures(found: Sequence[Outcome]) -> list[tuple[Outcome, NotConforming]]:
    """Those that failed, with why."""
    return [(each, each.failure) for each in found if each.failure is not None]


def as_dict(found: Sequence[Outcome]) -> dict[str, Any]:
    """What ``--json`` tells; ``item`` is null for a check of the contract."""
    return {
        "passed": sum(each.verdict == "passed" for each in found),
        "not_applicable": [
            {"where": each.case.where, "check": each.case.check, "reason": each.reason}
            for each in found
            if each.verdict == "not applicable"
        ],
        "failed": [
            {
                "where": each.case.where,
                "check": each.case.check,
                "expected": failure.expected,
                "came": failure.came,
                "item": None if each.case.item is None else str(each.case.item),
                "do_next": failure.then,
            }
            for each, failure in failures(found)
        ],
    }


# --- for people -----------------------------------------------------------------------------------


def show(found: Sequence[Outcome]) -> None:
    """The failures as a table, and a line that counts."""
    rows = [
        (each.case.where, each.case.check, failure.expected, failure.came, failure.then)
        for each, failure in failures(found)
    ]
    if rows:
        console().print(table(HEADINGS, rows))
    click.echo(totals(found))


def totals(found: Sequence[Outcome]) -> str:
    """``passed 3 · not applicable 2 (no candles over WebSocket: 2) · failed 1``."""
    told = as_dict(found)
    reasons_told = Counter(each["reason"] for each in told["not_applicable"])
    why = "; ".join(f"{reason}: {count}" for reason, count in reasons_told.items())
    return (
        f"passed {told['passed']} · not applicable {len(told['not_applicable'])}"
        f"{f' ({why})' if why else ''} · failed {len(told['failed'])}"
    )
