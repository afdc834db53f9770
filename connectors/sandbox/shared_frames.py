"""What dialects send the same way: JSON messages, a closed bar together with the next. Pure."""

from connectors.sandbox.dialect import Push, Send, World
from connectors.sandbox.market import Bar
from connectors.sandbox.shared_requests import written

_TWO_BARS_EVERY = 4  # bars


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
