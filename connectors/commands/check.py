"""Pure: what was seen of an exchange in a short while, held against what its adapter says.

Times are market seconds. Every fact ends as one of three: it *agrees* with what was seen, it
*differs*, or it was *not seen*, for nothing happened that could tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from connectors.adapter import ExchangeAdapter, Quiet
from connectors.commands.audit import FIGURES
from connectors.comparison import behind, equal
from connectors.model import CandleData, Grid, Instrument
from connectors.session import ANSWER_WITHIN

Verdict = Literal["agrees", "differs", "not seen"]

SETTLED: Final = 1.0
"""Real seconds beyond close and grace after which a bar's last state is thought to have come."""


@dataclass(frozen=True)
class Fact:
    """What the adapter says, what was seen, and what follows. ``interval`` "": of all of them."""

    name: str
    interval: str
    says: str
    seen: str
    verdict: Verdict


# --- what was seen --------------------------------------------------------------------------------


@dataclass
class Bar:
    """What the stream told of one bar: its newest state, when that came, the newest flagged one."""

    state: CandleData
    told: float
    flagged: CandleData | None = None


@dataclass
class Stream:
    """One subscription; ``refused`` is why, "" while it was not. ``waited``: real seconds."""

    interval: str
    waited: float = 0.0
    confirmed: bool = False
    refused: str = ""
    candles: int = 0
    bars: dict[int, Bar] = field(default_factory=dict)

    def hear(self, candle: CandleData, at: float) -> None:
        """One state of one bar came."""
        self.candles += 1
        bar = self.bars.setdefault(candle.timestamp, Bar(candle, at))
        bar.state, bar.told = candle, at
        if candle.closed:
            bar.flagged = candle


@dataclass
class Reading:
    """What REST said of slots ``[start, end)``: rows as they came, or why there are none."""

    start: int
    end: int
    rows: Sequence[CandleData] = ()
    refused: str = ""


@dataclass
class Conversation:
    """One WebSocket connection; ``ended`` is why it ended before its time."""

    lasted: float = 0.0
    ended: str = ""
    controls: int = 0
    pings: int = 0
    pongs: int = 0
    theirs: int = 0


@dataclass
class Seen:
    """Everything. ``until`` is when the streams ended; ``stranger`` a pair that does not exist."""

    adapter: ExchangeAdapter
    trading_pair: str
    stranger: str
    speed: float = 1.0
    until: float = 0.0
    instruments: Sequence[Instrument] | str = ()
    conversations: list[Conversation] = field(default_factory=list)
    streams: dict[str, Stream] = field(default_factory=dict)
    readings: dict[str, Reading] = field(default_factory=dict)
    later: dict[str, Reading] = field(default_factory=dict)
    stranger_streamed: Stream | None = None
    stranger_ended: str = ""
    stranger_read: Reading | None = None
    unreadable: list[str] = field(default_factory=list)
    slowed: list[str] = field(default_factory=list)


# --- the verdicts ---------------------------------------------------------------------------------


def facts(seen: Seen) -> list[Fact]:
    """Every fact of the adapter with its verdict."""
    return [
        _instruments(seen),
        *_of_streams(seen),
        *(_reading(seen, interval) for interval in seen.readings),
        *_stranger(seen),
        *(_grid(seen, interval) for interval in _intervals(seen)),
        *_of_closing(seen),
        *_quiet(seen),
        _limits(seen),
    ]


def _instruments(seen: Seen) -> Fact:
    rows = seen.instruments
    says = "it lists them" if rows or seen.adapter.needs_instruments else "it may have no list"
    if isinstance(rows, str):
        return Fact("instruments", "", "it lists them", rows, "differs")
    if not rows:
        return Fact("instruments", "", says, "no list", "not seen")
    listed = any(row.trading_pair == seen.trading_pair for row in rows)
    text = f"{len(rows)} pairs, {seen.trading_pair} {'among them' if listed else 'not among them'}"
    return Fact("instruments", "", says, text, "agrees" if listed else "differs")


def _of_streams(seen: Seen) -> Iterator[Fact]:
    if not seen.streams:
        return
    yield _connections(seen)
    yield _frames(seen)
    yield _heartbeat(seen)
    yield from (_stream(seen, stream) for stream in seen.streams.values())


def _connections(seen: Seen) -> Fact:
    ended = [each.ended for each in seen.conversations if each.ended]
    lifetime = seen.adapter.limits.lifetime
    says = f"they last {lifetime:g} s" if lifetime else "they last"
    lasted = min((each.lasted for each in seen.conversations), default=0.0)
    text = "; ".join(ended) or f"{len(seen.conversations)} lasted {lasted:.0f} s"
    return Fact("connections", "", says, text, "differs" if ended else "agrees")


def _frames(seen: Seen) -> Fact:
    says = "each can be read, and is of a channel that was asked for"
    text = (
        "; ".join(seen.unreadable) or f"{sum(it.candles for it in seen.streams.values())} candles"
    )
    verdict: Verdict = "agrees" if seen.conversations else "not seen"
    return Fact("frames", "", says, text, "differs" if seen.unreadable else verdict)


def _heartbeat(seen: Seen) -> Fact:
    beat = seen.adapter.heartbeat
    says = {
        "server": "the exchange pings",
        "protocol": f"we ping every {beat.every:g} s",
        "message": f"we ping by a message every {beat.every:g} s",
    }[beat.kind]
    pings = sum(each.pings for each in seen.conversations)
    pongs = sum(each.pongs for each in seen.conversations)
    controls = sum(each.controls for each in seen.conversations)
    theirs = sum(each.theirs for each in seen.conversations)
    counts = {
        f"{pings} pings of ours, {pongs} answered": pings,
        f"{controls} pings and pongs of the protocol": controls,
        f"{theirs} pings by message, each answered": theirs,
    }
    text = "; ".join(text for text, count in counts.items() if count) or "no ping, no pong"
    heard = pongs if beat.kind == "message" else controls + theirs
    return Fact("heartbeat", "", says, text, "agrees" if heard else "not seen")


def _stream(seen: Seen, stream: Stream) -> Fact:
    word = "confirmed" if stream.confirmed else "not confirmed"
    text, verdict = f"{word}, {stream.candles} candles", _delivers(seen, stream)
    if not stream.candles:
        text += f" in {stream.waited:.0f} s"
    if stream.refused and not stream.candles:
        text = f"refused: {stream.refused}"
    return Fact("WebSocket", stream.interval, "it is streamed", text, verdict)


def _delivers(seen: Seen, stream: Stream) -> Verdict:
    """Silence says something only after a while; of what was confirmed, where there are trades."""
    if stream.candles:
        return "agrees"
    if stream.refused:
        return "differs"
    if stream.waited < ANSWER_WITHIN:
        return "not seen"
    return "differs" if _traded(seen) or not stream.confirmed else "not seen"


def _traded(seen: Seen) -> bool:
    """Whether bars with trades came on any stream."""
    return any(
        bar.state.volume > 0
        for stream in seen.streams.values()
        for bar in list(stream.bars.values())[1:]
    )


def _reading(seen: Seen, interval: str) -> Fact:
    reading = seen.readings[interval]
    says = "REST has it"
    if reading.refused:
        return Fact("REST", interval, says, reading.refused, "differs")
    times = [row.timestamp for row in reading.rows]
    inside = [time for time in times if reading.start <= time < reading.end]
    text = f"{len(inside)} rows"
    if times != sorted(set(times)):
        return Fact("REST", interval, says, f"{text}, not oldest first, each once", "differs")
    if inside:
        return Fact("REST", interval, says, text, "agrees")
    others = any(it.rows for it in seen.readings.values())
    quiet = not times and others and seen.adapter.quiet_bars.rest != "sent"
    return Fact("REST", interval, says, text, "not seen" if quiet else "differs")


def _stranger(seen: Seen) -> Iterator[Fact]:
    says = "it is refused, or nothing comes"
    if (stream := seen.stranger_streamed) is not None:
        text = stream.refused or seen.stranger_ended
        text = text or ("confirmed, nothing came" if stream.confirmed else "no word")
        told = f"{seen.stranger}: {f'{stream.candles} candles' if stream.candles else text}"
        verdict: Verdict = "differs" if stream.candles else "agrees"
        yield Fact("unknown pair, WebSocket", stream.interval, says, told, verdict)
    if (reading := seen.stranger_read) is not None:
        text = reading.refused or f"{len(reading.rows)} rows"
        verdict = "differs" if reading.rows else "agrees"
        yield Fact("unknown pair, REST", "", says, f"{seen.stranger}: {text}", verdict)


# --- the grid -------------------------------------------------------------------------------------


def _intervals(seen: Seen) -> list[str]:
    known = {**seen.streams, **seen.readings}
    return [each for each in seen.adapter.get_supported_intervals() if each in known]


def _times(seen: Seen, interval: str) -> list[int]:
    """Open times that were seen, the oldest first."""
    stream, reading = seen.streams.get(interval), seen.readings.get(interval)
    rows = reading.rows if reading else ()
    return sorted({*(stream.bars if stream else ()), *(row.timestamp for row in rows)})


def grid_of(seen: Seen, interval: str) -> Grid:
    """The adapter's grid, learned from the first open time where it has to be."""
    grid = seen.adapter.grid(interval)
    times = _times(seen, interval)
    return grid.anchored(times[0]) if times else grid


def _grid(seen: Seen, interval: str) -> Fact:
    times, own = _times(seen, interval), seen.adapter.grid(interval)
    says = f"a bar opens every {own.step} s" if not own.months else f"every {own.months} months"
    says += f" from {own.anchor}" if own.anchor else "" if own.known else ", learned from when"
    if not times:
        return Fact("grid", interval, says, "no bar", "not seen")
    grid = grid_of(seen, interval)
    astray = [time for time in times if not grid.holds(time)]
    text = f"{len(astray)} of {len(times)} do not, like {astray[0]}" if astray else f"{len(times)}"
    return Fact("grid", interval, says, text, "differs" if astray else "agrees")


# --- closing --------------------------------------------------------------------------------------


def _of_closing(seen: Seen) -> Iterator[Fact]:
    if not seen.streams:
        return
    yield _close_flag(seen)
    yield _close_grace(seen)
    for interval, stream in seen.streams.items():
        if interval in seen.later:
            yield _equal(seen, stream, seen.later[interval])


def ended(seen: Seen, stream: Stream) -> dict[int, Bar]:
    """The stream's bars whose last states must have come."""
    grid = grid_of(seen, stream.interval)
    last = seen.until - seen.adapter.close_grace - SETTLED * seen.speed
    return {time: bar for time, bar in stream.bars.items() if grid.after(time) <= last}


def _close_flag(seen: Seen) -> Fact:
    says = "frames say it" if seen.adapter.close_flag else "no frame says it"
    bars = [bar for stream in seen.streams.values() for bar in ended(seen, stream).values()]
    flagged = sum(
        bar.flagged is not None for stream in seen.streams.values() for bar in stream.bars.values()
    )
    text = f"{flagged} bars were flagged closed, {len(bars)} ended"
    if not seen.adapter.close_flag:
        verdict: Verdict = "differs" if flagged else "agrees" if bars else "not seen"
    else:
        bare = [] if _broken(seen) else [bar for bar in bars if bar.flagged is None]
        verdict = "differs" if bare else "agrees" if flagged else "not seen"
        text += f", {len(bare)} of them without a flag" if bare else ""
    return Fact("close", "", says, text, verdict)


def _close_grace(seen: Seen) -> Fact:
    grace = seen.adapter.close_grace
    says = f"the last frame of a bar comes within {grace:g} s after its end"
    if seen.speed != 1:
        return Fact("close grace", "", says, "market time is scaled: it cannot be told", "not seen")
    late = max(_latenesses(seen), default=None)
    if late is None:
        return Fact("close grace", "", says, "no bar ended", "not seen")
    verdict: Verdict = "agrees" if late <= grace else "differs"
    return Fact("close grace", "", says, f"within {max(0.0, late):.1f} s", verdict)


def _broken(seen: Seen) -> bool:
    """Whether a connection ended, and may have taken bars with it."""
    return any(each.ended for each in seen.conversations)


def _latenesses(seen: Seen) -> Iterator[float]:
    for stream in seen.streams.values():
        grid = grid_of(seen, stream.interval)
        for time, bar in stream.bars.items():
            if grid.after(time) <= seen.until:
                yield bar.told - grid.after(time)


def _equal(seen: Seen, stream: Stream, reading: Reading) -> Fact:
    flagged = seen.adapter.close_flag
    says = "closed candles equal REST's rows"
    says += "" if flagged else ", or lack the last trades"
    rows = {row.timestamp: row for row in reading.rows}
    compared = foreseen = 0
    wrong: list[str] = []
    for time, bar in sorted(ended(seen, stream).items()):
        state = bar.flagged if flagged else bar.state
        if state is None or not reading.start <= time < reading.end:
            continue
        row = rows.get(time)
        compared += 1
        if row is None:
            wrong += [f"{time}: not on REST"] if state.volume else []
        elif not equal(state, row):
            lacks = not flagged and behind(state, row)
            foreseen += lacks
            wrong += [] if lacks else [f"{time}: {difference(state, row)}"]
    if reading.refused:
        return Fact("equal", stream.interval, says, reading.refused, "not seen")
    text = f"{compared - len(wrong) - foreseen} equal"
    text += f", {foreseen} lacked trades" if foreseen else ""
    text += f", {len(wrong)} differ ({'; '.join(wrong[:3])})" if wrong else ""
    verdict: Verdict = "differs" if wrong else "agrees" if compared else "not seen"
    return Fact("equal", stream.interval, says, text, verdict)


def lags(seen: Seen, stream: Stream, reading: Reading) -> bool:
    """Whether REST has not caught up yet with what the stream told of bars that are over."""
    rows = {row.timestamp: row for row in reading.rows}
    states = [bar.flagged or bar.state for bar in ended(seen, stream).values()]
    inside = [it for it in states if reading.start <= it.timestamp < reading.end and it.volume]
    return any(
        state.timestamp not in rows or behind(rows[state.timestamp], state) for state in inside
    )


def difference(state: CandleData, row: CandleData) -> str:
    """The figures in which a candle of the stream differs from REST's row."""
    pairs = zip(FIGURES, state.figures(), row.figures(), strict=True)
    unlike = ((name, a, b) for name, a, b in pairs if None not in (a, b) and a != b)
    return ", ".join(f"{name} {a} but {b} on REST" for name, a, b in unlike)


# --- quiet bars and limits ------------------------------------------------------------------------


def _quiet(seen: Seen) -> Iterator[Fact]:
    if seen.streams:
        counts = [_bars_of(seen, stream) for stream in seen.streams.values()]
        told = [] if _broken(seen) else counts
        yield _quiet_fact("stream", seen.adapter.quiet_bars.stream, told)
    counts = [_rows_of(seen, interval) for interval in seen.readings]
    yield _quiet_fact("REST", seen.adapter.quiet_bars.rest, counts)


def _bars_of(seen: Seen, stream: Stream) -> tuple[int, int]:
    """How many bars that are over had no trades, and how many slots between them had no bar."""
    over = [bar.state for _, bar in sorted(ended(seen, stream).items())]
    return _count(grid_of(seen, stream.interval), over)


def _rows_of(seen: Seen, interval: str) -> tuple[int, int]:
    grid = grid_of(seen, interval)
    reading = seen.readings[interval]
    return _count(grid, [row for row in reading.rows if grid.after(row.timestamp) < reading.end])


def _count(grid: Grid, bars: Sequence[CandleData]) -> tuple[int, int]:
    if not bars:
        return 0, 0
    sent = sum(bar.volume == 0 for bar in bars)
    slots = grid.count(bars[0].timestamp, grid.after(bars[-1].timestamp))
    return sent, max(0, slots - len(bars))


def _quiet_fact(where: str, says: Quiet, counts: Sequence[tuple[int, int]]) -> Fact:
    sent, skipped = sum(a for a, _ in counts), sum(b for _, b in counts)
    text = f"{sent} were sent, {skipped} skipped"
    if not sent and not skipped:
        verdict: Verdict = "not seen"
        text = "none"
    elif says == "unknown":
        verdict = "agrees"
    else:
        verdict = "agrees" if (sent if says == "sent" else skipped) else "differs"
        verdict = "differs" if says == "sent" and skipped else verdict
    return Fact(f"quiet bars, {where}", "", says, text, verdict)


def _limits(seen: Seen) -> Fact:
    says = "nobody who keeps to them is told to slow down"
    text = "; ".join(dict.fromkeys(seen.slowed)) or "nobody was"
    return Fact("limits", "", says, text, "differs" if seen.slowed else "agrees")


# --- all of them ----------------------------------------------------------------------------------


def totals(found: Sequence[Fact]) -> str:
    """``agrees 12 · differs 1 · not seen 3``."""
    words: tuple[Verdict, ...] = ("agrees", "differs", "not seen")
    return " · ".join(f"{word} {sum(each.verdict == word for each in found)}" for word in words)


def merged(found: Sequence[Fact]) -> list[Fact]:
    """For people: intervals of which the same is said and that agree, in one row."""
    rows: dict[Any, list[Fact]] = {}
    for fact in found:
        key = (fact.name, fact.verdict, None if fact.verdict == "agrees" else fact)
        rows.setdefault(key, []).append(fact)
    return [_one(some) for some in rows.values()]


def _one(some: Sequence[Fact]) -> Fact:
    first = some[0]
    says = first.says if len({each.says for each in some}) == 1 else "…"
    seen = first.seen if len({each.seen for each in some}) == 1 else "each"
    intervals = " ".join(each.interval for each in some)
    return Fact(first.name, intervals, says, seen, first.verdict)
