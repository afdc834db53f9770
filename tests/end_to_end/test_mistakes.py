"""What is wrong is said in one sentence before any WebSocket is opened."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from connectors import instruments
from connectors.limits import Backoff
from connectors.sandbox.process import free_ports
from tests.end_to_end.program import Program, flags
from tests.end_to_end.stage import Stage

pytestmark = pytest.mark.kafka


async def test_an_unknown_pair(stage: Stage, tmp_path: Path) -> None:
    """The nearest name is told; of the exchange only the list of instruments was asked for."""
    program = Program(tmp_path, ["run", "binance_spot:BTC-UDST:1m", *flags(stage)])
    await program.ended()
    journal = await stage.journal()
    assert (journal["connections"], list(journal["requests"])) == (
        [],
        ["binance_spot/api/v3/exchangeInfo"],
    )
    (line,) = program.wrote.strip().splitlines()
    assert "binance_spot lists no BTC-UDST; did you mean BTC-USDT" in line
    assert program.status == 2


async def test_an_unreachable_kafka(stage: Stage, tmp_path: Path) -> None:
    """Without a Kafka a run ends soon, names its address, and has asked no exchange anything."""
    (port,) = free_ports(1)
    stage.kafka = f"127.0.0.1:{port}"
    program = Program(tmp_path, ["run", "binance_spot:BTC-USDT:1m", *flags(stage)])
    await program.ended(20.0)
    assert program.status == 1
    (line,) = program.wrote.strip().splitlines()
    assert stage.kafka in line
    journal = await stage.journal()
    assert (journal["connections"], journal["requests"]) == ([], {})


async def test_one_bad_wish_among_many(stage: Stage) -> None:
    """A pair that is not listed on one exchange keeps all from being connected to."""
    wishes = ["okx_spot:BTC-USDT:1m", "kucoin_perpetual:BTC-USDC:1m"]
    with pytest.raises(
        Exception, match="kucoin_perpetual lists no BTC-USDC; did you mean BTC-USDT"
    ):
        async with stage.running(wishes):
            await asyncio.sleep(0)
    assert (await stage.journal())["connections"] == []


async def test_an_exchange_that_comes_late(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cannot list its instruments: the other begins, and of both nothing is lost."""
    monkeypatch.setattr(instruments, "Backoff", lambda random, _: Backoff(random, 0.2, 1.0))
    wishes = ["okx_spot:BTC-USDT:1m", "binance_spot:BTC-USDT:1m"]
    await stage.misbehave("server_error", market="okx_spot")
    async with stage.running(wishes):
        began = stage.market
        await stage.reach(began + 300)
        assert {each["market"] for each in (await stage.journal())["connections"]} == {
            "binance_spot"
        }
        await stage.behave()
        await stage.reach(began + 600)
        findings = await stage.complete(stage.market - 120)
    assert findings.amiss == []
