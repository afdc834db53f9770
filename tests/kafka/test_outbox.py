"""The buffer before the live topics: everything while there is room, then the newest of each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.kafka.outbox import Outbox, State

HERE = ("candles.x.live", 0)
THERE = ("candles.x.live", 1)


def _state(token: str, number: int) -> State:
    return (token.encode(), str(number).encode(), number, token)


def _filled(capacity: int, *states: State) -> Outbox:
    outbox = Outbox(capacity)
    for each in states:
        outbox.add(HERE, each)
    return outbox


def _everything(outbox: Outbox, place: tuple[str, int] = HERE) -> list[tuple[str, int]]:
    taken: list[tuple[str, int]] = []

    def accept(each: State) -> bool:
        taken.append((str(each[3]), each[2]))
        return True

    outbox.take(place, accept)
    return taken


def test_all_states_are_kept_in_order_while_there_is_room() -> None:
    """While there is room, every state is handed out, in the order of its arrival."""
    outbox = _filled(4, _state("a", 1), _state("b", 2), _state("a", 3), _state("a", 4))
    assert _everything(outbox) == [("a", 1), ("b", 2), ("a", 3), ("a", 4)]
    assert (outbox.size, outbox.conflated) == (0, 0)


def test_without_room_only_the_newest_of_each_is_kept() -> None:
    """The state for which there is no room makes its partition keep only the newest of each."""
    outbox = _filled(
        3, _state("a", 1), _state("b", 2), _state("a", 3), _state("b", 4), _state("a", 5)
    )
    assert (outbox.size, outbox.conflated) == (2, 3)
    assert _everything(outbox) == [("a", 5), ("b", 4)]


def test_a_replaced_state_keeps_its_place_in_the_queue() -> None:
    """A subscription that changes all the time is not sent last all the time."""
    outbox = _filled(2, _state("hot", 1), _state("calm", 2), _state("hot", 3), _state("hot", 4))
    assert _everything(outbox) == [("hot", 4), ("calm", 2)]


def test_another_partition_is_not_conflated() -> None:
    """A partition that gets nothing new while there is no room loses nothing."""
    outbox = Outbox(4)
    for number in range(2):
        outbox.add(THERE, _state("c", number))
    for number in range(10):
        outbox.add(HERE, _state("a", number))
    assert _everything(outbox, THERE) == [("c", 0), ("c", 1)]
    assert _everything(outbox) == [("a", 9)]


def test_all_states_are_kept_again_after_it_was_emptied() -> None:
    """A partition that was conflated keeps every state again once it has been emptied."""
    outbox = _filled(2, _state("a", 1), _state("a", 2), _state("a", 3))
    assert _everything(outbox) == [("a", 3)]
    outbox.add(HERE, _state("a", 4))
    outbox.add(HERE, _state("a", 5))
    assert _everything(outbox) == [("a", 4), ("a", 5)]


def test_what_is_not_accepted_stays_first() -> None:
    """The state that does not fit into a batch is the first of the next one."""
    outbox = _filled(9, _state("a", 1), _state("a", 2), _state("a", 3))
    fits = iter([True, False])
    assert outbox.take(HERE, lambda _: next(fits)) == 1
    assert _everything(outbox) == [("a", 2), ("a", 3)]


def test_only_partitions_with_something_wait() -> None:
    """A partition that was emptied is not offered again."""
    outbox = _filled(9, _state("a", 1))
    outbox.add(THERE, _state("b", 1))
    _everything(outbox)
    assert outbox.waiting() == [THERE]


@pytest.mark.parametrize(("states", "full"), [(1, False), (2, True)])
def test_it_says_when_it_is_full(states: int, full: bool) -> None:
    """A reader learns that the next state may replace another."""
    assert _filled(2, *(_state("a", number) for number in range(states))).full is full


@given(
    capacity=st.integers(1, 8),
    steps=st.lists(
        st.one_of(
            st.tuples(st.sampled_from([HERE, THERE]), st.sampled_from("abc")),
            st.tuples(st.sampled_from([HERE, THERE]), st.integers(0, 5)),
        ),
        max_size=120,
    ),
)
def test_whatever_happens(capacity: int, steps: list[tuple[tuple[str, int], str | int]]) -> None:
    """It stays bounded, counts right, keeps order, and never loses the newest of a subscription."""
    outbox = Outbox(capacity)
    newest: dict[tuple[tuple[str, int], str], int] = {}
    sent: dict[tuple[tuple[str, int], str], list[int]] = {}
    added = 0

    def take(place: tuple[str, int], most: int) -> int:
        batch: list[State] = []

        def accept(each: State) -> bool:
            if len(batch) == most:
                return False
            batch.append(each)
            return True

        outbox.take(place, accept)
        for each in batch:
            sent.setdefault((place, str(each[3])), []).append(each[2])
        return len(batch)

    taken = 0
    for place, what in steps:
        if isinstance(what, int):
            taken += take(place, what) if place in outbox.waiting() else 0
        else:
            added += 1
            newest[place, what] = added
            outbox.add(place, _state(what, added))
        assert outbox.size <= capacity + len(newest)
        assert added == taken + outbox.size + outbox.conflated
    for place in outbox.waiting():
        take(place, added)
    assert outbox.size == 0
    assert {key: numbers[-1] for key, numbers in sent.items()} == newest
    assert all(numbers == sorted(numbers) for numbers in sent.values())
