"""Reading closed candles back from Kafka: those of wanted slots, among all that share a partition.

Candles are stamped with their close time. So a pass starts at the offset of the earliest close
time in question; and since repairs come later in the log, whatever their slots are, it goes on to
the high watermark. It costs as much as lies between the two, and keeps only what is wanted.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from connectors.codec import candle_key, candle_of
from connectors.errors import BadFrame
from connectors.kafka import Cluster, Stored, offsets_since, read_topic
from connectors.model import Subscription
from connectors.records import CandleRecord
from connectors.values import Values

Span = tuple[int, float]
"""From, to; of open times ``[start, end)``."""

Newest = dict[Subscription, dict[int, CandleRecord]]
"""Of each subscription the newest revisions, by open time."""

Complain = Callable[[Stored, BadFrame], object]
"""Is told of records that may be wanted and cannot be read."""


@dataclass(frozen=True)
class Wanted:
    """Slots of subscriptions; ``closes`` is when the first and the last of them close, at most.

    All times are UNIX seconds.
    """

    spans: Mapping[Subscription, Sequence[Span]]
    closes: Span

    @property
    def pairs(self) -> set[bytes]:
        """The keys of the records that may be wanted."""
        return {candle_key(subscription) for subscription in self.spans}

    def has(self, record: CandleRecord) -> bool:
        """Whether this candle is wanted."""
        slot = record.candle.timestamp
        return any(start <= slot < end for start, end in self.spans.get(record.subscription, ()))


async def pick(
    stored: AsyncGenerator[Stored, None], wanted: Wanted, values: Values, complain: Complain
) -> AsyncGenerator[tuple[Stored, CandleRecord], None]:
    """The wanted ones of these records, in their order; ``values`` reads candles."""
    pairs = wanted.pairs
    first, last = (time * 1000 for time in wanted.closes)
    async with aclosing(stored):
        async for each in stored:
            if each.key not in pairs or not first <= each.timestamp <= last:
                continue
            try:
                record = candle_of(await values.read(each))
            except BadFrame as bad:
                complain(each, bad)
                continue
            if wanted.has(record):
                yield each, record


async def read_newest(
    cluster: Cluster,
    values: Values,
    topic: str,
    partitions: Collection[int],
    wanted: Wanted,
    complain: Complain,
) -> Newest:
    """The newest committed revision of each wanted slot, in one pass over these partitions.

    Unreachable where Kafka does not answer in time, SetupError where there is no such topic or a
    schema cannot be had, AccessError without the right to read.
    """
    found: Newest = {subscription: {} for subscription in wanted.spans}
    since = wanted.closes[0] * 1000
    start = await offsets_since(cluster, topic, dict.fromkeys(partitions, since))
    stored = read_topic(cluster, topic, start, partitions=partitions)
    async with aclosing(pick(stored, wanted, values, complain)) as picked:
        async for _, record in picked:
            of, slot = found[record.subscription], record.candle.timestamp
            if slot not in of or of[slot].revision < record.revision:
                of[slot] = record
    return found
