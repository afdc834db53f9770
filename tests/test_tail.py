"""Seeing what is in the topics: which are meant, unknown schemas, and lines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from confluent_kafka import Producer

from connectors.codec import CandleEncoder
from connectors.errors import BadFrame, SetupError, UsageError
from connectors.kafka import Cluster, Stored, TopicPlan, ensure
from connectors.model import CandleData, CloseReason, Subscription, grid_of
from connectors.schema import CANDLE, Reader, Schema, confluent_prefix, encode
from connectors.tail import Candles, chosen, existing, line, plain, watch

ONE = Subscription("binance_spot", "BTC-USDT", "1m")
OTHER = Subscription("binance_spot", "ETH-USDT", "1m")
CANDLE_AT_NOON = CandleData(1_795_608_000, 10, 12, 9, 11.5, 0.00000125)


def fields(**how: Any) -> dict[str, Any]:
    """The fields of a candle as it is read from a topic."""
    encoder = CandleEncoder(ONE, grid_of("1m"), CANDLE.prefix)
    return Reader(CANDLE).read(encoder.encode(CANDLE_AT_NOON, published_at=0, **how))


def stored(value: bytes) -> Stored:
    """A record with this value."""
    return Stored("topic", 2, 7, b"key", value, 0)


# --- which are meant


def test_chosen() -> None:
    """Exchanges and subscriptions may be mixed; the wider one wins; none means all."""
    assert chosen([str(ONE), str(OTHER), "okx_spot"]) == {
        "binance_spot": {ONE, OTHER},
        "okx_spot": None,
    }
    assert chosen(["binance_spot", str(ONE)]) == chosen([str(ONE), "binance_spot"])
    assert {"binance_spot", "okx_spot"} < set(chosen([]))


def test_chosen_wrongly() -> None:
    """An unknown exchange is refused with the nearest names."""
    for word in ("binance_spto", "binance_spto:BTC-USDT:1m"):
        with pytest.raises(UsageError, match="did you mean binance_spot"):
            chosen([word])


@pytest.mark.kafka
async def test_existing(kafka: str, prefix: str) -> None:
    """Topics that do not exist are passed over, unless that is all of them."""
    plan = TopicPlan(prefix, partitions=2)
    here, away = plan.closed("binance_spot"), plan.live("binance_spot")
    await ensure(Cluster(kafka), [here])

    assert await existing(Cluster(kafka), [here.name, away.name]) == [here.name]
    with pytest.raises(SetupError, match=f"has no topic {away.name}: is another --prefix meant"):
        await existing(Cluster(kafka), [away.name])


# --- reading


def _produce(kafka: str, records: Mapping[str, tuple[bytes, bytes]]) -> None:
    producer = Producer({"bootstrap.servers": kafka})
    for topic, (key, value) in records.items():
        producer.produce(topic, value, key)
    assert producer.flush(20) == 0


@pytest.mark.kafka
async def test_unknown_schema(kafka: str, prefix: str) -> None:
    """A candle of a newer release is read by the schema that the topic of schemas has."""
    tree = json.loads(CANDLE.text)
    tree["fields"].insert(0, {"name": "mood", "type": "string", "default": ""})
    newer = Schema.parse(json.dumps(tree))
    value = encode(newer, {**fields(), "mood": "bullish"}, newer.prefix)
    plan, cluster = TopicPlan(prefix, partitions=1), Cluster(kafka)
    topic, schemas = plan.closed("binance_spot"), plan.schemas()
    await ensure(cluster, [topic, schemas])
    candles = Candles(cluster, plan)

    with pytest.raises(SetupError, match=f"schema {newer.key}, which {schemas.name} does not have"):
        await candles.read(stored(value))

    told = (newer.key.encode(), newer.text.encode())
    _produce(kafka, {schemas.name: told, topic.name: (b"k", value)})
    found: list[dict[str, Any]] = []

    async def heed(record: Stored) -> None:
        found.append(await candles.read(record))

    await watch(cluster, [topic.name], heed, beginning=True, follow=False)
    assert found == [fields()]


async def test_not_a_candle() -> None:
    """What is no candle is told with its place."""
    with pytest.raises(BadFrame, match=r"^topic, partition 2, offset 7: neither single-object"):
        await Candles(Cluster("k:1"), TopicPlan()).read(stored(b"hello, world"))


async def test_no_registry() -> None:
    """What was written with a schema registry cannot be read without."""
    value = confluent_prefix(7) + b"x"
    with pytest.raises(SetupError, match=r"^topic, partition 2, offset 7 .* --registry$"):
        await Candles(Cluster("k:1"), TopicPlan()).read(stored(value))


# --- lines


def test_line() -> None:
    """A candle is one line: time, subscription, state, figures, and what is special."""
    start = "2026-11-25 12:00:00  binance_spot:BTC-USDT:1m            "
    figures = "O 10  H 12  L 9  C 11.5  V 0.00000125"
    how = {"closed": True, "reason": CloseReason.REST_ROW, "revision": 2, "late": True}

    assert line(fields()) == f"{start}  open    {figures}"
    assert line(fields(**how)) == f"{start}  closed  {figures}  REST_ROW  revision 2  late"


@pytest.mark.parametrize(
    ("figure", "text"),
    [(0.0, "0"), (1e-7, "0.0000001"), (1e22, "1" + 22 * "0"), (100.0, "100"), (1.50, "1.5")],
)
def test_plain(figure: float, text: str) -> None:
    """Figures have no exponent and no needless zeros."""
    assert plain(figure) == text
