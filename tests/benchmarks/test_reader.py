"""The independent reader of the benchmark: it finds what is wrong in a topic."""

from __future__ import annotations

import pytest
from confluent_kafka import Producer

from benchmarks.load import Load, State
from benchmarks.reader import Count, Reader
from connectors.codec import CandleEncoder
from connectors.model import CandleData, Subscription, grid_of

pytestmark = pytest.mark.kafka


def _value(state: State) -> bytes:
    subscription = Subscription("binance_spot", state.trading_pair, "1m")
    encoder = CandleEncoder(subscription, grid_of("1m"), bytes(10))
    figures = state.close, state.close, state.close, state.close, state.volume
    candle = CandleData(state.open_time, *figures)
    return encoder.encode(candle, published_at=0, closed=state.closed)


def test_what_is_wrong_is_found(kafka: str, prefix: str) -> None:
    """A record that is missing, twice there, too early or of another price is counted as such."""
    load, topic = Load.until_now(600), f"{prefix}.live"
    reader, producer = Reader(kafka), Producer({"bootstrap.servers": kafka})
    reader.create([topic], 1)
    states = [load.state(seq) for seq in range(600)]
    states[7] = states[7]._replace(close=1.0)  # wrong
    states[300], states[500] = states[500], states[300]  # one of the same pair before the other
    del states[9]  # lost
    states.append(states[-1])  # doubled
    for state in states:
        producer.produce(topic, _value(state))
    producer.flush()
    assert Count(600, lost=1, doubled=1, wrong=1, disordered=1) == reader.count([topic], load, 0)
    assert sum(reader.ends(prefix).values()) == 600
    reader.delete(prefix)
