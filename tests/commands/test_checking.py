"""`candles check` against a sandbox: what is seen, what is saved, and what is told."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from connectors import exchanges
from connectors.adapter import ExchangeAdapter
from connectors.commands.check import Fact, facts
from connectors.commands.checker import Checker
from connectors.commands.recorder import Recorder, new_folder
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


async def journal(sandbox: Sandbox, market: str) -> Any:
    """What the sandbox noted of the market."""
    async with (
        aiohttp.ClientSession(sandbox.url) as http,
        http.get("/-/journal", params={"market": market}) as reply,
    ):
        return await reply.json()


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
        assert (await journal(sandbox, market))["overstepped"] == []

    assert [each for each in found if each.verdict == "differs"] == []
    agreeing = {each.name for each in found if each.verdict == "agrees"}
    everywhere = {"instruments", "REST", "unknown pair, REST", "grid", "limits"}
    assert everywhere | SEEN[market] <= agreeing
    read = [each.interval for each in found if each.name == "REST" and each.verdict == "agrees"]
    assert read == exchanges.get(market)().get_rest_supported_intervals()

    assert recorder.write(new_folder(tmp_path, market)) > 5
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


async def test_without_a_list_a_pair_is_found_over_rest() -> None:
    """An exchange that lists nothing is asked for the usual pairs until it has rows of one."""
    nothing = lying("coinbase_exchange", listing=None)
    async with Sandbox(port=0, speed=SPEED, seed=3, start=BEGIN) as sandbox:
        found = await look(sandbox, nothing)

    verdicts = {each.name: each.verdict for each in found if each.name in ("instruments", "REST")}
    assert verdicts == {"instruments": "not seen", "REST": "agrees"}


async def test_where_there_is_no_room_the_stranger_waits() -> None:
    """With one connection allowed there is never a second; the unknown pair is asked for later."""
    base = exchanges.get("okx_spot")
    narrow = lying("okx_spot", limits=replace(base.limits, connections=1))
    async with Sandbox(port=0, speed=SPEED, seed=3, start=BEGIN) as sandbox:
        found = await look(sandbox, narrow, seconds=2.0)
        first, second = (await journal(sandbox, "okx_spot"))["connections"]

    assert first["closed_at"] <= second["opened_at"]
    (stranger,) = [each for each in found if each.name == "unknown pair, WebSocket"]
    assert stranger.verdict == "agrees"
    assert "doesn't exist" in stranger.seen


def fails(*_: Any) -> Any:
    """What an adapter does that is not finished."""
    raise KeyError("topic")


async def test_an_adapter_that_fails_is_told() -> None:
    """An error of its own ends its connection, and the rest is still looked at."""
    broken = lying("okx_spot", subscribe_messages=fails)
    async with Sandbox(port=0, speed=SPEED, seed=3, start=BEGIN) as sandbox:
        found = await look(sandbox, broken, seconds=1.0)

    differing = {each.name: each.seen for each in found if each.verdict == "differs"}
    assert differing == {"connections": "the adapter fails: KeyError('topic')"}
    assert {each.verdict for each in found if each.name == "REST"} == {"agrees"}


async def test_a_request_to_slow_down_is_told() -> None:
    """Whoever is told to slow down although limits were kept tells it as a difference."""
    async with Sandbox(port=0, speed=SPEED, seed=3, start=BEGIN) as sandbox:
        fault = {"market": "coinbase_exchange", "kind": "rate_limit", "match": "BTC-USD:5m"}
        async with (
            aiohttp.ClientSession(sandbox.url) as http,
            http.post("/-/faults", json=fault) as reply,
        ):
            assert reply.status == 200, await reply.text()
        found = await look(sandbox, exchanges.get("coinbase_exchange"))

    differing = {each.name for each in found if each.verdict == "differs"}
    assert differing == {"limits", "REST"}


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
