"""What is wrong is said in one sentence before any WebSocket is opened."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple

import pytest

from connectors.sandbox.process import free_ports
from tests.end_to_end.program import Program, flags
from tests.end_to_end.stage import Stage

pytestmark = pytest.mark.kafka


class Mistake(NamedTuple):
    """What is asked for, and what has to be said; ``requests``: which paths may be asked for."""

    wish: str
    status: int
    sentence: str
    requests: frozenset[str] = frozenset()


MISTAKES = [
    Mistake(
        "binance_spot:BTC-UDST:1m",
        2,
        "binance_spot:BTC-UDST:1m: binance_spot lists no BTC-UDST; did you mean BTC-USDT",
        frozenset({"binance_spot/api/v3/exchangeInfo"}),
    ),
    Mistake("binanse_spot:BTC-USDT:1m", 2, "did you mean binance_spot"),
    Mistake("okx_spot:BTC-USDT:7m", 2, "okx_spot has no interval 7m; it has 1s 1m 3m"),
    Mistake("okx_spot:BTC-USDT", 2, "BTC-USDT"),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.wish)
async def test_a_mistake(stage: Stage, tmp_path: Path, mistake: Mistake) -> None:
    """One sentence says what would be right; of the exchange only the instruments were asked."""
    program = Program(tmp_path, ["run", mistake.wish, *flags(stage)])
    await program.ended()
    journal = await stage.journal()
    assert journal["connections"] == []
    assert mistake.requests == set(journal["requests"])
    (line,) = program.wrote.strip().splitlines()
    assert mistake.sentence in line
    assert mistake.status == program.status


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
    wishes = ["okx_spot:BTC-USDT:1m", "kucoin_perpetual:BTC-USD:1m"]
    with pytest.raises(Exception, match="kucoin_perpetual lists no BTC-USD; did you mean BTC-USDT"):
        async with stage.running(wishes):
            await asyncio.sleep(0)
    assert (await stage.journal())["connections"] == []
