"""All checks of an adapter by name, and what becomes of each."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from connectors.adapter import ExchangeAdapter
from connectors.conformance import contract, wire
from connectors.conformance.advice import NotApplicable, NotConforming, fail
from connectors.conformance.exceptions import Reasons
from connectors.conformance.items import Item, items_of
from connectors.errors import UsageError

AdapterClass = type[ExchangeAdapter]


@dataclass(frozen=True)
class Case:
    """One check of one adapter: of the contract, or of what it makes of an item."""

    adapter_class: AdapterClass
    check: str
    run: Callable[[], None]
    item: Item | None = None

    @property
    def where(self) -> str:
        """The item, or the market for a check of the contract; exceptions name it so."""
        return self.adapter_class.name if self.item is None else self.item.id

    def __str__(self) -> str:
        return f"{self.where if self.item is None else self.item} ({self.check})"


@dataclass(frozen=True)
class Outcome:
    """What became of a case: ``failure`` where it failed, ``reason`` where it says nothing."""

    case: Case
    failure: NotConforming | None = None
    reason: str = ""

    @property
    def verdict(self) -> Literal["passed", "failed", "not applicable"]:
        """The outcome in a word."""
        if self.failure is not None:
            return "failed"
        return "not applicable" if self.reason else "passed"


def cases(adapter_class: AdapterClass) -> list[Case]:
    """Every check of this adapter, those of the contract first; items as ``items`` finds them."""
    of_contract = [
        Case(adapter_class, check.__name__, partial(check, adapter_class))
        for check in contract.CHECKS
    ]
    return [*of_contract, *_of_items(adapter_class)]


def _of_items(adapter_class: AdapterClass) -> Iterator[Case]:
    for item in items_of(adapter_class.name):
        if item.market != adapter_class.name:
            yield Case(adapter_class, "market", partial(_fail_market, adapter_class, item), item)
            continue
        try:
            checks = wire.checks_of(item)
        except NotConforming:  # raised again by the case
            yield Case(adapter_class, "kind", partial(_check_kind, item), item)
            continue
        for name, check in checks.items():
            yield Case(adapter_class, name, partial(check, adapter_class, item), item)


def _fail_market(adapter_class: AdapterClass, item: Item) -> None:
    fail(
        f"items of {adapter_class.name} in the folder {adapter_class.name}",
        f"one of {item.market}",
        "correct the item's market, or move its file",
        item,
    )


def _check_kind(item: Item) -> None:
    wire.checks_of(item)


def outcomes(adapter_class: AdapterClass, reasons: Reasons) -> list[Outcome]:
    """What becomes of every check; none but the first is tried where no adapter can be made.

    UsageError for a reason of this market that names no check.
    """
    first, *others = every = cases(adapter_class)
    _require_known(reasons, every)
    made = outcome(first, reasons)
    if made.failure is not None:
        return [made, *(Outcome(case, reason="no adapter can be made") for case in others)]
    return [made, *(outcome(case, reasons) for case in others)]


def _require_known(reasons: Reasons, every: Sequence[Case]) -> None:
    market = every[0].where
    unknown = [
        " ".join(key)
        for key in sorted(unneeded(reasons, every))
        if key[0].partition("/")[0] == market
    ]
    if unknown:
        raise UsageError(
            f"the exceptions name what does not exist ({'; '.join(unknown)}): remove or correct it"
        )


def unneeded(reasons: Reasons, every: Sequence[Case]) -> set[tuple[str, str]]:
    """The reasons that name no check of these."""
    return set(reasons) - {(case.where, case.check) for case in every}


def outcome(case: Case, reasons: Reasons) -> Outcome:
    """Run one check. One with a reason has to fail, or the reason is out of date."""
    reason = reasons.get((case.where, case.check), "")
    nothing, failure = _run(case)
    if reason and failure is None:
        return Outcome(case, _out_of_date(case, reason))
    if reason:
        return Outcome(case, reason=reason)
    return Outcome(case, failure, nothing)


def _run(case: Case) -> tuple[str, NotConforming | None]:
    """Why there is nothing to look at, and why the check fails."""
    try:
        case.run()
    except NotApplicable as told:
        return str(told), None
    except NotConforming as failure:
        return "", failure
    except Exception as error:  # noqa: BLE001 - whatever it is, the author is told
        return "", _advised(case, error)
    return "", None


def _advised(case: Case, error: Exception) -> NotConforming:
    """An error of the adapter's own is a failure with advice, too."""
    came = f"{type(error).__name__}: {error}, raised in {_place(case.adapter_class, error)}"
    advice = "look at that line: the adapter cannot read what it was given"
    failure = NotConforming("an answer", came, advice, case)
    failure.__cause__ = error
    return failure


def _place(adapter_class: AdapterClass, error: Exception) -> str:
    """The last line of the adapter's own file, or else the last line at all."""
    frames = traceback.extract_tb(error.__traceback__)
    own = contract.files_of(adapter_class)[0]
    last = next((it for it in reversed(frames) if Path(it.filename) == own), frames[-1])
    return f"{Path(last.filename).name}, line {last.lineno}"


def _out_of_date(case: Case, reason: str) -> NotConforming:
    return NotConforming(
        f"that it cannot hold, as the exceptions say: {reason}",
        "it holds now",
        "remove the check from that exception",
        case,
    )
