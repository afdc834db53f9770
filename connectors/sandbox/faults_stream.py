"""Misbehaviours of the candle frames on a connection that lives. Pure."""

import random
import re
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

from connectors.sandbox.dialect import Channel, Dialect, Frame, Moment, Push
from connectors.sandbox.faults import Blow, Fault, Order

_DELAY = 2.0  # real seconds
_GIANT, _BOMB = 8 * 2**20, 32 * 2**20  # bytes


class Stall(Fault):
    """The connection lives and answers, but no candle comes."""

    kind = "stall"
    on_stream = True

    def frames(self, frames: list[Frame], push: Push, now: float) -> list[Frame]:
        """Hold the candles back; they are lost."""
        channel = push.channel
        stalled = self.acts(now) and self.concerns(channel.trading_pair, channel.interval)
        return [] if stalled else frames


class Repeat(Fault):
    """Every frame is sent again: at once, up to `delay` seconds (2) later, or both."""

    kind = "repeat"
    options = ("delay",)
    on_stream = True

    def copies(self, channel: Channel, now: float) -> tuple[float, ...]:
        """Draw when it is sent again."""
        if not (self.acts(now) and self.concerns(channel.trading_pair, channel.interval)):
            return (0.0,)
        later = self.random.uniform(0, self.order.number("delay", _DELAY))
        return self.random.choice(((0.0, 0.0), (0.0, later), (0.0, 0.0, later)))


class Reorder(Fault):
    """Frames overtake each other: about every other one comes up to `delay` seconds (2) late."""

    kind = "reorder"
    options = ("delay",)
    on_stream = True

    def copies(self, channel: Channel, now: float) -> tuple[float, ...]:
        """Draw how late it is sent."""
        if not (self.acts(now) and self.concerns(channel.trading_pair, channel.interval)):
            return (0.0,)
        late = self.random.uniform(0, self.order.number("delay", _DELAY))
        return (self.random.choice((0.0, late)),)


@dataclass(slots=True)
class _Series:
    """What was skipped of one subscription; `later` are open times asked for after that."""

    used: int = 0
    skipped: list[int] = field(default_factory=list)
    later: set[int] = field(default_factory=set)


class SkipCandle(Blow):
    """No frame of a bar comes; history has it.

    Of each matching pair and interval the next bar that opens is skipped at each occurrence, or
    without `every` the next `count` ones (1), on all connections.
    """

    kind = "skip_candle"
    on_stream = True

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        self._since = 0.0
        self._series: dict[tuple[str, str], _Series] = {}

    def strike(self, now: Moment) -> None:
        """Note the market time from which a bar must open."""
        super().strike(now)
        self._since = now.market

    def over(self, now: float) -> bool:
        """Return whether bars were skipped, and two later ones have come."""
        done = all(one.used == self._wanted and len(one.later) > 1 for one in self._series.values())
        return super().over(now) and bool(self._series) and done

    def skips(self, trading_pair: str, interval: str, open_time: int, now: float) -> bool:
        """Choose the next bar, if one is due."""
        if not (self.struck and self.concerns(trading_pair, interval)):
            return False
        series = self._series.setdefault((trading_pair, interval), _Series())
        if open_time in series.skipped:
            return True
        if open_time < self._since or open_time < max(series.skipped, default=0):
            return False
        if series.used == self._wanted:
            series.later.add(open_time)
            return False
        series.used = series.used + 1 if self.schedule.every is None else self._wanted
        series.skipped.append(open_time)
        series.later.clear()
        return True

    @property
    def _wanted(self) -> int:
        return self.struck if self.schedule.every is not None else self.schedule.count or 1


class _BrokenFrames(Fault):
    """Breaks the next frame at each occurrence, or `count` frames without `every`."""

    on_stream = True

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        self._done = 0

    @abstractmethod
    def broken(self, frame: Frame) -> Frame:
        """Return what is sent in place of this frame."""

    def over(self, now: float) -> bool:
        """Return whether all frames are broken that were to be."""
        count = self.schedule.count
        used_up = count is not None and self._done >= count
        return used_up or (self.schedule.every is None and self.schedule.over(now))

    def frames(self, frames: list[Frame], push: Push, now: float) -> list[Frame]:
        """Break each of these frames, if one is due."""
        if not frames or not self._due(now):
            return frames
        if not self.concerns(push.channel.trading_pair, push.channel.interval):
            return frames
        self._done += 1
        return [self.broken(frame) for frame in frames]

    def _due(self, now: float) -> bool:
        if self.schedule.every is None:
            return self.acts(now) and not self.over(now)
        return self.schedule.occurrences(now) > self._done


class Garble(_BrokenFrames):
    """Candle frames are broken: the next one at each occurrence, or `count` without `every`."""

    kind = "garble"

    def broken(self, frame: Frame) -> Frame:
        """Garble it."""
        return garbled(frame, self.random)


class Giant(_BrokenFrames):
    """A frame is oversized: the candle, then blanks up to `size` bytes (8 MiB).

    The next one at each occurrence, or without `every` the next `count` ones (1).
    """

    kind = "giant"
    options = ("size",)
    size = _GIANT

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        if self.schedule.every is None and self.schedule.count is None:
            self.schedule.count = 1

    def broken(self, frame: Frame) -> Frame:
        """Pad it."""
        return frame.ljust(int(self.order.number("size", self.size)))


class Bomb(Giant):
    """As `giant`, and 32 MiB, where messages are compressed: a thousandth of that on the wire.

    To a client that offers no compression it comes at its full size.
    """

    kind = "bomb"
    size = _BOMB

    @classmethod
    def unfit(cls, dialect: Dialect) -> str | None:
        """Return whether messages are compressed."""
        return None if dialect.compresses else "does not compress its messages"


# --- broken frames: each so that nobody can take it for a whole one with other figures

_Breaker = Callable[[bytes, random.Random], bytes]


def _cut(frame: bytes, luck: random.Random) -> bytes:
    return frame[: luck.randrange(1, max(2, len(frame)))]


def _scrambled(frame: bytes, luck: random.Random) -> bytes:
    letters = bytearray(frame)
    for _ in range(8):
        letters[luck.randrange(len(letters))] = luck.randrange(1, 9)
    return bytes(letters)


def _no_numbers(frame: bytes, luck: random.Random) -> bytes:
    return re.sub(rb"[0-9]", b"x", frame)


def _something_else(frame: bytes, luck: random.Random) -> bytes:
    return luck.choice((b"", b"null", b"[]", b"{}", b"[[]]", b'"x"', b"0", b"<html></html>"))


_BREAKERS: tuple[_Breaker, ...] = (_cut, _scrambled, _no_numbers, _something_else)


def garbled(frame: Frame, luck: random.Random) -> Frame:
    """Return the frame broken in one of several ways; text stays text."""
    raw = frame.encode() if isinstance(frame, str) else frame
    broken = luck.choice(_BREAKERS)(raw, luck)
    return broken.decode("ascii", "replace") if isinstance(frame, str) else broken
