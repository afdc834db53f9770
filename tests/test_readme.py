"""README.md: its tables are generated, and its commands are right use."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from connectors import exchanges, settings
from connectors.cli import main
from connectors.commands import listing

README = (Path(__file__).parents[1] / "README.md").read_text()
COMMANDS = [
    words
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for text in block.splitlines()
    if (words := shlex.split(text, comments=True))[:1] == ["candles"]
]


def test_settings() -> None:
    """The table of settings is that of the settings."""
    expected = settings.markdown()

    assert expected in README, f"put this into README.md, under Settings:\n{expected}"


def test_exchanges() -> None:
    """The table of exchanges is that of the adapters."""
    adapters = (exchanges.get(name)() for name in exchanges.names())
    expected = listing.markdown(map(listing.facts, adapters))

    assert expected in README, f"put this into README.md, under Real exchanges:\n{expected}"


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_command(words: list[str]) -> None:
    """Each command that README.md shows is one that the program takes."""
    _, name, *arguments = words

    main.commands[name].make_context(name, arguments)
