"""The contract's plain case: an adapter that writes the brief's methods alone."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from connectors.adapter import (
    ExchangeAdapter,
    Opening,
    Parsed,
    RestPages,
    RestRefused,
    RestReply,
    RestRequest,
    RestSlowDown,
    RestUnavailable,
    Rows,
    answer_of_status,
    check_status,
    retry_after,
)
from connectors.errors import Blocked, Unreachable, UsageError
from connectors.model import CandleData, Subscription, grid_of


class Plain(ExchangeAdapter):
    """Writes nothing that has a default."""

    name = "plain_spot"

    def get_trading_pair_format(self, trading_pair: str) -> str:
        return trading_pair.replace("-", "")

    def get_supported_intervals(self) -> dict[str, int]:
        return {"1m": 60, "1w": 604_800, "1M": 2_592_000}

    def get_ws_url(self) -> str:
        return "wss://plain.example/ws"

    def get_ws_subscription_payload(self, trading_pair: str, interval: str) -> dict[str, Any]:
        return {"op": "subscribe", "what": [self.get_trading_pair_format(trading_pair), interval]}

    def parse_ws_message(self, data: Any) -> Parsed:
        return None if data is None else [CandleData(*data)]

    def get_ws_supported_intervals(self) -> list[str]:
        return ["1m"]

    def get_rest_url(self) -> str:
        return "https://plain.example/candles"

    def get_rest_params(
        self, trading_pair: str, interval: str, start_time: int, end_time: int, limit: int
    ) -> dict[str, str | int]:
        symbol = self.get_trading_pair_format(trading_pair)
        return {"s": symbol, "i": interval, "from": start_time, "to": end_time, "n": limit}

    def parse_rest_response(
        self, data: Any, request: RestRequest | None = None
    ) -> list[CandleData]:
        assert request is not None
        return [CandleData(*row) for row in data]


def request() -> RestRequest:
    """One that the plain adapter makes."""
    return Plain().rest_request("BTC-USDT", "1m", 600, 1200, 10, 1200.0)


def reply(status: int, body: bytes = b"no", **headers: str) -> RestReply:
    """An HTTP reply; underscores of header names are hyphens."""
    return RestReply(status, {k.replace("_", "-"): v for k, v in headers.items()}, body)


def _run(dialogue: Any) -> Any:
    with pytest.raises(StopIteration) as end:
        next(dialogue)
    return end.value.value


def test_channels_lead_back_to_payloads() -> None:
    """Default channels become one message each, those of the brief's payload."""
    adapter = Plain()
    subscriptions = [
        Subscription("plain_spot", "BTC-USDT", "1m"),
        Subscription("plain_spot", "ETH-USDT", "1w"),
    ]
    channels = [adapter.channel(subscription) for subscription in subscriptions]
    assert channels == ["BTC-USDT@1m", "ETH-USDT@1w"]
    assert adapter.subscribe_messages(channels, 1, 0.0) == [
        {"op": "subscribe", "what": ["BTCUSDT", "1m"]},
        {"op": "subscribe", "what": ["ETHUSDT", "1w"]},
    ]


def test_nothing_is_grouped_or_unpacked() -> None:
    """By default connections and messages are shared, and frames are as they come."""
    adapter = Plain()
    groups = {adapter.connection_group(Subscription("plain_spot", "A-B", "1m"))}
    groups |= {adapter.batch_group("A-B@1m")}
    assert groups == {""}
    assert adapter.unpack_frame(b"{}") == b"{}"
    assert adapter.unsubscribe_messages(["A-B@1m"], 1, 0.0) == []


def test_dialogues_ask_nothing() -> None:
    """By default connecting needs no request, and there is no list of instruments."""
    assert _run(Plain().opening()) == Opening(url="wss://plain.example/ws")
    assert _run(Plain().instruments()) == []
    Plain().use_instruments([])


def test_ping_without_a_message_says_so() -> None:
    """Who declares pings by message has to say which."""
    with pytest.raises(ValueError, match="plain_spot pings by message"):
        Plain().ping_message(1, 0.0)


def test_intervals_by_transport() -> None:
    """An interval without a WebSocket channel is polled; every interval is offered by REST."""
    adapter = Plain()
    transports = {interval: adapter.transport(interval) for interval in ("1m", "1w", "1M")}
    assert transports == {"1m": "websocket", "1w": "rest", "1M": "rest"}
    assert adapter.get_rest_supported_intervals() == ["1m", "1w", "1M"]
    assert [adapter.step(interval) for interval in ("1m", "1w", "1M")] == [60, 604_800, 2_592_000]
    assert adapter.grid("1w") == grid_of("1w")
    assert adapter.rest_pages("1m") == RestPages(limit=100, rows=None)


def test_step_of_no_interval() -> None:
    """What is no interval is refused."""
    with pytest.raises(UsageError, match="'1min' is not an interval"):
        Plain().step("1min")


def test_rest_request_keeps_what_was_asked() -> None:
    """The half-open range becomes bounds that include, and stays with the request."""
    assert request() == RestRequest(
        url="https://plain.example/candles",
        params={"s": "BTCUSDT", "i": "1m", "from": 600, "to": 1199, "n": 10},
        weight=1.0,
        trading_pair="BTC-USDT",
        interval="1m",
        start=600,
        end=1200,
        limit=10,
    )


def test_weight_may_depend_on_the_page() -> None:
    """``rest_weight`` is asked for the limit of the request."""

    class Weighed(Plain):
        def rest_weight(self, limit: int) -> float:
            return limit / 4

    assert Weighed().rest_request("BTC-USDT", "1m", 600, 1200, 10, 0.0).weight == 2.5


def test_good_reply_is_rows() -> None:
    """HTTP 200 is parsed, with the request at hand."""
    body = orjson.dumps([[60, 1, 2, 1, 2, 3]])
    expected = Rows([CandleData(60, 1, 2, 1, 2, 3)])
    assert Plain().read_rest_reply(reply(200, body), request()) == expected


def test_unreadable_reply_is_an_error() -> None:
    """HTTP 200 with a body that is no JSON is a ValueError, never rows."""
    with pytest.raises(ValueError, match=r".+"):
        Plain().read_rest_reply(reply(200, b"<html>"), request())


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, RestRefused("HTTP 400: no")),
        (404, RestRefused("HTTP 404: no")),
        (403, RestUnavailable("HTTP 403: no")),
        (451, RestUnavailable("HTTP 451: no", blocked=True)),
        (418, RestSlowDown("HTTP 418: no")),
        (429, RestSlowDown("HTTP 429: no")),
        (500, RestUnavailable("HTTP 500: no")),
        (503, RestUnavailable("HTTP 503: no")),
    ],
)
def test_status_tells_what_to_do(status: int, expected: object) -> None:
    """Other statuses say: ask no more, wait, or try later; the plain adapter reads them so."""
    assert answer_of_status(reply(status)) == expected
    assert Plain().read_rest_reply(reply(status), request()) == expected


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (451, b""),
        (403, b'{"msg":"Service unavailable from a restricted location.","code":0}'),
        (403, b"<html>blocks access from your country.</html>"),
    ],
)
def test_an_address_that_is_not_served_is_told_from_trouble(status: int, body: bytes) -> None:
    """Who is barred for where he is does not ask again soon, and is told what would help."""
    answer = answer_of_status(reply(status, body))
    assert isinstance(answer, RestUnavailable)
    assert answer.blocked
    with pytest.raises(Blocked, match=f"^x: HTTP {status}: .*this address is not served: run from"):
        check_status("x", reply(status, body))
    with pytest.raises(Unreachable):
        check_status("x", reply(403, b"firewall"))


def test_reason_is_short_and_readable() -> None:
    """Of a long or binary body only the beginning becomes the reason."""
    answer = answer_of_status(reply(500, b"\xff" + b"x" * 10_000))
    assert isinstance(answer, RestUnavailable)
    assert answer.reason == "HTTP 500: \N{REPLACEMENT CHARACTER}" + "x" * 199


@pytest.mark.parametrize(
    ("header", "expected"),
    [("30", 30.0), ("1.5", 1.5), ("0", 0.0), ("", None), ("soon", None), ("-1", None), ("²", None)],
)
def test_retry_after(header: str, expected: float | None) -> None:
    """Seconds of Retry-After are read; what is no number is as if it were not there."""
    assert retry_after({"retry-after": header}) == expected
    answer = answer_of_status(reply(429, retry_after=header))
    assert answer == RestSlowDown("HTTP 429: no", expected)


def test_no_retry_after() -> None:
    """Without the header the exchange has not said how long."""
    assert retry_after({}) is None


def test_brief_methods_are_demanded() -> None:
    """A class that lacks one of the brief's methods cannot be made."""

    class Lacking(Plain):
        parse_ws_message = ExchangeAdapter.parse_ws_message  # type: ignore[assignment]  # broken on purpose

    Lacking.__abstractmethods__ = frozenset({"parse_ws_message"})
    with pytest.raises(TypeError, match="parse_ws_message"):
        Lacking()
    with pytest.raises(TypeError, match="abstract"):
        ExchangeAdapter()  # type: ignore[abstract]  # that is what is tested
