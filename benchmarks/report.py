"""What came of it: a table for people, JSON for programs, and what it was measured on."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.contest import Outcome
from benchmarks.stages import PARTS, Costs

PACKAGES: Final = ("candle-connectors", "websockets", "orjson", "aiokafka", "cramjam")
FAULTS: Final = ("lost", "doubled", "wrong", "disordered")


@dataclass
class Report:
    """All rounds of one run: whole ways and parts, of ours and of the floor."""

    ours: list[Outcome] = field(default_factory=list)
    floor: list[Outcome] = field(default_factory=list)
    our_parts: list[Costs] = field(default_factory=list)
    floor_parts: list[Costs] = field(default_factory=list)

    @property
    def faults(self) -> dict[str, int]:
        """What must be nothing: records of all rounds that were lost, doubled and so on."""
        return _faults([*self.ours, *self.floor])

    def as_json(self) -> dict[str, Any]:
        """All figures."""
        return {
            "measured": measured_on(),
            "messages": self.ours[0].messages,
            "faults": self.faults,
            "whole": {
                "ours": [asdict(one) | {"cost": one.cost} for one in self.ours],
                "floor": [asdict(one) | {"cost": one.cost} for one in self.floor],
            },
            "parts": {"ours": self.our_parts, "floor": self.floor_parts},
        }

    def as_text(self) -> str:
        """The table."""
        ours, floor = ([one.cost for one in rounds] for rounds in (self.ours, self.floor))
        return "\n".join(
            [
                *self._circumstances(),
                "",
                "Microseconds of CPU a message: lowest / median / highest",
                "",
                f"| {'part':<8} | {'ours':>22} | {'the same libraries':>22} |",
                f"|{'-' * 10}|{'-' * 23}:|{'-' * 23}:|",
                *(
                    _line(part, _of(part, self.our_parts), _of(part, self.floor_parts))
                    for part in PARTS
                ),
                _line("sum", _sums(self.our_parts), _sums(self.floor_parts)),
                _line("whole", ours, floor),
                "",
                "Messages a CPU-second, from frame to acknowledged record (medians):",
                _rates(median(ours), median(floor)),
                _verdict("ours", self.ours),
                _verdict("the same libraries", self.floor),
            ]
        )

    def _circumstances(self) -> Sequence[str]:
        on, one = measured_on(), self.ours[0]
        machine = f"{on['processor']}, {on['cores']} cores", on["system"], f"Python {on['python']}"
        versions = (f"{name} {number}" for name, number in on["versions"].items())
        messages = f"{one.messages:,} messages, {one.count.closed:,} of them closed candles"
        return (
            " · ".join((on["date"], *machine)),
            " · ".join(versions),
            f"{messages} · {len(self.ours)} rounds, in turns",
        )


def _rates(ours: float, floor: float) -> str:
    rates = f"ours {1e6 / ours:,.0f}", f"the same libraries {1e6 / floor:,.0f}"
    return " · ".join((*rates, f"ratio of costs {ours / floor:.2f}"))


def _verdict(name: str, rounds: Sequence[Outcome]) -> str:
    records = sum(one.count.records for one in rounds)
    faults = (f"{fault} {number}" for fault, number in _faults(rounds).items())
    return " · ".join([f"{name}: {records:,} records read back", *faults])


def _faults(rounds: Sequence[Outcome]) -> dict[str, int]:
    return {fault: sum(getattr(one.count, fault) for one in rounds) for fault in FAULTS}


def _line(name: str, ours: Sequence[float], floor: Sequence[float]) -> str:
    return f"| {name:<8} | {_spread(ours):>22} | {_spread(floor):>22} |"


def _of(part: str, rounds: Sequence[Mapping[str, float]]) -> list[float]:
    return [costs[part] for costs in rounds if part in costs]


def _sums(rounds: Sequence[Mapping[str, float]]) -> list[float]:
    return [sum(costs.values()) for costs in rounds]


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "–"
    return f"{min(values):.2f} / {median(values):.2f} / {max(values):.2f}"


def measured_on() -> dict[str, Any]:
    """Machine, versions and date."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in PACKAGES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
