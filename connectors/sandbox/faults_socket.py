"""Misbehaviours of connections and subscriptions. Pure."""

from connectors.sandbox.dialect import Channel, Dialect, Frame, HttpReply, Moment, Push, World
from connectors.sandbox.faults import Blow, Fault, Order, Victim
from connectors.sandbox.market import Market


class Drop(Blow):
    """Cuts connections off, those with a matching subscription; for `duration` none comes in."""

    kind = "drop"
    on_stream = True

    def hit(self, victim: Victim, dialect: Dialect) -> None:
        """Cut it off."""
        victim.cut()

    def turns_away(self, dialect: Dialect, world: World) -> HttpReply | None:
        """Keep everybody out while it lasts."""
        if self.order.match is not None or not self.acts(world.now.real):
            return None
        return dialect.server_error(world)


class HalfOpen(Blow):
    """TCP stays, but nothing comes any more nor is answered, not even pings and closes, for good.

    It strikes connections with a matching subscription; for `duration` every new one, too, where
    there is no `match`.
    """

    kind = "half_open"
    on_stream = True

    def hit(self, victim: Victim, dialect: Dialect) -> None:
        """Freeze it."""
        victim.freeze()

    def welcome(self, victim: Victim, now: float) -> None:
        """Freeze who comes in while it lasts."""
        if self.order.match is None and self.acts(now):
            victim.freeze()


class TokenExpired(Blow):
    """All tokens given out are no longer good, and connections that came by them are ended.

    With a `match` only connections with a matching subscription are.
    """

    kind = "token_expired"
    on_stream = True

    @classmethod
    def unfit(cls, dialect: Dialect) -> str | None:
        """Return whether there are tokens."""
        return None if dialect.tokens else "asks for no token"

    def change(self, market: Market, dialect: Dialect, now: Moment) -> None:
        """Forget the tokens."""
        dialect.revoke()

    def hit(self, victim: Victim, dialect: Dialect) -> None:
        """End the connection."""
        victim.expire()


class ShutdownNotice(Blow):
    """Connections get the exchange's notice of a shutdown, and are closed some time later.

    `notice`: after how many real seconds; absent, after the exchange's own time (market time).
    """

    kind = "shutdown_notice"
    options = ("notice",)
    on_stream = True

    @classmethod
    def unfit(cls, dialect: Dialect) -> str | None:
        """Return whether the exchange tells that it will close."""
        return None if dialect.notice is not None else "closes without a notice"

    def hit(self, victim: Victim, dialect: Dialect) -> None:
        """Tell it."""
        usual = (dialect.notice or 0.0) / self.order.speed
        victim.leave(self.order.number("notice", usual))


class SilentSubscription(Fault):
    """Subscriptions are confirmed and never served, nor later: until they are asked for anew."""

    kind = "silent_subscription"
    on_stream = True

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        self._silenced: set[Channel] = set()

    def over(self, now: float) -> bool:
        """Stay as long as a silenced subscription may live: until the fault is deleted."""
        return super().over(now) and not self._silenced

    def frames(self, frames: list[Frame], push: Push, now: float) -> list[Frame]:
        """Silence what is served while it acts, for good."""
        channel = push.channel
        if self.acts(now) and self.concerns(channel.trading_pair, channel.interval):
            self._silenced.add(channel)
        return [] if channel in self._silenced else frames


class Refuse(Fault):
    """Subscriptions are refused as if the channel did not exist."""

    kind = "refuse"
    on_stream = True

    def refuses(self, trading_pair: str, interval: str, now: float) -> bool:
        """Refuse while it acts."""
        return self.acts(now) and self.concerns(trading_pair, interval)
