"""Where an exchange is reached."""

from __future__ import annotations

import pytest

from connectors.endpoints import Endpoints
from connectors.errors import UsageError

WS = "wss://stream.example:9443/ws/v1?token=abc"
HTTP = "https://api.example/v3/candles"


def test_without_anything_an_exchange_is_reached_at_its_own_addresses() -> None:
    """What the adapter says is where it goes."""
    assert [Endpoints().url("plain", url) for url in (WS, HTTP)] == [WS, HTTP]


@pytest.mark.parametrize(
    ("sandbox", "expected_ws", "expected_http"),
    [
        (
            "http://localhost:8080",
            "ws://localhost:8080/plain/ws/v1?token=abc",
            "http://localhost:8080/plain/v3/candles",
        ),
        (
            "https://sandbox.example/markets/",
            "wss://sandbox.example/markets/plain/ws/v1?token=abc",
            "https://sandbox.example/markets/plain/v3/candles",
        ),
    ],
)
def test_in_a_sandbox_every_market_has_a_folder(
    sandbox: str, expected_ws: str, expected_http: str
) -> None:
    """Scheme and host are the sandbox's, the market's name goes before the exchange's own path."""
    endpoints = Endpoints(sandbox)
    assert endpoints.url("plain", WS) == expected_ws
    assert endpoints.url("plain", HTTP) == expected_http


def test_an_address_that_the_sandbox_told_is_taken_as_it_is() -> None:
    """A dialogue that returns the socket's address (KuCoin's does) is believed."""
    told = "ws://localhost:8080/plain/endpoint?token=abc"
    assert Endpoints("http://localhost:8080").url("plain", told) == told


def test_single_exchanges_can_be_replaced() -> None:
    """A testnet or mirror has a WebSocket and an HTTP address; a path in them goes first."""
    endpoints = Endpoints(replaced={"plain": ("ws://mirror:1/a/", "http://mirror:2")})
    assert endpoints.url("plain", WS) == "ws://mirror:1/a/ws/v1?token=abc"
    assert endpoints.url("plain", HTTP) == "http://mirror:2/v3/candles"
    assert endpoints.url("other", HTTP) == HTTP


def test_an_address_that_a_mirror_told_is_taken_as_it_is() -> None:
    """The mirror's own path is not put before it once more."""
    endpoints = Endpoints(replaced={"plain": ("ws://mirror:1/a", "http://mirror:2")})
    assert endpoints.url("plain", "ws://mirror:1/a/token") == "ws://mirror:1/a/token"


def test_a_replaced_exchange_is_not_looked_for_in_the_sandbox() -> None:
    """Both may be given; the single exchange's own address is the narrower wish."""
    endpoints = Endpoints("http://box:1", {"plain": ("ws://mirror:1", "http://mirror:2")})
    assert endpoints.url("plain", HTTP) == "http://mirror:2/v3/candles"
    assert endpoints.url("other", HTTP) == "http://box:1/other/v3/candles"


@pytest.mark.parametrize(
    "wrong",
    ["localhost:8080", "ftp://box", "http://", "http://box:port", "http://[::1", "ws://box"],
)
def test_a_wrong_address_of_a_sandbox_is_said_with_what_would_be_right(wrong: str) -> None:
    """Nothing is connected at an address that cannot be one."""
    with pytest.raises(UsageError, match="is no address: write http or https://host:port"):
        Endpoints(wrong)


@pytest.mark.parametrize("pair", [("http://a", "http://b"), ("ws://a", "ws://b"), ("ws://a", "")])
def test_replacements_are_checked_both(pair: tuple[str, str]) -> None:
    """A WebSocket address for WebSocket, an HTTP address for REST."""
    with pytest.raises(UsageError, match="is no address: write"):
        Endpoints(replaced={"plain": pair})
