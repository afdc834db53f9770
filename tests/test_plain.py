"""The plain base: its pieces, an adapter of facts alone, and the example of the document."""
# ruff: noqa: ARG002, RUF012 - adapters: the contract names the arguments, facts are read-only

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors import plain
from connectors.adapter import (
    Confirmed,
    Limits,
    Message,
    Opening,
    Parsed,
    RestPages,
    RestRefused,
    RestReply,
    RestSlowDown,
    RestUnavailable,
    Rows,
)
from connectors.errors import UsageError
from connectors.model import CandleData, Grid, Instrument, Subscription, grid_of
from connectors.plain import Columns, Envelope, Listing, PlainAdapter, Query, Spelling

DOCUMENT = Path(__file__).parent.parent / "docs" / "new-exchange.md"
ROW = [60, 1, 3, 0.5, 2, 10, 20]
OBJECT = dict(zip("tohlcvq", ROW, strict=True))
CANDLE = CandleData(60, 1, 3, 0.5, 2, 10, 20)


class Example(PlainAdapter):
    """An exchange of facts alone."""

    name = "example_perpetual"
    ws_url = "wss://example.com/ws"
    ws_intervals = {"1m": "1", "1d": "D"}
    anchors = {"1d": None}
    limits = Limits(source="made up", checked="2026-09", subscriptions=10, message_channels=2)
    spelling = Spelling(separator="_")
    rest_url = "https://example.com/v1/{symbol}/candles/{code}"
    rest_headers = {"accept": "application/json"}
    rest_intervals = {"1h": "60", "1m": "1"}
    rest_path = ("data",)
    rest_columns = Columns(0, 1, 2, 3, 4, 5, 6)
    query = Query("", "", "from", "to", time=plain.in_seconds)
    envelope = Envelope(plain.keys("code", "msg"), good=[0])
    listing = Listing(url="../../symbols", rows=("data",), size="size")
    page = 500
    reach = {"1m": 1000}

    def control(self, verb: str, channels: Any, request_id: int, now: float) -> Message:
        return {"op": verb, "args": [*channels], "id": request_id, "at": now}

    def parse_ws_message(self, data: Any) -> Parsed:
        return None


def reply(body: Any, status: int = 200, **headers: str) -> RestReply:
    """An HTTP reply; underscores of header names are hyphens."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return RestReply(status, {k.replace("_", "-"): v for k, v in headers.items()}, raw)


def listed(adapter: PlainAdapter, answer: RestReply) -> list[Instrument]:
    """What the dialogue of the instruments makes of one reply."""
    dialogue = adapter.instruments()
    next(dialogue)
    with pytest.raises(StopIteration) as end:
        dialogue.send(answer)
    rows: list[Instrument] = end.value.value
    return rows


# --- intervals and symbols ---


def test_codes() -> None:
    """A table in writing becomes a dict; an interval without a code is its own."""
    assert plain.codes("1m 1h=60 1M=1mon") == {"1m": "1m", "1h": "60", "1M": "1mon"}
    assert plain.codes_in_seconds("1m 1d") == {"1m": 60, "1d": 86_400}
    assert plain.codes_in_minutes("1m 1w") == {"1m": 1, "1w": 10_080}
    with pytest.raises(UsageError, match="'1min' is not an interval"):
        plain.codes_in_seconds("1min")


@pytest.mark.parametrize(
    ("spelling", "symbol"),
    [
        (Spelling(separator="-"), "BTC-USDT"),
        (Spelling(separator="_", lower=True), "btc_usdt"),
        (Spelling(prefix="t", separator=":", renamed={"USDT": "UST"}), "tBTC:UST"),
        (Spelling(separator="/", suffix=".P", renamed={"BTC": "XBT"}), "XBT/USDT.P"),
    ],
)
def test_symbols_there_and_back(spelling: Spelling, symbol: str) -> None:
    """What separates base and quote leads back to the pair."""
    assert spelling.symbol("BTC-USDT") == symbol
    assert spelling.pair(symbol) == "BTC-USDT"


def test_nothing_separates_base_and_quote() -> None:
    """A symbol that cannot be taken apart is an error, never a guess."""
    assert Spelling().symbol("BTC-USDT") == "BTCUSDT"
    with pytest.raises(ValueError, match=r".+"):
        Spelling().pair("BTCUSDT")
    with pytest.raises(ValueError, match=r".+"):
        Spelling(separator="_").pair("A_B_C")


# --- rows ---


def test_columns_are_in_the_order_of_a_candle() -> None:
    """Lists and objects are read alike, in the order that was told."""
    assert CandleData(*Columns(0, 1, 2, 3, 4, 5, 6).read(ROW)) == CANDLE
    assert CandleData(*Columns(*"tohlcvq").read(OBJECT)) == CANDLE
    assert Columns(6, 5, 4, 3, 2, 1).read(ROW) == (20, 10, 2, 0.5, 3, 1)
    assert Columns(*"qvclho").read(OBJECT) == (20, 10, 2, 0.5, 3, 1)


@pytest.mark.parametrize(
    ("keys", "rest"),
    [
        ("", ()),
        ("q", (20,)),
        ((None, "q"), (None, 20)),
        (("q", None, "v"), (20, None, 10)),
        ((None, None, None, "q"), (None, None, None, 20)),
        ("x", (None,)),
        ((None, "x"), (None, None)),
        ("qxv", (20, None, 10)),
    ],
)
def test_figures_that_are_not_sent_are_none(keys: Any, rest: Any) -> None:
    """A gap is None, and so is an optional figure that an object lacks."""
    assert (*ROW[:6], *rest) == Columns(*"tohlcv", *keys).read(OBJECT)


@pytest.mark.parametrize(
    ("keys", "rest"), [((None, 6), (None, 20)), ((6, 7), (20, None)), ((None, 7), (None, None))]
)
def test_figures_that_an_older_list_lacks_are_none(keys: Any, rest: Any) -> None:
    """A gap is None, and so is an optional figure behind the end of a list of the older kind."""
    assert (*ROW[:6], *rest) == Columns(0, 1, 2, 3, 4, 5, *keys, shortest=7).read(ROW)


@pytest.mark.parametrize("missing", "tohlcv")
@pytest.mark.parametrize("more", ["", "q", (None, "q")])
def test_half_a_row_is_no_candle(missing: str, more: Any) -> None:
    """Each of time, open, high, low, close and volume is needed."""
    row = {key: value for key, value in OBJECT.items() if key != missing}

    with pytest.raises(KeyError):
        Columns(*"tohlcv", *more).read(row)


@pytest.mark.parametrize("keys", [(0, 1, 2, 3, 4, 6), (5, 4, 3, 2, 1, 0, 6), (0, 1, 2, 3, 4, 5, 6)])
@pytest.mark.parametrize("missing", range(7))
def test_a_list_that_lacks_a_column_is_no_candle(keys: Any, missing: int) -> None:
    """What stood behind the missing column would be read in its place."""
    row = [*ROW[:missing], *ROW[missing + 1 :]]

    with pytest.raises(ValueError, match="a row of 6 columns cannot be read, it has 7 or more"):
        Columns(*keys).read(row)


@pytest.mark.parametrize("length", range(10))
@pytest.mark.parametrize("shortest", [6, 7, 8, 9])
def test_a_list_is_as_long_as_was_told_or_longer(length: int, shortest: int) -> None:
    """Columns that are not read count, too; one that is added at the end harms nothing."""
    row, columns = [*range(length)], Columns(0, 1, 2, 3, 4, 5, 6, shortest=shortest)

    if length < shortest:
        with pytest.raises(ValueError, match=f"of {length} columns .+ it has {shortest} or more"):
            columns.read(row)
    else:
        assert columns.read(row) == (0, 1, 2, 3, 4, 5, 6 if length > 6 else None)


@pytest.mark.parametrize("row", [None, 7, [], "row", "1700000000"])
def test_what_is_no_row_is_no_candle(row: Any) -> None:
    """A row of another shape raises."""
    with pytest.raises((TypeError, ValueError)):
        Columns(0, 1, 2, 3, 4, 5, None, 6).read(row)
    with pytest.raises((TypeError, LookupError)):
        Columns(*"tohlcv", None, "q").read(row)


def test_rows_of_columns() -> None:
    """Lists by column become rows; lists of unequal length are an error."""
    columns = {"t": [1, 2], "o": [3, 4], "c": [5]}

    assert plain.rows_of_columns(columns, "o", "t") == [(3, 1), (4, 2)]
    with pytest.raises(ValueError, match=r".+"):
        plain.rows_of_columns(columns, "t", "c")


def test_oldest_first() -> None:
    """Whatever their order was, candles come in that of their open times."""
    candles = [CandleData(time, 1, 1, 1, 1, 1) for time in (120, 60, 180)]

    assert [it.timestamp for it in plain.oldest_first(candles)] == [60, 120, 180]
    assert plain.oldest_first([]) == []


@pytest.mark.parametrize("problem", [TypeError("x"), KeyError("x"), IndexError(), AttributeError()])
def test_malformed_is_a_sentence(problem: Exception) -> None:
    """Whatever a shape does to a reader becomes one ValueError with the data in it."""
    with (
        pytest.raises(ValueError, match=r"the row cannot be read: .+ in \[1, 2\]"),
        plain.malformed("the row", [1, 2]),
    ):
        raise problem


def test_what_is_no_object() -> None:
    """None and other JSON are noise, a text is a broken frame unless it was named."""
    assert plain.no_object(None) is None
    assert plain.no_object([]) is None
    assert plain.no_object("pong", "pong") is None
    with pytest.raises(ValueError, match="JSON or pong, not 'pin'"):
        plain.no_object("pin", "pong")


def test_parts_of_a_channel() -> None:
    """The plain channel is taken apart again, a colon in the symbol included."""
    assert plain.parts(Example().channel_of("tAVAX:UST", "1m")) == ("1m", "tAVAX:UST")


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(b'{"a":1}'),
        zlib.compress(b'{"a":1}'),
        zlib.compress(b'{"a":1}', wbits=-zlib.MAX_WBITS),
    ],
)
def test_gunzip(packed: bytes) -> None:
    """Gzip, zlib and raw deflate are unpacked; a frame that is cut off is an error."""
    assert plain.gunzip(packed) == b'{"a":1}'
    with pytest.raises(ValueError, match="cut off"):
        plain.gunzip(packed[:-3])


def test_gunzip_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame that would grow beyond the bound, or is none, is an error."""
    monkeypatch.setattr(plain.frames, "UNPACKED_BYTES", 1000)
    assert len(plain.gunzip(gzip.compress(bytes(1000)))) == 1000
    with pytest.raises(ValueError, match="more than 1000 bytes"):
        plain.gunzip(gzip.compress(bytes(1001)))
    with pytest.raises(ValueError, match="cannot be unpacked"):
        plain.gunzip(b"\xff\xff\xff\xff")


# --- REST ---


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query("s", "i", "a", "b", "n"), {"s": "X", "i": 5, "a": 60_000, "b": 119_000, "n": 9}),
        (Query("s", "", "a", "", time=plain.in_seconds), {"s": "X", "a": 60}),
        (Query("", "", "a", "b", time=str, exclusive=True), {"a": "59", "b": "120"}),
        (Query("", "", "a", "", time=plain.in_iso), {"a": "1970-01-01T00:01:00Z"}),
        (Query("", "i", "", "", fixed={"kind": "spot"}), {"i": 5, "kind": "spot"}),
    ],
)
def test_query(query: Query, expected: dict[str, Any]) -> None:
    """Parameters have the exchange's names and units; one without a name is not sent."""
    assert query.params("X", 5, 60, 119, 9) == expected


def test_no_time_before_1970() -> None:
    """A page that would begin before 1970 begins there."""
    assert Query("", "", "a", "").params("X", 5, -60, 60, 9) == {"a": 0}


@pytest.mark.parametrize(
    ("listing", "row", "expected"),
    [
        (Listing(url=""), {"symbol": "A_B"}, Instrument("A-B", "A_B")),
        (
            Listing(url="", symbol="id", base="b", quote="q", status="s", live=["on"]),
            {"id": "AB", "b": "xbt", "q": "b", "s": "off"},
            Instrument("XBT-B", "AB", tradable=False, status="off"),
        ),
        (
            Listing(url="", base="b", quote="q", size="size", inverse=True),
            {"symbol": "AB", "b": "XBT", "q": "B", "size": "0.01"},
            Instrument("BTC-B", "AB", 0.01, inverse=True),
        ),
        (
            Listing(url="", status="open", live=[True]),
            {"symbol": "A_B", "open": True},
            Instrument("A-B", "A_B"),
        ),
        (
            Listing(url="", status="state", live=[0]),
            {"symbol": "A_B", "state": 3},
            Instrument("A-B", "A_B", tradable=False, status="3"),
        ),
        (Listing(url="", only={"type": ["swap"]}), {"symbol": "A_B", "type": "dated"}, None),
        (Listing(url=""), {"symbol": "A_B_220624"}, None),
    ],
)
def test_rows_of_instruments(listing: Listing, row: Any, expected: Instrument | None) -> None:
    """A row becomes an instrument by its keys, or by the rule where it has no base and quote."""
    spelling = Spelling(separator="_", renamed={"BTC": "XBT"})

    assert listing.instrument(row, spelling) == expected


SLOW = Envelope(
    plain.keys("code", "msg"),
    good=["0"],
    refused=["7"],
    slow=["8"],
    wait=plain.milliseconds_of("x-reset"),
)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (reply({"code": "0"}), None),
        (reply([1, 2]), None),
        (reply(b"<html>"), None),
        (reply({"code": "7", "msg": "why"}), RestRefused("why (code 7)")),
        (reply({"code": "7", "msg": "why"}, 500), RestRefused("why (code 7)")),
        (reply({"code": "8", "msg": "why"}), RestSlowDown("why (code 8)")),
        (reply({"code": "8", "msg": "why"}, x_reset="1500"), RestSlowDown("why (code 8)", 1.5)),
        (reply({"code": "9", "msg": "why"}), RestUnavailable("why (code 9)")),
        (
            reply({"code": "9", "msg": "why"}, 429, retry_after="2"),
            RestSlowDown("why (code 9)", 2.0),
        ),
        (reply(b"busy", 429, x_reset="2500"), RestSlowDown("HTTP 429: busy", 2.5)),
        (reply(b"busy", 502), RestUnavailable("HTTP 502: busy")),
        (reply(b"here not", 451), RestUnavailable("HTTP 451: here not", blocked=True)),
        (reply({"code": "9"}, 404), RestRefused('HTTP 404: {"code":"9"}')),
        (reply({"code": "0"}, 404), RestRefused('HTTP 404: {"code":"0"}')),
    ],
)
def test_the_code_is_believed_before_the_status(answer: RestReply, expected: object) -> None:
    """Errors inside HTTP 200 are errors; without a code the status speaks."""
    assert SLOW.trouble(answer) == expected


# --- an adapter of facts alone ---


def test_intervals_of_both_transports() -> None:
    """What is offered is what either has, the shortest first; only its own is on each."""
    adapter = Example()

    expected = [("1m", 60), ("1h", 3600), ("1d", 86_400)]
    assert list(adapter.get_supported_intervals().items()) == expected
    assert adapter.get_ws_supported_intervals() == ["1m", "1d"]
    assert adapter.get_rest_supported_intervals() == ["1h", "1m"]
    assert adapter.grid("1d") == Grid(86_400, None)
    assert adapter.grid("1h") == grid_of("1h")
    assert adapter.rest_pages("1m") == RestPages(500, rows=1000)
    assert adapter.rest_pages("1h") == RestPages(500)


def test_listed_symbols_win() -> None:
    """The list's symbol stands before the rule's; an alias has that of its pair."""
    adapter = Example()
    adapter.use_instruments(
        [
            Instrument("A-USD", "AUSD1"),
            Instrument("A-USDC", "AUSDC1", alias_of="A-USD"),
            Instrument("B-USDC", "BUSDC1", alias_of="B-USD"),
        ]
    )
    pairs = ("A-USD", "A-USDC", "B-USDC", "C-USD")

    expected = ["AUSD1", "AUSD1", "B_USD", "C_USD"]
    assert [adapter.get_trading_pair_format(pair) for pair in pairs] == expected


def test_contracts_become_the_nearest_double() -> None:
    """12785 contracts of 0.001 are 12.785 to the last bit, where a product is its neighbour."""
    adapter = Example()
    adapter.use_instruments(
        [Instrument("A-B", "A_B", 0.001), Instrument("A-C", "A_C", 1.0, inverse=True)]
    )

    for contracts in range(1, 3000):
        assert adapter.in_base("A_B", contracts) == float(f"{contracts}e-3")
    assert adapter.with_base_volume("A_B", [60, 1, 3, 0.5, 2, "5", 20]) == (
        60, 1, 3, 0.5, 2, 0.005, 20,
    )  # fmt: skip
    for symbol in ("A_C", "NONE"):
        with pytest.raises(ValueError, match=f"no contract of {symbol}"):
            adapter.in_base(symbol, 1)


def test_batches() -> None:
    """No message names more channels than the limits allow; all bear the one id and time."""
    adapter = Example()

    first, second = adapter.subscribe_messages(["a", "b", "c"], 7, 5.0)
    assert first == {"op": "subscribe", "args": ["a", "b"], "id": 7, "at": 5.0}
    assert second == {"op": "subscribe", "args": ["c"], "id": 7, "at": 5.0}
    [last] = adapter.unsubscribe_messages(["a"], 8, 6.0)
    assert last == {"op": "unsubscribe", "args": ["a"], "id": 8, "at": 6.0}


def test_no_unsubscribing() -> None:
    """Where there is no such verb, there is no message."""

    class Keeps(Example):
        verbs = ("subscribe", None)

    assert Keeps().unsubscribe_messages(["a"], 1, 0.0) == []


def test_the_single_payload() -> None:
    """The brief's payload is the message of the one channel, in an object if it is none."""

    class Lists(Example):
        def control(self, verb: str, channels: Any, request_id: int, now: float) -> Message:
            return [verb, *channels]

    expected = {"op": "subscribe", "args": ["1:A_B"], "id": 1, "at": 0.0}
    assert Example().get_ws_subscription_payload("A-B", "1m") == expected
    expected = {"message": ["subscribe", "1:A_B"]}
    assert Lists().get_ws_subscription_payload("A-B", "1m") == expected


def test_an_interval_without_a_channel() -> None:
    """To subscribe what is polled is a wrong call, answered with what there is."""

    class Polled(Example):
        ws_intervals = {}

    with pytest.raises(UsageError, match="example_perpetual has only 1m 1d over WebSocket: 1h is"):
        Example().channel(Subscription("example_perpetual", "A-B", "1h"))
    with pytest.raises(UsageError, match="has no intervals over WebSocket"):
        Polled().channel(Subscription("example_perpetual", "A-B", "1m"))


def test_opening_and_ping() -> None:
    """First messages go with the address; a ping that is not told is asked for."""

    class Greets(Example):
        first_messages = ("hello",)
        ping = "ping"

    with pytest.raises(StopIteration) as end:
        next(Greets().opening())
    assert end.value.value == Opening(url="wss://example.com/ws", messages=("hello",))
    assert Greets().ping_message(1, 0.0) == "ping"
    with pytest.raises(ValueError, match="write ping_message"):
        Example().ping_message(1, 0.0)


def test_the_address_is_filled_in() -> None:
    """Symbol, url-encoded, and code stand in the path; what was asked stays with the request."""
    request = Example().rest_request("A,B/C-USD", "1h", 3600, 7200, 1, 0.0)

    assert request.url == "https://example.com/v1/A%2CB%2FC_USD/candles/60"
    assert request.params == {"from": 3600, "to": 7199}
    assert request.headers == {"accept": "application/json"}
    assert (request.trading_pair, request.start, request.end) == ("A,B/C-USD", 3600, 7200)


def test_rows_of_a_reply() -> None:
    """Rows are found by their path, read by their columns and sorted."""
    adapter = Example()
    request = adapter.rest_request("A-B", "1m", 0, 120, 2, 0.0)
    later = [120, *ROW[1:]]

    answer = adapter.read_rest_reply(reply({"code": 0, "data": [later, ROW]}), request)

    assert answer == Rows([CANDLE, CandleData(120, 1, 3, 0.5, 2, 10, 20)])
    unknown = adapter.read_rest_reply(reply({"code": 5, "msg": "no"}), request)
    assert unknown == RestUnavailable("no (code 5)")


@pytest.mark.parametrize(
    "body",
    [
        {}, [], None, {"data": None}, {"data": {}}, {"data": ""}, {"data": "rows"}, {"data": [1]},
        {"data": [None]}, {"data": [[60]]}, {"data": [{}]}, {"data": [[None, 1, 1, 1, 1, 1]]},
        {"data": [[60, 1, 1, 1, None, 1]]}, {"data": [[60, 1, 1, 1, "NaN", 1]]},
    ],
)  # fmt: skip
def test_a_body_that_is_no_list_of_rows(body: Any) -> None:
    """A reply that cannot be read is a ValueError, never an empty page or an invented candle."""
    adapter = Example()
    request = adapter.rest_request("A-B", "1m", 0, 120, 2, 0.0)

    with pytest.raises(ValueError, match=r".+"):
        adapter.read_rest_reply(reply(body), request)


def test_rows_that_need_the_request() -> None:
    """Where rows do not name their symbol, the request does, and is asked for."""
    adapter = Example()

    assert adapter.asked_symbol(adapter.rest_request("A-B", "1m", 0, 60, 1, 0.0)) == "A_B"
    with pytest.raises(ValueError, match="give the request"):
        adapter.asked_symbol(None)


@pytest.mark.parametrize(
    "rows", [[{"symbol": "A_B", "size": 2}], {"x": {"symbol": "A_B", "size": 2}}]
)
def test_instruments(rows: Any) -> None:
    """The list stands at an address beside that of the candles; an object of rows is one, too."""
    adapter = Example()

    assert next(adapter.instruments()).url == "https://example.com/v1/symbols"
    assert listed(adapter, reply({"code": 0, "data": rows})) == [Instrument("A-B", "A_B", 2.0)]


def test_an_odd_instrument_harms_no_other() -> None:
    """A row whose symbol is no pair is left out, and the others are listed."""
    rows = [{"symbol": "A_B", "size": 1}, {"symbol": "INDEX", "size": 1}]

    assert listed(Example(), reply({"code": 0, "data": rows})) == [Instrument("A-B", "A_B")]


@pytest.mark.parametrize(
    "answer",
    [
        reply({"code": 5, "data": []}), reply(b"busy", 503), reply({"code": 0}), reply(b"<html>"),
        reply({"data": [{"symbol": "A_B"}]}), reply({"data": [{"symbol": "AB", "size": 1}]}),
        reply({"data": 7}),
    ],
)  # fmt: skip
def test_no_list_of_instruments(answer: RestReply) -> None:
    """A refusal, or a body of another shape, is a ValueError and never an empty list."""
    with pytest.raises(ValueError, match=r".+"):
        listed(Example(), answer)


def test_nothing_to_list() -> None:
    """An exchange without a list asks nothing."""

    class Unlisted(Example):
        listing = None  # type: ignore[assignment]  # as it is in the base

    with pytest.raises(StopIteration) as end:
        next(Unlisted().instruments())
    assert end.value.value == []


# --- the document ---


def test_the_example_of_the_document() -> None:
    """The adapter that docs/new-exchange.md prints does what it says."""
    [code] = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    names: dict[str, Any] = {"__name__": "example"}
    exec(code, names)  # noqa: S102 - an example that is not run is not one
    adapter = names["ExampleSpot"]()

    channel = adapter.channel(Subscription("example_spot", "BTC-USDT", "1h"))
    assert channel == "candle.60m.BTC_USDT"
    [message] = adapter.subscribe_messages([channel], 7, 0.0)
    assert message == {"op": "subscribe", "args": [channel], "id": "7"}
    assert adapter.parse_ws_message({"ok": True, "id": "7"}) == Confirmed("7")
    row = {"t": 60, "o": 1, "h": 3, "l": 0.5, "c": 2, "v": 10, "q": 20}
    frame = {"topic": channel, "ts": 61, "data": [{**row, "x": True}]}
    expected = CandleData(60, 1, 3, 0.5, 2, 10, 20, channel=channel, closed=True, event_time=61)
    assert adapter.parse_ws_message(frame) == [expected]
    request = adapter.rest_request("BTC-USDT", "1d", 86_400, 172_800, 1, 0.0)
    assert request.params == {
        "symbol": "BTC_USDT", "interval": "1D", "from": 86_400_000, "to": 172_799_000, "limit": 1,
    }  # fmt: skip
    assert adapter.read_rest_reply(reply({"data": {"list": [row]}}), request) == Rows([CANDLE])
    assert next(adapter.instruments()).url == "https://api.example.com/v1/symbols"
