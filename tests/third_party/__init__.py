"""Clients that others wrote read candles off the sandbox."""
