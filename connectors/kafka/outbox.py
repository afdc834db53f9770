"""Pure: what waits to be sent to the live topics, and only the newest of it when it is too much.

While there is room every state is kept, in order, per partition. A partition that gets one more
state when there is no room keeps only the newest unsent state of each subscription from then on,
until it has been emptied; what that replaces is counted as conflated. So the outbox never holds
more than ``capacity`` states plus one a subscription, however long Kafka is away.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import Final

from connectors.kafka.batches import Place

CAPACITY: Final = 10_000
"""States: some 3 MB of them, so that a full outbox is a small part of a small run's memory."""

State = tuple[bytes, bytes, int, Hashable]
"""One state of an open candle: key, value, timestamp in milliseconds, and a token that stands for
its subscription. A plain tuple, because one is made for every update."""


class _Lane:
    """What waits for one partition: all states in order, or only the newest of each token."""

    __slots__ = ("newest", "states")

    def __init__(self) -> None:
        self.states: deque[State] = deque()
        self.newest: dict[Hashable, State] | None = None

    def __len__(self) -> int:
        return len(self.states if self.newest is None else self.newest)

    def conflate(self) -> dict[Hashable, State]:
        self.newest = {state[3]: state for state in self.states}
        self.states.clear()
        return self.newest

    def hand_out(self, accept: Callable[[State], bool]) -> None:
        states, newest = self.states, self.newest
        if newest is None:
            while states and accept(states[0]):
                states.popleft()
            return
        for token, state in list(newest.items()):
            if not accept(state):
                return
            del newest[token]
        self.newest = None


class Outbox:
    """A bounded buffer: ``size`` states wait, ``conflated`` ones were replaced by newer ones."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.capacity = capacity
        self.size = 0
        self.conflated = 0
        self._lanes: dict[Place, _Lane] = {}

    @property
    def full(self) -> bool:
        """Whether the next state may replace another: time to read more slowly."""
        return self.size >= self.capacity

    def add(self, place: Place, state: State) -> None:
        """Keep one more state for a partition. Never blocks, never refuses."""
        lane = self._lanes.get(place)
        if lane is None:
            lane = self._lanes[place] = _Lane()
        self.size += 1
        newest = lane.newest
        if newest is None:
            if self.size <= self.capacity:
                lane.states.append(state)
                return
            waited = len(lane)
            newest = lane.conflate()
            self._replaced(waited - len(newest))
        token = state[3]
        self._replaced(token in newest)
        newest[token] = state  # keeps the place in the queue that the token had

    def waiting(self) -> list[Place]:
        """The partitions for which something waits."""
        return [place for place, lane in self._lanes.items() if len(lane)]

    def take(self, place: Place, accept: Callable[[State], bool]) -> int:
        """Hand the states of a partition out, oldest first, while ``accept`` takes them."""
        lane = self._lanes[place]
        waited = len(lane)
        lane.hand_out(accept)
        taken = waited - len(lane)
        self.size -= taken
        return taken

    def _replaced(self, count: int) -> None:
        self.size -= count
        self.conflated += count
