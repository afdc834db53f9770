"""What is on the topics: our bytes against fastavro's, and back."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from typing import Any

import fastavro
import pytest
from aiokafka.partitioner import murmur2
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import codec
from connectors.codec import (
    OWNER_KEY,
    CandleEncoder,
    candle_key,
    candle_of,
    coverage_key,
    coverage_of,
    dead_letter_of,
    encode_coverage,
    encode_dead_letter,
    encode_wish,
    partition_of,
    subscription_key,
    wish_of,
)
from connectors.coverage import Coverage
from connectors.errors import BadFrame, SetupError
from connectors.model import CandleData, CloseReason, Grid, Subscription, grid_of
from connectors.records import CandleRecord, CoverageRecord, CoverageState, DeadLetter, Wish
from connectors.schema import (
    CANDLE,
    COVERAGE,
    DEAD_LETTER,
    WISH,
    Reader,
    Schema,
    UnknownSchema,
    confluent_prefix,
    encode,
)

BITCOIN = Subscription("binance_spot", "BTC-USDT", "1m")
OPEN_TIME = 1_672_515_780
MILLISECONDS = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 2**47) | st.integers(0, 200)
FIGURES = st.floats(allow_nan=False, allow_infinity=False, width=64).map(lambda f: f / 8)
TIMES: dict[str, Any] = {"published_at": 1_672_515_781_200}
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def candle_with(**other: Any) -> CandleData:
    """A candle with the given fields set, the event time to the millisecond."""
    event_time = other.pop("event_time", None)
    figures = {"open": 1.5, "high": 2.0, "low": 1.0, "close": 1.75, "volume": 5.125}
    candle = CandleData(**{"timestamp_raw": OPEN_TIME, **figures, **other})
    candle.event_time = event_time
    return candle


candles = st.builds(
    candle_with,
    timestamp_raw=st.integers(0, 4_000_000_000),
    **dict.fromkeys(("open", "high", "low", "close", "volume"), FIGURES),
    **dict.fromkeys(
        ("quote_asset_volume", "taker_buy_base_volume", "taker_buy_quote_volume"),
        st.none() | FIGURES,
    ),
    n_trades=st.none() | st.integers(0, 2**63 - 1) | st.integers(0, 20_000),
    event_time=st.none() | MILLISECONDS,
)
endings = st.fixed_dictionaries(
    {"published_at": MILLISECONDS},
    optional={
        "closed": st.booleans(),
        "reason": st.sampled_from(CloseReason),
        "revision": st.integers(0, 2**31 - 1),
        "late": st.booleans(),
    },
)
subscriptions = st.builds(
    Subscription, TEXT, TEXT, st.sampled_from(["1s", "1m", "4h", "1d", "1w", "1M", "3M"])
)


def by_fastavro(subscription: Subscription, candle: CandleData, ending: dict[str, Any]) -> bytes:
    """The candle as fastavro encodes it by the schema, without a prefix."""
    names = [name for name in CandleData.__slots__ if name not in ("timestamp", "channel")]
    close_time = grid_of(subscription.interval).after(candle.timestamp)
    record = {
        **subscription._asdict(),
        **{name: getattr(candle, name) for name in names},
        "open_time": candle.timestamp * 1000,
        "close_time": close_time * 1000,
        "closed": ending.get("closed", False),
        "close_reason": ending.get("reason", CloseReason.UNKNOWN).value,
        "revision": ending.get("revision", 0),
        "late": ending.get("late", False),
        "published_at": ending["published_at"],
    }
    out = BytesIO()
    fastavro.schemaless_writer(out, CANDLE.parsed, record, strict=True)
    return out.getvalue()


# --- candles out ----------------------------------------------------------------------------------


@given(subscriptions, st.lists(st.tuples(candles, endings), min_size=1, max_size=4))
@settings(max_examples=400)
def test_packed_equals_fastavro(
    subscription: Subscription, states: list[tuple[CandleData, dict[str, Any]]]
) -> None:
    """Whatever a candle holds, the packed bytes are fastavro's, one encoder after another slot."""
    encoder = CandleEncoder(subscription, grid_of(subscription.interval), b"prefix")
    for candle, ending in states:
        expected = b"prefix" + by_fastavro(subscription, candle, ending)
        assert expected == encoder.encode(candle, **ending)


@pytest.mark.parametrize("present", range(32))
def test_every_combination_of_absent_figures(present: int) -> None:
    """Each of the 32 ways in which optional fields are there or not is packed as by fastavro."""
    values = {
        "quote_asset_volume": 10.0,
        "n_trades": 17,
        "taker_buy_base_volume": 4.0,
        "taker_buy_quote_volume": 8.0,
        "event_time": 1_672_515_781_123,
    }
    chosen = {name: value for bit, (name, value) in enumerate(values.items()) if present >> bit & 1}
    candle = candle_with(**chosen)
    encoder = CandleEncoder(BITCOIN, grid_of("1m"), b"")
    expected = by_fastavro(BITCOIN, candle, TIMES)
    assert expected == encoder.encode(candle, **TIMES)


@pytest.mark.parametrize("field", ["n_trades", "event_time"])
def test_a_number_beyond_64_bits_is_refused(field: str) -> None:
    """What does not fit into an Avro long is ValueError and not a wrong record."""
    encoder = CandleEncoder(BITCOIN, grid_of("1m"), b"")
    candle = candle_with()
    setattr(candle, field, 2**63)
    with pytest.raises(ValueError, match="64 bits"):
        encoder.encode(candle, published_at=0)


def test_close_time_is_the_grids() -> None:
    """The close time is the next slot of the exchange's own grid, not a nominal length later."""
    monthly = Subscription("somewhere", "BTC-USDT", "1M")
    encoder = CandleEncoder(monthly, Grid(2_592_000, months=1), CANDLE.prefix)
    february = candle_with(timestamp_raw="2024-02-01T00:00:00Z")
    record = Reader(CANDLE).read(encoder.encode(february, published_at=0))
    assert (
        CandleData("2024-03-01T00:00:00Z", 0, 0, 0, 0, 0).timestamp * 1000 == record["close_time"]
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: [*fields, {"name": "new", "type": ["null", "long"], "default": None}],
        lambda fields: fields[:-1],
        lambda fields: [fields[1], fields[0], *fields[2:]],
        lambda fields: [
            {**field, "type": field["type"][::-1]} if field["name"] == "n_trades" else field
            for field in fields
        ],
        lambda fields: [
            {**field, "type": {**field["type"], "symbols": ["UNKNOWN"]}}
            if field["name"] == "close_reason"
            else field
            for field in fields
        ],
    ],
    ids=["added", "removed", "moved", "union turned", "reason removed"],
)
def test_a_changed_schema_is_not_packed_in_the_old_way(change: Any) -> None:
    """Where the schema is not what the encoder packs, it says so when it is imported."""
    with pytest.raises(SetupError, match=r"candle_data\.avsc"):
        codec._reasons(change(CANDLE.parsed["fields"]))


def _of_runs(change: Any) -> Any:
    def changed(fields: list[dict[str, Any]]) -> list[dict[str, Any]]:
        (runs,) = (field for field in fields if field["name"] == "runs")
        items = {**runs["type"]["items"], "fields": change(runs["type"]["items"]["fields"])}
        new = {**runs, "type": {**runs["type"], "items": items}}
        return [new if field is runs else field for field in fields]

    return changed


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: [*fields, {"name": "more", "type": "int"}],
        lambda fields: [fields[1], fields[0], *fields[2:]],
        _of_runs(lambda fields: fields[:-1]),
        _of_runs(lambda fields: [fields[1], fields[0], *fields[2:]]),
    ],
    ids=["added", "moved", "removed from a run", "moved in a run"],
)
def test_changed_coverage_is_not_packed_in_the_old_way(change: Any) -> None:
    """Where the schema of coverage is not what is packed, it says so when it is imported."""
    with pytest.raises(SetupError, match=r"coverage\.avsc .* teach encode_coverage"):
        codec._states(change(COVERAGE.parsed["fields"]))


# --- and back -------------------------------------------------------------------------------------


@given(candles, endings)
def test_a_candle_comes_back(candle: CandleData, ending: dict[str, Any]) -> None:
    """What was encoded is read back with every figure, time and mark."""
    encoder = CandleEncoder(BITCOIN, grid_of("1m"), CANDLE.prefix)
    record = candle_of(Reader(CANDLE).read(encoder.encode(candle, **ending)))
    candle.closed = ending.get("closed", False)
    expected = CandleRecord(
        BITCOIN,
        candle,
        candle.timestamp + 60,
        candle.closed,
        ending.get("reason", CloseReason.UNKNOWN),
        ending.get("revision", 0),
        ending.get("late", False),
        ending["published_at"],
    )
    assert expected == record


def coverage_record(**other: Any) -> CoverageRecord:
    """A coverage record with a bit of everything."""
    coverage = Coverage(OPEN_TIME)
    coverage.publish(OPEN_TIME, OPEN_TIME + 60, 0, 2**64 - 1)
    coverage.publish(OPEN_TIME, OPEN_TIME + 60, 1, 2**63)
    coverage.empty(OPEN_TIME + 60, OPEN_TIME + 180)
    coverage.miss(OPEN_TIME + 180, OPEN_TIME + 240, "worker away", OPEN_TIME + 300)
    coverage.give_up(OPEN_TIME + 240, OPEN_TIME + 300, "beyond history", OPEN_TIME + 300)
    return CoverageRecord(subscription=BITCOIN, coverage=coverage, **other)


@pytest.mark.parametrize(
    "record",
    [
        CoverageRecord(subscription=BITCOIN, coverage=Coverage(OPEN_TIME)),
        coverage_record(
            state=CoverageState.ENDED,
            reason="delisted",
            symbol="BTCUSDT",
            contract_size=0.001,
            closed_partitions=12,
            last_closed_offset=0,
            owner="run-1",
            wished_at=1,
            updated_at=2,
        ),
        CoverageRecord(subscription=BITCOIN, state=CoverageState.REFUSED, reason="no such pair"),
        CoverageRecord(subscription=None, owner="run-2", updated_at=3),
    ],
    ids=["begun", "full", "refused", "claim"],
)
def test_coverage_comes_back(record: CoverageRecord) -> None:
    """Coverage, a refusal and a claim are read back as they were written."""
    value = encode_coverage(record)
    fields = Reader(COVERAGE).read(value)
    assert record == coverage_of(fields)
    assert encode(COVERAGE, fields, COVERAGE.prefix) == value, "fastavro writes other bytes"


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2**64 - 1)), max_size=60))
def test_any_coverage_comes_back(slots: list[tuple[bool, int]]) -> None:
    """Runs, digests of 64 bits and recent candles survive the way through Kafka."""
    coverage = Coverage(OPEN_TIME)
    for number, (published, digest) in enumerate(slots):
        start, end = OPEN_TIME + number * 60, OPEN_TIME + number * 60 + 60
        if published:
            coverage.publish(start, end, 0, digest)
        else:
            coverage.miss(start, end, "skipped", digest % 2**40)
    record = CoverageRecord(subscription=BITCOIN, coverage=coverage)
    value = encode_coverage(record)
    fields = Reader(COVERAGE).read(value)
    assert record == coverage_of(fields)
    assert encode(COVERAGE, fields, COVERAGE.prefix) == value, "fastavro writes other bytes"


def test_recent_is_packed_as_the_schema_says() -> None:
    """A reader that knows only the schema's text finds open time, revision and digest."""
    recent = Reader(COVERAGE).read(encode_coverage(coverage_record()))["recent"]
    expected = (OPEN_TIME * 1000).to_bytes(8) + (1).to_bytes(4) + (2**63).to_bytes(8)
    assert expected == recent


def test_coverage_of_a_newer_release_is_refused() -> None:
    """A worker stops before coverage whose meaning it does not know, and says what to do."""
    record = Reader(COVERAGE).read(encode_coverage(coverage_record()))
    with pytest.raises(SetupError, match=r"binance_spot:BTC-USDT:1m .* newer release .* upgrade"):
        coverage_of({**record, "format": codec.COVERAGE_FORMAT + 1})


@pytest.mark.parametrize(
    "wish",
    [
        Wish(subscription=BITCOIN, origin="cli"),
        Wish(
            subscription=Subscription("bybit_perpetual", "*-USDT", "1m"),
            origin="file:desk.toml",
            since=OPEN_TIME,
            paused=True,
            cap=200,
            written_at=1_672_515_781_123,
        ),
    ],
    ids=["plain", "pattern"],
)
def test_a_wish_comes_back(wish: Wish) -> None:
    """A wish, and a pattern of wishes, are read back as they were written."""
    assert wish == wish_of(Reader(WISH).read(encode_wish(wish)))


def test_only_a_star_makes_a_pattern() -> None:
    """A wish is a pattern where its trading pair has a star."""
    pattern = Wish(subscription=Subscription("okx_spot", "*-USDT", "1m"), origin="cli")
    assert pattern.pattern
    assert not replace(pattern, subscription=BITCOIN).pattern


LETTER = DeadLetter(
    exchange="okx_spot",
    reason="no JSON",
    frame=b'{"data":[[\xff\x00',
    size=12,
    received_at=1_672_515_781_123,
    binary=True,
    omitted=3,
)


def test_a_dead_letter_comes_back() -> None:
    """The bytes of a bad frame are kept as they were."""
    expected = LETTER
    assert expected == dead_letter_of(Reader(DEAD_LETTER).read(encode_dead_letter(LETTER)))


def test_a_dead_letter_tells_no_secret() -> None:
    """Password and token of an address are left out."""
    letter = replace(LETTER, url="wss://me:secret@ws.example.com:8443/endpoint?token=secret#secret")
    record = Reader(DEAD_LETTER).read(encode_dead_letter(letter))
    assert record["url"] == "wss://ws.example.com:8443/endpoint"


def test_a_giant_frame_is_cut() -> None:
    """A dead letter is bounded, and says how long the frame was."""
    frame = b"x" * (codec.FRAME_LIMIT + 1)
    giant = replace(LETTER, frame=frame, size=len(frame))
    record = Reader(DEAD_LETTER).read(encode_dead_letter(giant))
    assert frame[:-1] == record["frame"]
    assert len(frame) == record["size"]


# --- framing and reading --------------------------------------------------------------------------


def test_single_object_encoding_as_avro_says() -> None:
    """Without a registry a value is C3 01, eight bytes of fingerprint, and the Avro encoding."""
    candle = candle_with()
    value = CandleEncoder(BITCOIN, grid_of("1m"), CANDLE.prefix).encode(candle, published_at=7)
    assert bytes.fromhex("c301") == value[:2]
    assert bytes.fromhex(CANDLE.key) == value[2:10]
    assert by_fastavro(BITCOIN, candle, {"published_at": 7}) == value[10:]


def test_confluent_framing() -> None:
    """With a registry a value is 00, four bytes of the id, big endian, and the Avro encoding."""
    assert bytes.fromhex("0000000102") == confluent_prefix(258)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"fields":[], "type":"record", "name":"foo", "namespace":"x.y"}', 5916914534497305771),
        (
            '{"fields":[], "type":"record", "name":"a.b.foo", "namespace":"x.y"}',
            -4616218487480524110,
        ),
        (
            '{"fields":[], "type":"record", "name":"foo", "doc":"foo", "aliases":["foo","bar"]}',
            -4824392279771201922,
        ),
        (
            '{"fields":[{"type":{"type":"boolean"}, "name":"f1"}], "type":"record", "name":"foo"}',
            7843277075252814651,
        ),
        (
            """{"fields":[{"type":"boolean", "aliases":[], "name":"f1", "default":true},
            {"order":"descending","name":"f2","doc":"Hello","type":"int"}],
            "type":"record", "name":"foo"}""",
            -4860222112080293046,
        ),
    ],
)
def test_fingerprints_are_the_avro_projects(text: str, expected: int) -> None:
    """Fingerprints equal the example values that the Avro project tests its libraries with.

    Source: share/test/data/schema-tests.txt of apache/avro, as signed numbers.
    """
    assert expected == int.from_bytes(Schema.parse(text).prefix[2:], "little", signed=True)


@pytest.mark.parametrize("schema", [CANDLE, COVERAGE, WISH, DEAD_LETTER], ids=lambda s: s.name)
def test_the_text_of_a_schema_is_the_schema(schema: Schema) -> None:
    """The text that goes to the topic of schemas and to a registry has the same fingerprint."""
    assert schema.key == Schema.parse(schema.text).key
    assert "timestamp-millis" in schema.text


def newer(**changes: Any) -> Schema:
    """CandleData of a later release: one more field, one more close reason."""
    tree = json.loads(CANDLE.text)
    reason = next(field for field in tree["fields"] if field["name"] == "close_reason")
    reason["type"]["symbols"].append("ORACLE")
    tree["fields"].append({"name": "venue", "type": ["null", "string"], "default": None})
    return Schema.parse(json.dumps({**tree, **changes}))


def value_of(schema: Schema, prefix: bytes) -> bytes:
    """A record as the later release would write it."""
    record = Reader(CANDLE).read(CANDLE.prefix + by_fastavro(BITCOIN, candle_with(), TIMES))
    out = BytesIO(prefix)
    out.seek(len(prefix))
    later = {**record, "close_reason": "ORACLE", "venue": "x", "closed": True}
    fastavro.schemaless_writer(out, schema.parsed, later)
    return out.getvalue()


@pytest.mark.parametrize(
    ("prefix", "schema_id", "key"),
    [
        (newer().prefix, None, newer().key),
        (confluent_prefix(77), 77, ""),
    ],
    ids=["fingerprint", "registry id"],
)
def test_an_unknown_schema_is_looked_up(prefix: bytes, schema_id: int | None, key: str) -> None:
    """A reader names the schema that it lacks, and reads the record once it was given it."""
    reader = Reader(CANDLE)
    with pytest.raises(UnknownSchema) as unknown:
        reader.read(value_of(newer(), prefix))
    assert (prefix, schema_id, key) == (
        unknown.value.prefix,
        unknown.value.schema_id,
        unknown.value.key,
    )
    reader.add(unknown.value.prefix, newer().text)
    record = reader.read(value_of(newer(), prefix))
    assert "venue" not in record
    expected = candle_with()
    expected.closed = True
    assert expected == candle_of(record).candle
    assert CloseReason.UNKNOWN is candle_of(record).close_reason


def test_a_schema_under_a_wrong_fingerprint_is_refused() -> None:
    """A schema that is not the one that was asked for is never used."""
    with pytest.raises(SetupError, match="fingerprint"):
        Reader(CANDLE).add(newer().prefix, CANDLE.text)


@pytest.mark.parametrize("text", ["", "{", "7", '"string"', '{"type":"record"}', '{"type":"nope"}'])
def test_what_is_no_schema_is_refused(text: str) -> None:
    """A looked up text that is no schema of a record is one sentence."""
    with pytest.raises(SetupError, match="Avro schema"):
        Reader(CANDLE).add(confluent_prefix(1), text)


def test_a_record_of_another_kind_is_refused() -> None:
    """Coverage is not read as a candle, even where its schema is known."""
    reader = Reader(CANDLE)
    reader.add(COVERAGE.prefix, COVERAGE.text)
    with pytest.raises(BadFrame, match=r"candles\.Coverage"):
        reader.read(encode_coverage(coverage_record()))


@pytest.mark.parametrize(
    "value",
    [b"", b"\x00\x00", b"\xc3\x01abc", b"{}", CANDLE.prefix, CANDLE.prefix + b"\x02a"],
)
def test_what_is_no_record_is_refused(value: bytes) -> None:
    """Values without framing, or cut short, are bad frames."""
    with pytest.raises(BadFrame):
        Reader(CANDLE).read(value)


def test_bytes_after_a_record_are_refused() -> None:
    """A record ends where its value ends."""
    value = CANDLE.prefix + by_fastavro(BITCOIN, candle_with(), TIMES)
    with pytest.raises(BadFrame, match="2 bytes too many"):
        Reader(CANDLE).read(value + b"ab")


@given(st.sampled_from([CANDLE, COVERAGE]), st.binary(max_size=200))
@settings(max_examples=500)
def test_no_bytes_break_a_reader(schema: Schema, body: bytes) -> None:
    """Whatever stands behind a good prefix, a reader returns a record or says BadFrame."""
    with suppress(BadFrame):
        assert Reader(schema).read(schema.prefix + body)


# --- keys -----------------------------------------------------------------------------------------


def test_keys() -> None:
    """Keys are the public contract's; a claim has one that no subscription can have."""
    assert candle_key(BITCOIN) == b"binance_spot:BTC-USDT"
    assert subscription_key(BITCOIN) == b"binance_spot:BTC-USDT:1m"
    assert coverage_key(CoverageRecord(subscription=BITCOIN)) == b"binance_spot:BTC-USDT:1m"
    assert coverage_key(CoverageRecord(subscription=None)) == OWNER_KEY


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_kafkas(key: bytes, expected: int) -> None:
    """The hash equals the values that Apache Kafka's own test holds its clients to.

    Source: testMurmur2 in UtilsTest.java of apache/kafka.
    """
    assert (expected & 0x7FFFFFFF) % 1000 == partition_of(key, 1000)


@given(st.binary(max_size=64), st.integers(1, 500))
def test_partition_equals_aiokafkas(key: bytes, count: int) -> None:
    """Keys of every length go where aiokafka would send them."""
    assert (murmur2(key) & 0x7FFFFFFF) % count == partition_of(key, count)
