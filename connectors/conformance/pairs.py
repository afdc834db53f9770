"""Finds out of which trading pairs an item tells, by asking the adapter how it spells them.

No exchange is known here: words of the item are split into base and quote in every way that makes
sense, and those whose spelling by ``get_trading_pair_format`` stands in the item are kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import orjson

from connectors.adapter import ExchangeAdapter, RestReply, RestRequest
from connectors.conformance.advice import NotConforming
from connectors.conformance.items import Item, folders, items_of
from connectors.model import Instrument

QUOTES = ("USDT", "USDC", "FDUSD", "BUSD", "TUSD", "USD", "EUR", "GBP", "TRY", "BRL", "JPY", "KRW",
          "BTC", "ETH", "BNB", "DAI")  # fmt: skip
USUAL = ("BTC-USDT", "ETH-USDT", "BTC-USD", "ETH-BTC", "SOL-USDC")
PROBE_SIZE = 0.5
"""A made-up contract size for items whose real one nobody kept."""

_PARTS = re.compile(r"[A-Za-z0-9]+")
_JOINED = re.compile(r"([A-Za-z0-9]{2,12})[-_/:]([A-Za-z0-9]{2,8})")


def spelled_in(symbol: str, text: str) -> bool:
    """Whether the symbol stands in the text as a word (not as the stem of a dated contract)."""
    pattern = rf"(?<![A-Za-z0-9]){re.escape(symbol)}(?![A-Za-z0-9]|[-_]\d{{6}})"
    return bool(symbol) and re.search(pattern, text, re.IGNORECASE) is not None


def pairs_in(adapter: ExchangeAdapter, item: Item) -> list[str]:
    """Trading pairs whose symbol stands in the item, the longest symbols first."""
    if item.trading_pair:
        return [item.trading_pair]
    rows = {row.trading_pair: row.symbol for row in rows_of(type(adapter))}
    found: dict[str, str] = {}
    for pair in (*rows, *_guesses(item.text)):
        symbol = rows.get(pair) or spelling(adapter, pair)
        if pair not in found and symbol is not None and spelled_in(symbol, item.text):
            found[pair] = symbol
    return sorted(found, key=lambda pair: -len(found[pair]))


def _guesses(text: str) -> list[str]:
    return list(dict.fromkeys((*_split_words(text), *_joined_words(text), *_bare_words(text))))


def _split_words(text: str) -> Iterator[str]:
    for word in dict.fromkeys(_PARTS.findall(text.upper())):
        for quote in QUOTES:
            for match in re.finditer(quote, word):
                base = word[: match.start()]
                if len(base) >= 2 and len(word) <= 20:
                    yield from (f"{name}-{quote}" for name in _bases(base))


def _joined_words(text: str) -> Iterator[str]:
    for left, right in dict.fromkeys(_JOINED.findall(text.upper())):
        for base in _bases(left):
            yield f"{base}-{right}"
        yield f"{right}-{left}"


def _bare_words(text: str) -> Iterator[str]:
    for word in dict.fromkeys(_PARTS.findall(text)):
        if 2 <= len(word) <= 8 and word.isupper():
            yield from (f"{word}-{quote}" for quote in QUOTES)


def _bases(base: str) -> Iterator[str]:
    yield base.replace("XBT", "BTC")
    if len(base) > 2:
        yield base[1:].replace("XBT", "BTC")  # after a letter of the exchange's own: tBTCUSD


def spelling(adapter: ExchangeAdapter, pair: str) -> str | None:
    """The symbol of a pair, None where the adapter cannot spell it."""
    try:
        return adapter.get_trading_pair_format(pair)
    except Exception:  # noqa: BLE001 - a guess that the adapter refuses is no failure
        return None


# --- instruments ----------------------------------------------------------------------------------


def rows_of(adapter_class: type[ExchangeAdapter]) -> list[Instrument]:
    """Instruments that the adapter reads from the market's recorded list; [] without one."""
    return _rows(adapter_class, folders())


@cache
def _rows(adapter_class: type[ExchangeAdapter], _: tuple[Path, ...]) -> list[Instrument]:
    try:
        return drive_instruments(adapter_class(), items_of(adapter_class.name))
    except Exception:  # noqa: BLE001 - check_instruments says what is wrong with it
        return []


def drive_instruments(adapter: ExchangeAdapter, items: Iterable[Item]) -> list[Instrument]:
    """Drive ``instruments()`` with the recorded replies of its kind."""
    lists = [item for item in items if item.kind == "rest_instruments"]
    dialogue = adapter.instruments()
    try:
        request = next(dialogue)
        for _ in range(20):
            request = dialogue.send(_reply_to(request, lists))
    except StopIteration as end:
        return list(end.value)
    expected = "instruments() ends on the last page"
    raise NotConforming(expected, "it asks on after 20 replies", "return the rows")


def _reply_to(request: RestRequest, lists: list[Item]) -> RestReply:
    fitting = [item for item in lists if str((item.request or {}).get("url", "")) in request.url]
    chosen = (fitting or lists)[0]
    return reply_of(chosen)


def reply_of(item: Item, status: int = 200) -> RestReply:
    """The item's frame as an HTTP reply."""
    body = item.binary if item.binary is not None else orjson.dumps(item.frame)
    return RestReply(status, {"content-type": "application/json"}, body)


def prepared(adapter_class: type[ExchangeAdapter], item: Item) -> ExchangeAdapter:
    """An adapter that knows the recorded instruments and those of which the item tells."""
    adapter = adapter_class()
    own = {row.symbol: row for row in _rows_for(adapter, item)}
    recorded = [row for row in rows_of(adapter_class) if row.symbol not in own]
    adapter.use_instruments([*recorded, *own.values()])
    return adapter


def sizes_unknown(item: Item) -> bool:
    """Whether volumes were sent as contracts whose size nobody kept (then PROBE_SIZE is used)."""
    return any(c["volume"] is None and c.get("volume_contracts") for c in item.candles or ())


def pair_for(adapter: ExchangeAdapter, item: Item) -> str:
    """The pair of a REST item; where the item names none, any will do."""
    return (pairs_in(adapter, item) or usual_pairs(type(adapter)))[0]


def usual_pairs(adapter_class: type[ExchangeAdapter]) -> list[str]:
    """Pairs to try a contract with: recorded instruments first, then the usual ones."""
    adapter = adapter_class()
    adapter.use_instruments(rows := rows_of(adapter_class))
    names = (*(row.trading_pair for row in rows), *USUAL)
    aliases = {row.trading_pair for row in rows if row.alias_of}
    pairs = [pair for pair in names if pair not in aliases and spelling(adapter, pair) is not None]
    return list(dict.fromkeys(pairs))[:8]


def _rows_for(adapter: ExchangeAdapter, item: Item) -> Iterator[Instrument]:
    known = {row.symbol for row in rows_of(type(adapter))}
    resized = item.contract_size is not None or sizes_unknown(item)
    for pair in pairs_in(adapter, item) or [pair_for(adapter, item)]:
        symbol = _listed_symbol(adapter, pair)
        if resized or symbol not in known:
            size = PROBE_SIZE if sizes_unknown(item) else float(item.contract_size or 1)
            yield Instrument(pair, symbol, size)


def _listed_symbol(adapter: ExchangeAdapter, pair: str) -> str:
    rows = {row.trading_pair: row.symbol for row in rows_of(type(adapter))}
    return rows.get(pair) or spelling(adapter, pair) or pair
