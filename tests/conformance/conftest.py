"""Prints in the summary how many items hold, and why the others do not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

Row = tuple[str, str, str, str | None]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line of counts, then one for each reason."""
    passed, failed = _rows(terminalreporter, "passed"), _rows(terminalreporter, "failed")
    if not passed and not failed:
        return
    terminalreporter.section("conformance")
    items = {where for kind, where, *_ in (*passed, *failed) if kind == "item"}
    broken = {where for kind, where, *_ in failed if kind == "item"}
    excepted = {where for kind, where, _, reason in passed if reason and kind == "item"} - broken
    whole = len(items) - len(broken) - len(excepted)
    terminalreporter.write_line(
        f"items: {whole} passed, {len(excepted)} not applicable in part or whole, "
        f"{len(broken)} failed; checks: {len(passed)} passed, {len(failed)} failed"
    )
    for _, where, check, reason in passed:
        if reason:
            terminalreporter.write_line(f"  not applicable: {where} {check}: {reason}")


def _rows(reporter: pytest.TerminalReporter, outcome: str) -> list[Row]:
    return list(_recorded(reporter.stats.get(outcome, [])))


def _recorded(reports: list[pytest.TestReport]) -> Iterator[Row]:
    for report in reports:
        for name, value in getattr(report, "user_properties", ()):
            if name == "conformance":
                kind, where, check, reason = value
                yield kind, where, check, reason
