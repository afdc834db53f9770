"""Two clocks that differ: what is concluded from event times and dates, and when nothing is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import floor, inf
from random import Random

import pytest

from connectors.offset import ABSURD, MANY, QUICKEST, TOLERATED, WINDOW, Offset

NOW = 1_790_000_040.0
SEEDS = range(60)


@dataclass
class Told:
    """An offset, what it said when it changed, and our time."""

    speed: float = 1.0
    now: float = NOW
    said: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.offset = Offset(self.speed, lambda *now: self.said.append(now))

    def frame(self, offset: float, late: float = 0.0) -> None:
        """One that was ``late``; their clock is ahead by ``offset``."""
        self.now += self.speed
        self.offset.event(self.now - late + offset, self.now)

    def frames(self, offset: float, count: int = MANY, late: float = 0.0) -> None:
        for _ in range(count):
            self.frame(offset, late)

    def reply(self, offset: float, took: float = 0.2, *, cached: bool = False) -> None:
        """One that took so long; its date was written in the middle."""
        self.now += self.speed
        sent, self.now = self.now, self.now + took
        self.offset.reply(floor(sent + took / 2 + offset), sent, self.now, cached=cached)


def test_without_evidence_nothing_is_corrected() -> None:
    """Nobody said anything: the offset is 0, and could be anything."""
    told = Told()
    assert (told.offset.seconds, told.offset.correction, told.said) == (0.0, 0.0, [])
    assert told.offset.bounds(NOW) == (-inf, inf)


# --- what is concluded ----------------------------------------------------------------------------


@pytest.mark.parametrize("evidence", ["one reply", "many frames"])
@pytest.mark.parametrize("behind", [3.0, 180.0, ABSURD - 2])
def test_bars_follow_the_exchange_that_is_behind(evidence: str, behind: float) -> None:
    """Our clock is fast, or theirs slow: corrected market time is not ahead of theirs."""
    told = Told()
    if evidence == "one reply":
        told.reply(-behind)
    else:
        told.frames(-behind, late=0.1)
    assert -behind - 1.2 <= told.offset.correction <= -behind
    assert told.said == [(told.offset.seconds, told.offset.correction)]


@pytest.mark.parametrize("evidence", ["one reply", "one frame"])
def test_an_exchange_that_is_ahead_is_told_and_not_followed(evidence: str) -> None:
    """Our clock is slow, or theirs fast: what would close bars earlier is not done."""
    told = Told()
    if evidence == "one reply":
        told.reply(180.0)
    else:
        told.frame(180.0, late=0.1)
    assert told.offset.correction == 0.0
    (said,) = told.said
    assert abs(said[0] - 180.0) < 1.2
    assert said[1] == 0.0


@pytest.mark.parametrize("offset", [-TOLERATED + 0.1, 0.0, TOLERATED - 0.1])
def test_less_than_a_second_is_nothing(offset: float) -> None:
    """Replies that take their time, and frames that come late, do not make an offset of none."""
    told = Told()
    for _ in range(50):
        told.reply(offset, took=0.9)
        told.frame(offset, late=0.3)
        told.reply(offset, took=15.0)
    assert told.said == []


def test_a_late_frame_is_no_slow_clock() -> None:
    """While other frames are in time, one that waited for long says nothing."""
    told = Told()
    told.frames(0.0, late=0.1)
    told.frame(0.0, late=60.0)
    assert told.said == []


def test_a_few_old_frames_are_no_slow_clock() -> None:
    """A quiet market may repeat what it said long ago, when it is subscribed."""
    told = Told()
    told.frames(0.0, MANY - 1, late=1_000.0)
    assert told.said == []


def test_what_a_cache_says_is_old() -> None:
    """A reply that was made before it was asked for does not show their clock to be behind."""
    told = Told()
    told.reply(-600.0, cached=True)
    assert told.said == []
    told.reply(-600.0)
    assert told.said != []


def test_frames_that_are_late_throughout_let_bars_close_later() -> None:
    """What is under way for ten seconds holds the last trades of a bar."""
    told = Told()
    told.reply(0.0)
    told.frames(0.0, late=10.0)
    assert told.offset.correction <= -10.0 + QUICKEST + TOLERATED


def test_a_scaled_market_has_its_delays_in_real_time() -> None:
    """A tenth of a second under way is six seconds of market time, and no offset."""
    told = Told(speed=60.0)
    told.frames(0.0, 3 * MANY, late=6.0)
    assert told.said == []
    told.frames(-120.0, late=6.0)
    assert told.offset.correction == pytest.approx(-126.0, abs=0.1)


# --- what changes ---------------------------------------------------------------------------------


def test_a_change_is_told_once() -> None:
    """Evidence of the same, and better evidence of nearly the same, is not told again."""
    told = Told()
    told.reply(-180.0)
    for _ in range(1_000):
        told.reply(-180.0, took=0.1)
        told.frame(-180.0, late=0.05)
    assert 1 <= len(told.said) <= 2, "once, and perhaps once more when it is known better"


def test_evidence_that_runs_out_changes_nothing() -> None:
    """A market that falls silent leaves the clocks as they were."""
    told = Told()
    told.reply(-180.0)
    told.now += 10 * WINDOW
    assert told.offset.bounds(told.now) == (-inf, inf)
    assert told.offset.correction < -179.0
    told.frame(-180.0, late=0.1)
    assert told.offset.correction < -179.0


def test_a_clock_that_is_set_right_is_believed_after_a_while() -> None:
    """Until what it said before has run out, the later close counts; then it is told to be 0."""
    told = Told()
    told.reply(-180.0)
    told.frame(0.0)
    assert told.offset.correction < -178.0
    told.now += WINDOW
    told.frame(0.0)
    assert (told.offset.seconds, told.offset.correction) == (0.0, 0.0)
    assert told.said[-1] == (0.0, 0.0)


@pytest.mark.parametrize("evidence", ["one reply", "many frames"])
def test_a_clock_that_falls_behind_is_followed_at_once(evidence: str) -> None:
    """Although all that it said before still stands against it."""
    told = Told()
    told.reply(0.0)
    told.frames(0.0, 3 * MANY)
    if evidence == "one reply":
        told.reply(-180.0)
    else:
        told.frames(-180.0)
    assert told.offset.correction < -178.0


@pytest.mark.parametrize("offset", [-2 * ABSURD, 2 * ABSURD, -NOW, 1e12])
def test_what_is_absurd_is_told_and_not_used(offset: float) -> None:
    """Seconds for milliseconds, another zone: no bar waits for hours because of that."""
    told = Told()
    told.reply(-180.0)
    believed = told.offset.correction
    for _ in range(20):
        told.reply(offset)
        told.frames(offset)
    assert told.offset.correction == believed
    assert len(told.said) == 2
    assert abs(told.said[-1][0]) > ABSURD
    told.reply(-180.0)
    assert told.offset.seconds == pytest.approx(-180.0, abs=2.0)


def test_frames_from_another_day_are_absurd_as_well() -> None:
    """Many frames that are hours old, or whose unit is wrong, correct nothing."""
    told = Told()
    told.frames(-NOW, 3 * MANY)
    assert told.offset.correction == 0.0
    assert len(told.said) == 1


# --- at random ------------------------------------------------------------------------------------


@dataclass
class Skewed:
    """Two clocks that differ and drift apart, and an exchange that is heard over a bad network."""

    random: Random

    def __post_init__(self) -> None:
        pick = self.random
        self.now = NOW
        self.ahead = pick.choice((0.0, pick.uniform(-3, 3), pick.uniform(-400, 400)))
        self.drift = pick.uniform(-1e-4, 1e-4)
        self.least = pick.uniform(0.0, 0.8 * QUICKEST)
        self.jitter = pick.choice((0.01, 0.5, 20.0))
        self.heard = pick.choice(("frames", "replies", "both"))

    def listens(self, offset: Offset) -> Iterator[None]:
        """Ten minutes, one piece of evidence after the other."""
        end = self.now + 600
        while self.now < end:
            self.advance(self.random.expovariate(0.5))
            frames = self.heard == "frames" or (self.heard == "both" and self.random.random() < 0.9)
            (self.frame if frames else self.reply)(offset)
            yield

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.ahead += seconds * self.drift

    def late(self) -> float:
        return self.least + self.random.random() * self.jitter * (self.random.random() < 0.2)

    def frame(self, offset: Offset) -> None:
        said = self.now + self.ahead
        self.advance(self.late())
        offset.event(said, self.now)

    def reply(self, offset: Offset) -> None:
        sent = self.now
        self.advance(self.late())
        said = floor(self.now + self.ahead)
        self.advance(self.late())
        offset.reply(said, sent, self.now)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_truth_lies_within_the_bounds(seed: int) -> None:
    """However clocks are skewed and drift, and whatever the network does (seed in the name)."""
    world, offset = Skewed(Random(seed)), Offset()
    drifted = WINDOW * abs(world.drift)
    for _ in world.listens(offset):
        low, high = offset.bounds(world.now)
        assert low - drifted <= world.ahead <= high + drifted


@pytest.mark.parametrize("seed", SEEDS)
def test_market_time_is_ahead_of_neither_clock(seed: int) -> None:
    """By more than is tolerated, and what a network hides, once there is evidence (seed as above).

    And it is not behind the slower one by more than the worst delay.
    """
    world, offset = Skewed(Random(seed)), Offset()
    slack = TOLERATED + QUICKEST + WINDOW * abs(world.drift)
    hidden = 1.0 + world.least + world.jitter
    for number, _ in enumerate(world.listens(offset)):
        slower = min(0.0, world.ahead)
        assert offset.correction <= 0.0
        assert offset.correction >= slower - hidden - TOLERATED
        known = slack if world.heard != "replies" and number > 2 * MANY else slack + 2 * hidden
        assert offset.correction <= slower + known or number < MANY


def jumps(random: Random) -> Callable[[float], float]:
    """An offset that jumps once, a few minutes from now."""
    before, after = (random.choice((0.0, random.uniform(-300, 300))) for _ in range(2))
    at = NOW + random.uniform(100, 300)
    return lambda now: before if now < at else after


@pytest.mark.parametrize("seed", SEEDS)
def test_a_jump_never_lets_market_time_run_ahead(seed: int) -> None:
    """Whichever clock is set, to whatever: the slower one is followed (seed in the name)."""
    random = Random(seed)
    ahead, told = jumps(random), Told()
    since_jump = 0
    while told.now < NOW + 600:
        if random.random() < 0.2:
            told.reply(ahead(told.now), took=0.1)
        else:
            told.frame(ahead(told.now), late=random.random() * 0.3)
        jumped = ahead(told.now) != ahead(told.now - 5)
        since_jump = 0 if jumped else since_jump + 1
        if since_jump > 2 * MANY:
            slower = min(0.0, ahead(told.now))
            assert told.offset.correction <= slower + TOLERATED + QUICKEST
            assert told.now - NOW < 450 or told.offset.correction >= slower - 2.5
