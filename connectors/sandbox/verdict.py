"""Whether what lies in Kafka equals the truth: a pure comparison, and fetching the truth.

    verdict = await judge(sandbox_url, wishes, found, until=stopped - grace(speed))
    print(verdict)                    # closed 412 · equal 412 · lost 0 · doubled 0 · wrong 0

*Expected* is every true closed bar of every wish that was running or still to come when the wish
was accepted, and that closed before ``until``. *Found* is what a read-committed consumer found in
the closed topics, in the order of each partition. The newest revision counts. Where a market's
stream leaves out bars without trades, flat bars that its history has may be there or not. It is
reckoned from the wishes and the truth, never from coverage.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isclose
from typing import Any, Final

import aiohttp

from connectors.errors import Unreachable
from connectors.model import Interval, Subscription
from connectors.records import CandleRecord

LATENESS: Final = 30.0
"""Market seconds after its close within which every exchange's closed candle can be had: frames of
KuCoin's futures come 20.5 s late."""
SLACK: Final = 3.0
"""Real seconds that a closed candle may take on its way, polls and REST confirmation included."""
AT_ONCE: Final = 8
LONGEST_MONTHS: Final = 31 / 30
"""The bar that runs at a time opened at most this much of its nominal length before."""
_REASONS: Final = 20  # so many are kept of what was not right

PRICES: Final = ("open", "high", "low", "close")
VOLUMES: Final = (
    "volume",
    "quote_asset_volume",
    "n_trades",
    "taker_buy_base_volume",
    "taker_buy_quote_volume",
)


def grace(speed: float) -> float:
    """Market seconds before a stop in which a bar may close without being expected."""
    return LATENESS + SLACK * speed


@dataclass(frozen=True, slots=True)
class TrueBar:
    """A closed bar as the sandbox knows it: times in UNIX seconds, figures by name or None.

    ``needed``: it is lost where it is not there.
    """

    open_time: int
    close_time: int
    figures: Mapping[str, float | None]
    needed: bool = True

    @classmethod
    def read(cls, row: Mapping[str, Any], *, skips: bool) -> TrueBar:
        """From a row of ``/-/truth``; ``skips``: the stream leaves out bars without trades."""
        figures = {name: row[name] for name in (*PRICES, *VOLUMES)}
        return cls(row["open_time"], row["close_time"], figures, bool(row["volume"]) or not skips)


Truth = Mapping[Subscription, Sequence[TrueBar]]


@dataclass(slots=True)
class Verdict:
    """The comparison in numbers; its text is the demo's last line.

    ``closed`` were expected; ``equal`` of them were found as they are, ``lost`` not at all.
    ``doubled`` are records of a (subscription, open time, revision) beyond its first. ``wrong``
    are candles with other values than the truth, or that the truth does not have. Apart from
    those: ``revisions``, ``late`` ones, and ``unordered`` ones, which are not late and yet older
    than one before them.
    """

    closed: int = 0
    equal: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    revisions: int = 0
    late: int = 0
    unordered: int = 0
    reasons: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether something was expected and nothing at all is amiss."""
        amiss = self.lost, self.doubled, self.wrong, self.unordered
        return self.closed > 0 and self.equal == self.closed and not any(amiss)

    def __str__(self) -> str:
        return (
            f"closed {self.closed} · equal {self.equal} · lost {self.lost} · "
            f"doubled {self.doubled} · wrong {self.wrong}"
        )

    def notes(self) -> list[str]:
        """What is to be told beside the text: reasons, and the counts that are not zero."""
        counts = {
            "out of order": self.unordered,
            "late": self.late,
            "revisions": self.revisions,
        }
        return [*self.reasons, *(f"{name} {count}" for name, count in counts.items() if count)]

    def because(self, reason: str) -> None:
        """Keep why something is amiss, of the first few."""
        if len(self.reasons) < _REASONS:
            self.reasons.append(reason)


def compare(
    wishes: Mapping[Subscription, float],
    truth: Truth,
    found: Iterable[CandleRecord],
    until: float,
) -> Verdict:
    """Compare what was found with the truth.

    ``wishes`` gives the market time at which each was accepted; bars that close after ``until``
    are not expected, yet must be true where they are there. ``truth`` has to reach from the oldest
    bar found to now.
    """
    verdict = Verdict()
    records: dict[Subscription, list[CandleRecord]] = defaultdict(list)
    for record in found:
        records[record.subscription].append(record)
    for subscription in sorted({*wishes, *records}):
        bars = {bar.open_time: bar for bar in truth.get(subscription, ())}
        accepted = wishes.get(subscription, inf)
        expected = {
            slot for slot, bar in bars.items() if bar.needed and accepted < bar.close_time <= until
        }
        _compare_one(verdict, str(subscription), expected, bars, records[subscription])
    return verdict


def _compare_one(
    verdict: Verdict,
    name: str,
    expected: set[int],
    bars: Mapping[int, TrueBar],
    records: Sequence[CandleRecord],
) -> None:
    newest = _newest(verdict, name, records)
    wrong = {
        slot: reason
        for slot, record in newest.items()
        if (reason := difference(record, bars.get(slot)))
    }
    verdict.closed += len(expected)
    verdict.lost += len(expected - newest.keys())
    verdict.wrong += len(wrong)
    verdict.equal += len((expected & newest.keys()) - wrong.keys())
    for slot in sorted(expected - newest.keys()):
        verdict.because(f"lost: {name} at {slot}")
    for slot, reason in sorted(wrong.items()):
        verdict.because(f"wrong: {name} at {slot}: {reason}")


def _newest(
    verdict: Verdict, name: str, records: Sequence[CandleRecord]
) -> dict[int, CandleRecord]:
    """The newest revision of each slot; counts what is doubled, revised, late, unordered."""
    newest: dict[int, CandleRecord] = {}
    seen: set[tuple[int, int]] = set()
    last = -1
    for record in records:
        slot = record.candle.timestamp
        if (slot, record.revision) in seen:
            verdict.doubled += 1
            verdict.because(f"doubled: {name} at {slot}, revision {record.revision}")
            continue
        seen.add((slot, record.revision))
        if record.revision:
            verdict.revisions += 1
        elif record.late:
            verdict.late += 1
        elif slot < last:
            verdict.unordered += 1
            verdict.because(f"out of order: {name} at {slot} came after {last}")
        else:
            last = slot
        if slot not in newest or newest[slot].revision < record.revision:
            newest[slot] = record
    return newest


def difference(record: CandleRecord, bar: TrueBar | None) -> str | None:
    """What of a record is not as the truth has it; None where all is.

    Prices are compared as doubles, volumes within 1e-9 relative. A figure that the exchange never
    sends is null in the truth, and is not compared.
    """
    if bar is None:
        return "the exchange has no such candle"
    if not record.closed:
        return "it is not marked closed"
    if record.close_time != bar.close_time:
        return f"close time {record.close_time}, truth {bar.close_time}"
    for name in (*PRICES, *VOLUMES):
        mine, true = getattr(record.candle, name), bar.figures[name]
        if true is not None and not _same(name, mine, true):
            return f"{name} {mine}, truth {true}"
    return None


def _same(name: str, mine: float | None, true: float) -> bool:
    if mine is None:
        return False
    return mine == true if name in PRICES else isclose(mine, true, rel_tol=1e-9)


# --- the truth ------------------------------------------------------------------------------------


async def judge(
    sandbox: str,
    wishes: Mapping[Subscription, float],
    found: Sequence[CandleRecord],
    until: float,
) -> Verdict:
    """Fetch the truth from a sandbox's address, and compare."""
    since = dict(wishes)
    for record in found:
        open_time = record.candle.timestamp
        since[record.subscription] = min(open_time, since.get(record.subscription, open_time))
    return compare(wishes, await fetch_truth(sandbox, since), found, until)


async def fetch_truth(sandbox: str, since: Mapping[Subscription, float]) -> Truth:
    """The true closed bars of each subscription from ``since`` (the bar that runs then) to now.

    Unreachable where the sandbox does not tell. A subscription that it does not have has no bars.
    """
    exchanges = sorted({subscription.exchange for subscription in since})
    async with aiohttp.ClientSession() as http:
        source = _Source(http, sandbox)
        skipping = dict(
            zip(exchanges, await asyncio.gather(*map(source.skips, exchanges)), strict=True)
        )
        bars = await asyncio.gather(
            *(source.bars(each, at, skips=skipping[each.exchange]) for each, at in since.items())
        )
    return dict(zip(since, bars, strict=True))


class _Source:
    """A sandbox's own endpoints."""

    def __init__(self, http: aiohttp.ClientSession, sandbox: str) -> None:
        self._http = http
        self._sandbox = sandbox
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def skips(self, exchange: str) -> bool:
        """Whether the exchange's stream leaves out bars without trades."""
        facts = await self._get(f"pairs/{exchange}", {})
        return facts is not None and not facts["quiet_bars"]["stream"]

    async def bars(self, subscription: Subscription, since: float, *, skips: bool) -> list[TrueBar]:
        """Those that closed after ``since``."""
        start = since - LONGEST_MONTHS * Interval.parse(subscription.interval).seconds
        path = "truth/{}/{}/{}".format(*subscription)
        truth = await self._get(path, {"start": str(start)}) or {"candles": []}
        bars = [TrueBar.read(row, skips=skips) for row in truth["candles"]]
        return [bar for bar in bars if bar.close_time > since]

    async def _get(self, path: str, query: Mapping[str, str]) -> Any:
        """What is there, or None."""
        try:
            async with (
                self._gate,
                self._http.get(f"{self._sandbox}/-/{path}", params=query) as reply,
            ):
                if reply.status == 404:
                    return None
                reply.raise_for_status()
                return await reply.json()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable(
                f"the sandbox at {self._sandbox} does not tell the truth: {error!r}"
            ) from error
