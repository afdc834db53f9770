"""Which bars a snapshot carries, where an exchange sends history when it confirms. Pure."""

from itertools import islice

from connectors.sandbox.dialect import Channel, World
from connectors.sandbox.market import FIRST_OPEN, Bar


def snapshot(world: World, channel: Channel, most: int, *, flat: bool = False) -> list[Bar]:
    """Return the newest bars, newest first and the running one among them, `most` at most.

    Those that a fault keeps off the stream are left out. `flat`: bars without trades, too.
    """
    asked, now = (channel.trading_pair, channel.interval), world.now.market
    bars = world.market.backwards(*asked, FIRST_OPEN, now, now)
    shown = (bar for bar in bars if flat or bar.trades)
    return [bar for bar in islice(shown, most) if not world.skips(*asked, bar.open_time)]
