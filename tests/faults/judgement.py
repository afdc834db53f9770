"""What lies in Kafka against the truth, and against what coverage admits. Pure but for `revisions`.

The newest true revision of a bar counts. One exception: what an exchange corrects later is told on
its stream only, so of a subscription that is polled any revision is right that was true once. None
may be invented.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import aiohttp
import fastavro

from tests.end_to_end.truth import SCHEMAS, Bar, Candle, Findings, difference, name_of
from tests.oracle import Record

COLUMNS = ("lost", "doubled", "wrong", "out of order", "undeclared")


@dataclass(frozen=True)
class Run:
    """A run of slots as coverage has it; times in UNIX seconds, ``end`` exclusive."""

    start: float
    end: float
    state: str
    count: int


Runs = Mapping[str, Sequence[Run]]


@dataclass
class Amiss:
    """What is not right: by column, a sentence for each thing."""

    sentences: dict[str, list[str]] = field(default_factory=lambda: {it: [] for it in COLUMNS})

    @classmethod
    def of(cls, findings: Findings, undeclared: list[str]) -> Amiss:
        """From a comparison with the truth, and one with coverage."""
        figures = findings.lost, findings.doubled, findings.wrong, findings.unordered, undeclared
        return cls(dict(zip(COLUMNS, figures, strict=True)))

    def beyond(self, known: set[str]) -> Amiss:
        """What is not ``known``."""
        return Amiss(
            {it: [s for s in said if s not in known] for it, said in self.sentences.items()}
        )

    @property
    def everything(self) -> list[str]:
        """All sentences."""
        return [sentence for said in self.sentences.values() for sentence in said]

    @property
    def may_heal(self) -> bool:
        """Whether later records can still make anything of it right."""
        return any(self.sentences[it] for it in ("lost", "wrong", "undeclared"))


def undeclared(
    wishes: Mapping[str, float],
    truth: Mapping[str, Iterable[Bar]],
    candles: Iterable[Candle],
    coverage: Runs,
    until: float,
) -> list[str]:
    """Expected slots that are neither published nor declared missing, and runs that claim too much.

    ``coverage`` must have been read before the ``candles``.
    """
    published: dict[str, set[float]] = defaultdict(set)
    for candle in candles:
        published[name_of(candle)].add(candle["open_time"] / 1000)
    holes: list[str] = []
    for name, accepted in wishes.items():
        slots = {
            bar["open_time"] for bar in truth[name] if accepted < bar["close_time"] <= until
        } - published[name]
        runs = coverage.get(name, ())
        holes += [f"undeclared: {name} at {at}" for at in sorted(slots) if not _declared(runs, at)]
        holes += [
            f"undeclared: {name}: coverage claims more candles from {run.start:.0f} than there are"
            for run in runs
            if run.count > sum(run.start <= slot < run.end for slot in published[name])
        ]
    return holes


def _declared(runs: Iterable[Run], slot: float) -> bool:
    return any(run.state != "SETTLED" and run.start <= slot < run.end for run in runs)


def coverage_in(records: Iterable[Record]) -> dict[str, list[Run]]:
    """The newest coverage of each subscription in its topic, decoded with the schema's file."""
    newest = {record.key: record for record in records}
    covered: dict[str, list[Run]] = {}
    for record in newest.values():
        fields = fastavro.schemaless_reader(
            io.BytesIO((record.value or b"")[10:]), SCHEMAS["coverage"], SCHEMAS["coverage"]
        )
        assert isinstance(fields, dict)
        covered[name_of(fields)] = [_run(run) for run in fields["runs"]]
    return covered


def _run(fields: Mapping[str, object]) -> Run:
    start, end = fields["start"], fields["end"]
    assert isinstance(start, datetime)
    assert isinstance(end, datetime)
    return Run(start.timestamp(), end.timestamp(), str(fields["state"]), int(str(fields["count"])))


def once_true(
    truth: Mapping[str, Sequence[Bar]],
    history: Mapping[str, Iterable[Bar]],
    candles: Iterable[Candle],
) -> dict[str, list[Bar]]:
    """The truth, with the published revision of each bar in ``history`` in place of its newest."""
    bars = {name: {bar["open_time"]: bar for bar in rows} for name, rows in truth.items()}
    former: dict[tuple[str, int], list[Bar]] = defaultdict(list)
    for name, rows in history.items():
        for row in rows:
            former[name, row["open_time"]].append(row)
    newest = {(name_of(it), it["open_time"] // 1000): it for it in candles}  # revisions ascend
    for (name, slot), candle in newest.items():
        for row in former[name, slot]:
            if difference(candle, row) is None:
                bars[name][slot] = row
    return {name: list(rows.values()) for name, rows in bars.items()}


async def revisions(sandbox: str, since: Mapping[str, float]) -> dict[str, list[Bar]]:
    """Every revision of every closed bar that opened at ``since`` or later."""
    told: dict[str, list[Bar]] = {}
    async with aiohttp.ClientSession() as http:
        for name, start in since.items():
            url = f"{sandbox}/-/truth/{name.replace(':', '/')}"
            async with http.get(url, params={"start": str(start), "history": "1"}) as reply:
                reply.raise_for_status()
                told[name] = (await reply.json())["candles"]
    return told
