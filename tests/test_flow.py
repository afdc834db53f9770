"""The way of a candle, with a live publisher that only keeps what it is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from typing import Any

import orjson
import pytest

from connectors import telemetry
from connectors.adapter import ExchangeAdapter, Opening, Parsed, RestReply
from connectors.agenda import Agenda, Errand
from connectors.clock import ExchangeClock
from connectors.codec import CandleEncoder, candle_key, candle_of, dead_letter_of
from connectors.dead_letters import SAMPLE, DeadLetters
from connectors.flow import Flow, Lane, Route, Tally
from connectors.inquiry import Kind, Span
from connectors.kafka import Cluster, LivePublisher
from connectors.limits import Backoff, Budget
from connectors.model import CandleData, Subscription, grid_of
from connectors.offset import MANY, Offset
from connectors.records import CandleRecord, CoverageRecord, DeadLetter
from connectors.schema import CANDLE, DEAD_LETTER, Reader
from connectors.session import Session
from tests.plain import RULES, START, Hands, Plain, ledger_of, subscription

BTC, ETH = subscription("BTC-USDT"), subscription("ETH-USDT")
BTC_CHANNEL, ETH_CHANNEL = "BTC-USDT@1m", "ETH-USDT@1m"


class Kept(LivePublisher):
    """Keeps what it is given to publish."""

    def __init__(self, capacity: int = 1_000_000) -> None:
        super().__init__(Cluster("localhost:1"), capacity=capacity)
        self.added: list[tuple[str, int, bytes, bytes, int, object]] = []

    def add(self, *state: Any) -> None:
        self.added.append(state)
        super().add(*state)


class World:
    """A flow, its publishers, one connection with its lanes, and the time."""

    def __init__(
        self,
        wanted: Sequence[Subscription] = (BTC, ETH),
        *,
        live: bool = True,
        keep_all: bool = True,
        capacity: int = 1_000_000,
        adapter: ExchangeAdapter | None = None,
        offset: Offset | None = None,
    ) -> None:
        self.hands = Hands()
        self.clock = ExchangeClock.of(self.hands.clock(), offset or Offset())
        self.live, self.notes = Kept(capacity), Kept()
        letters = DeadLetters(self.notes, "p.dead-letters", DEAD_LETTER.prefix, self.clock)
        self.flow = Flow(self.live, letters, self.clock, keep_all=keep_all)
        self.adapter = adapter or Plain()
        self.lanes = [self.lane(each, live=live) for each in wanted]
        session = Session(self.adapter, Opening(url=""), self.hands.real)
        routes: dict[str | None, list[Lane]] = {}
        for lane in self.lanes:
            routes.setdefault(self.adapter.channel(lane.ledger.subscription), []).append(lane)
        session.want(channel for channel in routes if channel is not None)
        if len(routes) == 1:
            routes[None] = self.lanes
        self.route = Route(session, routes)
        self.agenda = Agenda(self.adapter, Budget([]), Backoff(lambda: 1.0), self.clock)

    def lane(self, wanted: Subscription, *, live: bool) -> Lane:
        encoder = CandleEncoder(wanted, grid_of(wanted.interval), CANDLE.prefix)
        ledger = ledger_of(wanted, self.clock, RULES)
        ledger.begin(None, START, self.hands.real)
        return Lane(
            ledger=ledger,
            key=candle_key(wanted),
            partition=2,
            closed_topic="p.plain.closed",
            closed_encoder=encoder,
            live_topic="p.plain.live",
            live_encoder=encoder if live else None,
            facts=CoverageRecord(subscription=wanted),
        )

    def hears(self, *candles: Sequence[Any]) -> bool:
        """One frame of candles: channel, open time, close, closed."""
        return self.hears_bytes(orjson.dumps({"candles": candles}))

    def hears_bytes(self, frame: bytes, *, binary: bool = False) -> bool:
        return self.flow.frame(self.route, frame, binary)

    def published(self) -> list[CandleRecord]:
        """What went to the live topic, decoded."""
        return [candle_of(Reader(CANDLE).read(state[3])) for state in self.live.added]

    def letters(self) -> list[DeadLetter]:
        return [dead_letter_of(Reader(DEAD_LETTER).read(state[3])) for state in self.notes.added]

    def tally(self) -> Tally:
        """With what the publisher knows, as a worker fills it in."""
        tally = self.flow.tally
        tally.published, tally.conflated = self.live.pending, self.live.conflated
        return tally

    def errand(self) -> Errand:
        """One that is under way."""
        lane = self.lanes[0]
        request = self.adapter.rest_request("BTC-USDT", "1m", START, START + 120, 2, START)
        self.agenda.under_way += 1
        assert self.agenda.budget.begin(self.clock.market(), request.weight)
        return Errand(
            lane.ledger, Span(START, START + 120, kind=Kind.HEAD, at=START + 130), request
        )


# --- the stream -----------------------------------------------------------------------------------


def test_an_open_candle_goes_to_the_live_topic() -> None:
    """Topic, partition, key, time and value are the subscription's, and nothing else is sent."""
    world = World()
    world.hands.real += 7
    assert world.hears([BTC_CHANNEL, START, 5.5, False]) is False
    ((topic, partition, key, _, at, token),) = world.live.added
    assert (topic, partition, key) == ("p.plain.live", 2, b"plain:BTC-USDT")
    assert at == (START + 7) * 1000  # the frame tells no time of its own
    assert token is world.lanes[0]
    (record,) = world.published()
    assert (record.subscription, record.closed, record.candle.close) == (BTC, False, 5.5)
    assert (record.candle.timestamp, record.close_time) == (START, START + 60)
    assert record.published_at == int(world.clock.wall() * 1000)
    assert world.notes.added == []


def test_the_exchanges_own_time_is_the_records() -> None:
    """Where a frame tells when the state was true, that is the record's time."""

    class Telling(Plain):
        def parse_ws_message(self, data: Any) -> Parsed:
            parsed = super().parse_ws_message(data)
            assert isinstance(parsed, list)
            for candle in parsed:
                candle.event_time = 1_790_000_099_123
            return parsed

    world = World(adapter=Telling())
    world.hears([BTC_CHANNEL, START, 5.5, False])
    assert [state[4] for state in world.live.added] == [1_790_000_099_123]


def test_a_closed_candle_never_goes_to_the_live_topic() -> None:
    """It waits in its ledger for the writer, with why it is thought closed."""
    world = World()
    world.hears([BTC_CHANNEL, START, 5.5, True])
    assert world.live.added == []
    assert [each.candle.close for each in world.lanes[0].ledger.pending] == [5.5]
    assert (world.tally().settled, world.tally().balanced) == (1, True)


def test_one_frame_may_carry_several_candles_of_several_subscriptions() -> None:
    """Each finds its own lane by its channel."""
    world = World()
    world.hears([BTC_CHANNEL, START, 1, False], [ETH_CHANNEL, START, 2, False])
    assert [(it.subscription, it.candle.close) for it in world.published()] == [(BTC, 1), (ETH, 2)]


def test_two_lanes_may_share_a_channel() -> None:
    """Pairs that are two names of one instrument both get its candles."""

    class Alias(Plain):
        def channel(self, subscription: Subscription) -> str:
            del subscription
            return "same"

    world = World(adapter=Alias())
    world.hears(["same", START, 1, False])
    assert [record.subscription for record in world.published()] == [BTC, ETH]
    assert (world.tally().received, world.tally().balanced) == (2, True)


def test_a_candle_without_a_channel_belongs_to_the_only_subscription() -> None:
    """Some exchanges do not say of what a frame is, where only one thing was asked for."""
    world = World([BTC])
    world.hears([None, START, 1, False])
    assert [record.subscription for record in world.published()] == [BTC]


def test_a_candle_without_a_channel_among_many_is_a_dead_letter() -> None:
    """It is nobody's, so it is not guessed whose."""
    world = World()
    world.hears([None, START, 1, False])
    assert world.live.added == []
    assert "names no channel" in world.letters()[0].reason


def test_a_candle_that_nobody_wants_is_left_out() -> None:
    """A channel that leads nowhere harms nothing and counts as nothing."""
    world = World()
    world.hears(["DOGE-USDT@1m", START, 1, False])
    assert (world.live.added, world.notes.added, world.tally().received) == ([], [], 0)


def test_what_is_no_candle_is_the_sessions() -> None:
    """A confirmation or a ping says that the session may have to answer."""
    world = World()
    assert world.hears_bytes(b'{"ping": 7}') is True
    assert world.route.session.texts(world.hands.real, 0.0)[0] == '{"pong":7}'


def test_without_live_updates_an_open_state_only_settles() -> None:
    """With ``--live none`` open states are counted, closed ones published as ever."""
    world = World(live=False)
    world.hears([BTC_CHANNEL, START, 1, False])
    world.hears([BTC_CHANNEL, START, 2, True])
    assert world.live.added == []
    assert len(world.lanes[0].ledger.pending) == 1
    tally = world.tally()
    assert (tally.unwanted, tally.settled, tally.balanced) == (1, 1, True)


# --- what cannot be read --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b'{"candles": [["BTC-US', "JSONDecodeError: "),
        (b'{"candles": [[1, 2]]}', "ValueError: not enough values to unpack"),
        (b'{"candles": [["BTC-USDT@1m", 60, "NaN", false]]}', "ValueError: a figure is not"),
        (b"\xff\xfe\x00", ": "),
    ],
)
@pytest.mark.parametrize("binary", [False, True])
def test_an_unreadable_frame_is_a_dead_letter(frame: bytes, reason: str, binary: bool) -> None:
    """Its bytes and the reason go to the dead letters; the connection lives on."""
    world = World()
    assert world.hears_bytes(frame, binary=binary) is False
    (letter,) = world.letters()
    assert reason in letter.reason
    assert (letter.exchange, letter.frame, letter.size) == ("plain", frame, len(frame))
    assert (letter.binary, letter.transport, letter.omitted) == (binary, "websocket", 0)
    ((topic, partition, key, _, at, _),) = world.notes.added
    assert (topic, partition, key) == ("p.dead-letters", 0, b"plain")
    assert at == letter.received_at == int(world.clock.wall() * 1000)
    world.hears([BTC_CHANNEL, START, 1, False])
    assert len(world.live.added) == 1


def test_one_bad_candle_does_not_harm_the_others_of_its_frame() -> None:
    """Of three candles the middle one opens where no bar does: two are published, one letter."""
    world = World()
    off_grid = [BTC_CHANNEL, START + 7, 2, False]
    world.hears([BTC_CHANNEL, START, 1, False], off_grid, [ETH_CHANNEL, START, 3, False])
    assert [record.candle.close for record in world.published()] == [1, 3]
    (letter,) = world.letters()
    assert "no bar opens" in letter.reason
    assert (world.tally().unusable, world.tally().balanced) == (1, True)


def test_a_defect_of_ours_ends_no_connection() -> None:
    """Whatever a ledger raises, the frame is a dead letter and the next one is read."""
    world = World()

    def fail(candle: CandleData, real: float) -> bool:
        raise KeyError("a defect")

    world.lanes[0].ledger.settle = fail  # type: ignore[method-assign]  # a defect to be
    world.hears([BTC_CHANNEL, START, 1, False], [ETH_CHANNEL, START, 2, False])
    assert [record.subscription for record in world.published()] == [ETH]
    assert world.letters()[0].reason == "KeyError: 'a defect'"
    assert world.tally().balanced


def test_a_flood_of_unreadable_frames_is_sampled() -> None:
    """Past the sample they are only counted, and the next letter says how many."""
    world = World()
    most = int(SAMPLE.amount)
    for _ in range(most + 40):
        world.hears_bytes(b"{")
    assert len(world.letters()) == most
    world.hands.real += SAMPLE.period
    world.hears_bytes(b"{")
    world.hears_bytes(b"{")
    assert [letter.omitted for letter in world.letters()[most:]] == [40, 0]


# --- crowded --------------------------------------------------------------------------------------


def test_reading_pauses_before_an_update_would_be_given_up() -> None:
    """While the publisher has no room, the flow is crowded."""
    world = World(capacity=2)
    crowded = []
    for close in (1, 2, 3):
        crowded.append(world.flow.crowded)
        world.hears([BTC_CHANNEL, START, close, False])
    assert crowded == [False, False, True]


def test_where_only_the_newest_update_is_wanted_reading_never_pauses() -> None:
    """With ``--live newest`` replacing updates is the wish, not a want of room."""
    world = World(capacity=1, keep_all=False)
    for close in (1, 2, 3):
        world.hears([BTC_CHANNEL, START, close, False])
        assert not world.flow.crowded
    assert (world.tally().conflated, world.tally().balanced) == (2, True)


# --- whose time it is -----------------------------------------------------------------------------


class Timed(Plain):
    """Its candles' last figure is the event time."""

    def parse_ws_message(self, data: Any) -> Parsed:
        return [
            CandleData(at, close, close, close, close, 1, channel=channel, event_time=event_time)
            for channel, at, close, event_time in data["candles"]
        ]


class Heard(Offset):
    """Keeps what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[float, float]] = []

    def event(self, time: float, received: float) -> None:
        self.told.append((time, received))
        super().event(time, received)


def timed() -> tuple[World, Heard]:
    """A world whose frames say when they were sent, and what its clock is told."""
    heard = Heard()
    return World(adapter=Timed(), offset=heard), heard


def test_event_times_tell_how_far_the_exchanges_clock_is_behind() -> None:
    """They are compared with our own time, not with what it is corrected to."""
    world, heard = timed()
    for second in range(3 * MANY):
        world.hands.real += 1.0
        world.hears([BTC_CHANNEL, START, 1, (START + second + 1 - 180) * 1000])
    assert heard.correction == -180.0
    assert world.clock.market() == START + 3 * MANY - 180
    assert heard.told[-1] == (START + 3 * MANY - 180, START + 3 * MANY)


def test_event_times_are_looked_at_once_a_second() -> None:
    """Of a hundred frames in ten seconds ten are looked at: the others cost a comparison."""
    world, heard = timed()
    for _ in range(100):
        world.hears([BTC_CHANNEL, START, 1, START * 1000])
        world.hands.real += 0.1
    assert 10 <= len(heard.told) <= 11


def test_of_a_frame_the_newest_event_time_counts() -> None:
    """It may repeat older candles."""
    world, heard = timed()
    world.hears(
        [BTC_CHANNEL, START - 60, 1, (START - 60) * 1000], [BTC_CHANNEL, START, 1, START * 1000]
    )
    assert heard.told == [(START, START)]


def test_frames_without_event_times_tell_nothing() -> None:
    """Of an exchange that writes none, only its replies over REST are heard."""
    world, heard = timed()
    world.hears([BTC_CHANNEL, START, 1, None])
    world.hears()
    assert heard.told == []


def test_a_candle_without_event_time_has_the_exchanges_time() -> None:
    """The time of receipt, by the clock by which its bars are reckoned."""
    world, heard = timed()
    heard.reply(START - 180, START, START)
    world.hears([BTC_CHANNEL, START, 1, None])
    assert world.live.added[0][4] == (START - 180) * 1000


def test_several_exchanges_count_in_one_tally() -> None:
    """What a run received is what all its flows did."""
    world, tally = World(), Tally()
    letters = DeadLetters(world.notes, "p.dead-letters", DEAD_LETTER.prefix, world.clock)
    for _ in range(2):
        flow = Flow(world.live, letters, world.clock, tally)
        flow.frame(world.route, orjson.dumps({"candles": [[BTC_CHANNEL, START, 1, False]]}), False)
    assert tally.received == 2


# --- REST -----------------------------------------------------------------------------------------


def test_rows_reach_the_ledger_that_asked() -> None:
    """A reply's rows are settled there, and the errand is no longer under way."""
    world = World()
    world.hands.real += 130
    body = orjson.dumps([[START, 1], [START + 60, 2]])
    world.flow.rows(world.agenda, world.errand(), RestReply(200, {}, body))
    assert [each.candle.close for each in world.lanes[0].ledger.pending] == [1, 2]
    assert (world.agenda.under_way, world.notes.added) == (0, [])


def test_what_rest_says_of_published_candles_is_counted() -> None:
    """How many agree and how many differ, for each exchange; a difference is told."""
    world = World()
    world.hands.real += 130
    for close in (1, 1, 3):
        body = orjson.dumps([[START, close], [START + 60, 2]])
        errand = world.errand()
        later = replace(errand, span=errand.span._replace(known=9))
        world.flow.rows(world.agenda, later, RestReply(200, {}, body))
    tally = world.tally()
    assert (tally.agreed, tally.differed) == (3, 1)
    assert telemetry.counts["candles.agreed", "plain"] == 3
    assert telemetry.counts["candles.differed", "plain"] == 1


@pytest.mark.parametrize("body", [b"<html>", b"[[1]]", b'[["never", 1]]', b"7", b""])
def test_an_unreadable_body_is_a_dead_letter_and_is_asked_for_again(body: bytes) -> None:
    """What a parser cannot read is kept with its bytes, and the errand has failed."""
    world = World()
    errand = world.errand()
    world.flow.rows(world.agenda, errand, RestReply(200, {}, body))
    assert [(letter.transport, letter.frame) for letter in world.letters()] == [("rest", body)]
    assert world.agenda.under_way == 0
    assert world.hands.real < errand.ledger.due() < inf


def test_rows_that_cannot_be_are_a_dead_letter() -> None:
    """A row at whose open time no bar opens is kept, and asked for again."""
    world = World()
    world.flow.rows(world.agenda, world.errand(), RestReply(200, {}, b"[[1790000041, 1]]"))
    assert "no bar opens" in world.letters()[0].reason
    assert (world.agenda.under_way, world.lanes[0].ledger.pending) == (0, [])


@pytest.mark.parametrize("status", [400, 429, 451, 503])
def test_a_refusal_is_no_dead_letter(status: int) -> None:
    """What the exchange says in place of rows is counted as a failed request."""
    world = World()
    world.flow.rows(world.agenda, world.errand(), RestReply(status, {}, b"no"))
    assert (world.agenda.under_way, world.notes.added) == (0, [])


# --- the tally ------------------------------------------------------------------------------------


def test_the_tally_is_one_line_in_which_nothing_is_missing() -> None:
    """Received is the sum of its parts; one state that is nowhere is seen."""
    tally = Tally(21, 1, 2, 3, 4, 5, 6, closed=7, transactions=8, agreed=9, differed=10)
    assert tally.balanced
    assert str(tally) == (
        "received 21 = published 1 + conflated 2 + failed 3 + settled 4 + unwanted 5 + unusable 6"
        " · closed candles written 7 in 8 transactions · read again over REST 19, differing 10"
    )
    tally.received += 1
    assert not tally.balanced
