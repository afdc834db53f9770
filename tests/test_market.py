"""One exchange as a whole: what is refused before anything is connected, and who shares what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil, inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import exchanges
from connectors.adapter import ExchangeAdapter, Limits, QuietBars, Rate
from connectors.errors import UsageError
from connectors.market import (
    QUARANTINE,
    Quarantine,
    bears_confirmation,
    check_history,
    check_interval,
    check_pair,
    pack,
    rules_of,
)
from connectors.model import Instrument, Subscription
from tests.plain import Plain, subscription

law = settings(deadline=None, derandomize=True, max_examples=200)

wishes = st.lists(
    st.builds(
        subscription,
        st.integers(0, 60).map(lambda n: f"A{n}-B"),
        st.sampled_from(["1m", "1h", "5m"]),
    ),
    max_size=150,
)


class Grouped(Plain):
    """Intervals never share a connection."""

    def connection_group(self, subscription: Subscription) -> str:
        return subscription.interval


class Deaf(Plain):
    """Pairs share one channel, whatever their interval."""

    def channel(self, subscription: Subscription) -> str:
        return subscription.trading_pair


def limited(adapter: type[Plain], subscriptions: int) -> ExchangeAdapter:
    """An adapter whose exchange allows so many subscriptions per connection."""
    made = adapter()
    limits = replace(adapter.limits, subscriptions=subscriptions)
    made.limits = limits  # type: ignore[misc]  # of this object alone
    return made


def channels_of(adapter: ExchangeAdapter, wanted: Sequence[Subscription]) -> set[str]:
    """The channels that have to be on some connection."""
    return {adapter.channel(each) for each in wanted if each.interval != "5m"}


# --- packing --------------------------------------------------------------------------------------


@law
@given(wishes, st.integers(1, 20), st.sampled_from([Plain, Grouped, Deaf]))
def test_packing(wanted: list[Subscription], most: int, kind: type[Plain]) -> None:
    """Each streamed channel once, within limits, evenly, in as few connections as that takes."""
    adapter = limited(kind, most)
    packs = pack(adapter, wanted)
    packed = [channel for each in packs for channel in each.channels]
    assert sorted(channels_of(adapter, wanted)) == sorted(packed)
    for group in {each.group for each in packs}:
        sizes = [len(each.channels) for each in packs if each.group == group]
        assert max(sizes) <= most
        assert max(sizes) - min(sizes) <= 1
        assert len(sizes) == ceil(sum(sizes) / most)


@law
@given(wishes, st.integers(1, 20))
def test_groups_never_share_a_connection(wanted: list[Subscription], most: int) -> None:
    """What is of different groups is never found in one pack."""
    for each in pack(limited(Grouped, most), wanted):
        assert {channel.partition("@")[2] for channel in each.channels} == {each.group}


@law
@given(wishes, st.randoms(use_true_random=False))
def test_packing_does_not_depend_on_the_order_of_wishes(
    wanted: list[Subscription], chance: object
) -> None:
    """The same set of wishes gives the same connections, whoever wrote them down."""
    shuffled = list(wanted)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]  # a Random of hypothesis
    adapter = limited(Plain, 7)
    assert pack(adapter, wanted) == pack(adapter, shuffled)


def test_what_is_polled_needs_no_connection() -> None:
    """An interval that only REST has is on no connection."""
    assert pack(Plain(), [subscription(interval="5m")]) == []


# --- checking -------------------------------------------------------------------------------------


def test_an_interval_that_is_not_offered_is_refused_with_those_that_are() -> None:
    """The sentence lists the exchange's intervals."""
    check_interval(Plain(), subscription(interval="5m"))
    with pytest.raises(UsageError) as refused:
        check_interval(Plain(), subscription(interval="3m"))
    assert str(refused.value) == "plain:BTC-USDT:3m: plain has no interval 3m; it has 1m 5m 1h"


LISTED = [
    Instrument("BTC-USDT", "BTCUSDT"),
    Instrument("BTC-USDC", "BTCUSDC"),
    Instrument("LUNA-USDT", "LUNAUSDT", tradable=False, status="BREAK"),
    Instrument("DEAD-USDT", "DEADUSDT", tradable=False),
    Instrument("BTC-USDM", "XBTUSDM", tradable=False, status="Open", unsupported="it is inverse"),
]


@pytest.mark.parametrize(
    ("pair", "sentence"),
    [
        ("BTC-USD", "plain lists no BTC-USD; did you mean BTC-USDT or BTC-USDC?"),
        ("BTC-BRL", "plain lists no BTC-BRL; did you mean BTC-USDT or BTC-USDC?"),
        ("XYZ-QQQ", "plain lists no XYZ-QQQ"),
        ("LUNA-USDT", "plain lists LUNAUSDT as 'BREAK': no candles are to be had of it"),
        ("DEAD-USDT", "plain lists DEADUSDT as 'closed': no candles are to be had of it"),
        ("BTC-USDM", "XBTUSDM of plain is not supported: it is inverse"),
    ],
)
def test_a_pair_that_is_not_to_be_had_is_refused(pair: str, sentence: str) -> None:
    """An unknown pair with the nearest that are traded, a suspended one with its own status.

    What is traded and cannot be read is not said to be closed.
    """
    with pytest.raises(UsageError) as refused:
        check_pair(LISTED, subscription(pair))
    assert str(refused.value) == f"plain:{pair}:1m: {sentence}"


def test_a_listed_pair_passes_and_without_a_list_every_pair_does() -> None:
    """Where an exchange has no list of instruments nothing is known, so nothing is refused."""
    check_pair(LISTED, subscription("BTC-USDT"))
    check_pair([], subscription("XYZ-QQQ"))


# --- rules ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", exchanges.names())
def test_rules_are_the_adapters_facts(name: str) -> None:
    """For every interval of every exchange a ledger gets what its adapter says."""
    adapter = exchanges.get(name)()
    for interval in adapter.get_supported_intervals():
        rules = rules_of(adapter, interval)
        assert rules.streamed == (interval in adapter.get_ws_supported_intervals())
        assert rules.rest == (interval in adapter.get_rest_supported_intervals())
        assert rules.streamed or rules.rest, f"{name} {interval}: candles come from nowhere"
        assert rules.flagged == adapter.close_flag
        assert rules.grace == adapter.close_grace >= 0
        assert rules.page == adapter.rest_pages(interval).limit > 1


@pytest.mark.parametrize(
    ("rest", "skips"), [("skipped", True), ("sent", False), ("unknown", False)]
)
def test_only_what_is_known_to_be_skipped_counts_as_skipped(rest: object, skips: bool) -> None:
    """An exchange of which it is not known leaves no bar out, as far as a ledger is concerned."""
    adapter = Plain()
    adapter.quiet_bars = QuietBars(rest=rest)  # type: ignore[misc, arg-type]  # of this object alone
    assert rules_of(adapter, "1m").rest_skips is skips


class Flagless(Plain):
    """Its streams do not say that a bar is closed, and REST allows ten requests a minute."""

    close_flag = False
    limits = Limits(source="invented", checked="", rest=(Rate(10, 60), Rate(1_000, 3_600)))


def test_closes_are_confirmed_where_the_budget_bears_it() -> None:
    """A request for every bar of every stream without flags must fit into half of the budget."""
    bars = [subscription(f"C{number}-USD", "1m") for number in range(6)]
    polled = [subscription(f"P{number}-USD", "5m") for number in range(99)]
    assert bears_confirmation(Flagless(), [*bars[:5], *polled])
    assert not bears_confirmation(Flagless(), bars)
    assert bears_confirmation(Plain(), bars * 99), "flags need no confirmation"
    assert not rules_of(Flagless(), "1m", confirm=False).confirm


# --- quarantine -----------------------------------------------------------------------------------


def test_a_refused_channel_is_asked_for_again_later_and_later() -> None:
    """Each refusal doubles the wait, up to the longest."""
    quarantine = Quarantine(lambda: 1.0)
    first, longest = QUARANTINE
    waits = [quarantine.put("a", 0.0) for _ in range(12)]
    assert waits == [min(longest, first * 2.0**n) for n in range(12)]


def test_a_channel_is_released_once_when_its_time_has_come() -> None:
    """Until then it is in quarantine; each channel waits for itself."""
    quarantine = Quarantine(lambda: 1.0)
    assert (quarantine.due(), quarantine.release(0.0)) == (inf, [])
    quarantine.put("a", 0.0)
    quarantine.put("b", 2.0)
    assert quarantine.due() == 5.0
    assert quarantine.release(4.9) == []
    assert "a" in quarantine
    assert quarantine.release(5.0) == ["a"]
    assert ("a" in quarantine, "b" in quarantine, quarantine.due()) == (False, True, 7.0)
    assert quarantine.release(100.0) == ["b"]
    assert quarantine.release(100.0) == []


def test_history_needs_rest() -> None:
    """An interval that REST lacks has no history, and the sentence says which have one."""
    adapter = exchanges.get("kucoin_perpetual")()
    check_history(adapter, Subscription("kucoin_perpetual", "BTC-USDT", "1m"))
    with pytest.raises(UsageError, match="has no history of 3m, only of 1m 5m"):
        check_history(adapter, Subscription("kucoin_perpetual", "BTC-USDT", "3m"))
