"""Fixtures of the campaign."""

from __future__ import annotations

import os
import random

import pytest


@pytest.fixture
def seed() -> int:
    """Of everything that is drawn; CANDLE_SEED repeats one."""
    return int(os.environ.get("CANDLE_SEED") or random.randrange(10_000))
