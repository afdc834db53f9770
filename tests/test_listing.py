"""Which of the carried pairs are traded."""

from __future__ import annotations

import pytest

from connectors.listing import READS, VANISHED, Listing
from connectors.model import Instrument

BTC, ETH = Instrument("BTC-USDT", "BTCUSDT"), Instrument("ETH-USDT", "ETHUSDT")
ENDED = Instrument("ETH-USDT", "ETHUSDT", tradable=False, status="BREAK")
PAIRS = [BTC.trading_pair, ETH.trading_pair]


def test_an_explicit_status_ends_a_pair_at_once_and_is_told_once() -> None:
    """The exchange's own word is told when it changes, and when the pair is traded again."""
    listing = Listing(PAIRS)
    assert listing.look([BTC, ETH]) == []
    assert listing.look([BTC, ENDED]) == [("ETH-USDT", "BREAK")]
    assert listing.look([BTC, ENDED]) == []
    assert listing.look([BTC, ETH]) == [("ETH-USDT", None)]


def test_an_end_without_a_word_has_one_of_ours() -> None:
    """What is not tradable has ended, though the exchange says no more."""
    silent = Instrument("ETH-USDT", "ETHUSDT", tradable=False)
    assert Listing(PAIRS).look([BTC, silent]) == [("ETH-USDT", "closed")]


def test_a_pair_that_is_not_listed_has_ended_only_after_three_lists() -> None:
    """One list may be wrong: a pair that comes back in between never ended."""
    listing = Listing(PAIRS)
    assert [listing.look([BTC]) for _ in range(READS - 1)] == [[]] * (READS - 1)
    assert listing.look([BTC, ETH]) == []
    told = [listing.look([BTC]) for _ in range(READS + 2)]
    assert told == [[], [], [("ETH-USDT", VANISHED)], [], []]
    assert listing.look([BTC, ETH]) == [("ETH-USDT", None)]


def test_a_list_without_many_of_the_pairs_is_thought_wrong() -> None:
    """When more than a tenth would vanish at once, nothing changes, and that is said."""
    every = [Instrument(f"A{number}-USDT", f"A{number}USDT") for number in range(30)]
    listing = Listing(row.trading_pair for row in every)
    for _ in range(READS + 1):
        with pytest.raises(ValueError, match="of 30 carried pairs 4 are listed no more"):
            listing.look(every[4:])
    for _ in range(READS - 1):
        assert listing.look(every[3:]) == []
    assert len(listing.look(every[3:])) == 3


def test_an_ended_pair_that_vanishes_is_told_no_second_time() -> None:
    """Exchanges drop what has ended from their lists some day."""
    listing = Listing(PAIRS)
    assert listing.look([BTC, ENDED]) == [("ETH-USDT", "BREAK")]
    assert [listing.look([BTC]) for _ in range(READS + 1)] == [[]] * (READS + 1)


def test_without_any_list_nothing_is_said() -> None:
    """An exchange without a list of instruments, or with an empty one, ends no pair."""
    listing = Listing(["ETH-USDT"])
    assert [listing.look([]) for _ in range(READS + 1)] == [[]] * (READS + 1)
