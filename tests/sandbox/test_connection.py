"""Frames that are held: when they are sent, and in which order."""

from __future__ import annotations

from connectors.sandbox.connection import _Held
from tests.sandbox.pretend import FIVE_MINUTES, ONE_MINUTE


def test_what_is_not_held_goes_at_once() -> None:
    """Without a fault a frame is ready when it comes."""
    held = _Held()
    held.add("a", ONE_MINUTE, 100, 0, [0])

    assert list(held.ready(100)) == ["a"]
    assert held.due == float("inf")


def test_nothing_overtakes_what_lags() -> None:
    """Frames behind one that lags wait for it, on its channel alone."""
    held = _Held()
    held.add("a", ONE_MINUTE, 100, 2, [0])
    held.add("b", ONE_MINUTE, 101, 0, [0])
    held.add("c", FIVE_MINUTES, 101, 0, [0])

    assert list(held.ready(101)) == ["c"]
    assert held.due == 102
    assert list(held.ready(102)) == ["a", "b"]


def test_copies_are_overtaken() -> None:
    """A copy that is drawn for later comes later, whatever comes meanwhile."""
    held = _Held()
    held.add("a", ONE_MINUTE, 100, 0, [0, 2])
    held.add("b", ONE_MINUTE, 101, 0, [0])

    assert list(held.ready(101)) == ["a", "b"]
    assert list(held.ready(102)) == ["a"]
