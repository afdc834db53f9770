"""`candles coverage`: table, JSON, exit status, and one sentence for each thing that is wrong."""

from __future__ import annotations

import asyncio
import json
import re
import time

import pytest

from connectors.commands.coverage import grid_for
from connectors.model import Subscription, grid_of
from connectors.records import CoverageRecord, CoverageState
from tests.commands.test_inventory import START, covered
from tests.test_cli import _own_log, call, sentence  # noqa: F401 - puts the log back
from tests.written import Written

ONE = Subscription("binance_spot", "BTC-USDT", "1m")
OTHER = Subscription("okx_spot", "ETH-USDT", "5m")
REFUSED = Subscription("okx_spot", "NOPE-USDT", "1m")


@pytest.fixture
def topics(kafka: str, prefix: str) -> Written:
    """Topics with the coverage of three subscriptions, one of them with holes."""
    written = Written(kafka, prefix)
    asyncio.run(written.create())
    holed = covered(("published", 2), ("worker [away]", 3), ("given up", 1), ("empty", 4))
    whole = covered(("published", 7), start=START, step=300)
    refused = CoverageRecord(
        subscription=REFUSED, state=CoverageState.REFUSED, reason="okx_spot lists no NOPE-USDT"
    )
    written.write(
        written.coverage(CoverageRecord(subscription=None, owner="somebody")),
        written.coverage(CoverageRecord(subscription=ONE, coverage=holed)),
        written.coverage(CoverageRecord(subscription=OTHER, coverage=whole)),
        written.coverage(refused),
    )
    return written


@pytest.mark.kafka
def test_table(topics: Written) -> None:
    """People get a row for each subscription, the total, and each hole with since and reason."""
    status, printed, said = call("coverage", *topics.flags)

    assert status == 1
    lines = [re.split(r"  +", line.strip()) for line in printed.splitlines() if line.strip()]
    first, second, third, total = lines[2:6]
    assert first[:9] == [
        *("binance_spot:BTC-USDT:1m", "active", "2026-11-25 12:00", "2026-11-25 12:10"),
        *("6", "2", "4", "3", "1"),
    ]
    assert second[:9] == [
        *("okx_spot:ETH-USDT:5m", "active", "2026-11-25 12:00", "2026-11-25 12:35"),
        *("7", "7", "0", "0", "0"),
    ]
    assert third[:5] == ["okx_spot:NOPE-USDT:1m", "refused", "–", "–", "0"]
    assert total[:6] == ["total", "13", "9", "4", "3", "1"]
    since = "since 2026-11-25 12:00:07"
    assert printed.splitlines()[-3:] == [
        f"{ONE}: 2026-11-25 12:02 to 2026-11-25 12:05, {since}: 3 slots missing: worker [away]",
        f"{ONE}: 2026-11-25 12:05 to 2026-11-25 12:06, {since}: 1 slot given up: too old",
        "okx_spot:NOPE-USDT:1m: refused: okx_spot lists no NOPE-USDT",
    ]
    assert said == (
        "candles: 4 slots of 1 subscription not published, in 2 holes; "
        "1 of these slots are given up\n"
    )


@pytest.mark.kafka
def test_json(topics: Written) -> None:
    """With --json there is an object a line, the total last; the exit status is the same."""
    status, printed, said = call("coverage", "--json", *topics.flags)

    *each, total = map(json.loads, printed.splitlines())
    assert (status, said.count("\n")) == (1, 1)
    assert [one["subscription"] for one in each] == [str(ONE), str(OTHER), str(REFUSED)]
    assert [hole["reason"] for hole in each[0]["holes"]] == ["worker [away]", "too old"]
    assert (total["total"]["holes"], total["total"]["incomplete"]) == (2, 1)


@pytest.mark.kafka
def test_no_hole(topics: Written) -> None:
    """Where nothing of what was asked for is missing the exit status is 0, without a word."""
    for word, number in (("okx_spot", 2), (str(OTHER), 1)):
        status, printed, said = call("coverage", word, "--json", *topics.flags)

        assert (status, said) == (0, "")
        assert len(printed.splitlines()) == number + 1


@pytest.mark.kafka
def test_behind(topics: Written) -> None:
    """Slots that are over by the clock and not decided yet are told, of what is carried."""
    before = (time.time() - START) // 300 - 7
    _, printed, _ = call("coverage", "okx_spot", "--json", *topics.flags)
    after = (time.time() - START) // 300 - 7

    carried, refused, _ = map(json.loads, printed.splitlines())
    assert max(0, before) <= carried["behind"] <= max(0, after)
    assert refused["behind"] == 0


@pytest.mark.kafka
def test_unknown(topics: Written) -> None:
    """What has no coverage is wrong use; the nearest names are told."""
    assert sentence(2, "coverage", "binance_spot:BTC-USDT:3m", *topics.flags) == (
        f"there is no coverage of binance_spot:BTC-USDT:3m under the prefix {topics.plan.prefix}; "
        "did you mean binance_spot:BTC-USDT:1m?"
    )


@pytest.mark.kafka
def test_nothing(kafka: str, prefix: str) -> None:
    """Where nothing was ever carried that is one sentence, whether there is a topic or not."""
    written = Written(kafka, prefix)

    without = sentence(1, "coverage", *written.flags)
    asyncio.run(written.create())
    empty = sentence(1, "coverage", *written.flags)

    assert without.startswith(f"Kafka at {kafka} has no topic {prefix}.coverage.fixed")
    assert empty == (
        f"there is no coverage under the prefix {prefix}: nothing was carried there yet"
    )


@pytest.mark.parametrize(
    ("words", "right"),
    [
        ("coverage", "where is Kafka[?] Say it with --kafka host:port"),
        ("coverage binance_spto", "'binance_spto' is not an exchange; did you mean binance_spot"),
        ("coverage a:b", "'a:b' is not a subscription: write exchange:BASE-QUOTE:interval"),
    ],
)
def test_wrong_use(words: str, right: str) -> None:
    """Wrong use is one sentence that says what would be right, and status 2."""
    assert re.search(right, sentence(2, *words.split()))


def test_kafka_unreachable() -> None:
    """Where Kafka does not answer, that is all that is said."""
    said = sentence(1, "coverage", "--kafka", "127.0.0.1:9")

    assert said.startswith("nothing answers at 127.0.0.1:9 (Connection refused)")


@pytest.mark.parametrize("name", ["nobody:BTC-USDT:4h", "binance_spot:BTC-USDT:9h"])
def test_grid_of_a_stranger(name: str) -> None:
    """Of an exchange or interval that this program does not know the usual grid is taken."""
    subscription = Subscription.parse(name)

    assert grid_for(subscription) == grid_of(subscription.interval)
