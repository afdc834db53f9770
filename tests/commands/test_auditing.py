"""`candles audit`: against a sandbox's REST, and one sentence for each thing that is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, cast

import aiohttp
import pytest

from connectors import exchanges
from connectors.commands.audit import Findings
from connectors.commands.auditing import notes
from connectors.coverage import Coverage
from connectors.model import CandleData, Subscription
from connectors.records import CoverageRecord, CoverageState
from connectors.sandbox.server import Sandbox
from tests.plain import Plain
from tests.test_cli import _own_log, ended, heard, sentence, started  # noqa: F401 - puts the log back
from tests.written import Written

BUSY = Subscription("binance_spot", "BTC-USDT", "1m")
CONTRACTS = Subscription("okx_perpetual", "ETH-USDT", "1m")
QUIET = Subscription("kucoin_perpetual", "ALGO-USDT", "1m")
BEGIN, SLOTS = 1_795_608_000, 240
"""Of the coverage in these tests; more than one page of each exchange but the first."""

Change = Callable[[CandleData], CandleData | None]


class Stage:
    """A sandbox, and topics that have what a connector would have written of its bars."""

    def __init__(self, sandbox: Sandbox, written: Written) -> None:
        self.sandbox = sandbox
        self.written = written

    async def truth(self, subscription: Subscription) -> list[CandleData]:
        """The true bars of all slots, oldest first."""
        path = "/".join(["/-/truth", *subscription])
        bounds = {"start": BEGIN, "end": BEGIN + 60 * SLOTS}
        async with (
            aiohttp.ClientSession(self.sandbox.url) as http,
            http.get(path, params=bounds) as reply,
        ):
            rows = (await reply.json())["candles"]
        left_out = {"open_time", "close_time", "revision"}
        return [
            CandleData(row["open_time"], **{name: row[name] for name in row.keys() - left_out})
            for row in rows
        ]

    async def carry(
        self,
        subscription: Subscription,
        change: Change = lambda candle: candle,
        missing: Iterable[int] = (),
    ) -> None:
        """Write the true bars as ``change`` makes them; slots of ``missing`` are declared."""
        coverage = Coverage(BEGIN)
        bars = {each.timestamp: each for each in await self.truth(subscription)}
        for slot in range(BEGIN, BEGIN + 60 * SLOTS, 60):
            bar = bars.get(slot)
            if slot in missing:
                coverage.miss(slot, slot + 60, "REST has not given it", BEGIN)
            elif bar is not None and (changed := change(bar)) is not None:
                coverage.publish(slot, slot + 60, 0, 0)
                self.written.write(self.written.candle(subscription, changed))
            else:
                coverage.empty(slot, slot + 60)
        self.cover(CoverageRecord(subscription=subscription, coverage=coverage))

    def cover(self, record: CoverageRecord) -> None:
        """Write coverage."""
        self.written.write(self.written.coverage(record))

    async def audit(self, *words: object) -> tuple[int | None, str, str]:
        """Exit status, stdout and stderr of the program."""
        return await ended(await started("audit", *map(str, words), *self.place))

    @property
    def place(self) -> list[str]:
        """The flags that point the program here."""
        return [*self.written.flags, "--sandbox", self.sandbox.url, "--log-format", "json"]

    async def misbehave(self, **order: Any) -> str:
        """Order a fault; its name."""
        async with (
            aiohttp.ClientSession(self.sandbox.url) as http,
            http.post("/-/faults", json=order) as reply,
        ):
            assert reply.status == 200, await reply.text()
            return str((await reply.json())["id"])

    async def behave(self, fault: str) -> None:
        """End a fault."""
        async with (
            aiohttp.ClientSession(self.sandbox.url) as http,
            http.delete(f"/-/faults/{fault}") as reply,
        ):
            assert reply.status == 200, await reply.text()

    async def overstepped(self) -> list[Any]:
        """The limits that the sandbox has seen exceeded."""
        async with (
            aiohttp.ClientSession(self.sandbox.url) as http,
            http.get("/-/journal") as reply,
        ):
            return cast(list[Any], (await reply.json())["overstepped"])


@pytest.fixture
async def stage(kafka: str, prefix: str) -> AsyncIterator[Stage]:
    """A sandbox some minutes after the last bar of these tests, and topics for its bars."""
    written = Written(kafka, prefix)
    await written.create(*(each.exchange for each in (BUSY, CONTRACTS, QUIET)))
    async with Sandbox(0, start=BEGIN + 60 * SLOTS + 900.0) as sandbox:
        yield Stage(sandbox, written)


def seconds(slot: int) -> int:
    """The open time of a slot that is given by its number."""
    return BEGIN + 60 * slot


@pytest.mark.kafka
async def test_everything_agrees(stage: Stage) -> None:
    """What a connector has written agrees with REST, which is read page by page in its limits."""
    wanted = (BUSY, CONTRACTS, QUIET)
    for each in wanted:
        await stage.carry(each)
    until = str(seconds(SLOTS))

    status, printed, said = await stage.audit(*wanted, "--to", until, "--json")
    table = await stage.audit(*wanted, "--from", "2026-11-25T12:00", "--to", until)

    assert (status, said) == (0, "")
    found = {each["subscription"]: each for each in map(json.loads, printed.splitlines())}
    assert list(found) == sorted(map(str, wanted))
    for each in found.values():
        assert (each["from"], each["to"]) == (BEGIN * 1000, seconds(SLOTS) * 1000)
        assert each["agreement"] == 1
        assert not each["differing"] + each["lacking_in_kafka"] + each["lacking_on_rest"]
    counts = [found[str(each)]["compared"] for each in wanted]
    assert counts[:2] == [SLOTS, SLOTS]
    assert 0 < counts[2] < SLOTS  # it is hardly traded
    assert (table[0], table[2]) == (0, "")
    assert re.search(rf"{BUSY} .* {SLOTS} +{SLOTS} +100.0000% +0 +0 +0 +0 *\n", table[1])
    assert await stage.overstepped() == []


@pytest.mark.kafka
async def test_what_is_amiss(stage: Stage) -> None:
    """A wrong figure, a lost candle and an invented one are found; a declared hole is told."""
    wrong, lost, declared = seconds(3), seconds(110), seconds(7)

    def spoil(candle: CandleData) -> CandleData | None:
        if candle.timestamp == wrong:
            candle.close += 0.5
        return None if candle.timestamp == lost else candle

    await stage.carry(CONTRACTS, spoil, missing=[declared])
    await stage.carry(QUIET)
    traded = {each.timestamp for each in await stage.truth(QUIET)}
    invented = next(slot for slot in range(BEGIN, seconds(SLOTS), 60) if slot not in traded)
    stage.written.write(stage.written.candle(QUIET, CandleData(invented, 1, 1, 1, 1, 5)))
    span = ["--from", BEGIN, "--to", seconds(SLOTS)]

    status, printed, said = await stage.audit(CONTRACTS, QUIET, *span, "--json")
    table = await stage.audit(CONTRACTS, QUIET, *span)

    quiet, contracts = map(json.loads, printed.splitlines())
    (difference,) = contracts["differing"]
    assert difference["open_time"] == wrong * 1000
    figures = difference["figures"]["close"]
    assert list(difference["figures"]) == ["close"]
    assert figures["kafka"] == figures["rest"] + 0.5
    assert (contracts["compared"], contracts["agreeing"]) == (SLOTS - 2, SLOTS - 3)
    assert [(each["from"], each["declared"]) for each in contracts["lacking_in_kafka"]] == [
        (declared * 1000, "REST has not given it"),
        (lost * 1000, None),
    ]
    assert [each["from"] for each in quiet["lacking_on_rest"]] == [invented * 1000]
    expected = (
        "candles: Kafka and the exchange do not agree: 1 differing, "
        "1 missing in Kafka without being declared, 1 in Kafka only\n"
    )
    assert (status, said) == (table[0], table[2]) == (1, expected)
    assert (
        f"{CONTRACTS}: 2026-11-25 12:07: missing in Kafka, declared: REST has not given it\n"
        f"{CONTRACTS}: 2026-11-25 13:50: missing in Kafka\n"
    ) in table[1]


@pytest.mark.kafka
async def test_the_newest(stage: Stage) -> None:
    """Without a range the newest slots in coverage are compared that closed long enough ago."""
    await stage.carry(BUSY)
    ended_at = seconds(SLOTS)
    record = CoverageRecord(
        subscription=CONTRACTS, coverage=Coverage(ended_at), state=CoverageState.ENDED
    )
    stage.cover(record)

    status, printed, said = await stage.audit(BUSY, CONTRACTS, "--json")

    busy, contracts = map(json.loads, printed.splitlines())
    assert status == 1, said
    assert busy["to"] > ended_at * 1000, "bars after the head closed long ago: they must be there"
    assert [each["from"] for each in busy["lacking_in_kafka"]] == [ended_at * 1000]
    assert contracts["not_compared"].startswith("of what was asked for, no bar lies between the b")
    assert "1 subscription" not in said


@pytest.mark.kafka
async def test_rate_limit(stage: Stage) -> None:
    """A 429 is waited out, then everything is compared."""
    await stage.carry(BUSY)
    fault = await stage.misbehave(
        kind="rate_limit", market=BUSY.exchange, match="BTC-USDT:1m", retry_after=1
    )

    program = await started("audit", str(BUSY), "--to", str(seconds(SLOTS)), *stage.place, "--json")
    failed = json.loads(await heard(program, "rest.failed"))
    await stage.behave(fault)
    status, printed, _ = await ended(program)

    assert "429" in failed["reason"]
    assert status == 0
    assert json.loads(printed)["agreeing"] == SLOTS


@pytest.mark.kafka
async def test_refused_by_rest(stage: Stage) -> None:
    """A pair that the exchange does not know any more is told, and harms no other."""
    await stage.carry(BUSY)
    gone = Subscription(BUSY.exchange, "NOPE-USDT", "1m")
    stage.cover(CoverageRecord(subscription=gone, coverage=Coverage(BEGIN)))

    status, printed, said = await stage.audit(gone, BUSY, "--to", seconds(SLOTS))

    assert (status, said) == (1, "candles: 1 subscription could not be compared\n")
    assert re.search(rf"{BUSY} .* 100.0000%", printed)
    assert re.search(rf"{gone}: not compared: binance_spot: REST refuses this: .*symbol", printed)


@pytest.mark.kafka
async def test_nothing_to_compare(stage: Stage) -> None:
    """Where nothing of what was asked for can be compared, that is a failure."""
    stage.cover(CoverageRecord(subscription=BUSY, coverage=Coverage(seconds(SLOTS + 10))))
    refused = CoverageRecord(subscription=QUIET, state=CoverageState.REFUSED, reason="unlisted")
    stage.cover(refused)

    young = await stage.audit(BUSY)
    never = await stage.audit(QUIET)

    assert (young[0], young[2]) == (
        1,
        "candles: there was nothing to compare: see why with each subscription\n",
    )
    assert "no bar lies between the begin of coverage, 2026-11-25 16:10, and 2026" in young[1]
    assert (never[0], never[2]) == (1, "candles: 1 subscription could not be compared\n")
    assert "nothing of it was ever carried: refused: unlisted" in never[1]


@pytest.mark.kafka
async def test_unknown(stage: Stage) -> None:
    """What has no coverage is wrong use."""
    stage.cover(CoverageRecord(subscription=BUSY, coverage=Coverage(BEGIN)))

    status, printed, said = await stage.audit(CONTRACTS)

    assert (status, printed) == (2, "")
    assert said.startswith(f"candles: there is no coverage of {CONTRACTS} under the prefix ")


# --- wrong use


@pytest.mark.parametrize(
    ("words", "right"),
    [
        ("", "Missing argument 'SUBSCRIPTION…'"),
        ("binance_spot", "'binance_spot' is not a subscription: write exchange:BASE-QUOTE:interv"),
        ("binance_spto:BTC-USDT:1m", "'binance_spto' is not an exchange; did you mean binance_s"),
        ("binance_spot:BTC-USDT:7m", "binance_spot has no interval 7m; it has 1s 1m 3m"),
        (f"{BUSY}", "where is Kafka[?] Say it with --kafka host:port"),
        (f"{BUSY} --from now", "--from 'now' is no time: write it in ISO 8601, like 2026-11-25T12"),
        (f"{BUSY} --from 5 --to 5", "--from 5 is not before --to 5: write an earlier --from"),
    ],
)
def test_wrong_use(words: str, right: str) -> None:
    """Wrong use is one sentence that says what would be right, and status 2."""
    assert re.search(right, sentence(2, "audit", *words.split()))


class Unrepairable(Plain):
    """An exchange with an interval that REST does not have."""

    def get_rest_supported_intervals(self) -> list[str]:
        return ["1m", "5m"]


def test_no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interval that REST does not have cannot be audited, and those that it has are told."""
    monkeypatch.setattr(exchanges, "get", {"plain": Unrepairable}.get)

    assert sentence(2, "audit", "plain:BTC-USDT:1h", "--kafka", "127.0.0.1:9") == (
        "plain:BTC-USDT:1h: plain has no 1h over REST to compare with; it has 1m 5m"
    )


def test_kafka_unreachable() -> None:
    """Where Kafka does not answer, that is all that is said."""
    said = sentence(1, "audit", str(BUSY), "--kafka", "127.0.0.1:9")

    assert said.startswith("nothing answers at 127.0.0.1:9 (Connection refused)")


# --- for people


def test_notes() -> None:
    """For people everything that is amiss is told in the order of time, why nothing is first."""
    assert notes(Findings(BUSY, unread="no answer")) == ["not compared: no answer"]
    assert notes(Findings(BUSY, idle="too young")) == ["not compared: too young"]
