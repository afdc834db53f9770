"""The short form of the campaign: a few kinds of fault, one broker."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.stage import report
from tests.faults.campaign import campaign
from tests.faults.kinds import KINDS

pytestmark = pytest.mark.kafka

FEW = (
    "connector: kill -9",
    "broker: stutters",
    "connections: cut",
    "exchange: late_correction",
)


async def test_a_few_kinds_of_fault(tmp_path: Path, prefix: str, seed: int) -> None:
    """After each of a few faults nothing is lost, doubled, wrong, out of order or undeclared."""
    async with campaign(prefix, tmp_path, seed) as played:
        for name in FEW:
            amiss = await played.round(KINDS[name])
            fault, healing = played.seconds
            report(f"{name}, CANDLE_SEED={seed}: {fault:.0f} s + {healing:.0f} s")
            assert amiss.everything == [], name
        assert (await played.ended()).everything == []
        assert played.connector.remarks == []
