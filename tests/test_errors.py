"""The tree of errors."""

from __future__ import annotations

import re

import pytest

from connectors import errors
from connectors.errors import ConnectorError, SlowDown, UsageError


def _tree() -> dict[str, type[Exception]]:
    return {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }


def test_the_drawn_tree_is_the_real_one() -> None:
    """Every error stands in the drawing at the head of the file, and nothing else does."""
    drawn = re.findall(r"^(?:[├└]── )?([A-Z]\w+)\b(?=\s{2,}|$)", errors.__doc__ or "", re.MULTILINE)
    assert sorted(_tree()) == sorted(drawn)


@pytest.mark.parametrize("error", _tree().values(), ids=lambda error: error.__name__)
def test_errors_have_one_root(error: type[Exception]) -> None:
    """Whoever catches ConnectorError catches all, and each says what it means."""
    assert issubclass(error, ConnectorError)
    assert error.__doc__


def test_exit_status() -> None:
    """Wrong use ends with 2, anything else that went wrong with 1."""
    others = {error.exit_status for error in _tree().values() if error is not UsageError}  # type: ignore[attr-defined]  # the tree is of ours
    assert (UsageError.exit_status, others) == (2, {1})


def test_slow_down_says_how_long() -> None:
    """A limit comes with the seconds to wait, and its sentence."""
    error = SlowDown("binance_spot: HTTP 429, wait 30 s", 30.0)
    assert (str(error), error.retry_after) == ("binance_spot: HTTP 429, wait 30 s", 30.0)
