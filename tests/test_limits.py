"""Budgets against a brute-force oracle; the law of back-off."""

from __future__ import annotations

from itertools import pairwise
from math import inf
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.adapter import Rate
from connectors.limits import Backoff, Budget

law = settings(deadline=None, derandomize=True, max_examples=300)

quarters = st.integers(1, 40).map(lambda n: n / 4)  # exact in binary, so the oracle is exact, too
periods = st.sampled_from([0.1, 1.0, 3.0, 60.0])
rates = st.lists(st.builds(Rate, st.integers(1, 8).map(float), periods), min_size=1, max_size=3)
steps = st.lists(
    st.tuples(st.floats(0, 5, allow_subnormal=False), quarters), min_size=1, max_size=40
)


def fits(spent: list[tuple[float, float]], rate: Rate, now: float, weight: float) -> bool:
    """The oracle: whether ``weight`` may be spent now, after all that was ``spent``."""
    running = [
        amount
        for at, amount in spent
        if now < at + max(1.0, amount / rate.amount) * rate.period  # a heavy one counts longer
    ]
    return not running if weight > rate.amount else sum(running) + weight <= rate.amount


@law
@given(rates, steps, st.floats(0, 1e9))
def test_a_budget_allows_exactly_what_the_rates_allow(
    rates: list[Rate], steps: list[tuple[float, float]], now: float
) -> None:
    """What is taken or refused is what counting the whole past again would take or refuse."""
    budget, spent = Budget(rates), list[tuple[float, float]]()

    for pause, weight in steps:
        now += pause
        expected = all(fits(spent, rate, now, weight) for rate in rates)
        assert expected == budget.take(now, weight), f"{weight} at {now} after {spent}"
        if expected:
            spent.append((now, weight))


@law
@given(rates, st.lists(st.floats(0, 2), min_size=1, max_size=60), st.floats(0, 1e9))
def test_no_window_holds_more_than_the_amount(
    rates: list[Rate], pauses: list[float], now: float
) -> None:
    """Whoever spends as soon as allowed never exceeds an amount, whichever window is looked at."""
    budget, taken = Budget(rates), list[float]()

    for pause in pauses:
        now = budget.free_at(now + pause)
        assert budget.take(now)
        taken.append(now)

    for rate in rates:
        for first in taken:
            inside = [at for at in taken if first <= at < first + rate.period]
            assert len(inside) <= rate.amount, f"{inside} within {rate}"


@law
@given(rates, steps, st.floats(0, 1e9))
def test_free_at_is_exact(rates: list[Rate], steps: list[tuple[float, float]], now: float) -> None:
    """At the time that was told the weight is taken, and at no earlier time would it have been."""
    budget, spent = Budget(rates), list[tuple[float, float]]()

    for pause, weight in steps:
        now += pause
        free = budget.free_at(now, weight)
        ends = [
            at + max(1.0, amount / rate.amount) * rate.period
            for at, amount in spent
            for rate in rates
        ]
        moments = sorted({now, *(end for end in ends if end > now)})
        expected = next(
            moment for moment in moments if all(fits(spent, rate, moment, weight) for rate in rates)
        )
        assert expected == free
        assert budget.take(free, weight)
        spent.append((free, weight))
        now = free


def test_asking_spends_nothing() -> None:
    """``free_at`` of any time, even a far one, changes no later answer."""
    budget = Budget([Rate(2, 10)])
    assert budget.take(0.0)
    assert budget.take(1.0)

    assert budget.free_at(1000.0) == 1000.0
    assert budget.free_at(1.0) == 10.0
    assert not budget.take(9.5)


def test_the_share_is_ours_alone() -> None:
    """A share of a rate is spent, the rest is left to others."""
    budget = Budget([Rate(10, 1)], share=0.8)

    assert [budget.take(0.0) for _ in range(10)] == [True] * 8 + [False] * 2


def test_a_share_below_one_message_becomes_a_longer_period() -> None:
    """A tenth of five messages a second is one message in two seconds, not none."""
    budget = Budget([Rate(5, 1)], share=0.1)

    assert budget.take(0.0)
    assert budget.free_at(0.0) == 2.0
    assert budget.take(2.0)


def test_a_weight_above_the_whole_goes_alone() -> None:
    """It waits until nothing is spent, and then counts for as many periods as it is worth."""
    budget = Budget([Rate(10, 1)])
    assert budget.take(0.0)

    assert not budget.take(0.5, 25)
    assert budget.free_at(0.5, 25) == 1.0
    assert budget.take(1.0, 25)
    assert budget.free_at(1.0) == 3.5


def test_closed_until_the_exchange_allows_again() -> None:
    """Nothing is spent before the time that the exchange named, and the latest such time counts."""
    budget = Budget([Rate(10, 1)])
    budget.close(30.0)
    budget.close(20.0)

    assert budget.free_at(5.0) == 30.0
    assert not budget.take(29.9)
    assert budget.take(30.0)


def test_without_rates_nothing_is_limited() -> None:
    """An exchange that publishes no limit of a kind has none of ours."""
    budget = Budget([])

    assert all(budget.take(0.0) for _ in range(1000))


@law
@given(
    st.lists(st.tuples(st.floats(0, 0.5), st.floats(0, 3), st.floats(0, 1)), max_size=80),
    st.integers(1, 6),
)
def test_whenever_the_exchange_counts_a_request(
    requests: list[tuple[float, float, float]], allowed: int
) -> None:
    """Counted anywhere between its sending and its answer, no window sees too many requests."""
    budget = Budget([Rate(allowed, 1.0)])
    now, answers, counted = 0.0, list[float](), list[float]()
    for pause, takes, place in requests:
        now += pause
        while True:
            for answer in sorted(each for each in answers if each <= now):
                answers.remove(answer)
                budget.end(answer)
            if budget.begin(now):
                break
            now = min([budget.free_at(now), *answers])
        counted.append(now + place * takes)
        answers.append(now + takes)

    counted.sort()
    ends = counted[allowed:]
    assert all(end - start >= 1.0 - 1e-9 for start, end in zip(counted, ends, strict=False))


def test_a_request_under_way_counts() -> None:
    """While as many are under way as are allowed, only an answer makes room, a period later."""
    budget = Budget([Rate(1, 10.0)])

    assert budget.begin(0.0)
    assert (budget.begin(50.0), budget.free_at(50.0)) == (False, inf)
    budget.end(60.0)
    assert budget.free_at(60.0) == 70.0
    assert budget.begin(70.0)


# --- back-off ---


@law
@given(st.integers(0, 2**32), st.floats(0.1, 5), st.floats(5, 600), st.integers(1, 60))
def test_back_off_doubles_up_to_its_cap(seed: int, first: float, cap: float, tries: int) -> None:
    """The n-th delay lies between half of first · 2ⁿ and the whole, and never above the cap."""
    backoff = Backoff(Random(seed).random, first, cap)

    for failures in range(tries):
        whole = min(cap, first * 2**failures)
        assert whole / 2 <= backoff.delay() <= whole


def test_back_off_is_jittered() -> None:
    """Connections that were lost together do not come back together."""
    delays = {Backoff(Random(seed).random).delay() for seed in range(50)}

    assert len(delays) == 50


@pytest.mark.parametrize("extreme", [0.0, 1.0])
def test_back_off_without_luck_still_grows(extreme: float) -> None:
    """Whatever the dice, no delay is shorter than the one before."""
    backoff = Backoff(lambda: extreme)
    delays = [backoff.delay() for _ in range(100)]

    assert all(earlier <= later for earlier, later in pairwise(delays))
    assert delays[-1] == (60.0 if extreme else 30.0)


def test_success_begins_anew() -> None:
    """After a reset the first delay comes again."""
    backoff = Backoff(lambda: 1.0, first=0.5)
    delays = [backoff.delay(), backoff.delay()]
    backoff.reset()

    assert [*delays, backoff.delay()] == [0.5, 1.0, 0.5]
