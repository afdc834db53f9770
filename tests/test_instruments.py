"""One exchange's list of instruments: had before all else, or later, without harm to others."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import structlog

from connectors import instruments, telemetry
from connectors.adapter import ExchangeAdapter
from connectors.errors import Blocked, ConnectorError, SlowDown, Unreachable
from connectors.instruments import TRIES, Instruments
from connectors.limits import Backoff
from connectors.line import BLOCKED_SECONDS
from connectors.model import Instrument
from tests.plain import Plain, until

BTC, ETH = Instrument("BTC-USDT", "BTCUSDT"), Instrument("ETH-USDT", "ETHUSDT")
ENDED = Instrument("ETH-USDT", "ETHUSDT", tradable=False, status="BREAK")
AWAY = Unreachable("plain: HTTP 503: busy")


class Exchange:
    """Lists what a test says, one answer after another, the last one for ever."""

    def __init__(self, *answers: list[Instrument] | ConnectorError) -> None:
        self.adapter: ExchangeAdapter = Plain()
        self.asked = 0
        self.used: list[Sequence[Instrument]] = []
        self.slowed: list[float | None] = []
        self._answers = list(answers)

    async def list_instruments(self) -> list[Instrument]:
        self.asked += 1
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, ConnectorError):
            raise answer
        return answer

    def use_instruments(self, rows: Sequence[Instrument]) -> None:
        self.used.append(rows)

    def slow_down(self, seconds: float | None) -> None:
        self.slowed.append(seconds)


class Log:
    """What was told."""

    def __init__(self) -> None:
        self.out = io.StringIO()
        telemetry.configure("json", stream=self.out)

    def told(self, *names: str) -> list[dict[str, Any]]:
        lines = map(json.loads, self.out.getvalue().splitlines())
        return [line for line in lines if line["event"] in names]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    """The log of one test, in which nothing has to be waited for long."""
    monkeypatch.setattr(instruments, "Backoff", lambda random, _: Backoff(random, 0.01, 0.02))
    monkeypatch.setattr(instruments, "AGAIN", 0.01)
    yield Log()
    structlog.reset_defaults()


def of(exchange: Exchange) -> Instruments:
    """The instruments of an exchange."""
    return Instruments(exchange, lambda: 0.0)


async def test_a_list_that_is_had_is_used(log: Log) -> None:
    """One answer is enough, and there is silence when all is well."""
    exchange = Exchange([BTC])
    listed = of(exchange)
    await listed.first()
    await listed.insist()
    assert (listed.failure, exchange.asked, exchange.used) == (None, 1, [[BTC]])
    assert log.out.getvalue() == ""


async def test_an_outage_of_a_moment_is_got_over(log: Log) -> None:
    """Trouble and limits are waited for; each failure is told with its reason."""
    exchange = Exchange(AWAY, SlowDown("plain: HTTP 429: ", 0.02), [BTC])
    listed = of(exchange)
    await listed.first()
    assert (listed.failure, exchange.used, exchange.slowed) == (None, [[BTC]], [0.02])
    reasons = [line["reason"] for line in log.told("instruments.failed")]
    assert reasons == ["plain: HTTP 503: busy", "plain: HTTP 429: "]


@pytest.mark.parametrize(
    ("error", "tries"),
    [(AWAY, TRIES), (SlowDown("too many", 0.0), TRIES), (SlowDown("banned", 3e5), 1)],
)
async def test_others_are_not_kept_waiting(log: Log, error: ConnectorError, tries: int) -> None:
    """After a few tries, or when told to wait for long, it is left for later."""
    exchange = Exchange(error)
    listed = of(exchange)
    await asyncio.wait_for(listed.first(), 5)
    assert (listed.failure, exchange.asked, exchange.used) == (error, tries, [])


async def test_an_exchange_that_never_answers_keeps_nobody_waiting(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However slowly it fails, there is a time after which the others begin."""
    monkeypatch.setattr(instruments, "PATIENCE", 0.05)
    exchange = Exchange([BTC])
    monkeypatch.setattr(exchange, "list_instruments", asyncio.Event().wait)
    listed = of(exchange)
    await asyncio.wait_for(listed.first(), 5)
    assert str(listed.failure) == "plain: no list of instruments in 0.05 s"


async def test_it_is_asked_again_until_it_lists(log: Log) -> None:
    """What was left for later is not given up, and its reason stays to be seen."""
    exchange = Exchange(*[AWAY] * (TRIES + 3), [BTC])
    listed = of(exchange)
    await listed.first()
    assert str(listed.failure) == str(AWAY)
    await asyncio.wait_for(listed.insist(), 5)
    assert (listed.failure, exchange.used) == (None, [[BTC]])
    assert len(log.told("instruments.failed")) == TRIES + 3


async def test_who_is_not_served_asks_once_in_a_quarter_of_an_hour(log: Log) -> None:
    """Blocked is not hammered: one sentence, then silence for 15 minutes."""
    exchange = Exchange(Blocked("plain: HTTP 451: not in your country"))
    listed = of(exchange)
    await listed.first()
    insisting = asyncio.create_task(listed.insist())
    await until(lambda: bool(log.told("instruments.failed")))
    await asyncio.sleep(0.05)  # what is tested is that nothing happens
    assert exchange.asked == 1
    (line,) = log.told("instruments.failed")
    assert line["again_in"] == BLOCKED_SECONDS == 900.0
    insisting.cancel()


async def test_a_pair_that_ends_is_told_once(log: Log) -> None:
    """The list is read again now and then: a carried pair's end and return are told, with why."""
    exchange = Exchange([BTC, ETH], [BTC, ENDED], [BTC, ENDED], AWAY, [BTC, ENDED], [BTC, ETH])
    watching = asyncio.create_task(of(exchange).watch(["ETH-USDT"]))
    await until(lambda: exchange.asked > 8)
    watching.cancel()
    told = log.told("pair.ended", "pair.resumed")
    assert [(line["event"], line["trading_pair"], line.get("status")) for line in told] == [
        ("pair.ended", "ETH-USDT", "BREAK"),
        ("pair.resumed", "ETH-USDT", None),
    ]
    assert exchange.used == [], "what runs goes on with what it knows"


async def test_a_list_that_cannot_be_right_is_told_and_changes_nothing(log: Log) -> None:
    """A list that has lost many carried pairs at once ends none of them."""
    exchange = Exchange([BTC])
    watching = asyncio.create_task(of(exchange).watch(["ETH-USDT", "DOT-USDT"]))
    await until(lambda: exchange.asked > 5)
    watching.cancel()
    assert log.told("pair.ended") == []
    assert "of 2 carried pairs 2 are listed no more" in log.told("instruments.failed")[0]["reason"]
