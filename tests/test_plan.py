"""What a wish list needs, held against what session, ledger and agenda do; what cannot fit."""

# ruff: noqa: ARG002 - the contract names the arguments

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from typing import Any

import pytest

from connectors import exchanges
from connectors.adapter import (
    ExchangeAdapter,
    Heartbeat,
    Limits,
    Message,
    Opening,
    Rate,
    RestPages,
    RestRequest,
    Rows,
)
from connectors.agenda import Agenda, Errand
from connectors.errors import UsageError
from connectors.inquiry import Kind
from connectors.ledger import Ledger
from connectors.limits import Backoff, Budget
from connectors.market import bears_confirmation, rules_of
from connectors.model import CandleData, Instrument, Subscription, grid_of
from connectors.plan import Plan, check, plan_of, refusals, weight_of
from connectors.session import JITTER
from tests.plain import START, Hands, Plain, subscription, unanswered


def limited(kind: type[Plain] = Plain, **limits: Any) -> type[Plain]:
    """The same exchange with other limits."""

    class Limited(kind):  # type: ignore[misc, valid-type]
        limits: Limits

    Limited.limits = replace(kind.limits, **limits)
    return Limited


def pairs(number: int, interval: str = "1m") -> list[Subscription]:
    """So many subscriptions."""
    return [subscription(f"C{n}-USD", interval) for n in range(number)]


def planned(kind: type[ExchangeAdapter], wanted: Sequence[Subscription]) -> Plan:
    """The plan of these, at a time of the test."""
    return plan_of(kind, wanted, float(START))


# --- connections ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", exchanges.names())
def test_every_exchange_can_be_planned(name: str) -> None:
    """One subscription of each interval fits everywhere, and each channel is on a connection."""
    make = exchanges.get(name)
    adapter = make()
    offered = adapter.get_supported_intervals()
    plan = planned(make, [Subscription(name, "BTC-USDT", interval) for interval in offered])

    streamed = [each for each in offered if adapter.transport(each) == "websocket"]
    assert plan.refusals == ()
    assert (plan.streamed, plan.polled) == (len(streamed), len(offered) - len(streamed))
    assert sum(each.channels for each in plan.connections) == len(streamed)
    assert all(each.bytes >= each.frames for each in plan.connections)
    assert plan.exchange == name


def test_frames_are_those_that_a_session_sends() -> None:
    """As many channels in a message as the exchange takes, and the bytes as they are sent."""
    plan = planned(limited(message_channels=50), pairs(70))

    (connection,) = plan.connections
    channels = sorted(f"C{n}-USD@1m" for n in range(70))
    assert (connection.channels, connection.frames) == (70, 2)
    assert connection.bytes == sum(
        len('{"subscribe":[],"id":1}') + sum(len(name) + 3 for name in part) - 1
        for part in (channels[:50], channels[50:])
    )


@pytest.mark.parametrize(
    ("limits", "seconds"),
    [
        (
            {"messages": Rate(10, 1)},
            12 * (1 + JITTER),
        ),  # 8 at a time
        ({"messages": Rate(100), "subscribes": Rate(1, 1)}, 99 * 1.25 * (1 + JITTER)),
        ({"messages": Rate(200)}, 0.0),
    ],
)
def test_subscribing_takes_as_long_as_the_limits_of_messages_make_it(
    limits: dict[str, Any], seconds: float
) -> None:
    """Four fifths of them, with time for the network; what has no answer is not asked again."""
    plan = planned(limited(message_channels=1, **limits), pairs(100))

    assert plan.connections[0].frames == 100
    assert plan.connections[0].seconds == pytest.approx(seconds)
    assert plan.seconds == plan.connections[0].seconds


def test_pings_are_not_counted() -> None:
    """However long subscribing takes, only what asks for something is a frame."""

    class Pinged(limited(message_channels=1, messages=Rate(1), subscriptions=30)):  # type: ignore[misc]
        heartbeat = Heartbeat("message", every=3, silence=6)

        def ping_message(self, request_id: int, now: float) -> Message:
            return "ping"

    assert [each.frames for each in planned(Pinged, pairs(60)).connections] == [30, 30]


def test_connections_are_attempted_within_nine_tenths_of_the_limit() -> None:
    """Of ten a second, nine: twenty connections take two seconds."""
    plan = planned(limited(subscriptions=5, attempts=Rate(10, 1)), pairs(100))

    assert len(plan.connections) == 20
    assert plan.seconds == pytest.approx(2.0)


class Dialogues(Plain):
    """Its connect dialogue costs ten of ninety in ten seconds, its list of instruments one."""

    limits = replace(Plain.limits, subscriptions=10, rest=(Rate(100, 10),))

    def opening(self, group: str = "") -> Any:
        yield RestRequest(url="token", weight=10)
        raise AssertionError("nobody answered")

    def instruments(self) -> Any:
        yield RestRequest(url="list")
        raise AssertionError("nobody answered")


def test_dialogues_are_paid_for() -> None:
    """The list and eight tokens fit into ten seconds, the ninth comes after; it is never asked."""
    assert planned(Dialogues, pairs(80)).seconds == pytest.approx(0.0)
    assert planned(Dialogues, pairs(90)).seconds == pytest.approx(10.0)
    assert planned(Dialogues, pairs(90)).rest.instruments == pytest.approx(1 / 60)


def test_what_is_sent_first_is_counted() -> None:
    """A login that the connect dialogue tells is among the frames, and nothing waits for it."""

    class Login(Plain):
        def opening(self, group: str = "") -> Any:
            yield from ()
            return Opening(url="ws://x", messages=("login",), awaits_ready=True)

    (connection,) = planned(Login, pairs(1)).connections
    assert (connection.frames, connection.seconds) == (2, 0.0)


def test_each_connection_has_an_adapter_of_its_own() -> None:
    """An adapter that counts what its connection was asked for never counts another's."""

    class Counting(limited(subscriptions=10)):  # type: ignore[misc]
        def __init__(self) -> None:
            self.asked = 0

        def subscribe_messages(
            self, channels: Sequence[str], request_id: int, now: float
        ) -> list[Message]:
            self.asked += len(channels)
            return ["x" * self.asked]

    assert [each.bytes for each in planned(Counting, pairs(30)).connections] == [10, 10, 10]


def test_symbols_that_only_the_list_knows() -> None:
    """A pair's name stands in for its symbol, and that is said."""

    class Listed(Plain):
        symbols: Sequence[Instrument] = ()

        def use_instruments(self, rows: Sequence[Instrument]) -> None:
            self.symbols = rows

        def channel(self, subscription: Subscription) -> str:
            return self.get_trading_pair_format(subscription.trading_pair)

        def get_trading_pair_format(self, trading_pair: str) -> str:
            for row in self.symbols:
                if row.trading_pair == trading_pair:
                    return row.symbol
            raise UsageError("the list lacks it")

    plan = planned(Listed, pairs(3))
    assert plan.connections[0].bytes == len('{"subscribe":["C0-USD","C1-USD","C2-USD"],"id":1}')
    assert plan.notes == (
        "symbols are known by the exchange's list only: bytes are those of pairs' names",
    )
    assert planned(Plain, pairs(3)).notes == ()


def test_nothing_wished_for_needs_nothing() -> None:
    """No connection, no weight, no refusal."""
    plan = planned(Dialogues, [])

    assert (plan.connections, plan.seconds, plan.rest.total) == ((), 0.0, 0.0)
    assert (plan.refusals, plan.notes, plan.closes) == ((), (), "polled")


# --- REST -----------------------------------------------------------------------------------------


class Weighty(Plain):
    """A request costs ten, and one for every row that is asked for; there is enough of it."""

    limits = replace(Plain.limits, rest=(Rate(100_000),))

    def get_supported_intervals(self) -> dict[str, int]:
        return {"1m": 60, "5m": 300, "6m": 360, "1h": 3600, "1d": 86_400}

    def get_ws_supported_intervals(self) -> list[str]:
        return ["1m", "6m", "1h", "1d"]

    def rest_weight(self, limit: int) -> float:
        return 10.0 + limit


class Flagless(Weighty):
    """Its streams do not say that a bar is closed."""

    close_flag = False


class Late(Flagless):
    """What was published early is read again after the next bar."""

    close_grace = 90.0


class Streamless(Weighty):
    """All is polled."""

    def get_ws_supported_intervals(self) -> list[str]:
        return []


class Poor(Flagless):
    """REST cannot be asked about each close."""

    limits = replace(Plain.limits, rest=(Rate(1, 60),))


class Short(Weighty):
    """REST gives few rows at a time."""

    def rest_pages(self, interval: str) -> RestPages:
        return RestPages(5)


class Worker:
    """One ledger and its agenda through virtual time, on an exchange without a fault."""

    def __init__(self, adapter: Plain, wanted: Subscription) -> None:
        self.hands = Hands()
        self.clock = clock = self.hands.clock()
        self.agenda = Agenda(adapter, Budget([Rate(1e6)]), Backoff(lambda: 1.0), clock)
        rules = rules_of(adapter, wanted.interval, confirm=bears_confirmation(adapter, [wanted]))
        grid = grid_of(wanted.interval)
        wake = self.agenda.wake
        self.ledger = Ledger(wanted, grid, rules, clock, wake, lambda _: None, unanswered)
        self.spent = dict.fromkeys(Kind, 0.0)
        self.streams = rules.streamed
        self.told = self._next_told = grid.floor(START)
        self.ledger.begin(None, clock.market(), self.hands.real)
        if rules.streamed:
            self.ledger.stream_begins(self.hands.real)

    def run(self, seconds: float) -> None:
        end = self.clock.market() + seconds
        while (now := min(self._rest_due(), self._stream_due())) < end:
            self.hands.real = max(self.hands.real, self.clock.real_at(now))
            self._stream()
            for errand in self.agenda.next_requests(self.clock.market(), self.hands.real):
                self._answer(errand)
            self.ledger.take()
            self.ledger.committed()
        self.hands.real = self.clock.real_at(end)

    def _rest_due(self) -> float:
        return self.clock.market_at(self.agenda.due(self.clock.market()))

    def _stream_due(self) -> float:
        return self._next_told if self.streams else inf

    def _stream(self) -> None:
        """A bar is told of when it opens and half-way through, and when it closes, where told."""
        market, step, real = self.clock.market(), self.ledger.grid.step, self.hands.real
        if not self.streams or market < self._next_told:
            return
        slot = self.ledger.grid.floor(market)
        if slot == market and self.ledger.rules.flagged:
            self.ledger.settle(self._bar(slot - step, closed=True), real)
        self.ledger.settle(self._bar(slot), real)
        self._next_told += step // 2

    def _bar(self, slot: int, closed: bool | None = None) -> CandleData:
        return CandleData(slot, 1, 1, 1, 1, 1, closed=closed)

    def _answer(self, errand: Errand) -> None:
        self.spent[errand.span.kind] += errand.request.weight
        grid, (start, end, *_) = self.ledger.grid, errand.span
        slots = range(grid.floor(start - 1) + grid.step, end, grid.step)
        rows = [self._bar(slot) for slot in slots if slot <= self.clock.market()]
        self.agenda.answered(errand, Rows(rows), self.clock.market(), self.hands.real)


@pytest.mark.parametrize("kind", [Weighty, Flagless, Late, Streamless, Poor, Short])
@pytest.mark.parametrize("interval", ["1m", "5m", "6m", "1h", "1d"])
def test_rest_weight_is_what_ledgers_ask(kind: type[Plain], interval: str) -> None:
    """Through hundreds of bars in virtual time a ledger asks for as much as is planned."""
    wanted = subscription(interval=interval)
    minutes_a_bar = kind().step(interval) / 60
    worker = Worker(kind(), wanted)
    worker.run(40 * minutes_a_bar * 60)
    before = dict(worker.spent)
    worker.run(660 * minutes_a_bar * 60)
    spent = {each: (worker.spent[each] - before[each]) / 660 / minutes_a_bar for each in Kind}

    weight = weight_of(kind(), [wanted])
    assert spent[Kind.HEAD] == pytest.approx(weight.polls + weight.confirmations, rel=0.02)
    assert spent[Kind.REPAIR] == pytest.approx(weight.rereads, rel=0.02)
    assert spent[Kind.AUDIT] == pytest.approx(weight.audits, rel=0.02)
    assert weight.audits > 0


def test_an_interval_without_rest_costs_none() -> None:
    """What REST lacks can be neither polled nor confirmed nor audited."""

    class Deaf(Flagless):
        def get_rest_supported_intervals(self) -> list[str]:
            return ["5m"]

    plan = planned(Deaf, pairs(9))
    assert (plan.rest.total, plan.closes) == (0.0, "unconfirmed")


@pytest.mark.parametrize(
    ("kind", "interval", "closes"),
    [
        (Weighty, "1m", "flag"),
        (Flagless, "1m", "confirmed"),
        (Poor, "1m", "unconfirmed"),
        (Weighty, "5m", "polled"),
    ],
)
def test_whose_word_closes_are(kind: type[Plain], interval: str, closes: str) -> None:
    """The flag's, REST's, or the stream's alone, which is noted."""
    plan = planned(kind, pairs(2, interval))

    assert plan.closes == closes
    assert any("closes are inferred" in note for note in plan.notes) == (closes == "unconfirmed")


def test_each_rate_of_rest_is_told_how_much_of_it_is_used() -> None:
    """In the order of the limits; a rate of an hour is used as much as its part of a minute."""
    plan = planned(limited(rest=(Rate(10, 1), Rate(1200, 3600))), pairs(10, "5m"))

    polls = 10 / 5
    audits = 10 / 5 / (1 + 10)
    assert plan.rest.total == pytest.approx(polls + audits)
    assert plan.used == pytest.approx((plan.rest.total / 600, plan.rest.total / 20))


# --- what cannot fit ------------------------------------------------------------------------------


def test_too_many_connections() -> None:
    """The sentence says how many it takes, how many are allowed, who says so and since when."""
    kind = limited(subscriptions=4, connections=2)

    assert refusals(kind(), pairs(8)) == []
    (sentence,) = refusals(kind(), pairs(9))
    assert sentence == (
        "plain: these subscriptions need 3 connections and the exchange allows 2 (nowhere: "
        "invented, checked 2026-10-01), of which one should be left to replace another by; wish "
        "for fewer"
    )


def test_no_connection_left_for_replacing() -> None:
    """What uses all of them is carried, and noted."""
    kind = limited(subscriptions=4, connections=2)

    assert planned(kind, pairs(4)).notes == ()
    (note,) = planned(kind, pairs(8)).notes
    assert note.startswith("all 2 connections that the exchange allows are used")
    assert planned(kind, pairs(8)).refusals == ()


def test_too_much_rest() -> None:
    """Polls that do not fit into nine tenths of a limit are refused, and it is named."""
    kind = limited(rest=(Rate(1_000), Rate(600, 3600)))

    assert refusals(kind(), pairs(45, "5m")) == []
    (sentence,) = refusals(kind(), pairs(46, "5m"))
    assert sentence == (
        "plain: polls and confirmations of these subscriptions need REST weight 10 a minute, and "
        "of the 600 in 3600 s that the exchange allows (nowhere: invented, checked 2026-10-01) 9 a "
        "minute may be used; wish for fewer, or for longer intervals"
    )


def test_audits_that_do_not_fit_are_noted_and_refuse_nothing() -> None:
    """Half of what polls leave is the audits'; where that is too little, what follows is said."""
    kind = limited(rest=(Rate(10, 60),))

    within, beyond = planned(kind, pairs(49)), planned(kind, pairs(50))
    assert (within.notes, within.refusals, beyond.refusals) == ((), (), ())
    assert within.rest.audits < 4.5 < beyond.rest.audits
    (note,) = beyond.notes
    assert note == (
        "audits need REST weight 5 a minute, and 4 is left to them of 10 in 60 s: not every closed "
        "candle is read again in time"
    )


def test_unknown_intervals_and_pairs() -> None:
    """Each is a sentence of its own, and what is left is reckoned without them."""
    listed = [Instrument("C0-USD", "C0USD"), Instrument("C1-USD", "C1USD")]
    wanted = [*pairs(1), *pairs(1, "3m"), subscription("C7-USD"), subscription("C2-USD", "9m")]

    assert refusals(limited(subscriptions=1, connections=1)(), wanted, listed) == [
        "plain:C0-USD:3m: plain has no interval 3m; it has 1m 5m 1h",
        "plain:C7-USD:1m: plain lists no C7-USD; did you mean C1-USD or C0-USD?",
        "plain:C2-USD:9m: plain has no interval 9m; it has 1m 5m 1h",
        "plain:C2-USD:9m: plain lists no C2-USD; did you mean C1-USD or C0-USD?",
    ]
    assert planned(Plain, wanted).streamed == 2


def test_a_refusal_is_one_sentence_however_many_reasons_there_are() -> None:
    """The first few are told, the others counted; without any there is no error."""
    check(Plain(), pairs(5))
    with pytest.raises(UsageError) as one:
        check(Plain(), pairs(1, "3m"))
    with pytest.raises(UsageError) as many:
        check(Plain(), pairs(5, "3m"))

    assert [str(one.value)] == refusals(Plain(), pairs(1, "3m"))
    told = "; ".join(refusals(Plain(), pairs(3, "3m")))
    assert str(many.value) == f"{told}; and 2 more like these"
