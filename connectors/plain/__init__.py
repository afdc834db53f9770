"""The plain base of an adapter: what exchanges have in common, as data and small pieces.

An adapter states facts as class attributes and writes what is its exchange's own. It always writes
``parse_ws_message`` and, with WebSocket candles, ``control``. Where an exchange differs from the
attributes, it overrides the method that reads them; every method of ``ExchangeAdapter`` may be
overridden as ever. The pieces serve such methods, too:

* ``symbols``   codes of intervals; ``Spelling``: trading pair <-> symbol, by rule
* ``rows``      ``Columns``: a row's figures in the order of CandleData; order, shape
* ``frames``    what is no JSON object, what is packed, what a channel is made of
* ``query``     the parameters of a REST request for candles
* ``listing``   the request for the instruments, and the keys of their rows
* ``envelope``  errors that stand in the body, whatever the HTTP status
* ``base``      ``PlainAdapter`` itself
"""

from connectors.plain.base import PlainAdapter
from connectors.plain.envelope import Envelope, keys, milliseconds_of
from connectors.plain.frames import gunzip, no_object, parts
from connectors.plain.listing import Listing
from connectors.plain.query import Query, in_iso, in_milliseconds, in_seconds
from connectors.plain.rows import Columns, at, malformed, oldest_first, rows_of_columns
from connectors.plain.symbols import Code, Spelling, codes, codes_in_minutes, codes_in_seconds

__all__ = [
    "Code",
    "Columns",
    "Envelope",
    "Listing",
    "PlainAdapter",
    "Query",
    "Spelling",
    "at",
    "codes",
    "codes_in_minutes",
    "codes_in_seconds",
    "gunzip",
    "in_iso",
    "in_milliseconds",
    "in_seconds",
    "keys",
    "malformed",
    "milliseconds_of",
    "no_object",
    "oldest_first",
    "parts",
    "rows_of_columns",
]
