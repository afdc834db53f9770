"""`candles check` against a sandbox: what is seen, what is saved, and what is told."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from connectors import exchanges
from connectors.adapter import ExchangeAdapter
from connectors.commands.check import Fact, facts
from connectors.commands.checker import Checker
from connectors.commands.recorder import Recorder
from connectors.conformance import suite
from connectors.conformance.items import evidence
from connectors.endpoints import Endpoints
from connectors.errors import UsageError
from connectors.rest import Rest
from connectors.sandbox.client import sandbox_clock
from connectors.sandbox.server import Sandbox
from tests.test_cli import _own_log, ended, sentence, started  # noqa: F401 - puts the log back

BEGIN = 1_795_608_000.0
SPEED = 300.0
SECONDS = 4.0
"""Of real time: twenty minutes of bars."""


async def look(
    sandbox: Sandbox,
    adapter_class: type[ExchangeAdapter],
    recorder: Recorder | None = None,
    pair: str | None = None,
    seconds: float = SECONDS,
) -> list[Fact]:
    """The facts after a short look at the sandbox."""
    clock, endpoints = await sandbox_clock(sandbox.url), Endpoints(sandbox.url)
    async with Rest(endpoints) as rest:
        checker = Checker(adapter_class, pair, seconds, rest, endpoints, clock, recorder)
        return facts(await checker.run())


async def overstepped(sandbox: Sandbox, market: str) -> Any:
    """Which limits of the market were overstepped."""
    async with (
        aiohttp.ClientSession(sandbox.url) as http,
        http.get("/-/journal", params={"market": market}) as reply,
    ):
        return (await reply.json())["overstepped"]


def failing(market: str, folder: Path) -> list[str]:
    """What the conformance suite says of the items in the folder."""
    with evidence(folder):
        found = suite.outcomes(exchanges.get(market), {})
    return [str(each.failure) for each in found if each.failure]


SEEN = {
    "binance_spot": {"WebSocket", "close", "equal", "unknown pair, WebSocket"},
    "coinbase_exchange": set(),
    "kucoin_spot": {"WebSocket", "close", "equal", "unknown pair, WebSocket"},
}
"""Of each market the facts of streams that are told by at least one interval."""


@pytest.mark.parametrize("market", SEEN)
async def test_a_pretend_exchange_agrees_and_its_items_pass(market: str, tmp_path: Path) -> None:
    """Nothing differs, no limit is overstepped, and what was saved passes the conformance suite."""
    recorder = Recorder(market, "made up", "the sandbox")
    async with Sandbox(port=0, speed=SPEED, seed=3, start=BEGIN) as sandbox:
        found = await look(sandbox, exchanges.get(market), recorder)
        assert await overstepped(sandbox, market) == []

    assert [each for each in found if each.verdict == "differs"] == []
    agreeing = {each.name for each in found if each.verdict == "agrees"}
    everywhere = {"instruments", "REST", "unknown pair, REST", "grid", "limits"}
    assert everywhere | SEEN[market] <= agreeing
    read = [each.interval for each in found if each.name == "REST" and each.verdict == "agrees"]
    assert read == exchanges.get(market)().get_rest_supported_intervals()

    assert recorder.write(tmp_path) > 5
    assert failing(market, tmp_path) == []


def lying(market: str, **said: Any) -> type[ExchangeAdapter]:
    """The market's adapter with facts that are not so."""
    return type("Lying", (exchanges.get(market),), said)


@pytest.mark.parametrize(
    ("said", "name"),
    [({"close_flag": False}, "close"), ({"anchors": {"1m": 7}}, "grid")],
)
async def test_a_fact_that_is_not_so_differs(said: dict[str, Any], name: str) -> None:
    """What the adapter says wrongly is told, and nothing else is."""
    async with Sandbox(port=0, speed=SPEED, seed=3, start=BEGIN) as sandbox:
        found = await look(sandbox, lying("binance_spot", **said))

    assert {each.name for each in found if each.verdict == "differs"} == {name}


async def test_an_interval_that_is_not_offered_differs() -> None:
    """One subscription is refused, and harms no other."""
    offered = getattr(exchanges.get("okx_spot"), "ws_intervals")  # noqa: B009 - of the plain base
    intervals = {"1m": offered["1m"], "7m": "candle7m", "1h": offered["1h"]}
    wrong = lying("okx_spot", ws_intervals=intervals)
    async with Sandbox(port=0, speed=SPEED, seed=3, start=BEGIN) as sandbox:
        found = await look(sandbox, wrong)

    streams = {each.interval: each for each in found if each.name == "WebSocket"}
    verdicts = {interval: each.verdict for interval, each in streams.items()}
    assert verdicts == {"1m": "agrees", "7m": "differs", "1h": "agrees"}
    assert streams["7m"].seen.startswith("refused: ")


async def test_a_pair_that_is_not_listed_is_wrong_use() -> None:
    """The nearest names are told."""
    async with Sandbox(port=0, speed=SPEED, start=BEGIN) as sandbox:
        with pytest.raises(UsageError, match=r"lists no BTC-USDX; did you mean BTC-USD"):
            await look(sandbox, exchanges.get("coinbase_exchange"), pair="BTC-USDX")


def parsed(printed: str) -> list[dict[str, Any]]:
    """What --json prints."""
    return list(json.loads(printed))


async def test_the_command(tmp_path: Path) -> None:
    """Facts in JSON, items in a folder, status 0; a second run does not mix the items."""
    async with Sandbox(port=0, speed=SPEED, start=BEGIN) as sandbox:
        words = ("check", "coinbase_exchange", "--sandbox", sandbox.url, "--pair", "ETH-USD")
        program = await started(*words, "--save", str(tmp_path), "--json")
        status, printed, said = await ended(program)

    assert (status, {each["verdict"] for each in parsed(printed)}) == (0, {"agrees", "not seen"})
    assert re.search(r"\d+ items are in .*/coinbase_exchange\n", said)
    assert failing("coinbase_exchange", tmp_path) == []
    again = sentence(2, "check", "coinbase_exchange", "--save", str(tmp_path))
    assert "is not empty: name another folder" in again


@pytest.mark.parametrize(
    ("status", "words", "told"),
    [
        (2, "binance_spto", "'binance_spto' is not an exchange; did you mean binance_spot"),
        (2, "binance_spot --pair btc", "'btc' in .* is no trading pair"),
        (2, "binance_spot --seconds 0", "Invalid value for '--seconds'"),
        (1, "binance_spot --sandbox http://127.0.0.1:9", "nothing answers at"),
        (
            1,
            "coinbase_exchange --endpoint coinbase_exchange=ws://127.0.0.1:9,http://127.0.0.1:9",
            "coinbase_exchange: no answer from http://127.0.0.1:9/",
        ),
    ],
)
def test_what_goes_wrong_is_one_sentence(status: int, words: str, told: str) -> None:
    """Wrong use and an exchange that does not answer are a sentence each."""
    assert re.search(told, sentence(status, "check", *words.split()))
