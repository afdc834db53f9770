"""What cannot hold: a TOML file of exceptions, each with its reason.

[[exception]]
where = "example_spot/07-ws-candle"    # an item, or a market for a check of the contract
checks = ["request"]
reason = "recorded from an address that has moved since"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from connectors.errors import UsageError

Reasons = Mapping[tuple[str, str], str]
"""Item or market, and check -> why it cannot hold."""


def reasons(file: Path) -> Reasons:
    """The reasons of a file; UsageError where it cannot be read or an entry says too little."""
    try:
        entries = tomllib.loads(file.read_text("utf-8")).get("exception", [])
    except (OSError, ValueError) as error:
        raise UsageError(f"the exceptions {file} cannot be read: {error}") from None
    found: dict[tuple[str, str], str] = {}
    for entry in entries:
        missing = [key for key in ("where", "checks", "reason") if not entry.get(key)]
        if missing:
            raise UsageError(f"{entry} in {file} lacks {missing}: say where, checks and reason")
        for check in entry["checks"]:
            key = (entry["where"], check)
            if key in found:
                raise UsageError(f"{key} stands twice in {file}: remove one")
            found[key] = entry["reason"]
    return found
