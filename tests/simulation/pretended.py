"""An adapter that is asked for nothing but requests: the simulated exchange answers from truth."""

# ruff: noqa: ARG002 - the contract names the arguments

from __future__ import annotations

from typing import Any, Final

from connectors.adapter import ExchangeAdapter, RestRequest
from connectors.model import CandleData


class Pretended(ExchangeAdapter):
    """See the head of the module. Its one request is always the same."""

    name = "simulated"
    request: Final = RestRequest(url="", params={}, weight=1)

    def get_trading_pair_format(self, trading_pair: str) -> str:
        return trading_pair

    def get_supported_intervals(self) -> dict[str, int]:
        return {}

    def get_ws_url(self) -> str:
        return ""

    def get_ws_subscription_payload(self, trading_pair: str, interval: str) -> dict[str, Any]:
        return {}

    def parse_ws_message(self, data: Any) -> None:
        return None

    def get_ws_supported_intervals(self) -> list[str]:
        return []

    def get_rest_url(self) -> str:
        return ""

    def get_rest_params(
        self, trading_pair: str, interval: str, start_time: int, end_time: int, limit: int
    ) -> dict[str, str | int]:
        return {}

    def rest_request(
        self, trading_pair: str, interval: str, start: int, end: int, limit: int, now: float
    ) -> RestRequest:
        return self.request

    def parse_rest_response(
        self, data: Any, request: RestRequest | None = None
    ) -> list[CandleData]:
        return []
