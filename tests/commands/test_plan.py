"""`candles plan`: what a wish list needs, from files, stdin and words; what does not fit."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from connectors import exchanges
from connectors.adapter import Rate
from connectors.cli import main
from connectors.commands import plan as command
from connectors.commands.plan import HEADINGS, wishes
from connectors.errors import UsageError
from connectors.model import Subscription
from tests.test_cli import _own_log, call, sentence  # noqa: F401 - puts the log back
from tests.test_plan import limited

NAME = exchanges.names()[0]
ONE = f"{NAME}:BTC-USDT:1m"
OTHER = "binance_spot:ETH-USDT:1h"


def written(path: Path, *lines: str) -> str:
    """A wish list of these lines."""
    (path / "wishes.txt").write_text("\n".join(lines))
    return str(path / "wishes.txt")


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name is an exchange: one that allows two connections of three, and little REST."""
    kind = limited(subscriptions=3, connections=2, rest=(Rate(2, 60),))
    monkeypatch.setattr(command.exchanges, "get", lambda _: kind)


def rows_of(printed: str) -> list[list[str]]:
    """The cells of what stands below the headings, the empty line left out."""
    lines = [re.split(r"  +", line.strip()) for line in printed.splitlines()]
    return [line for line in lines[2:] if line != [""]]


# --- the wish list --------------------------------------------------------------------------------


def test_wishes(tmp_path: Path) -> None:
    """Files and subscriptions may be mixed; comments and blank lines are no wishes."""
    path = written(tmp_path, "# all that we want", "", f"  {OTHER}  # hourly", ONE)

    assert [str(each) for each in wishes([path, ONE])] == [OTHER, ONE, ONE]


def test_stdin() -> None:
    """A dash is stdin; it is not read for its own sake."""
    found = CliRunner().invoke(main, ["plan", "-", OTHER, "--json"], input=f"{ONE}\r\n")

    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["total"]["streamed"] == 2


@pytest.mark.parametrize(
    ("line", "right"),
    [
        ("foo", "line 2 of .*wishes.txt: 'foo' is not a subscription: write exchange:BASE-QUOTE"),
        (f"{ONE} {ONE}", "line 2 of .*wishes.txt: '.*' is not a subscription"),
        (
            f"{NAME}x:BTC-USDT:1m",
            f"line 2 of .*: '{NAME}x' is not an exchange; did you mean {NAME}",
        ),
        (f"{NAME}:btc-usdt:1m", "line 2 of .*: 'btc-usdt' in .* is no trading pair"),
    ],
)
def test_wrong_line(tmp_path: Path, line: str, right: str) -> None:
    """A line that is no subscription is wrong use, named with its number."""
    assert re.match(right, sentence(2, "plan", written(tmp_path, ONE, line)))


def test_wrong_use(tmp_path: Path) -> None:
    """Each is one sentence that says what would be right, and status 2."""
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")

    assert sentence(2, "plan").startswith("Missing argument '[FILE | - | SUBSCRIPTION]…'")
    assert sentence(2, "plan", "/nowhere").startswith(
        "the wish list /nowhere cannot be read (No such file or directory): name a file"
    )
    assert sentence(2, "plan", str(binary)).endswith("is no text in UTF-8")
    assert sentence(2, "plan", "a:b").startswith("'a:b' is not a subscription")
    with pytest.raises(UsageError, match="there is nothing to plan: write a subscription a line"):
        wishes([written(tmp_path, "# nothing")])


# --- what is printed ------------------------------------------------------------------------------


@pytest.mark.usefixtures("plain")
def test_table() -> None:
    """A row for each exchange and the totals; that pairs are not checked is said."""
    words = ["plan", *(f"plain:C{n}-USD:1m" for n in range(4)), "plain:C-USD:5m", "other:A-B:1h"]
    status, printed, said = call(*words)

    assert (status, said) == (0, "")
    other, plain, total, *notes = rows_of(printed)
    assert printed.split("\n")[0].split() == " ".join(HEADINGS).split()
    assert other == ["plain", "1", "0", "1", "2", "1", "1", "31", "0", "1", "1", "flag"]
    assert plain == ["plain", "4", "1", "2", "2", "2", "2", "92", "0", "1", "30", "flag"]
    assert total == ["total", "5", "1", "3", "3", "123", "0"]
    assert notes[0][0].startswith("plain: all 2 connections that the exchange allows are used")
    assert "Pairs are not checked" in notes[-1][0]


@pytest.mark.usefixtures("plain")
def test_json() -> None:
    """Everything that is known of each connection and each rate, and the totals."""
    status, printed, said = call("plan", "plain:A-B:1m", "plain:A-B:5m", "--json")

    assert (status, said) == (0, "")
    found = json.loads(printed)
    weight = {"polls": 0.2, "confirmations": 0, "rereads": 0, "instruments": 0}
    (one,) = found["exchanges"]
    assert one["connections"] == [
        {"group": "", "channels": 1, "frames": 1, "bytes": 31, "seconds": 0.0}
    ]
    assert {name: one["rest"][name] for name in weight} == weight
    assert one["rest"]["total"] == pytest.approx(0.2 + one["rest"]["audits"])
    (rate,) = one["rates"]
    assert rate == {"amount": 2, "seconds": 60, "used": pytest.approx(one["rest"]["total"] / 2)}
    assert (one["closes"], one["allowed"], one["checked"]) == ("flag", 2, "2026-10-01")
    assert (found["pairs_checked"], found["total"]["connections"]) == (False, 1)


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_what_does_not_fit(form: list[str]) -> None:
    """It is planned all the same; each reason is a sentence, and the status is 1."""
    polled = [f"plain:C{n}-USD:5m" for n in range(10)]
    streamed = [f"plain:C{n}-USD:1m" for n in range(7)]
    status, printed, said = call("plan", *polled, *streamed, "plain:A-B:7m", *form)

    assert status == 1
    interval, connections, rest = said.splitlines()
    assert interval == "candles: plain:A-B:7m: plain has no interval 7m; it has 1m 5m 1h"
    assert "need 3 connections and the exchange allows 2 (nowhere: invented" in connections
    assert "of the 2 in 60 s that the exchange allows (nowhere: invented, checked 2026" in rest
    if form:
        found = json.loads(printed)
        assert [f"candles: {each}" for each in found["exchanges"][0]["refusals"]] == [
            *(interval, connections, rest)
        ]
        assert found["total"]["refusals"] == 3
    else:
        assert rows_of(printed)[0][:5] == ["plain", "7", "10", "3", "2"]


def test_every_exchange_and_interval(tmp_path: Path) -> None:
    """A list of everything that is offered is planned, without a network."""
    every = [
        Subscription(name, "BTC-USDT", interval)
        for name in exchanges.names()
        for interval in exchanges.get(name)().get_supported_intervals()
    ]
    status, printed, said = call("plan", written(tmp_path, *map(str, every)), "--json")

    assert (status, said) == (0, "")
    total = json.loads(printed)["total"]
    assert total["streamed"] + total["polled"] == len(every)
