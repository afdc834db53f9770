"""Coverage against a model that keeps every slot singly."""

from __future__ import annotations

import hashlib
import struct
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.coverage import (
    RECENT,
    Closed,
    Coverage,
    Run,
    RunState,
    SlotState,
    digest_of,
)
from connectors.model import CandleData

START, STEP, SLOTS = 1_672_515_780, 60, 48
DIGESTS = st.integers(0, 2**64 - 1)


def at(slot: int) -> int:
    """The open time of a slot that is given by its number."""
    return START + slot * STEP


@dataclass(frozen=True)
class Operation:
    """One call: of ``publish``, ``revise``, ``empty``, ``miss``, ``give_up``."""

    kind: str
    slot: int
    slots: int
    digest: int
    reason: str


operations = st.builds(
    Operation,
    kind=st.sampled_from(["publish", "publish", "publish", "revise", "empty", "miss", "give_up"]),
    slot=st.integers(-1, SLOTS) | st.just(SLOTS + 1),
    slots=st.integers(1, 6),
    digest=DIGESTS,
    reason=st.sampled_from(["worker away", "skipped"]),
)


@dataclass
class Model:
    """What is known of each slot: nothing, a revision with its digest, empty, or why not."""

    slots: dict[int, tuple[int, int] | str | RunState] = field(default_factory=dict)
    why: dict[int, str] = field(default_factory=dict)

    @property
    def head(self) -> int:
        """The first slot of which nothing is known."""
        return len(self.slots)

    def recent(self) -> dict[int, Closed]:
        """The newest published slots."""
        published = sorted(s for s, known in self.slots.items() if isinstance(known, tuple))
        return {at(s): Closed(at(s), *self.slots[s]) for s in published[-RECENT:]}

    def allows(self, op: Operation) -> bool:
        """Whether the call makes sense: nothing published is put away, nothing lies between."""
        if not 0 <= op.slot <= self.head:
            return False
        if op.kind == "publish":
            return not isinstance(self.slots.get(op.slot), tuple)
        if op.kind == "revise":
            return at(op.slot) in self.recent()
        span = range(op.slot, op.slot + op.slots)
        return all(isinstance(self.slots.get(s, RunState.MISSING), RunState) for s in span)

    def apply(self, op: Operation) -> None:
        """The call."""
        if op.kind in ("publish", "revise"):
            known = self.slots.get(op.slot)
            revision = known[0] + 1 if isinstance(known, tuple) else 0
            self.slots[op.slot] = (revision, op.digest)
            return
        state = {"empty": "empty", "miss": RunState.MISSING, "give_up": RunState.GIVEN_UP}
        for slot in range(op.slot, op.slot + op.slots):
            self.slots[slot] = state[op.kind]
            self.why[slot] = op.reason

    def runs(self) -> list[Run]:
        """The runs that coverage should consist of."""
        runs: list[Run] = []
        for slot in range(self.head):
            run = self._run(slot)
            if runs and run.follows(runs[-1]):
                runs[-1].end = run.end
                runs[-1].count += run.count
                runs[-1].digest = (runs[-1].digest + run.digest) % 2**64
            else:
                runs.append(run)
        return runs

    def _run(self, slot: int) -> Run:
        known = self.slots[slot]
        if isinstance(known, tuple):
            return Run(at(slot), at(slot + 1), count=1, digest=known[1])
        if isinstance(known, RunState):
            return Run(at(slot), at(slot + 1), known, reason=self.why[slot], since=START)
        return Run(at(slot), at(slot + 1))


def call(coverage: Coverage, op: Operation, revision: int) -> None:
    """The call on the real thing."""
    start, end = at(op.slot), at(op.slot + op.slots)
    if op.kind in ("publish", "revise"):
        coverage.publish(start, at(op.slot + 1), revision, op.digest)
    elif op.kind == "empty":
        coverage.empty(start, end)
    elif op.kind == "miss":
        coverage.miss(start, end, op.reason, START)
    else:
        coverage.give_up(start, end, op.reason, START)


def grown(script: list[Operation]) -> tuple[Coverage, Model]:
    """Coverage and model after every call of a script that makes sense."""
    coverage, model = Coverage(START), Model()
    for op in script:
        if model.allows(op):
            model.apply(op)
            known = model.slots[op.slot]
            call(coverage, op, known[0] if isinstance(known, tuple) else 0)
    return coverage, model


@given(st.lists(operations, max_size=120))
def test_runs_equal_the_model(script: list[Operation]) -> None:
    """After any calls the runs, their counts and digests are those of all slots kept singly."""
    coverage, model = grown(script)
    assert model.runs() == coverage.runs


@given(st.lists(operations, max_size=120))
def test_runs_are_adjacent_and_merged(script: list[Operation]) -> None:
    """Runs cover start to head without gap or overlap, and no two neighbours could be one."""
    coverage, model = grown(script)
    assert at(model.head) == coverage.head
    assert all(run.start < run.end for run in coverage.runs)
    assert [START, *(run.end for run in coverage.runs)][: len(coverage.runs)] == [
        run.start for run in coverage.runs
    ]
    assert not [b for a, b in pairwise(coverage.runs) if b.follows(a)]


@given(st.lists(operations, max_size=120))
def test_recent_is_the_newest_published(script: list[Operation]) -> None:
    """``recent`` is exactly the 16 newest published slots with their newest revision and digest."""
    coverage, model = grown(script)
    assert model.recent() == coverage.recent


@given(st.lists(operations, max_size=120), st.integers(-2, SLOTS + 8))
def test_each_slot_is_told_right(script: list[Operation], slot: int) -> None:
    """``slot`` says of every slot what the model knows; missing runs are those not settled."""
    coverage, model = grown(script)
    known = model.slots.get(slot)
    expected = (
        SlotState.BEFORE
        if slot < 0
        else SlotState.AHEAD
        if known is None
        else SlotState.MISSING
        if isinstance(known, RunState)
        else SlotState.SETTLED
    )
    assert expected is coverage.slot(at(slot))
    assert [run for run in model.runs() if run.missing] == coverage.missing()


@given(st.lists(operations, max_size=120), st.integers(0, SLOTS))
def test_an_empty_slot_is_never_confused_with_a_published_one(
    script: list[Operation], slot: int
) -> None:
    """A slot is said to be empty where it is, unless it is older than all of ``recent``."""
    coverage, model = grown(script)
    empty = model.slots.get(slot) == "empty"
    within = len(coverage.recent) < RECENT or at(slot) > min(coverage.recent)
    assert (empty and within) == coverage.is_empty(at(slot))


@given(st.lists(operations, max_size=80), operations)
@settings(max_examples=300)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    script: list[Operation], wrong: Operation
) -> None:
    """Putting away a settled slot, leaving a gap, publishing twice: ValueError and no change."""
    coverage, model = grown(script)
    forgotten = wrong.kind == "publish" and at(wrong.slot) not in coverage.recent
    settled = isinstance(model.slots.get(wrong.slot), tuple)
    if model.allows(wrong) or (forgotten and settled):  # of a forgotten slot it cannot be told
        return
    before = deepcopy(coverage)
    with pytest.raises(ValueError, match="slot"):
        call(coverage, wrong, 1 if wrong.kind == "revise" else 0)
    assert before == coverage


@given(st.lists(DIGESTS, min_size=1, max_size=SLOTS), st.randoms(use_true_random=False))
def test_the_order_of_repair_does_not_matter(digests: list[int], random: Random) -> None:
    """Slots that were all missing and are published in any order are one run with one digest."""
    coverage = Coverage(START)
    coverage.miss(START, at(len(digests)), "worker away", START)
    order = list(range(len(digests)))
    random.shuffle(order)
    for slot in order:
        coverage.publish(at(slot), at(slot + 1), 0, digests[slot])
    total = sum(digests) % 2**64
    assert [Run(START, at(len(digests)), count=len(digests), digest=total)] == coverage.runs


def test_missing_runs_of_different_reasons_are_not_folded() -> None:
    """Neighbouring missing runs keep each its own reason and since when."""
    coverage = Coverage(START)
    coverage.miss(at(0), at(2), "worker away", START)
    coverage.miss(at(2), at(3), "skipped", START)
    coverage.miss(at(3), at(4), "skipped", START + 1)
    expected = [("worker away", START), ("skipped", START), ("skipped", START + 1)]
    assert expected == [(run.reason, run.since) for run in coverage.runs]


FIGURES: dict[str, Any] = {"open": 1.0, "high": 3.0, "low": 0.5, "close": 2.0, "volume": 10.0}


@pytest.mark.parametrize(
    "change",
    [
        {"timestamp_raw": START + STEP},
        {"open": 1.5},
        {"high": 3.5},
        {"low": 0.25},
        {"close": 2.5},
        {"volume": 10.5},
        {"quote_asset_volume": 0.0},
        {"n_trades": 0},
        {"taker_buy_base_volume": 0.0},
        {"taker_buy_quote_volume": 0.0},
    ],
    ids=lambda change: next(iter(change)),
)
def test_digest_tells_candles_apart(change: dict[str, float]) -> None:
    """Each figure and the slot change the digest; an absent figure differs from zero."""
    plain = {"timestamp_raw": START, **FIGURES}
    assert digest_of(CandleData(**plain)) != digest_of(CandleData(**plain | change))


def test_digest_is_the_same_in_every_release() -> None:
    """The digest of a given candle never changes, for it stands in coverage that others wrote.

    Channel, close flag and event time do not count.
    """
    packed = struct.pack(">q5d", START, 1.0, 3.0, 0.5, 2.0, 10.0) + struct.pack(">?d", False, 0) * 4
    expected = int.from_bytes(hashlib.blake2b(packed, digest_size=8).digest())
    candle = CandleData(START, **FIGURES, channel="c", closed=True, event_time=START)
    assert expected == 0xC426C2DFC6180B22
    assert expected == digest_of(candle)


def test_reach_back() -> None:
    """Coverage may begin earlier than it did; what is new of it is missing, never later."""
    coverage = Coverage(300, [Run(300, 360, count=1)])
    coverage.reach_back(120, "history", 500)
    assert coverage.start == 120
    assert coverage.runs[0] == Run(120, 300, RunState.MISSING, reason="history", since=500)
    coverage.reach_back(240, "history", 600)
    assert (coverage.start, len(coverage.runs)) == (120, 2)
