"""Hyperliquid: perpetuals of the first dex, and spot. One host, one socket, one kind of request.

* An UNKNOWN COIN makes the server drop the whole socket at once, without a word (probed on other
  channels). So no coin is guessed: the list of instruments is needed, and delisted ones are out.
* Coins keep their case: ``kPEPE`` is 1000 PEPE, our ``KPEPE-USDC``. ``BTC-USD`` is another name of
  the perpetual ``BTC-USDC``. Spot coins are ``@107``, by an index that differs on the testnet; only
  index 0 has a name, ``PURR/USDC``.
* One subscription a message; answers carry no id but repeat the subscription, errors as JSON inside
  their text. ``Already subscribed`` is a confirmation to us.
* No closed flag: a bar's last frame mostly comes BEFORE its end, and nothing after it (65 of 69
  measured bars). How late the others come is UNKNOWN: 5 s is a guess.
* A bar without trades has no frame; over REST it is UNKNOWN. Rows of before 2023 are made from an
  index: no volume, yet high and low differ.
* REST is one POST. It has the latest 5000 bars of an interval, whatever the range.
* UNKNOWN: where weeks and bars of three days begin (learned); which end wins among more than 5000
  bars (never asked); what an unknown coin is told over REST (HTTP 500 is asked again).
* Not offered: builders' dexes (``xyz:SP500``). There is no 1s and 6h.

Sources: gitbook rate limits of 2026, probes of 2026-09-23, a live note of 2026-09-27, ccxt 4.5.64,
recordings in tests/wire/.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from math import ceil
from typing import Any

import orjson

from connectors.adapter import (
    Confirmed, Heartbeat, Limits, Message, Parsed, QuietBars, Rate, Refused, RestReply, RestRequest,
)  # fmt: skip
from connectors.errors import UsageError
from connectors.model import CandleData, Instrument
from connectors.plain import (
    Columns, Listing, PlainAdapter, Query, codes, malformed, no_object, oldest_first, parts,
)  # fmt: skip


class _Hyperliquid(PlainAdapter):
    needs_instruments = True
    ws_intervals = rest_intervals = codes("1m 3m 5m 15m 30m 1h 2h 4h 8h 12h 1d 3d 1w 1M")  # 2026-09
    anchors = {"3d": None, "1w": None}
    close_grace = 5.0
    quiet_bars = QuietBars(stream="skipped")
    heartbeat = Heartbeat("message", every=20, silence=60)  # closed after 60 s without its word
    ping = {"method": "ping"}
    limits = Limits(
        source="gitbook rate limits: per address 10 connections, 30 new ones a minute, 1000 "
        "subscriptions, 2000 messages a minute, REST weight 1200 a minute; half of it for each "
        "market, and for each connection its part",
        checked="2026-09",
        connections=5,
        subscriptions=100,
        messages=Rate(3),
        attempts=Rate(15, 60),
        rest=(Rate(600, 60),),
    )

    ws_url = "wss://api.hyperliquid.xyz/ws"

    def control(self, verb: str, channels: Sequence[str], request_id: int, now: float) -> Message:
        interval, coin = parts(channels[0])
        subscription = {"type": "candle", "coin": coin, "interval": interval}
        return {"method": verb, "subscription": subscription}

    def parse_ws_message(self, data: Any) -> Parsed:
        if type(data) is not dict:
            return no_object(data)
        kind = data["channel"] if "data" in data else data.get("channel")
        if kind == "candle":
            told = data["data"]
            rows = told if type(told) is list else [told]  # a list is said to be documented
            return oldest_first([self.rest_candle(row, None) for row in rows])
        if kind == "subscriptionResponse":
            return _confirmed(data["data"]) if data["data"]["method"] == "subscribe" else None
        return _error(str(data["data"])) if kind == "error" else None

    rest_url = "https://api.hyperliquid.xyz/info"
    rest_columns = Columns("t", "o", "h", "l", "c", "v", None, "n")
    # A bar that opens at startTime is included (ccxt); none of ours opens at endTime.
    query = Query("coin", "interval", "startTime", "endTime")
    page = 1000  # of 5000 at most
    reach = dict.fromkeys(rest_intervals, 5000)
    listing = Listing(url="", rows=("universe",), weight=60)  # its weight is UNKNOWN: high

    def rest_weight(self, limit: int) -> float:
        return 20 + ceil(limit / 60)  # gitbook, 2026

    def rest_request(
        self, trading_pair: str, interval: str, start: int, end: int, limit: int, now: float
    ) -> RestRequest:
        request = super().rest_request(trading_pair, interval, start, end, limit, now)
        body: Message = {"type": "candleSnapshot", "req": dict(request.params)}
        return replace(request, method="POST", params={}, body=body)

    def rest_candle(self, row: Any, request: RestRequest | None) -> CandleData:
        return CandleData(*self.rest_columns.read(row), channel=f"{row['i']}:{row['s']}")

    def _list(self, kind: str) -> RestRequest:
        return replace(self.listing.request(self.rest_url), method="POST", body={"type": kind})


def _confirmed(told: dict[str, Any]) -> Parsed:
    """The subscription that an answer repeats, where it is one to candles."""
    subscription = told.get("subscription", told)
    if type(subscription) is not dict or subscription.get("type") != "candle":
        return None
    return Confirmed(channels=(f"{subscription['interval']}:{subscription['coin']}",))


def _error(text: str) -> Parsed:
    """A refusal: its words, then the subscription or the whole request as JSON."""
    words, brace, rest = text.partition("{")
    try:
        named = _confirmed(orjson.loads(brace + rest))
    except (ValueError, LookupError):  # whoever is named, it is nobody whom we know
        named = None
    if words.startswith("Already unsubscribed"):
        return None
    if words.startswith("Already subscribed"):
        return named
    return Refused(text, channels=named.channels if isinstance(named, Confirmed) else ())


class HyperliquidPerpetual(_Hyperliquid):
    """Perpetuals: ``BTC-USDC``, and ``BTC-USD`` as its other name, is ``BTC``."""

    name = "hyperliquid_perpetual"

    def get_trading_pair_format(self, trading_pair: str) -> str:
        base, _, quoted = trading_pair.partition("-")
        if trading_pair not in self._symbols and quoted not in ("USDC", "USD"):
            raise UsageError(f"{trading_pair}: perpetuals of {self.name} are quoted in USDC")
        return self._symbols.get(trading_pair, base)

    def instruments(self) -> Generator[RestRequest, RestReply, list[Instrument]]:
        rows = self.read_instruments((yield self._list("meta")))
        others = [(row, row.trading_pair.removesuffix("C")) for row in rows]
        return [*rows, *(replace(row, trading_pair=pair, alias_of=row.trading_pair)
                         for row, pair in others)]  # fmt: skip

    def instrument(self, row: Any) -> Instrument:
        coin, delisted = row["name"], row.get("isDelisted") is True
        pair, status = f"{coin.upper()}-USDC", "delisted" if delisted else ""
        return Instrument(trading_pair=pair, symbol=coin, tradable=not delisted, status=status)


class HyperliquidSpot(_Hyperliquid):
    """Spot: ``HYPE-USDC`` is ``@107``, as the list says."""

    name = "hyperliquid_spot"

    def get_trading_pair_format(self, trading_pair: str) -> str:
        if trading_pair not in self._symbols:
            raise UsageError(
                f"{trading_pair}: {self.name} spells pairs by its list, which lacks it"
            )
        return self._symbols[trading_pair]

    def instruments(self) -> Generator[RestRequest, RestReply, list[Instrument]]:
        reply = yield self._list("spotMeta")
        listed: dict[str, Instrument] = {}
        with malformed("the list of instruments", reply.body):
            told = reply.json()
            names = {it.get("index", at): it["name"] for at, it in enumerate(told["tokens"])}
            for row in told["universe"]:
                pair = "-".join(names[token].upper() for token in row["tokens"])
                symbol = f"@{row['index']}" if row["index"] else row["name"]
                listed.setdefault(pair, Instrument(trading_pair=pair, symbol=symbol))
        return list(listed.values())
