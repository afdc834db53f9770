"""The simulation can fail: without one of the ledger's rules, some seed finds it out."""

# ruff: noqa: ARG002 - a mutant leaves unused what the rule that it lacks would use

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from connectors.inquiry import Span
from connectors.ledger import Ledger
from connectors.memory import Published, Word
from connectors.model import CandleData
from tests.simulation.campaign import simulate
from tests.simulation.plan import Plan, What
from tests.simulation.world import World

SEEDS = 40


class WithoutDedupe(Ledger):
    """Every closed state of a settled slot counts as news."""

    def _compare(self, word: Word, known: Published | None) -> None:
        if known is not None:
            self._publish(word, known.revision + 1, late=False, known=known)


class WithoutHold(Ledger):
    """Newer candles do not wait: what lies before them is declared missing at once."""

    def _release(self) -> None:
        if self._closed and self.coverage.head < (first := min(self._closed)):
            self.coverage.miss(self.coverage.head, first, "skipped", 0)
        super()._release()


class WithoutRepair(Ledger):
    """A hole, once declared, is left alone."""

    def _repair_at(self) -> float:
        return float("inf")


class WithoutConfirmation(Ledger):
    """The stream's own word is the last one, until an audit."""

    def _overdue_at(self) -> float:
        return super()._overdue_at() if self.rules.flagged else float("inf")

    def _unconfirmed(self, real: float) -> None:
        super()._unconfirmed(real)
        self._memory.unsure.clear()


class WithoutBehind(Ledger):
    """A row is believed although it lacks trades that the stream told of."""

    def _row(self, row: CandleData, at: float) -> None:
        self._over.pop(row.timestamp, None)
        super()._row(row, at)


class WithoutPatience(Ledger):
    """What REST says right after the close counts as its last word."""

    def _sure_from(self, slot: int) -> float:
        return self.grid.after(slot)


class WithoutSecondLook(Ledger):
    """What REST says right after the close is never read again."""

    def begin(self, *arguments: Any) -> None:
        super().begin(*arguments)
        self._memory.unsure.clear()

    def _again(self, word: Word) -> None:
        if word.reason.name != "REST_ROW":
            super()._again(word)


class WithoutAskingTwice(Ledger):
    """A slot whose row is not there is empty at once."""

    def _complete_until(self, newest: int, asked: Span, at: float) -> int:
        return min(asked.end, self._past_until(at))


class ByTimeOfArrival(Ledger):
    """A slow reply is judged by the time at which it comes."""

    def rows(self, rows: list[CandleData], asked: Span, market: float, real: float) -> None:
        self._arrived = market
        super().rows(rows, asked, market, real)

    def _row(self, row: CandleData, at: float) -> None:
        super()._row(row, max(at, self._arrived))


class TrustsItsMemory(Ledger):
    """After a failed transaction it goes on as if nothing had happened."""

    def forget(self) -> None:
        if not hasattr(self, "coverage"):
            super().forget()

    def begin(self, coverage: Any, market: float, real: float) -> None:
        super().begin(None if self.coverage.start == 0 else self.coverage, market, real)


class WithoutAudit(Ledger):
    """What was published is not read again later on."""

    def _audit_at(self) -> float:
        return float("inf")


class WithoutRecall(Ledger):
    """A digest that differs is a revision."""

    def _doubt(self, word: Word, recent: bool) -> None:
        known = self.coverage.recent.get(word.candle.timestamp)
        if known is not None:
            self._publish(word, known.revision + 1, late=False)


class WithoutInterruption(Ledger):
    """The last state before the stream was interrupted counts as that of the whole bar."""

    def stream_ends(self, real: float) -> None:
        super().stream_ends(real)
        self._cut = -1


class Presuming(Ledger):
    """What was not told of is empty, connected or not."""

    def _presume(self, now: int) -> None:
        head = self.coverage.head
        self.coverage.empty(head, int(min([self._told_after(head), *self._closed])))


class WithoutReach(Ledger):
    """History that does not reach back far enough says that there was nothing."""

    def _oldest(self, market: float, *, margin: bool = False) -> int:
        return self.coverage.start


MUTANTS: dict[Callable[..., Ledger], tuple[What, ...]] = {
    WithoutDedupe: (),
    WithoutHold: (What.AWAY, What.KILLED),
    WithoutRepair: (),
    WithoutConfirmation: (),
    WithoutBehind: (),
    WithoutPatience: (),
    WithoutSecondLook: (),
    WithoutAskingTwice: (),
    ByTimeOfArrival: (What.SLOW, What.CUT),
    TrustsItsMemory: (),
    WithoutAudit: (What.BEHIND,),
    WithoutRecall: (What.BEHIND, What.KILLED),
    WithoutInterruption: (What.CUT, What.FAILING),
    Presuming: (),
    WithoutReach: (),
}
"""Each with the kinds of faults that it is struck with; without any, with all."""


def first_failure(mutant: Callable[..., Ledger]) -> Plan | None:
    """The plan of the first seed that goes wrong, where the ledger itself goes on well."""
    only = MUTANTS[mutant]
    plan = simulate(range(SEEDS), mutant, only).failed
    return plan if plan is not None and not World(plan).run() else None


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_simulation_fails_without(mutant: Callable[..., Ledger]) -> None:
    """Taking one rule away is found out within some seeds."""
    assert first_failure(mutant), f"{SEEDS} seeds do not miss what {mutant} lacks"
