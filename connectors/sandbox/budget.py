"""Counted limits: how much was used in the time that just passed. Pure; told the time."""

from collections import deque

from connectors.sandbox.dialect import Rate


class Window:
    """A sliding window over one `Rate`: the strictest way to read "n in t seconds"."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._spent: deque[tuple[float, int]] = deque()
        self.used = 0

    def take(self, weight: int, now: float) -> bool:
        """Book `weight` if that much is free at `now`; return whether it was."""
        self._forget(now)
        if self.used + weight > self.rate.allowed:
            return False
        self._spent.append((now, weight))
        self.used += weight
        return True

    def free_in(self, weight: int, now: float) -> float:
        """Return in how many seconds `weight` will be free."""
        left = self.used
        for time, spent in self._spent:
            left -= spent
            if left + weight <= self.rate.allowed:
                return max(0.0, time + self.rate.seconds - now)
        return self.rate.seconds

    def _forget(self, now: float) -> None:
        while self._spent and self._spent[0][0] <= now - self.rate.seconds:
            self.used -= self._spent.popleft()[1]
