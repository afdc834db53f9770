"""`candles exchanges`: every fact of the adapters, a line each, in full, and as a page of docs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from connectors import exchanges
from connectors.adapter import Limits, QuietBars, Rate, RestPages
from connectors.commands.listing import WIDTH, document, facts, text_of
from tests.plain import Plain
from tests.test_cli import _own_log, call, sentence  # noqa: F401 - puts the log back

PAGE = Path(__file__).parents[2] / "docs" / "exchanges.md"


class Odd(Plain):
    """It has something to say of everything."""

    close_flag = False
    close_grace = 7.5
    quiet_bars = QuietBars(stream="skipped", rest="sent")
    limits = Limits(
        source="a|b", checked="2026-11", connections=8, subscriptions=30, messages=Rate(5),
        subscribes=Rate(240, 3600), message_bytes=4096, message_channels=40,
        attempts=Rate(300, 300), lifetime=86_400, rest=(Rate(20), Rate(600, 60)),
    )  # fmt: skip

    def get_rest_supported_intervals(self) -> list[str]:
        return ["1m", "5m"]

    def rest_pages(self, interval: str) -> RestPages:
        return RestPages(100, 1440 if interval == "1m" else None)


IN_FULL = """\
plain
  WebSocket       1m 1h
  polled          5m
  no REST         1h
  close           inferred; grace 7.5 s
  quiet bars      stream: skipped; REST: sent
  history         1m: 100 bars a page, 1440 bars back; 5m: 100 bars a page, to the listing
  heartbeat       the exchange pings; dead after 60 s of silence
  connections     8; attempts: 300 in 300 s; lifetime: 24 h
  of each         subscriptions: 30; messages: 5 in 1 s; of these subscribing: 240 in 3600 s
  of a message    channels: 40; bytes: 4096
  REST weight     20 in 1 s and 600 in 60 s
  source          a|b
  checked         2026-11"""


class Polled(Plain):
    """It has no socket."""

    def get_ws_supported_intervals(self) -> list[str]:
        return []


def listed(*words: str) -> Any:
    """What is printed as JSON."""
    status, printed, said = call("exchanges", *words, "--json")
    assert (status, said) == (0, "")
    return json.loads(printed)


def test_page_of_docs() -> None:
    """docs/exchanges.md is what the adapters say."""
    expected = document(facts(exchanges.get(name)()) for name in exchanges.names())

    assert expected == PAGE.read_text(), (
        "the adapters say something else by now; run: candles exchanges --markdown > "
        "docs/exchanges.md"
    )


def test_the_page_is_what_the_command_prints() -> None:
    """To the letter, so that it may be redirected into the file."""
    status, printed, said = call("exchanges", "--markdown")

    assert (status, said) == (0, "")
    assert printed == document(facts(exchanges.get(name)()) for name in exchanges.names())


def test_json_of_all() -> None:
    """Every exchange is listed with its intervals, close, limits and the date of the check."""
    every = {each["exchange"]: each for each in listed()}

    assert sorted(every) == exchanges.names()
    for name, each in every.items():
        adapter = exchanges.get(name)()
        assert {*each["websocket"], *each["polled"]} == {*adapter.get_supported_intervals()}
        assert {adapter.transport(interval) for interval in each["websocket"]} <= {"websocket"}
        assert {adapter.transport(interval) for interval in each["polled"]} <= {"rest"}
        assert each["close"] == ("flag" if adapter.close_flag else "inferred")
        assert re.match(r"20\d\d-\d\d", each["checked"]), name
        assert each["source"], name
        assert each["limits"]["rest"], name


def test_all_facts() -> None:
    """Each fact of an adapter is there."""
    assert facts(Odd()) == {
        "exchange": "plain",
        "websocket": ["1m", "1h"],
        "polled": ["5m"],
        "not_repairable": ["1h"],
        "close": "inferred",
        "close_grace": 7.5,
        "quiet_bars": {"stream": "skipped", "rest": "sent"},
        "history": {"1m": {"page": 100, "reach": 1440}, "5m": {"page": 100, "reach": None}},
        "heartbeat": {"kind": "server", "every": None, "silence": 60.0},
        "limits": {
            "connections": 8,
            "subscriptions": 30,
            "messages": {"amount": 5, "seconds": 1.0},
            "subscribes": {"amount": 240, "seconds": 3600},
            "message_bytes": 4096,
            "message_channels": 40,
            "attempts": {"amount": 300, "seconds": 300},
            "lifetime": 86_400,
            "rest": [{"amount": 20, "seconds": 1.0}, {"amount": 600, "seconds": 60}],
        },
        "checked": "2026-11",
        "source": "a|b",
    }


def test_without_a_socket_there_is_nothing_to_say_of_it() -> None:
    """What a base assumes of connections is no fact of a market that has none."""
    one = facts(Polled())

    assert one["heartbeat"] is one["quiet_bars"]["stream"] is None
    assert {name for name, value in one["limits"].items() if value is not None} == {"rest"}
    assert "heartbeat" not in text_of(one)
    assert "connections" not in text_of(one)


def test_one_in_full() -> None:
    """For people every fact is in words, the limits with their source and date."""
    assert text_of(facts(Odd())) == IN_FULL


def test_a_page_is_whole_whatever_a_source_says() -> None:
    """A line of a table is not cut by what stands in it."""
    assert "| source | a&#124;b |\n" in document([facts(Odd())])


@pytest.mark.parametrize("name", exchanges.names())
def test_named(name: str) -> None:
    """One that is named is shown in full, within the width of a terminal."""
    status, printed, said = call("exchanges", name)

    assert (status, said) == (0, "")
    assert printed == text_of(facts(exchanges.get(name)())) + "\n"
    assert max(map(len, printed.splitlines())) <= WIDTH
    assert [each["exchange"] for each in listed(name)] == [name]


def test_table() -> None:
    """A line for each exchange, within the width of a terminal."""
    status, printed, said = call("exchanges")

    assert (status, said) == (0, "")
    headings, _, *rows, last = printed.splitlines()
    assert headings.split()[0] == "exchange"
    assert [row.split()[0] for row in rows] == exchanges.names()
    assert max(map(len, printed.splitlines())) <= WIDTH
    assert last.startswith("candles exchanges EXCHANGE shows one in full")


def test_unknown() -> None:
    """The nearest names are told."""
    known = exchanges.names()[0]

    assert sentence(2, "exchanges", known + "x").startswith(
        f"'{known}x' is not an exchange; did you mean {known}"
    )
