"""An audit of one exchange: the second look, and an exchange that is away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

import pytest

from connectors import exchanges
from connectors.adapter import RestReply, RestRequest
from connectors.commands.audit import Findings
from connectors.commands.auditor import Auditor
from connectors.commands.kept import Kept, Span
from connectors.coverage import Coverage
from connectors.errors import Blocked
from connectors.model import CandleData, Subscription
from connectors.records import CandleRecord, CoverageRecord
from connectors.rest import Rest
from tests.commands.test_audit import kept
from tests.commands.test_history import page
from tests.plain import START, Hands, Plain


class Topics:
    """Topics in which a candle is put right between two looks."""

    def __init__(self, *looks: dict[int, CandleRecord]) -> None:
        self._looks = list(looks)
        self.looked = 0

    async def coverage(self) -> dict[Subscription, CoverageRecord]:
        coverage = Coverage(START)
        coverage.publish(START, START + 60, 0, 0)
        one = Subscription("plain", "BTC-USDT", "1m")
        return {one: CoverageRecord(subscription=one, coverage=coverage)}

    async def closed(
        self, exchange: str, spans: Mapping[Subscription, Span]
    ) -> dict[Subscription, dict[int, CandleRecord]]:
        del exchange
        self.looked += 1
        return {each: self._looks[min(self.looked, len(self._looks)) - 1] for each in spans}


class Exchange:
    """A REST that has a bar for every minute, or that is away."""

    def __init__(self, away: bool = False) -> None:
        self._away = away
        self.asked = 0

    async def drive(self, exchange: str, dialogue: object) -> list[object]:
        del exchange, dialogue
        return []

    async def fetch(self, exchange: str, request: RestRequest) -> RestReply:
        del exchange
        self.asked += 1
        if self._away:
            return RestReply(451, {}, b"not here")
        return page(request)


async def audited(
    monkeypatch: pytest.MonkeyPatch, topics: Topics, rest: Exchange, pairs: Iterable[str]
) -> list[Findings]:
    """The findings of an audit of one minute."""
    monkeypatch.setattr(exchanges, "get", {"plain": Plain}.get)
    hands = Hands()
    clock = hands.clock()
    hands.real += 3_600
    wanted = [Subscription("plain", pair, "1m") for pair in pairs]
    auditor = Auditor(
        "plain", wanted, (START, START + 60), cast(Kept, topics), cast(Rest, rest), clock
    )
    return await auditor.run()


def minute(close: float) -> dict[int, CandleRecord]:
    """The first minute as Kafka has it."""
    return kept(CandleData(START, close, close, close, close, 1))


async def test_put_right_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is right at the second look is not reported; what agrees is looked at once."""
    righted, wrong, right = Topics(minute(7), minute(1)), Topics(minute(7)), Topics(minute(1))

    (first,) = await audited(monkeypatch, righted, Exchange(), ["BTC-USDT"])
    (second,) = await audited(monkeypatch, wrong, Exchange(), ["BTC-USDT"])
    (third,) = await audited(monkeypatch, right, Exchange(), ["BTC-USDT"])

    assert [each.amiss for each in (first, second, third)] == [False, True, False]
    assert [each.looked for each in (righted, wrong, right)] == [2, 2, 1]


async def test_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exchange that does not serve this address is asked once, whatever is to be compared."""
    rest = Exchange(away=True)

    found = await audited(monkeypatch, Topics(minute(1)), rest, ["BTC-USDT", "BTC-USDT"])

    assert rest.asked == 1
    assert [each.unread for each in found] == ["plain: HTTP 451: not here"] * 2


async def test_instruments_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the list of instruments cannot be had nothing is compared."""
    rest = Exchange()

    async def refuse(exchange: str, dialogue: object) -> list[object]:
        raise Blocked("plain: HTTP 451")

    monkeypatch.setattr(rest, "drive", refuse)

    (found,) = await audited(monkeypatch, Topics(minute(1)), rest, ["BTC-USDT"])

    assert (found.unread, rest.asked) == ("plain: HTTP 451", 0)
