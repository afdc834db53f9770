"""Seeing what is in the topics: which are meant, and lines."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.codec import CandleEncoder
from connectors.commands.tail import chosen, existing, line, plain
from connectors.errors import SetupError, UsageError
from connectors.kafka import Cluster, TopicPlan, ensure
from connectors.model import CandleData, CloseReason, Subscription, grid_of
from connectors.schema import CANDLE, Reader

ONE = Subscription("binance_spot", "BTC-USDT", "1m")
OTHER = Subscription("binance_spot", "ETH-USDT", "1m")
CANDLE_AT_NOON = CandleData(1_795_608_000, 10, 12, 9, 11.5, 0.00000125)


def fields(**how: Any) -> dict[str, Any]:
    """The fields of a candle as it is read from a topic."""
    encoder = CandleEncoder(ONE, grid_of("1m"), CANDLE.prefix)
    return Reader(CANDLE).read(encoder.encode(CANDLE_AT_NOON, published_at=0, **how))


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
