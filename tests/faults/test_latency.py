"""What is said of latencies, and when nothing can be said."""

from __future__ import annotations

import pytest

from connectors.kafka.live import TICK_SECONDS
from tests.faults.latency import BUSY_SECONDS, Latencies, bound


def test_the_bound_follows_the_delay() -> None:
    """Seven delays, one tick of the live publisher, and what a busy machine adds."""
    assert bound(0.0) == TICK_SECONDS + BUSY_SECONDS
    assert bound(0.3) - bound(0.0) == pytest.approx(7 * 0.3)


def test_latencies_are_told() -> None:
    """How many there were, the middle one and the longest."""
    assert str(Latencies([0.5, 0.25, 3.0])) == "3 live updates, median 0.50 s, longest 3.00 s"


def test_nothing_that_was_read_is_no_short_latency() -> None:
    """Where no update was read, that is what is wrong."""
    with pytest.raises(AssertionError, match="no open update was read"):
        _ = Latencies().median
