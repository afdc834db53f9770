"""A session against a made-up exchange that answers in its own time and in every known way.

Whatever is wanted and dropped meanwhile, in the end the exchange serves exactly what is wanted of
what it knows, the rest is rejected, and no limit was exceeded on the way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.adapter import Opening, Rate
from connectors.session import ANSWER_WITHIN, Session

from .test_session import LIMITS, START, WALL, toy

NAMES = "abcdefgh"
UNKNOWN = set("dg")
"""Channels that the exchange does not have."""
RATES = [Rate(100), Rate(2.5), Rate(1.25, 3)]
MODES = ["id", "channel", "id and channel", "listing", "nameless"]

Frame = dict[str, Any]


@dataclass
class Exchange:
    """Reads messages in their order; answers as its mode says; refuses a batch as a whole."""

    mode: str
    serves: set[str] = field(default_factory=set)

    def answers(self, message: Frame) -> Iterator[Frame]:
        """The frames that answer one message."""
        subscribes = "subscribe" in message
        channels = message["subscribe"] if subscribes else message["unsubscribe"]
        bad = UNKNOWN.intersection(channels) if subscribes else set()
        whole = self.mode in ("id", "nameless")
        taken = () if whole and bad else [channel for channel in channels if channel not in bad]
        self.serves = self.serves.union(taken) if subscribes else self.serves.difference(taken)
        if self.mode == "listing":
            yield {"list": sorted(self.serves)}
        elif whole:
            yield {"no" if bad else "ok": self._name(message)}
        else:
            for channel in channels:
                yield {"no" if channel in bad else "ok": self._name(message) | {"of": [channel]}}

    def _name(self, message: Frame) -> Frame:
        return {"id": str(message["id"])} if self.mode.startswith("id") else {}


@dataclass
class Line:
    """Session and exchange with the time that frames take between them."""

    session: Session
    exchange: Exchange
    delay: float
    now: float = START
    under_way: list[tuple[float, Frame]] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)
    lossy: bool = False

    def run(self, seconds: float) -> None:
        """Let so much time pass; whatever is due happens when it is due."""
        end = self.now + seconds
        while True:
            self._speak()
            arrivals = [at for at, _ in self.under_way[:1]]
            self.now = min([end, self.session.due(self.now), *arrivals])
            while self.under_way and self.under_way[0][0] <= self.now:
                _, frame = self.under_way.pop(0)
                self.session.receive(orjson.dumps(frame), False, self.now)
            if self.now >= end:
                return

    def _speak(self) -> None:
        for text in self.session.texts(self.now, WALL):
            self.sent.append(self.now)
            for number, frame in enumerate(self.exchange.answers(orjson.loads(text))):
                if not (self.lossy and (len(self.sent) + number) % 3 == 0):
                    self.under_way.append((self.now + self.delay, frame))
        assert self.session.due(self.now) > self.now, "it would be asked again and again at once"


steps = st.lists(
    st.tuples(
        st.sampled_from(["want", "want", "drop", "again"]),
        st.lists(st.sampled_from(NAMES), min_size=1, max_size=6),
        st.sampled_from([0.0, 0.0, 0.3, 1.0, 4.0]),
    ),
    min_size=1,
    max_size=8,
)


def line_of(mode: str, rate: Rate, batch: int, delay: float) -> Line:
    """A session with a made-up exchange of such facts."""
    adapter = toy(replace(LIMITS, messages=rate, message_channels=batch))
    return Line(Session(adapter, Opening(url=""), START), Exchange(mode), delay)


def follow(line: Line, steps: Sequence[tuple[str, list[str], float]]) -> set[str]:
    """Do as the steps say; what is wanted in the end."""
    wanted: set[str] = set()
    for what, channels, seconds in steps:
        if what == "want":
            line.session.want(channels)
            wanted.update(channels)
        elif what == "drop":
            line.session.drop(channels)
            wanted.difference_update(channels)
        else:
            line.session.again(channels[0])
            wanted.add(channels[0])
        line.run(seconds)
    return wanted


@settings(deadline=None, derandomize=True, max_examples=600)
@given(
    st.sampled_from(MODES),
    st.sampled_from(RATES),
    st.integers(1, 5),
    st.sampled_from([0.0, 0.2, 2.0]),
    steps,
)
def test_in_the_end_exactly_what_is_wanted_is_served(
    mode: str, rate: Rate, batch: int, delay: float, steps: list[tuple[str, list[str], float]]
) -> None:
    """Every known way of answering leads there, and each refused channel is told as rejected."""
    line = line_of(mode, rate, batch, delay)
    wanted = follow(line, steps)
    line.run(20 * ANSWER_WITHIN)

    session, good = line.session, wanted - UNKNOWN
    assert session.desired == session.confirmed == line.exchange.serves == good
    told = {rejected.channel for rejected in session.rejected}
    assert wanted & UNKNOWN <= told <= UNKNOWN
    spent = [sum(first <= at < first + rate.period for at in line.sent) for first in line.sent]
    assert max(spent, default=0) <= rate.amount


@settings(deadline=None, derandomize=True, max_examples=300)
@given(
    st.sampled_from(["id", "channel", "id and channel", "listing"]),
    st.integers(1, 5),
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=8),
)
def test_lost_answers_reject_nothing_that_delivers(
    mode: str, batch: int, wishes: list[str]
) -> None:
    """Of an exchange that loses every third answer, what it serves is still served."""
    line = line_of(mode, RATES[0], batch, 0.2)
    line.lossy = True
    line.session.want(wishes)
    line.run(1.0)
    for channel in sorted(line.exchange.serves):
        line.session.receive(orjson.dumps({"candles": [channel]}), False, line.now)
    line.run(20 * ANSWER_WITHIN)

    good = set(wishes) - UNKNOWN
    rejected = {it.channel for it in line.session.rejected}
    if mode == "id" and UNKNOWN & set(wishes):
        good -= rejected  # a batch whose refusals are lost three times is refused with its culprit
    assert line.session.desired == good
    assert good <= line.exchange.serves
