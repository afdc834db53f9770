"""What dialects send the same way: JSON, a closed bar with the next, late updates. Pure."""

from connectors.sandbox.dialect import Push, Send, World
from connectors.sandbox.market import Bar
from connectors.sandbox.shared_requests import written

_TWO_BARS_EVERY, _LATE_EVERY = 4, 8  # bars


def send(message: object) -> Send:
    """Return the action that sends a message as JSON text."""
    return Send(written(message))


def following(push: Push, world: World) -> Bar | None:
    """Return the bar after a closed one, as it stands, where one frame is to carry both.

    That is so at each fourth bar, if the next has trades already and no fault keeps it off.
    """
    bar, asked = push.bar, (push.channel.trading_pair, push.channel.interval)
    if bar.open_time // (bar.close_time - bar.open_time) % _TWO_BARS_EVERY:
        return None
    if world.skips(*asked, bar.close_time) or not world.market.exists(*asked, bar.close_time):
        return None
    new = world.market.state(*asked, bar.close_time, world.now.market)
    return new if new.trades and not new.final else None


def stays_unsent(push: Push) -> bool:
    """Return whether a bar that is over gets no last update; each eighth does.

    For exchanges that close bars without a word, where a late update now and then is plausible.
    """
    bar = push.bar
    return bar.final and bar.open_time // (bar.close_time - bar.open_time) % _LATE_EVERY != 0
