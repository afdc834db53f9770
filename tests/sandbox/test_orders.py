"""Orders for misbehaviours: what can be ordered where, and what is said to a bad order."""

from __future__ import annotations

import json

import pytest

from connectors.sandbox.orders import FaultOrderError, kinds, ordered
from tests.sandbox.pretend import DIALECTS, fault


def test_kinds_that_work() -> None:
    """These kinds can be ordered, each with nothing but its name."""
    assert sorted(kinds()) == [
        "ban",
        "bomb",
        "clock_offset",
        "delist",
        "drop",
        "duplicate_rows",
        "garble",
        "giant",
        "half_open",
        "late_correction",
        "list",
        "no_trades",
        "rate_limit",
        "refuse",
        "reorder",
        "repeat",
        "rest_behind",
        "server_error",
        "shutdown_notice",
        "silent_subscription",
        "skip_candle",
        "slow",
        "stall",
        "token_expired",
        "truncated",
        "wrong_page",
    ]
    for kind in kinds():
        assert fault(kind).kind == kind


SOME = {
    name: DIALECTS[name]
    for name in (
        "binance_perpetual",
        "binance_spot",
        "binance_us",
        "coinbase_advanced_trade",
        "coinbase_exchange",
        "kucoin_perpetual",
        "kucoin_spot",
        "okx_perpetual",
        "okx_spot",
    )
}
"""Markets to order faults for, whichever others there are."""


@pytest.mark.parametrize(
    ("wish", "named"),
    [
        ([], "ordered as JSON"),
        ({}, "kind must be one of ban, bomb"),
        ({"kind": "explode"}, "kind must be one of ban, bomb"),
        ({"kind": "drop", "market": "nyse"}, "market must be one of binance_perpetual"),
        ({"kind": "drop", "evry": 5}, "knows no 'evry', only kind, market, every"),
        ({"kind": "drop", "retry_after": 5}, "knows no 'retry_after'"),
        ({"kind": "drop", "every": 0}, "every must be a number of seconds above 0"),
        ({"kind": "drop", "duration": "3"}, "duration must be a number"),
        ({"kind": "drop", "every": True}, "every must be a number"),
        ({"kind": "drop", "count": 0}, "count must be a whole number, at least 1"),
        ({"kind": "drop", "count": 1.5}, "count must be a whole number"),
        ({"kind": "drop", "seed": "x"}, "seed must be a whole number, at least 0"),
        ({"kind": "drop", "match": 5}, "match must be PAIR or PAIR:INTERVAL"),
        ({"kind": "rate_limit", "retry_after": "soon"}, "retry_after must be true, false or"),
        ({"kind": "slow", "delay": -1}, "delay must be a number of seconds, at least 0"),
        ({"kind": "slow", "rest": 1}, "rest must be true or false"),
        ({"kind": "clock_offset", "offset": True}, "offset must be a number of seconds, negative"),
        ({"kind": "giant", "size": 2**40}, "size must be a whole number of bytes, at most"),
    ],
)
def test_bad_orders(wish: object, named: str) -> None:
    """What is wrong with an order is said in one sentence, which tells what would be right."""
    with pytest.raises(FaultOrderError, match=r"^[^\n]+$") as error:
        ordered(json.loads(json.dumps(wish)), SOME, 100.0)

    assert named in str(error.value)


@pytest.mark.parametrize(
    ("kind", "market", "sentence"),
    [
        (
            "bomb",
            "okx_spot",
            (
                "bomb is not applicable to okx_spot, which does not compress its messages; "
                "it is to coinbase_advanced_trade, kucoin_perpetual, kucoin_spot"
            ),
        ),
        (
            "token_expired",
            "binance_spot",
            (
                "token_expired is not applicable to binance_spot, which asks for no token; "
                "it is to kucoin_perpetual, kucoin_spot"
            ),
        ),
        (
            "shutdown_notice",
            "kucoin_spot",
            (
                "shutdown_notice is not applicable to kucoin_spot, which closes without a notice; "
                "it is to binance_perpetual, binance_spot, binance_us, okx_perpetual, okx_spot"
            ),
        ),
    ],
)
def test_not_applicable(kind: str, market: str, sentence: str) -> None:
    """What an exchange cannot do is refused, with those that can."""
    with pytest.raises(FaultOrderError) as error:
        ordered({"kind": kind, "market": market}, SOME, 100.0)

    assert str(error.value) == sentence


@pytest.mark.parametrize("kind", ["drop", "stall", "giant", "half_open", "skip_candle"])
def test_nothing_streams_without_a_websocket(kind: str) -> None:
    """Misbehaviours of the stream are refused where there is none."""
    with pytest.raises(FaultOrderError, match="coinbase_exchange, which has no WebSocket"):
        ordered({"kind": kind, "market": "coinbase_exchange"}, DIALECTS, 100.0)
