"""aiokafka's loggers, a few lines at a time: in 25 minutes of faults they wrote 25,000."""

from __future__ import annotations

import logging
from typing import Final

import aiokafka  # noqa: F401 - its loggers exist when it is imported

WINDOW_SECONDS: Final = 60.0
LINES: Final = 3


class RateLimit(logging.Filter):
    """Lets ``lines`` lines of one kind pass in ``window`` seconds, then counts.

    Lines of one kind have the same logger, level and text before its arguments are filled in. The
    first line of the next window says how many were left out.
    """

    def __init__(self, lines: int = LINES, window: float = WINDOW_SECONDS) -> None:
        super().__init__()
        self._lines = lines
        self._window = window
        self._kinds: dict[tuple[str, int, str], list[float]] = {}  # window's start, lines in it

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this line is written."""
        kind = self._kinds.setdefault(
            (record.name, record.levelno, str(record.msg)), [record.created, 0]
        )
        if record.created - kind[0] >= self._window:
            left_out = int(kind[1]) - self._lines
            kind[:] = record.created, 0
            if left_out > 0:
                record.msg = f"{record.msg} (and {left_out} more like it before)"
        kind[1] += 1
        return kind[1] <= self._lines


def quieten(lines: int = LINES, window: float = WINDOW_SECONDS) -> None:
    """Limit what every logger of aiokafka writes. Calling it again replaces the limit."""
    for name in list(logging.root.manager.loggerDict):
        if name == "aiokafka" or name.startswith("aiokafka."):
            logger = logging.getLogger(name)  # a filter holds for its own logger, not for children
            for old in [each for each in logger.filters if isinstance(each, RateLimit)]:
                logger.removeFilter(old)
            logger.addFilter(RateLimit(lines, window))
