"""Bitfinex v2: spot and perpetuals. One host, one channel, two sorts of symbols.

* Data bear a number that only the confirmation ties to its subscription, so a connection remembers
  the numbers, those of ended subscriptions, too. Candles of a number never told name no channel.
* A row runs open, CLOSE, high, low. A snapshot, newest first, is told from an update by its first
  element being a list. Flags may append numbers to any frame: they are skipped.
* ``t`` and both currencies, with a colon where one of them has more than three letters; perpetuals
  have F0 behind both. Currencies have names of their own (UST is USDT): the exchange's map says
  which. Those that begin with TEST are paper and would be taken for the real ones.
* Bars without trades are skipped, in snapshots and over REST. No quote volume, no closed flag.
* Confirmations and errors name their key. "dup" means that it is subscribed already.
* REST errors are lists that begin with "error"; a wrong parameter has HTTP 500. More than 30
  requests a minute (older docs: 90) are punished by a minute of silence.
* UNKNOWN: where weeks and fortnights begin (learned); how late a bar's last frame comes (5 s, a
  guess); what an unknown symbol gets over REST (perhaps no rows: symbols are checked by the list).
* Not offered: 4h and 7D, which only ccxt knows.

Sources: docs.bitfinex.com as of 2026-09, a probe of 2026-09-22, ccxt 4.5.64, copies of the map of
currencies in public clients, recordings in tests/wire/ (2021 to 2022-06).
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from connectors.adapter import (
    Closing, Confirmed, Heartbeat, Limits, Message, Parsed, QuietBars, Rate, Refused, RestReply,
    RestRequest, retry_after,
)  # fmt: skip
from connectors.model import CandleData, Instrument
from connectors.plain import (
    Columns, Envelope, PlainAdapter, Query, Spelling, codes, malformed, no_object, oldest_first,
)  # fmt: skip

ROW = Columns(0, 1, 3, 4, 2, 5)
ENDED = ""  # in place of the channel of a number
DUPLICATE, LIMIT, NOT_SUBSCRIBED = 10301, 10305, 10400  # errors (probed 2026-09)
RECONNECT, MAINTENANCE_OVER = 20051, 20061  # infos (docs, 2026)
CONF = "https://api-pub.bitfinex.com/v2/conf/"
MAP = "pub:map:currency:sym"  # [[["DSH", "DASH"], …]]
PAPER = "TEST"


def _said(body: Any) -> tuple[Any, Any]:
    if type(body) is dict:
        return body.get("error"), body.get("error")
    return (body[1], body[2]) if body and body[0] == "error" else (None, None)


@dataclass(frozen=True, kw_only=True)
class _Spelling(Spelling):
    """``suffix`` stands behind each currency."""

    def symbol(self, trading_pair: str) -> str:
        base, quoted = (
            self.renamed.get(name, name) + self.suffix for name in trading_pair.split("-")
        )
        colon = ":" if max(len(base), len(quoted)) > 3 else ""
        return f"t{base}{colon}{quoted}"


# Ours -> theirs, until their map is read (ccxt, copies of the map)
RENAMED = {"USDT": "UST", "USDC": "UDC", "DASH": "DSH", "IOTA": "IOT"}


class _Bitfinex(PlainAdapter):
    ws_intervals = rest_intervals = codes(
        "1m 5m 15m 30m 1h 3h 6h 12h 1d=1D 1w=1W 14d=14D 1M"  # docs, 2026-09
    )
    anchors = {"1w": None, "14d": None}
    close_grace = 5.0
    quiet_bars = QuietBars(stream="skipped", rest="skipped")  # recorded 2020-06 and 2022-06
    heartbeat = Heartbeat("server", every=15, silence=45)  # "hb" on each channel
    limits = Limits(
        source="docs.bitfinex.com: 25 channels (36 were accepted), 20 connections and 30 REST "
        "requests a minute for an address; both markets share these: halved",
        checked="2026-09", subscriptions=25, attempts=Rate(10, 60), rest=(Rate(15, 60),),
    )  # fmt: skip
    list_of_pairs: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self._channels: dict[str, str] = {}

    ws_url = "wss://api-pub.bitfinex.com/ws/2"

    def channel_of(self, symbol: str, code: str | int) -> str:
        return f"trade:{code}:{symbol}"

    def control(self, verb: str, channels: Sequence[str], request_id: int, now: float) -> Message:
        (key,) = channels
        return {"event": verb, "channel": "candles", "key": key}

    def unsubscribe_messages(
        self, channels: Sequence[str], request_id: int, now: float
    ) -> list[Message]:
        numbers = [number for number, channel in self._channels.items() if channel in channels]
        return [{"event": "unsubscribe", "chanId": int(number)} for number in numbers]

    def parse_ws_message(self, data: Any) -> Parsed:
        if type(data) is list:
            return self._data(data[0], data[1])
        return self._event(data) if type(data) is dict else no_object(data)

    def _data(self, number: Any, told: Any) -> Parsed:
        channel = self._channels.get(str(number))
        if type(told) is str or channel == ENDED:  # "hb"
            return None
        rows = told if told == [] or type(told[0]) is list else [told]
        if channel is None and any(len(row) != 6 for row in rows):  # no candles
            return None
        return oldest_first([CandleData(*ROW.read(row), channel=channel) for row in rows])

    def _event(self, data: dict[str, Any]) -> Parsed:
        event, code, key = data.get("event"), data.get("code"), data.get("key")
        text, number = f"{data.get('msg')} (code {code})", data.get("chanId")
        if (event == "subscribed" or code == DUPLICATE) and key and number is not None:
            self._channels[str(number)] = key
            return Confirmed(channels=(key,))
        if event == "unsubscribed":
            self._channels[str(number)] = ENDED
        if event == "info" and code in (RECONNECT, MAINTENANCE_OVER):
            return Closing(text)
        if event == "error" and code != NOT_SUBSCRIBED:
            return Refused(text, channels=(key,) if key else (), limit=code == LIMIT)
        return None

    rest_url = "https://api-pub.bitfinex.com/v2/candles/trade:{code}:{symbol}/hist"
    rest_columns = ROW
    query = Query("", "", "start", "end", "limit", fixed={"sort": 1})  # both bounds include
    page = 10_000
    envelope = Envelope(
        _said, refused=[10020], slow=[11010, "ERR_RATE_LIMIT"],
        wait=lambda headers: retry_after(headers) or 60.0,
    )  # fmt: skip

    def instruments(self) -> Generator[RestRequest, RestReply, list[Instrument]]:
        symbols = self._conf((yield RestRequest(url=CONF + self.list_of_pairs)))
        told = self._conf((yield RestRequest(url=CONF + MAP)))
        ours = {theirs: name for name, theirs in RENAMED.items()}
        with malformed("the list of instruments", [symbols, told]):
            ours |= {it[0]: it[1].upper() for it in told if type(it) is list and it[1].isalnum()}
            pairs = ((self._pair(symbol, ours), f"t{symbol}") for symbol in symbols)
            named = {pair: Instrument(pair, symbol) for pair, symbol in pairs if pair}
        return list(named.values())

    def _pair(self, symbol: str, ours: Mapping[str, str]) -> str | None:
        """None for paper, and for what cannot be taken apart."""
        base, colon, quoted = symbol.partition(":")
        if not colon:
            base, quoted = symbol[:3], symbol[3:]
        if symbol.startswith(PAPER) or not quoted.isalnum() or (len(quoted) != 3 and not colon):
            return None
        names = (it.removesuffix(self.spelling.suffix) for it in (base, quoted))
        return "-".join(ours.get(name, name) for name in names)

    def _conf(self, reply: RestReply) -> list[Any]:
        with malformed("the list of instruments", reply.body):
            if trouble := self.envelope.trouble(reply):
                raise ValueError(f"no list of instruments: {trouble}")
            return list(reply.json()[0])


class BitfinexSpot(_Bitfinex):
    """Bitfinex, spot: ``tBTCUSD``, ``tDOGE:USD``."""

    name = "bitfinex_spot"
    spelling = _Spelling(renamed=RENAMED)
    list_of_pairs = "pub:list:pair:exchange"


class BitfinexPerpetual(_Bitfinex):
    """Bitfinex, perpetuals: ``tBTCF0:USTF0``. Volumes are base coins."""

    name = "bitfinex_perpetual"
    spelling = _Spelling(suffix="F0", renamed=RENAMED)
    list_of_pairs = "pub:list:pair:futures"
