"""What the demo wishes for: every kind of market, of close, and of transport."""

from __future__ import annotations

from typing import Final

DEMO: Final = (
    # closed by the exchange's flag
    "binance_spot:BTC-USDT:1m",
    "binance_spot:ETH-USDT:1m",
    "binance_spot:ALGO-USDT:1m",  # hardly traded
    "binance_spot:SOL-USDT:5m",
    # volumes in contracts
    "okx_perpetual:BTC-USDT:1m",
    "okx_perpetual:ETH-USDT:1m",
    "okx_perpetual:SOL-USDT:3m",
    # no flag: the next bar or the clock closes, REST confirms; a token before each connection
    "kucoin_perpetual:BTC-USDT:1m",
    "kucoin_perpetual:ETH-USDT:1m",
    "kucoin_perpetual:ALGO-USDT:1m",
    # one interval over WebSocket, the others polled
    "coinbase_advanced_trade:BTC-USD:5m",
    "coinbase_advanced_trade:ETH-USD:5m",
    "coinbase_advanced_trade:BTC-USD:1m",
    "coinbase_advanced_trade:ETH-USD:1m",
    "coinbase_advanced_trade:BTC-USD:15m",
)
