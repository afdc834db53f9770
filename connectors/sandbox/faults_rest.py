"""Misbehaviours of REST, of the whole address, and of the exchange's clock. Pure."""

from dataclasses import replace
from math import ceil

import orjson

from connectors.sandbox.dialect import Channel, Dialect, HttpReply, World
from connectors.sandbox.faults import Fault
from connectors.sandbox.market import Stretch

_BARS_AWAY = 2_000  # more than a page has


class RateLimit(Fault):
    """REST requests are refused for being too many.

    `retry_after`: true or false puts the header in or leaves it out, a number is put in; absent,
    the exchange's habit decides. It tells the real seconds that the fault lasts yet.
    """

    kind = "rate_limit"
    options = ("retry_after",)

    def reply(self, reply: HttpReply, dialect: Dialect, world: World) -> HttpReply:
        """Answer with the exchange's refusal while it acts."""
        if not self.acts(world.now.real) or not self.concerns(reply.trading_pair, reply.interval):
            return reply
        return self.refusal(dialect, world)

    def refusal(self, dialect: Dialect, world: World) -> HttpReply:
        """Return the exchange's rate-limit reply."""
        return dialect.slow_down(self.retry_after(dialect, world.now.real), world)

    def retry_after(self, dialect: Dialect, now: float) -> int | None:
        """Return the seconds to tell, or None."""
        wanted = self.order.options.get("retry_after", dialect.retry_after)
        if isinstance(wanted, bool):
            return max(1, ceil(min(self.schedule.left(now), 60.0))) if wanted else None
        return ceil(float(str(wanted)))


class Ban(RateLimit):
    """The address is banned: HTTP 418 or 403, as the exchange does, for requests and handshakes.

    `retry_after` as for `rate_limit`. With a `match` only matching requests are refused.
    Connections that are open stay.
    """

    kind = "ban"

    def refusal(self, dialect: Dialect, world: World) -> HttpReply:
        """Return the exchange's reply to the banned."""
        return dialect.banned(self.retry_after(dialect, world.now.real), world)

    def turns_away(self, dialect: Dialect, world: World) -> HttpReply | None:
        """Let no connection in while it acts."""
        if self.order.match is not None or not self.acts(world.now.real):
            return None
        return self.refusal(dialect, world)


class ServerError(Fault):
    """REST requests are answered with HTTP 500, 502, 503 or 504."""

    kind = "server_error"

    def reply(self, reply: HttpReply, dialect: Dialect, world: World) -> HttpReply:
        """Answer with an error while it acts."""
        if not self.acts(world.now.real):
            return reply
        if not self.concerns(reply.trading_pair, reply.interval):
            return reply
        trouble = dialect.server_error(world)
        return HttpReply(trouble.body, self.random.choice((500, 502, 503, 504)), trouble.headers)


class Slow(Fault):
    """REST replies and candle frames come `delay` seconds (2) late, in their order.

    `rest` or `frames` false spares the one or the other.
    """

    kind = "slow"
    options = ("delay", "rest", "frames")

    def holds(self, reply: HttpReply, now: float) -> float:
        """Hold the reply back."""
        hit = self.acts(now) and self.concerns(reply.trading_pair, reply.interval)
        return self._delay if hit and self.order.flag("rest", default=True) else 0.0

    def lag(self, channel: Channel, now: float) -> float:
        """Hold frames up."""
        hit = self.acts(now) and self.concerns(channel.trading_pair, channel.interval)
        return self._delay if hit and self.order.flag("frames", default=True) else 0.0

    @property
    def _delay(self) -> float:
        return self.order.number("delay", 2.0)


class DuplicateRows(Fault):
    """Some rows of a page of candles come twice, one after the other: one at least."""

    kind = "duplicate_rows"

    def reply(self, reply: HttpReply, dialect: Dialect, world: World) -> HttpReply:
        """Double rows while it acts."""
        if not self.acts(world.now.real) or not self.concerns(reply.trading_pair, reply.interval):
            return reply
        if reply.rows is None:
            return reply
        return replace(reply, body=self._inside(reply.body, reply.rows))

    def _inside(self, body: object, path: str) -> object:
        key, _, rest = path.partition(".")
        if isinstance(body, dict) and key:
            return {**body, key: self._inside(body[key], rest)}
        if isinstance(body, dict):
            return self._doubled_columns(body)
        return _again(body, self._drawn(len(body))) if isinstance(body, list) else body

    def _doubled_columns(self, body: dict[str, object]) -> dict[str, object]:
        columns = {key: column for key, column in body.items() if isinstance(column, list)}
        twice = self._drawn(max(map(len, columns.values()), default=0))
        return {**body, **{key: _again(column, twice) for key, column in columns.items()}}

    def _drawn(self, count: int) -> list[bool]:
        always = self.random.randrange(max(1, count))
        return [number == always or self.random.random() < 0.3 for number in range(count)]


def _again(rows: list[object], twice: list[bool]) -> list[object]:
    return [row for row, doubled in zip(rows, twice, strict=True) for _ in range(1 + doubled)]


class Truncated(Fault):
    """JSON replies are cut off somewhere in the middle."""

    kind = "truncated"

    def reply(self, reply: HttpReply, dialect: Dialect, world: World) -> HttpReply:
        """Cut the body off while it acts."""
        if not self.acts(world.now.real) or not self.concerns(reply.trading_pair, reply.interval):
            return reply
        if isinstance(reply.body, str | bytes):
            return reply
        whole = orjson.dumps(reply.body)
        return replace(reply, body=whole[: self.random.randrange(1, len(whole))])


class WrongPage(Fault):
    """REST gives the candles of another, earlier range: up to 2000 bars away, drawn each time."""

    kind = "wrong_page"

    def history(
        self, asked: Stretch, trading_pair: str, interval: str, length: int, now: float
    ) -> Stretch:
        """Read elsewhere while it acts."""
        if not self.acts(now) or not self.concerns(trading_pair, interval):
            return asked
        away = length * self.random.randint(1, _BARS_AWAY)
        return replace(asked, first=asked.first - away, last=asked.last - away)


class RestBehind(Fault):
    """REST gives candles as they stood `lag` real seconds (2) ago.

    The newest closed rows are missing, or stand as if they were open, with less volume.
    """

    kind = "rest_behind"
    options = ("lag",)

    def history(
        self,
        asked: Stretch,
        trading_pair: str,
        interval: str,
        length: int,
        now: float,
    ) -> Stretch:
        """Read as of an earlier time while it acts."""
        if not self.acts(now) or not self.concerns(trading_pair, interval):
            return asked
        return replace(asked, at=asked.at - self.order.number("lag", 2.0) * self.order.speed)


class ClockOffset(Fault):
    """The exchange's clock is off by `offset` seconds (120): the Date header and event times.

    Negative: it is slow. Bars are not moved. `match` does not matter.
    """

    kind = "clock_offset"
    options = ("offset",)

    def offset(self, now: float) -> float:
        """Return the offset while it acts."""
        return self.order.number("offset", 120.0) if self.acts(now) else 0.0
