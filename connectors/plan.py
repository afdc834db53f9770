"""Pure: what a wish list needs of one exchange, and what cannot fit.

Nothing is guessed. Connections are those that ``market`` packs; each is subscribed by a ``Session``
of its own in virtual time, within the budgets that a carrier keeps; REST is reckoned by what a
ledger asks about a bar where all goes well: every bar has trades, no connection is lost, REST does
not lag. Repairs, history and probes take what is left over.

``refusals`` say what cannot fit, one sentence each. A worker refuses by the same ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil, floor, inf
from typing import Any, Final, Literal

from connectors.adapter import ExchangeAdapter, Limits, Opening, Rate, RestReply, RestRequest
from connectors.agenda import PARTS
from connectors.carrier import SHARE
from connectors.errors import UsageError
from connectors.inquiry import Kind
from connectors.instruments import AGAIN
from connectors.limits import Budget
from connectors.market import (
    BAR_ROWS,
    Pack,
    bears_confirmation,
    check_interval,
    check_pair,
    pack,
    rules_of,
)
from connectors.model import Instrument, Subscription
from connectors.rules import AUDIT, LAG, Rules, batch_of
from connectors.session import Session

MINUTE: Final = 60.0
REREAD_ROWS: Final = 2
"""So many rows are asked for to read one bar again: ``Inquiry.page_of`` asks for one more."""
SAID: Final = 3
"""So many sentences are told by one error; the others are counted."""

Closes = Literal["flag", "confirmed", "unconfirmed", "polled"]
"""Whose word closes are: the exchange's flag, REST's, the stream's alone; or all is polled."""


@dataclass(frozen=True, slots=True)
class Connection:
    """What one connection carries, and what subscribing it takes.

    ``frames`` are all that is sent until everything is asked for, ``bytes`` their size, ``seconds``
    how long that takes from the handshake on; the time of the network comes on top.
    """

    group: str
    channels: int
    frames: int
    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Weight:
    """REST weight a minute, by what it is spent for.

    ``rereads`` are of bars that the next poll comes too late for. ``instruments`` is the first page
    of the list: how many more there are is not known before.
    """

    polls: float = 0.0
    confirmations: float = 0.0
    rereads: float = 0.0
    audits: float = 0.0
    instruments: float = 0.0

    @property
    def urgent(self) -> float:
        """What cannot wait."""
        return self.polls + self.confirmations + self.instruments

    @property
    def total(self) -> float:
        """All of it."""
        return self.urgent + self.rereads + self.audits


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one exchange is to carry, and what that takes.

    ``seconds``: until the last connection has asked for everything. ``used``: the part of each of
    the exchange's REST rates that is spent, in the order of its limits. ``refusals`` cannot be
    carried, ``notes`` can, but not as well as one may wish.
    """

    exchange: str
    limits: Limits
    streamed: int
    polled: int
    connections: tuple[Connection, ...]
    seconds: float
    rest: Weight
    used: tuple[float, ...]
    closes: Closes
    refusals: tuple[str, ...]
    notes: tuple[str, ...]


def plan_of(
    make_adapter: Callable[[], ExchangeAdapter], subscriptions: Iterable[Subscription], wall: float
) -> Plan:
    """The plan of one exchange's subscriptions. ``wall`` (UNIX seconds) goes into its messages.

    Pairs are not checked: the instruments are not known, and where symbols are spelled by their
    list, a pair's own name stands in for its symbol.
    """
    wanted = list(dict.fromkeys(subscriptions))
    adapter = make_adapter()
    offered = adapter.get_supported_intervals()
    known = [each for each in wanted if each.interval in offered]
    stand_ins = _stand_ins(adapter, known)
    adapter.use_instruments(stand_ins)
    packs = pack(adapter, known)
    connections = tuple(_subscribed(make_adapter(), stand_ins, each, wall) for each in packs)
    weight = weight_of(adapter, known)
    polled = sum(adapter.transport(each.interval) == "rest" for each in known)
    closes = _closes(adapter, weight, streams=polled < len(known))
    return Plan(
        exchange=adapter.name,
        limits=adapter.limits,
        streamed=len(known) - polled,
        polled=polled,
        connections=connections,
        seconds=_seconds(adapter, connections),
        rest=weight,
        used=tuple(weight.total / _a_minute(rate) for rate in adapter.limits.rest),
        closes=closes,
        refusals=tuple(refusals(adapter, wanted)),
        notes=tuple(_notes(adapter, len(packs), weight, closes, stand_ins)),
    )


# --- what cannot fit ------------------------------------------------------------------------------


def refusals(
    adapter: ExchangeAdapter,
    subscriptions: Sequence[Subscription],
    instruments: Sequence[Instrument] = (),
) -> list[str]:
    """Why these cannot be carried, a sentence for each reason; without instruments, of no pair."""
    unknown = {each: list(_unknown(adapter, each, instruments)) for each in subscriptions}
    known = [each for each, sentences in unknown.items() if not sentences]
    return [
        *(sentence for sentences in unknown.values() for sentence in sentences),
        *_too_many(adapter, len(pack(adapter, known))),
        *_too_heavy(adapter, weight_of(adapter, known)),
    ]


def check(
    adapter: ExchangeAdapter,
    subscriptions: Sequence[Subscription],
    instruments: Sequence[Instrument] = (),
) -> None:
    """UsageError, with the first few of ``refusals``, where there are any."""
    sentences = refusals(adapter, subscriptions, instruments)
    more = len(sentences) - SAID
    if sentences:
        end = [f"and {more} more like these"] if more > 0 else []
        raise UsageError("; ".join([*sentences[:SAID], *end]))


def _unknown(
    adapter: ExchangeAdapter, subscription: Subscription, instruments: Sequence[Instrument]
) -> Iterator[str]:
    for checked in (partial(check_interval, adapter), partial(check_pair, instruments)):
        try:
            checked(subscription)
        except UsageError as error:
            yield str(error)


def _too_many(adapter: ExchangeAdapter, connections: int) -> Iterator[str]:
    allowed = adapter.limits.connections
    if allowed is not None and connections > allowed:
        yield (
            f"{adapter.name}: these subscriptions need {connections} connections and the exchange "
            f"allows {allowed} ({_where(adapter.limits)}), of which one should be left to replace "
            "another by; wish for fewer"
        )


def _too_heavy(adapter: ExchangeAdapter, weight: Weight) -> Iterator[str]:
    for rate in adapter.limits.rest:
        usable = _a_minute(rate) * SHARE
        if weight.urgent > usable:
            yield (
                f"{adapter.name}: polls and confirmations of these subscriptions need REST weight "
                f"{ceil(weight.urgent)} a minute, and of the {rate.amount:g} in {rate.period:g} s "
                f"that the exchange allows ({_where(adapter.limits)}) {usable:g} a minute may be "
                "used; wish for fewer, or for longer intervals"
            )


def _where(limits: Limits) -> str:
    return f"{limits.source}, checked {limits.checked}" if limits.checked else limits.source


def _notes(
    adapter: ExchangeAdapter,
    connections: int,
    weight: Weight,
    closes: Closes,
    stand_ins: Sequence[Instrument],
) -> Iterator[str]:
    if stand_ins:
        yield "symbols are known by the exchange's list only: bytes are those of pairs' names"
    if connections and connections == adapter.limits.connections:
        yield (
            f"all {connections} connections that the exchange allows are used: one that must be "
            "replaced is closed first, and what is missed meanwhile is repaired over REST"
        )
    if closes == "unconfirmed":
        yield (
            "closes are inferred, and REST cannot be asked about each of them: the stream's own "
            "word stands until the audit"
        )
    for rate in adapter.limits.rest:
        left = PARTS[Kind.AUDIT] * (_a_minute(rate) * SHARE - weight.urgent - weight.rereads)
        if 0 <= left < weight.audits:
            yield (
                f"audits need REST weight {ceil(weight.audits)} a minute, and {floor(left)} is "
                f"left to them of {rate.amount:g} in {rate.period:g} s: not every closed candle "
                "is read again in time"
            )


def _closes(adapter: ExchangeAdapter, weight: Weight, *, streams: bool) -> Closes:
    if not streams:
        return "polled"
    if adapter.close_flag:
        return "flag"
    return "confirmed" if weight.confirmations else "unconfirmed"


# --- REST -----------------------------------------------------------------------------------------


def weight_of(adapter: ExchangeAdapter, subscriptions: Iterable[Subscription]) -> Weight:
    """The REST weight a minute that these subscriptions take."""
    wanted = list(subscriptions)
    confirm = bears_confirmation(adapter, wanted)
    polls = confirmations = rereads = audits = 0.0
    for interval, number in Counter(each.interval for each in wanted).items():
        rules, step = rules_of(adapter, interval, confirm=confirm), adapter.step(interval)
        bars = number * MINUTE / step
        if not rules.rest:
            continue
        asked = bars * adapter.rest_weight(min(BAR_ROWS, rules.page))
        if not rules.streamed:
            polls += asked
        elif not rules.flagged and rules.confirm:
            confirmations += asked
        if _is_read_again(rules, step):
            rereads += bars * adapter.rest_weight(REREAD_ROWS)
        rows = _audited_at_once(rules, step)
        audits += bars * adapter.rest_weight(rows) / rows
    listing = _price(adapter.instruments()) * MINUTE / AGAIN if wanted else 0.0
    return Weight(polls, confirmations, rereads, audits, listing)


def _is_read_again(rules: Rules, step: int) -> bool:
    """Whether a bar is read again by itself: it is not sure, and the next poll is far away."""
    if not rules.confirm or (rules.streamed and rules.flagged):
        return False
    return step > LAG + AUDIT + (rules.grace if rules.streamed else 0.0)


def _audited_at_once(rules: Rules, step: int) -> int:
    """The bar whose turn it is, and those that ended while it waited."""
    return min(rules.page, 1 + int(batch_of(step) // step))


def _a_minute(rate: Rate) -> float:
    return rate.amount * MINUTE / rate.period


def _price(dialogue: Generator[RestRequest, RestReply, Any]) -> float:
    """The weight of a dialogue's first request."""
    first = next(dialogue, None)
    dialogue.close()
    return 0.0 if first is None else first.weight


# --- connections ----------------------------------------------------------------------------------


def _stand_ins(adapter: ExchangeAdapter, subscriptions: Iterable[Subscription]) -> list[Instrument]:
    """For pairs whose symbols only the list of instruments has: their names as symbols."""
    stand_ins = []
    for trading_pair in dict.fromkeys(each.trading_pair for each in subscriptions):
        try:
            adapter.get_trading_pair_format(trading_pair)
        except UsageError:
            stand_ins.append(Instrument(trading_pair, trading_pair))
    return stand_ins


def _subscribed(
    adapter: ExchangeAdapter, instruments: Sequence[Instrument], carried: Pack, wall: float
) -> Connection:
    """Let a session ask for everything, of an exchange that serves at once."""
    adapter.use_instruments(instruments)
    session = Session(adapter, _opening(adapter, carried.group), 0.0)
    session.want(carried.channels)
    session.delivering.update(carried.channels)
    now = 0.0
    texts = session.texts(now, wall)
    while session.unsent:
        now = session.due(now)
        session.alive(now)
        texts += session.texts(now, wall)
    size = sum(len(text.encode()) for text in texts)
    return Connection(carried.group, len(carried.channels), len(texts), size, now)


def _opening(adapter: ExchangeAdapter, group: str) -> Opening:
    """What the connect dialogue returns, as far as that is known before; without pings."""
    dialogue = adapter.opening(group)
    try:
        next(dialogue)
    except StopIteration as told:
        opening: Opening = told.value
        return Opening(url=opening.url, messages=opening.messages, ping_every=inf)
    dialogue.close()
    return Opening(url="", ping_every=inf)


def _seconds(adapter: ExchangeAdapter, connections: Iterable[Connection]) -> float:
    """Until all are subscribed: the list of instruments, then attempts, dialogues, messages."""
    attempts, rest = Budget([adapter.limits.attempts], SHARE), Budget(adapter.limits.rest, SHARE)
    attempted = _spent(rest, 0.0, _price(adapter.instruments()))
    done = 0.0
    for connection in connections:
        attempted = _spent(attempts, attempted, 1.0)
        dialled = _spent(rest, attempted, _price(adapter.opening(connection.group)))
        done = max(done, dialled + connection.seconds)
    return done


def _spent(budget: Budget, now: float, weight: float) -> float:
    """When so much could be spent; it is."""
    if weight:
        now = budget.free_at(now, weight)
        budget.take(now, weight)
    return now
