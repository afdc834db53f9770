"""Counted limits."""

from __future__ import annotations

from connectors.sandbox.budget import Window
from connectors.sandbox.dialect import Rate


def test_takes_what_is_allowed_in_any_span() -> None:
    """Five in one second are taken, the sixth is not, and one more is once the first is old."""
    window = Window(Rate(5, 1.0))

    assert all(window.take(1, 10.0 + n / 10) for n in range(5))
    assert not window.take(1, 10.9)
    assert window.take(1, 11.0)


def test_refused_weight_is_not_booked() -> None:
    """What was too much counts for nothing, so smaller requests still fit."""
    window = Window(Rate(10, 60))

    assert window.take(8, 0)
    assert not window.take(3, 1)
    assert window.take(2, 1)
    assert window.used == 10


def test_tells_when_it_is_free_again() -> None:
    """The wait ends when enough of the oldest is forgotten."""
    window = Window(Rate(10, 60))
    window.take(6, 0)
    window.take(4, 30)

    assert window.free_in(5, 40) == 20
    assert window.free_in(7, 40) == 50
