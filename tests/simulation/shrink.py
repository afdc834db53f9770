"""Takes away from a plan that goes wrong whatever it goes wrong without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

from tests.simulation.plan import IN_SECONDS, MINUTE, Fault, Plan

SHORTEST: Final = 1.0
"""Faults are not made shorter than so many market seconds."""
TRIALS: Final = 400
"""So many runs may a shrinking take."""


class Shrinking:
    """``fails`` says whether a plan goes wrong in the same way as the first one."""

    def __init__(self, plan: Plan, fails: Callable[[Plan], bool]) -> None:
        self.plan = plan
        self.trials = 0
        self._fails = fails

    def smallest(self) -> Plan:
        """The fewest faults, the shortest run, the fewest subscriptions that still go wrong."""
        while self.trials < TRIALS and (self._chunks() or self._details()):
            pass
        return self.plan

    def _try(self, plan: Plan) -> bool:
        if plan == self.plan or self.trials >= TRIALS:
            return False
        self.trials += 1
        if self._fails(plan):
            self.plan = plan
            return True
        return False

    def _chunks(self) -> bool:
        """Leave out subscriptions, then as many faults at once as can be."""
        shrunk = False
        for wish in self.plan.wishes:
            rest = tuple(it for it in self.plan.wishes if it is not wish)
            shrunk |= bool(rest) and self._try(replace(self.plan, wishes=rest))
        size = len(self.plan.faults)
        while size:
            at = 0
            while at < len(self.plan.faults):
                faults = self.plan.faults
                if self._try(replace(self.plan, faults=faults[:at] + faults[at + size :])):
                    shrunk = True
                else:
                    at += size
            size //= 2
        return shrunk

    def _details(self) -> bool:
        """Make what is left shorter and plainer; each change that still goes wrong stands."""
        return sum(self._try(replace(self.plan, **change)) for change in self._plainer()) > 0

    def _plainer(self) -> Iterator[dict[str, Any]]:
        last = max((fault.end for fault in self.plan.faults), default=0.0)
        for noise in (last, last + 5 * MINUTE, self.plan.noise / 2):
            yield {"noise": min(noise, self.plan.noise)}
        yield from ({"skew": 0.0}, {"speed": 1.0}, {"page": 100})
        for number in range(len(self.plan.faults)):
            fault = self.plan.faults[number]
            if fault.what not in IN_SECONDS:
                yield self._with(number, fault._replace(extent=1.0))
            if fault.seconds > SHORTEST:
                yield self._with(number, fault._replace(seconds=fault.seconds / 2))

    def _with(self, number: int, fault: Fault) -> dict[str, Any]:
        faults = self.plan.faults
        return {"faults": (*faults[:number], fault, *faults[number + 1 :])}
