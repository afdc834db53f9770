"""What a run is made of, as data: a seed gives a plan, and whatever is left of it can be run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final, NamedTuple

from connectors.model import Grid, Interval, Subscription, grid_of
from tests.simulation.market import KINDS, Kind

MINUTE: Final = 60
STARTS: Final = (
    1_700_000_047,  # 2023-11-14 22:14: no day ends soon
    1_709_507_647,  # 2024-03-03 23:14: a Sunday, of which weeks end
    1_706_742_847,  # 2024-01-31 23:14: a month ends
)
"""Market times at which runs begin; each lies within a bar."""
ENDING: Final = (("5m", "15m"), ("1d", "1w"), ("1d", "1M"))
"""Longer intervals of which a bar ends soon after each of ``STARTS``."""
NOISE: Final = 140
"""So many minutes of market time may something go wrong."""
CALM: Final = (14 * MINUTE, 75.0)
"""At least so many market and real seconds without faults end a run: everything must heal."""


class What(StrEnum):
    """What can go wrong; the value says it."""

    LOST = "frames are lost"
    UNCLOSED = "frames that say closed are lost"
    TWICE = "frames come twice"
    DELAYED = "frames overtake each other"
    NONSENSE = "frames say nonsense in between"
    CORRECTED = "the bar that closed last is corrected"
    CUT = "the connection is cut"
    SLOW = "REST takes long"
    FAILING = "REST fails"
    BUSY = "REST asks to slow down"
    LAGGING = "some of REST's machines are seconds behind"
    BEHIND = "REST is behind"
    WRONG_PAGE = "REST gives the page before"
    ROWS_TWICE = "REST gives rows twice"
    AWAY = "Kafka is away"
    ABORTED = "transactions fail"
    KILLED = "the worker is killed"


STREAM: Final = (What.LOST, What.UNCLOSED, What.TWICE, What.DELAYED, What.NONSENSE, What.CUT)
REST: Final = (
    What.SLOW,
    What.FAILING,
    What.BUSY,
    What.LAGGING,
    What.BEHIND,
    What.WRONG_PAGE,
    What.ROWS_TWICE,
)
KAFKA: Final = (What.AWAY, What.ABORTED, What.KILLED)
USELESS: Final = (What.SLOW, What.FAILING, What.BUSY, What.BEHIND, What.WRONG_PAGE)
"""REST may be of no use for longer than newer candles wait for it."""
MILD: Final = (
    What.TWICE,
    What.DELAYED,
    What.NONSENSE,
    What.SLOW,
    What.LAGGING,
    What.ROWS_TWICE,
)
"""What may go on for long."""
LONG: Final = (What.CUT, What.FAILING, What.BEHIND, *KAFKA)
"""What takes longer than so many bars as are remembered, at times."""
UNTOLD: Final = (What.LOST, What.UNCLOSED)
"""A stream may have skipped what only seems to be a quiet bar."""
UNHEARD: Final = (*UNTOLD, What.CUT, *KAFKA)
"""The stream may go on without having told of a bar."""
OF_ALL: Final = (What.CUT, What.BUSY, *KAFKA)
"""What strikes all subscriptions at once."""

IN_SECONDS: Final = (What.LAGGING, What.BEHIND)
"""Of these the extent is market seconds."""


class Fault(NamedTuple):
    """Something goes wrong with one pair (None: with all), from ``at`` on for so many ``seconds``.

    Both are market seconds, ``at`` since the run began. ``extent``: which part of the frames,
    replies or transactions it strikes, in 0–1; of ``IN_SECONDS``, how many.
    """

    what: What
    at: float
    seconds: float
    pair: int | None
    extent: float

    @property
    def end(self) -> float:
        """When it is over, market seconds since the run began."""
        return self.at + self.seconds

    def told(self) -> str:
        """What goes wrong, how much and for how long."""
        extent = f"{self.extent:.1f} s" if self.what in IN_SECONDS else f"{self.extent:.0%}"
        part = "" if extent == "100%" or self.what in OF_ALL else f" ({extent})"
        return f"{self.what.value}{part} for {self.seconds:.1f} s"


class Wish(NamedTuple):
    """One subscription.

    ``since``: so many bars before the first are wished for as well. ``reach``: so many bars back
    does REST's history go, where that is not 0. ``confirm``: REST is asked about every bar that
    the stream does not say to be closed.
    """

    number: int
    kind: Kind
    interval: str
    quiet: float
    since: int = 0
    reach: int = 0
    confirm: bool = True

    @property
    def subscription(self) -> Subscription:
        """What it is called."""
        return Subscription("simulated", f"P{self.number}-USD", self.interval)

    @property
    def grid(self) -> Grid:
        """The bars that there are; some exchanges' open at odd times."""
        grid = grid_of(self.interval)
        return Grid(grid.step, grid.step // 3) if self.kind.learned else grid


@dataclass(frozen=True)
class Plan:
    """All that a run depends on. ``skew``: how far the exchange's clock is behind ours."""

    seed: int
    start: int
    wishes: tuple[Wish, ...]
    faults: tuple[Fault, ...]
    speed: float = 1.0
    skew: float = 0.0
    page: int = 100
    noise: float = NOISE * MINUTE

    @classmethod
    def drawn(cls, seed: int, only: Sequence[What] = ()) -> Plan:
        """Some of everything, or of these ``only``."""
        random = Random(seed)
        speed, page = random.choice((1.0, 1.0, 5.0, 20.0)), random.choice((5, 12, 100))
        skew = random.choice((0.0, 0.0, random.uniform(-0.9, 0.9), random.uniform(-180, 180)))
        start = random.randrange(len(STARTS))
        intervals = ("1m", "1m", "1m", "1m", random.choice(ENDING[start]))
        kinds = random.sample(KINDS, len(intervals))
        wishes = tuple(_wish(random, *it) for it in enumerate(zip(kinds, intervals, strict=True)))
        faults = sorted(_troubles(random, len(wishes), skew, only), key=lambda fault: fault.at)
        return cls(seed, STARTS[start], wishes, tuple(faults), speed, skew, page)

    @property
    def end(self) -> float:
        """The market time at which all must have healed."""
        market, real = CALM
        return self.start + self.noise + max(market, real * self.speed)

    def is_calm(self, whats: Iterable[What], start: float, end: float, seconds: float) -> bool:
        """Whether for so many ``seconds`` between two market times none of these goes on."""
        at = start
        for fault in self.faults:
            if fault.what in whats and fault.end + self.start > at:
                if fault.at + self.start >= at + seconds:
                    break
                at = fault.end + self.start
        return at + seconds <= end

    def hurts(self, whats: Iterable[What], start: float, end: float, longest: float = 0.0) -> bool:
        """Whether one of these, longer than ``longest``, goes on between two market times."""
        start, end = start - self.start, end - self.start
        return any(
            it.what in whats and it.at < end and it.end > start and it.seconds > longest
            for it in self.faults
        )


def _wish(random: Random, number: int, served: tuple[Kind, str]) -> Wish:
    kind, interval = served
    if kind.learned and interval == "1M":
        interval = "1d"
    quiet = random.choice((0.0, 0.0, 0.0, 0.3, 0.3, 0.8))
    if Interval.parse(interval).seconds > 3_600:
        quiet = 0.0
    since = random.choice((0, 0, 0, 150)) if kind.rest else 0
    reach = random.choice((0, 0, 0, 40)) if kind.rest else 0
    return Wish(number, kind, interval, quiet, since, reach, confirm=random.random() < 0.8)


def _troubles(random: Random, pairs: int, skew: float, only: Sequence[What]) -> list[Fault]:
    """Some bad moments, at each of which a few things go wrong together."""
    faults = []
    for _ in range(random.randint(4, 8)):
        moment = random.uniform(0, (NOISE - 5) * MINUTE)
        pair = random.randrange(pairs)
        for _ in range(random.randint(1, 5)):
            what = random.choice(only or random.choice((STREAM, REST, KAFKA)))
            at = max(0.0, moment + random.gauss(0, MINUTE))
            mine = None if what in OF_ALL or random.random() < 0.4 else pair
            faults.append(_fault(random, what, at, mine, skew))
    for _ in range(random.choice((0, 2))):
        at = random.uniform(0, (NOISE - 5) * MINUTE)
        faults.append(Fault(What.CORRECTED, at, 0.0, random.randrange(pairs), 1.0))
    return faults


def _fault(random: Random, what: What, at: float, pair: int | None, skew: float) -> Fault:
    seconds = random.choice((0.1, 1.0, 4.0)) * MINUTE * random.random()
    if what in MILD:
        seconds *= 10
    elif what is What.ABORTED:
        seconds /= 4
    elif what in LONG and random.random() < 0.15:
        seconds = random.uniform(10, 30) * MINUTE
    extent = random.choice((0.3, 1.0))
    if what is What.LAGGING:
        extent = 5.0 - min(1.0, abs(skew))
    elif what is What.BEHIND:
        extent = random.uniform(5, 300)
    return Fault(what, at, min(seconds, NOISE * MINUTE - at), pair, extent)
