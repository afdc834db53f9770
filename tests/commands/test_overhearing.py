"""What is overheard of a connection: which request a frame belongs to, and of what sort it is."""
# ruff: noqa: ARG002 - the contract names the arguments

from __future__ import annotations

from typing import Any

import pytest

from connectors.adapter import Confirmed, Heartbeat, Rate
from connectors.commands.overhearing import Ear, asked_before, overheard, sort_of
from connectors.commands.recorder import Sort
from connectors.model import CandleData
from tests.plain import START, Plain

ONE: Any = {"subscribe": ["BTC-USDT@1m"], "id": 1}
TWO: Any = {"subscribe": ["BTC-USDT@1h"], "id": 2}


def ear() -> Ear:
    """One that has heard two subscriptions."""
    found = Ear()
    adapter = overheard(Plain, found)
    adapter.subscribe_messages(["BTC-USDT@1m"], 1, 0.0)
    adapter.subscribe_messages(["BTC-USDT@1h"], 2, 0.0)
    return found


@pytest.mark.parametrize(
    ("request_id", "channels", "wanted"),
    [
        ("1", [], ONE),
        ("2", ["BTC-USDT@1m"], TWO),
        (None, ["BTC-USDT@1h"], TWO),
        (None, ["ETH-USDT@1h"], None),
        ("3", [], None),
        (None, [], None),
    ],
)
def test_a_request_is_found_by_id_or_channel(
    request_id: str | None, channels: list[str | None], wanted: Any
) -> None:
    """An id decides, else the first channel; where it is unsure there is none."""
    assert ear().request(request_id, channels) == wanted


def test_the_only_request_needs_no_name() -> None:
    """An answer that names nothing belongs to the one request that there was."""
    found = Ear()
    overheard(Plain, found).subscribe_messages(["BTC-USDT@1m"], 1, 0.0)

    assert found.request(None, []) == ONE


def test_of_several_messages_the_channels_own_is_meant() -> None:
    """Messages of one request are told apart by their place."""
    found = Ear(asked={"1": (("a", "b"), ["first", "second"])})

    assert found.request("1", ["b"]) == "second"
    assert found.request("1", []) is None


def test_frames_and_pings_are_heard() -> None:
    """What a frame was taken for is known with its request, and our own ping with its answer."""
    found = ear()

    class Pinging(Plain):
        heartbeat = Heartbeat("message", 10, 30)

        def ping_message(self, request_id: int, now: float) -> Any:
            return {"ping": request_id}

    assert overheard(Plain, found).parse_ws_message({"ok": 2}) == Confirmed("2")
    assert asked_before(found, Sort("ws_confirm", "2")) == TWO
    overheard(Plain, found).parse_ws_message({"candles": [["BTC-USDT@1m", START, 2, True]]})
    assert asked_before(found, Sort("ws_candle", "1m")) == ONE
    overheard(Pinging, found).ping_message(7, 0.0)
    found.parsed = None
    assert (asked_before(found, Sort("ws_pong", "")), found.pings) == ({"ping": 7}, 1)
    assert asked_before(found, Sort("ws_other", "1")) is None


def test_one_channel_a_message_at_half_the_pace() -> None:
    """Each answer is tied to its own request, and the limit of messages is far."""
    limits = overheard(Plain, Ear()).limits

    assert limits.message_channels == 1
    assert limits.messages == Rate(Plain.limits.messages.amount / 2)


def state(*, closed: bool | None, volume: float = 1.0) -> CandleData:
    """A state of a bar."""
    return CandleData(START, 1, 1, 1, 1, volume, closed=closed)


@pytest.mark.parametrize(
    ("candles", "sort"),
    [
        ([state(closed=False)], Sort("ws_candle", "1m-open")),
        ([state(closed=True), state(closed=False)], Sort("ws_candle", "1m-closed")),
        ([state(closed=None)], Sort("ws_candle", "1m")),
        ([state(closed=True, volume=0.0)], Sort("ws_candle", "1m-closed-no-trades")),
        ([state(closed=None)] * 3, Sort("ws_snapshot", "1m")),
    ],
)
def test_sorts_of_candles(candles: list[CandleData], sort: Sort) -> None:
    """Open, closed, without a word, without trades, and many at once are sorts of their own."""
    assert sort_of("1m", candles) == sort
