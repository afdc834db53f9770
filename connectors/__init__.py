"""Candles from crypto exchanges into Kafka."""

__version__ = "0.1.0"
