"""Which bars of history win where more lie between the bounds than fit: a common rule. Pure."""

from collections.abc import Iterator

from connectors.sandbox.dialect import World
from connectors.sandbox.market import FIRST_OPEN, Bar


def traded(
    world: World, asked: tuple[str, str], start: int | None, before: int | None
) -> Iterator[Bar]:
    """Yield the bars with trades and open time in `[start, before)`, the winning ones first.

    `asked` is pair and interval, bounds are UNIX seconds. From a start alone on the oldest bars
    win, and come ascending; else the newest win.
    """
    now = world.now.market
    if start is not None and before is None:
        found = world.market.bars(*asked, start, now, now)
    else:
        last = now if before is None else before - 1
        found = world.market.backwards(*asked, start or FIRST_OPEN, last, now)
    return (bar for bar in found if bar.trades)
