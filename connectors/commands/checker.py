"""Looks at an exchange for a short while: its list, its streams, its REST; no verdicts here.

The limits are kept as a connector keeps them. A pair that does not exist is asked for on a
connection of its own, lest an exchange that ends it for that harm the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any, Final

from connectors.adapter import (
    Closing,
    Confirmed,
    ExchangeAdapter,
    Opening,
    Parsed,
    Ready,
    Refused,
    RestRefused,
    RestReply,
    RestRequest,
    RestSlowDown,
    RestUnavailable,
    Rows,
    WSJSONRequest,
)
from connectors.carrier import SHARE
from connectors.clock import Clock, ExchangeClock
from connectors.commands.check import Conversation, Reading, Seen, Stream, ended, grid_of, lags
from connectors.commands.overhearing import (
    Ear,
    Heard,
    asked_before,
    overheard,
    slug,
    sort_of,
)
from connectors.commands.recorder import Recorder, Sort
from connectors.conformance.items import ASKED
from connectors.conformance.pairs import QUOTES, USUAL, spelling
from connectors.endpoints import Endpoints
from connectors.errors import BadFrame, ConnectorError, Unreachable, UsageError
from connectors.flow import SAMPLE_SECONDS
from connectors.limits import Budget
from connectors.market import Pack, check_pair, pack
from connectors.model import CandleData, Grid, Instrument, Subscription
from connectors.offset import Offset
from connectors.rest import Rest, date_of
from connectors.tasks import end, happens
from connectors.websocket import converse

ROWS: Final = 100
"""So many rows of each interval are read, or a page where that is less."""
FIRST: Final = 1_420_070_400
"""2015-01-01: nothing older is asked for."""
STRANGER_SECONDS: Final = 20.0
"""Real seconds in which a pair that does not exist is refused, or is not."""
LOOK_SECONDS: Final = 0.5
"""Real seconds between two looks at what was confirmed and refused."""
LAG_TRIES: Final = 4
LAG_SECONDS: Final = 3.0
"""Real seconds between two looks at rows that lag behind the stream."""
SLOW_SECONDS: Final = 10.0
"""Market seconds of silence after a request to slow down that does not say for how long."""
UNREADABLE: Final = 5
"""So many frames that cannot be read are told; one would do."""
OTHERS: Final = 3
"""So many sorts of frames that mean nothing are kept as items."""


class Checker:
    """Looks at one exchange for ``seconds`` of real time.

    ``recorder`` keeps items, if there is one. ``trading_pair`` None: one that is traded much.
    """

    def __init__(
        self,
        adapter_class: type[ExchangeAdapter],
        trading_pair: str | None,
        seconds: float,
        rest: Rest,
        endpoints: Endpoints,
        clock: Clock,
        recorder: Recorder | None = None,
    ) -> None:
        self._class = adapter_class
        self._name = adapter_class.name
        self._wanted = trading_pair
        self._seconds = seconds
        self._rest = rest
        self._endpoints = endpoints
        self._local = clock
        self._clock = ExchangeClock.of(clock, Offset(clock.speed))
        self._recorder = recorder
        self._adapter = adapter_class()
        self._rows: Sequence[Instrument] = ()
        limits = adapter_class.limits
        self._budget = Budget(limits.rest, SHARE)
        self._attempts = Budget([limits.attempts], SHARE)
        self._sample_at = -inf
        self._others = 0
        self._seen = Seen(self._adapter, "", "", clock.speed)

    async def run(self) -> Seen:
        """What was seen; UsageError for a pair that is not listed, else errors as of ``Rest``."""
        listed = await self._list()
        seen = self._seen
        seen.instruments = listed
        seen.trading_pair = self._choose() or await self._try()
        seen.stranger = f"NOSUCH-{seen.trading_pair.partition('-')[2]}"
        await self._look()
        await self._compare()
        return seen

    async def _look(self) -> None:
        seen, adapter = self._seen, self._adapter
        wanted = [
            Subscription(self._name, seen.trading_pair, interval)
            for interval in adapter.get_ws_supported_intervals()
        ]
        channels = {adapter.channel(each): Stream(each.interval) for each in wanted}
        seen.streams = {stream.interval: stream for stream in channels.values()}
        packs = pack(adapter, wanted)
        allowed = adapter.limits.connections
        spare = allowed is None or len(packs) < allowed
        until = self._local.real() + self._seconds
        async with asyncio.TaskGroup() as tasks:
            for each in packs[:allowed]:
                tasks.create_task(self._stream(each, channels, until))
            if spare:
                tasks.create_task(self._ask_stranger(until))
            tasks.create_task(self._read_all())
        seen.until = self._clock.market_at(until)
        if not spare:
            await self._ask_stranger(self._local.real() + STRANGER_SECONDS)

    # --- instruments ---

    async def _list(self) -> list[Instrument] | str:
        """The list, or why it cannot be read; errors where there is no reply at all."""
        asked: list[tuple[RestRequest, RestReply]] = []

        async def fetch(request: RestRequest) -> RestReply:
            asked.append((request, await self._fetch(request)))
            return asked[-1][1]

        try:
            rows = await self._rest.drive(self._name, self._adapter.instruments(), fetch)
        except Unreachable as error:
            if not asked:
                raise
            return str(error)
        self._rows = rows
        self._adapter.use_instruments(rows)
        if self._recorder and len(asked) == 1:
            symbol = spelling(self._adapter, self._choose()) or ""
            self._recorder.instruments(*asked[0], symbol)
        return list(rows)

    def _choose(self) -> str:
        """What is wanted, else a listed pair that is usually traded much; "" without a list."""
        rows = [row for row in self._rows if row.tradable and not row.unsupported]
        names = [row.trading_pair for row in rows if row.alias_of is None]
        if self._wanted is not None:
            check_pair(self._rows, Subscription(self._name, self._wanted, "1m"))
            return self._wanted
        usual = [pair for pair in USUAL if pair in names]
        return next(iter([*usual, *(it for it in names if it.startswith("BTC-")), *names]), "")

    async def _try(self) -> str:
        """Without a list: the first of the usual pairs that REST knows."""
        for interval in self._adapter.get_rest_supported_intervals()[:1]:
            for pair in dict.fromkeys((*USUAL, *(f"BTC-{quote}" for quote in QUOTES))):
                if (await self._newest(pair, interval)).rows:
                    return pair
        raise UsageError(f"{self._name} has no list of pairs: name one with --pair")

    # --- WebSocket ---

    async def _stream(self, each: Pack, channels: Mapping[str, Stream], until: float) -> None:
        streams = {channel: channels[channel] for channel in each.channels}
        talk = Conversation()
        self._seen.conversations.append(talk)
        await self._converse(each, streams, talk, until, self._seen.trading_pair)

    async def _ask_stranger(self, until: float) -> None:
        seen, adapter = self._seen, self._adapter
        for interval in adapter.get_ws_supported_intervals()[:1]:
            seen.stranger_streamed = stream = Stream(interval)
            subscription = Subscription(self._name, seen.stranger, interval)
            try:
                (only,) = pack(adapter, [subscription])
            except Exception as error:  # noqa: BLE001 - an adapter may know listed pairs only
                stream.refused = f"the adapter does not spell it: {error}"
            else:
                seen.stranger_ended = await self._ask(only, stream, until)

    async def _ask(self, only: Pack, stream: Stream, until: float) -> str:
        """Wait for a refusal, but not for long; why the connection ended, if it did."""
        talk, enough = Conversation(), asyncio.Event()
        streams = {only.channels[0]: stream}

        def look() -> None:
            if stream.refused:
                enough.set()

        task = asyncio.create_task(
            self._converse(only, streams, talk, until, self._seen.stranger, look)
        )
        task.add_done_callback(lambda _: enough.set())
        try:
            await happens(enough, min(STRANGER_SECONDS, until - self._local.real()))
            return talk.ended
        finally:
            await end(task)

    async def _converse(
        self,
        each: Pack,
        streams: Mapping[str, Stream],
        talk: Conversation,
        until: float,
        trading_pair: str,
        looked: Callable[[], None] = lambda: None,
    ) -> None:
        """Hold one connection until then; why it ended before is told by ``talk``."""
        ear, began = Ear(), inf
        adapter = overheard(self._class, ear)
        adapter.use_instruments(self._rows)
        session: Heard | None = None

        def opened() -> None:
            nonlocal began
            began = self._local.real()

        def look() -> float:
            now = self._local.real()
            if session is not None:
                _look_at(session, ear, streams, talk, now)
                talk.controls = session.controls
            looked()
            return now + LOOK_SECONDS

        try:
            async with asyncio.timeout(max(0.0, until - self._local.real())):
                await self._attempt()
                url, opening = await self._dial(adapter, each.group)
                session = Heard(adapter, opening, self._local.real())
                session.want(
                    sorted(each.channels, key=lambda it: adapter.step(streams[it].interval))
                )
                receive = self._receiver(session, ear, streams, talk, trading_pair)
                talk.ended = await converse(
                    url, session, self._local, receive, lambda: False, look, opened
                )
        except TimeoutError:
            talk.ended = "" if began < inf else "no connection in time"
        except ConnectorError as error:
            talk.ended = str(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the adapter's
            talk.ended = f"the adapter fails: {error!r}"
        finally:
            if session is not None:  # but for control frames: there, the last one closes
                _look_at(session, ear, streams, talk, self._local.real())
            talk.lasted = max(0.0, self._local.real() - began)

    async def _attempt(self) -> None:
        while not self._attempts.take(now := self._local.market()):
            free = self._local.real_at(self._attempts.free_at(now))
            await asyncio.sleep(max(0.001, free - self._local.real()))

    async def _dial(self, adapter: ExchangeAdapter, group: str) -> tuple[str, Opening]:
        async def fetch(request: RestRequest) -> RestReply:
            reply = await self._fetch(request)
            if self._recorder:
                self._recorder.reply(Sort("rest_token", ""), request, reply)
            return reply

        opening: Opening = await self._rest.drive(self._name, adapter.opening(group), fetch)
        return self._endpoints.url(self._name, opening.url), opening

    def _receiver(
        self,
        session: Heard,
        ear: Ear,
        streams: Mapping[str, Stream],
        talk: Conversation,
        trading_pair: str,
    ) -> Callable[[bytes, bool], bool]:
        def receive(message: bytes, binary: bool) -> bool:
            now = self._local.real()
            try:
                candles = session.receive(message, binary, now)
            except BadFrame as bad:
                self._cannot_read(f"{bad}, of {message[:200].decode('utf-8', 'replace')}")
                return False
            if candles is None:
                sort = self._answer(ear, talk)
            else:
                sort = self._candles(candles, streams, now)
            if sort is not None and self._recorder and not self._recorder.has(sort):
                unpacked = ear.unpacked if binary else None
                asked = asked_before(ear, sort)
                self._recorder.frame(sort, message, unpacked, asked, trading_pair)
            return candles is None

        return receive

    def _candles(
        self, candles: Sequence[CandleData], streams: Mapping[str, Stream], now: float
    ) -> Sort | None:
        at = self._clock.market_at(now)
        stream = None
        for candle in candles:
            stream = streams.get(candle.channel or "")
            if stream is None:
                self._cannot_read(f"a candle of channel {candle.channel}, which nobody asked for")
                return None
            stream.hear(candle, at)
        times = [it.event_time for it in candles if it.event_time is not None]
        if times and now >= self._sample_at:
            self._sample_at = now + SAMPLE_SECONDS
            self._clock.offset.event(max(times) / 1000, self._local.market_at(now))
        return sort_of(stream.interval, candles) if stream else None

    def _cannot_read(self, why: str) -> None:
        if len(self._seen.unreadable) < UNREADABLE:
            self._seen.unreadable.append(why)

    def _answer(self, ear: Ear, talk: Conversation) -> Sort | None:
        """Count what was no candle; the sort of item that it is."""
        match ear.parsed:
            case Confirmed(request_id, channels):
                return Sort("ws_confirm", slug(request_id or " ".join(channels)))
            case Refused(_, request_id, channels):
                return Sort("ws_error", slug(request_id or " ".join(channels)))
            case WSJSONRequest():
                talk.theirs += 1
                return Sort("ws_ping", "")
            case None if ear.ping is not None and "pong" in str(ear.data).lower():
                talk.pongs += 1
                return Sort("ws_pong", "")
        return self._other(ear.parsed)

    def _other(self, parsed: Parsed) -> Sort | None:
        """A greeting, an announcement, or what means nothing, of which a few are kept."""
        if isinstance(parsed, Ready | Closing):
            return Sort("ws_other", type(parsed).__name__.lower())
        self._others += 1
        return Sort("ws_other", str(self._others)) if self._others <= OTHERS else None

    # --- REST ---

    async def _fetch(self, request: RestRequest) -> RestReply:
        """One request, paid for from the budget; the reply also tells of the exchange's clock."""
        while not self._budget.begin(now := self._local.market(), request.weight):
            free = self._local.real_at(self._budget.free_at(now, request.weight))
            await asyncio.sleep(max(0.001, min(1.0, free - self._local.real())))
        sent = self._local.market()
        try:
            reply = await self._rest.fetch(self._name, request)
        finally:
            self._budget.end(self._local.market(), request.weight)
        date = date_of(reply)
        if date is not None:
            answered = self._local.market()
            self._clock.offset.reply(date, sent, answered, cached="age" in reply.headers)
        return reply

    async def _read_all(self) -> None:
        seen = self._seen
        for interval in self._adapter.get_rest_supported_intervals():
            seen.readings[interval] = await self._newest(seen.trading_pair, interval)
        for interval in self._adapter.get_rest_supported_intervals()[:1]:
            seen.stranger_read = await self._newest(seen.stranger, interval)

    async def _newest(self, trading_pair: str, interval: str) -> Reading:
        """The newest rows of an interval, the running bar's among them."""
        grid = self._adapter.grid(interval)
        grid = grid if grid.known else grid.anchored(0)
        pages = self._adapter.rest_pages(interval)
        until = grid.after(grid.floor(self._clock.market()))
        start = max(grid.after(until, -min(ROWS, pages.limit, pages.rows or ROWS)), FIRST)
        return await self._read(trading_pair, interval, grid, grid.floor(start), until)

    async def _read(
        self, trading_pair: str, interval: str, grid: Grid, start: int, until: int
    ) -> Reading:
        adapter = self._adapter
        try:
            limit, now = grid.count(start, until), self._clock.market()
            request = adapter.rest_request(trading_pair, interval, start, until, limit, now)
            reply = await self._fetch(request)
            answer = adapter.read_rest_reply(reply, request)
        except ConnectorError as error:
            return Reading(start, until, refused=str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the adapter's
            return Reading(start, until, refused=f"it cannot be read: {error!r}")
        match answer:
            case Rows(candles):
                if candles:
                    asked = dict(zip(ASKED, (interval, start, until, limit, now), strict=True))
                    self._keep(Sort("rest_candles", interval), request, reply, asked=asked)
                return Reading(start, until, candles)
            case RestSlowDown(reason, seconds):
                self._seen.slowed.append(reason)
                self._budget.close(self._local.market() + (seconds or SLOW_SECONDS))
                return Reading(start, until, refused=reason)
            case RestRefused(reason):
                status = {"http_status": reply.status}
                self._keep(Sort("rest_error", ""), request, reply, **status)
                return Reading(start, until, refused=reason)
            case RestUnavailable(reason):
                return Reading(start, until, refused=reason)

    def _keep(self, sort: Sort, request: RestRequest, reply: RestReply, **facts: Any) -> None:
        if self._recorder:
            told = {"trading_pair": request.trading_pair, **facts}
            self._recorder.reply(sort, request, reply, **told)

    async def _compare(self) -> None:
        """Read again what the streams told of, once REST has caught up with them."""
        seen = self._seen
        for interval, stream in seen.streams.items():
            over = sorted(ended(seen, stream))
            if not over or interval not in seen.readings:
                continue
            grid = grid_of(seen, interval)
            until = grid.after(over[-1])
            most = self._adapter.rest_pages(interval).limit
            start = max(over[0], grid.after(until, -most))
            for left in reversed(range(LAG_TRIES)):
                reading = await self._read(seen.trading_pair, interval, grid, start, until)
                seen.later[interval] = reading
                if not left or not lags(seen, stream, reading):
                    break
                await asyncio.sleep(LAG_SECONDS)


def _look_at(
    session: Heard, ear: Ear, streams: Mapping[str, Stream], talk: Conversation, now: float
) -> None:
    """What the session knows by now."""
    talk.pings = ear.pings
    for channel in (channel for channels, _ in ear.asked.values() for channel in channels):
        streams[channel].waited = now - ear.since.setdefault(channel, now)
    for channel in session.confirmed:
        streams[channel].confirmed = True
    for rejected in session.rejected:
        streams[rejected.channel].refused = rejected.reason
