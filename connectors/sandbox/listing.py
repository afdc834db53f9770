"""What is listed on a pretend market: trading pairs, their prices' digits, and how busy they are.

Prices and activity are invented; symbols and digits are the dialect's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Listing:
    """One trading pair as one market lists it.

    `tick` is the smallest step of the price (quote units), `lot` the smallest traded amount in
    base units: where the exchange counts contracts, the contract size. With fewer than one
    trade a minute the pair is *quiet*: many of its bars have no trades. An alias is another
    name for the book of the pair `alias_of`. `usual_trade` is in quote units. Where it
    `opens_at_last_close`, a bar's open is the last price before it, not its first trade's; where
    it is `continuous`, likewise, and the bar's high and low include that price.

    What the dialect prints must be exact, or the truth is not what was sent: a quote volume has
    as many digits as `tick` and `lot` together.
    """

    trading_pair: str
    symbol: str
    price: Decimal
    tick: Decimal
    lot: Decimal
    trades_per_minute: float
    alias_of: str | None = None
    usual_trade: Decimal = Decimal(250)
    continuous: bool = False
    opens_at_last_close: bool = False

    @property
    def base(self) -> str:
        """The base asset, `BTC` of `BTC-USDT`."""
        return self.trading_pair.partition("-")[0]

    @property
    def quote(self) -> str:
        """The quote asset, `USDT` of `BTC-USDT`."""
        return self.trading_pair.partition("-")[2]

    @property
    def quiet(self) -> bool:
        """Whether many of its bars have no trades."""
        return self.trades_per_minute < 1

    @property
    def book(self) -> str:
        """The trading pair whose trades these are."""
        return self.alias_of or self.trading_pair


@dataclass(frozen=True, slots=True)
class Coin:
    """A base asset with a plausible price in dollars."""

    name: str
    price: str
    tick: str
    lot: str
    trades_per_minute: float


COINS = (
    Coin("BTC", "97250.00", "0.01", "0.00001", 60),
    Coin("ETH", "3420.00", "0.01", "0.0001", 50),
    Coin("SOL", "212.40", "0.01", "0.001", 30),
    Coin("XRP", "1.3500", "0.0001", "0.1", 25),
    Coin("DOGE", "0.40250", "0.00001", "1", 20),
    Coin("ADA", "0.9410", "0.0001", "0.1", 15),
    Coin("AVAX", "42.30", "0.01", "0.01", 12),
    Coin("LINK", "17.80", "0.01", "0.01", 10),
    Coin("LTC", "92.40", "0.01", "0.001", 8),
    Coin("DOT", "8.610", "0.001", "0.01", 6),
    Coin("ATOM", "8.120", "0.001", "0.01", 0.3),
    Coin("ALGO", "0.3150", "0.0001", "1", 0.15),
)
"""Twelve coins; the last two are quiet."""

UPCOMING = (Coin("SUI", "3.4120", "0.0001", "0.1", 15), Coin("NEAR", "5.610", "0.001", "0.1", 9))
"""Coins that are not listed yet."""

WHOLE_DOLLARS = {coin.name: str(1 / Decimal(coin.tick)) for coin in (*COINS, *UPCOMING)}
"""Lots by base with which every trade is whole contracts of 1 USD."""


def listed(
    quote: str,
    symbol: Callable[[str, str], str],
    *,
    lots: dict[str, str] | None = None,
    coins: tuple[Coin, ...] = COINS,
    continuous: bool = False,
) -> tuple[Listing, ...]:
    """Return a listing of every coin against `quote`; `symbol(base, quote)` spells it.

    `lots` replaces lots by base, for exchanges whose contract sizes the card names.
    """
    lots = lots or {}
    return tuple(
        Listing(
            trading_pair=f"{coin.name}-{quote}",
            symbol=symbol(coin.name, quote),
            price=Decimal(coin.price),
            tick=Decimal(coin.tick),
            lot=Decimal(lots.get(coin.name, coin.lot)),
            trades_per_minute=coin.trades_per_minute,
            continuous=continuous,
        )
        for coin in coins
    )
