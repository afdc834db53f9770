"""MEXC: what its recorded frames cannot say to the conformance suite."""
# ruff: noqa: SIM300 - the expected stands before the actual

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors.adapter import (
    Closing,
    Confirmed,
    Refused,
    RestRefused,
    RestReply,
    RestSlowDown,
    RestUnavailable,
)
from connectors.exchanges.mexc import MexcPerpetual, MexcSpot
from connectors.model import Instrument

WIRE = Path(__file__).parents[1] / "wire"
CHANNEL = "spot@public.kline.v3.api.pb@BTCUSDT@Min1"
KLINE = {1: b"Min1", 2: 1790356740, 3: b"3", 4: b"2.5", 5: b"4", 6: b"2", 7: b"5", 8: b"12.5"}
PUSHED = {"symbol": "BTC_USDT", "interval": "Min1", "t": 1651230660, "o": 3, "c": 2.5, "h": 4,
          "l": 2, "q": 50, "a": 1.25}  # fmt: skip


def item(path: str) -> dict[str, Any]:
    """A recorded item."""
    found: dict[str, Any] = orjson.loads((WIRE / f"{path}.json").read_bytes())
    return found


def number(value: int) -> bytes:
    """A protobuf varint."""
    head = b""
    while value > 127:
        head, value = head + bytes([value & 127 | 128]), value >> 7
    return head + bytes([value])


def message(fields: dict[int, bytes | int]) -> bytes:
    """A protobuf message."""
    packed = b""
    for key, value in fields.items():
        if isinstance(value, int):
            packed += number(key << 3) + number(value)
        else:
            packed += number(key << 3 | 2) + number(len(value)) + value
    return packed


def pushed(kline: dict[int, Any]) -> bytes:
    """A packed frame of a candle."""
    return message({1: CHANNEL.encode(), 308: message(kline)})


def read(frame: bytes) -> Any:
    """What the adapter makes of a binary frame."""
    return MexcSpot().parse_ws_message(orjson.loads(MexcSpot().unpack_frame(frame)))


def reply(body: Any, status: int = 200) -> RestReply:
    """An HTTP reply with this body."""
    return RestReply(status, {}, orjson.dumps(body))


def perpetual() -> MexcPerpetual:
    """One that knows a linear contract and one that is margined in coin."""
    made = MexcPerpetual()
    made.use_instruments([
        Instrument("BTC-USDT", "BTC_USDT", 0.0001),
        Instrument("BTC-USD", "BTC_USD", 100.0, inverse=True),
    ])  # fmt: skip
    return made


# --- spot: protobuf ---


def test_a_packed_candle():
    """Fields are told by their numbers."""
    (candle,) = read(pushed(KLINE))

    assert (1790356740, CHANNEL, None) == (candle.timestamp, candle.channel, candle.closed)
    assert (3, 4, 2, 2.5, 5, 12.5) == candle.figures()[:6]


def test_fields_that_nobody_knows_are_skipped():
    """Of every kind, in the wrapper and in the candle, before and behind what is known."""
    strange = (
        message({76: 127, 77: b"text", 78: 300})
        + number(79 << 3 | 1) + b"8 bytes!"
        + number(80 << 3 | 5) + b"four"
    )  # fmt: skip
    inner = strange + message(KLINE) + strange
    frame = strange + message({1: CHANNEL.encode(), 308: inner, 6: 1790356741000}) + strange

    (candle,) = read(frame)

    assert (3, 4, 2, 2.5, 5, 12.5) == candle.figures()[:6]
    assert 1790356741000 == candle.event_time


def test_an_amount_may_be_missing():
    """What is empty is not sent: the quote volume is None then."""
    (candle,) = read(pushed({key: value for key, value in KLINE.items() if key != 8}))

    assert candle.quote_asset_volume is None


@pytest.mark.parametrize("gone", range(2, 8))
def test_half_a_packed_candle_raises(gone: int):
    """Time, prices and volume are needed, each of them."""
    with pytest.raises(KeyError):
        read(pushed({key: value for key, value in KLINE.items() if key != gone}))


def test_a_frame_that_is_cut_off_raises_or_is_no_candle():
    """No beginning of the recorded frame gives a candle."""
    whole = base64.b64decode(item("mexc_spot/05-ws-candle-protobuf")["frame_base64"])
    for length in range(len(whole)):
        try:
            parsed = read(whole[:length])
        except (ValueError, LookupError):
            continue
        assert parsed is None, f"the first {length} bytes of the frame are read as {parsed}"


@pytest.mark.parametrize(
    "frame",
    [
        message({1: CHANNEL.encode()}),
        message({1: CHANNEL.encode(), 308: 7}),
        message({1: b"\xff", 308: message(KLINE)}),
        pushed({**KLINE, 3: b"much"}),
        pushed({**KLINE, 2: b"soon"}),
        b"\xff" * 1000,
        b"\x0b",
    ],
)
def test_an_unreadable_packed_frame_raises(frame: bytes):
    """A candle without its body, with text for numbers, or bytes that are no protobuf."""
    with pytest.raises((ValueError, LookupError, TypeError)):
        read(frame)


def test_json_in_a_binary_frame_is_json():
    """Older servers sent their texts so."""
    assert MexcSpot().unpack_frame(b'{"id":1}') == b'{"id":1}'
    assert MexcPerpetual().unpack_frame(b'{"id":1}') == b'{"id":1}'


# --- spot: requests and answers ---


def test_answers_of_spot():
    """A rejection has code 0, too; the id 0 names no request."""
    adapter = MexcSpot()
    text = f"Not Subscribed successfully! [{CHANNEL}].  Reason： Blocked! "

    sent = {"method": "SUBSCRIPTION", "params": [CHANNEL], "id": 1}
    assert sent == adapter.get_ws_subscription_payload("BTC-USDT", "1m")
    accepted = {"id": 3, "code": 0, "msg": CHANNEL}
    assert Confirmed("3", (CHANNEL,)) == adapter.parse_ws_message(accepted)
    assert Confirmed(None, (CHANNEL,)) == adapter.parse_ws_message({**accepted, "id": 0})
    refused = {"id": 0, "code": 0, "msg": text}
    assert Refused(text, None, (CHANNEL,)) == adapter.parse_ws_message(refused)
    assert Refused("bad", "4") == adapter.parse_ws_message({"id": 4, "code": 7, "msg": "bad"})


@pytest.mark.parametrize("noise", [None, 3, {}, {"id": 0, "code": 0, "msg": "PONG"}])
def test_noise(noise: object):
    """What is not our business is None, on both sockets."""
    assert MexcSpot().parse_ws_message(noise) is None
    assert MexcPerpetual().parse_ws_message(noise) is None


# --- contracts ---


def test_contracts_become_base_coins():
    """Linear: contracts by their size, to the nearest double; the amount is quote."""
    frame = {"channel": "push.kline", "symbol": "BTC_USDT", "data": PUSHED, "ts": 1651230713067}
    (candle,) = perpetual().parse_ws_message(frame)

    assert (0.005, 1.25) == (candle.volume, candle.quote_asset_volume)
    assert ("Min1:BTC_USDT", 1651230713067) == (candle.channel, candle.event_time)
    assert (3, 4, 2, 2.5) == candle.figures()[:4]


def test_contracts_margined_in_coin():
    """Their amount is the base volume; contracts of 100 USD each are the quote volume."""
    frame = item("mexc_perpetual/15-ws-candle-contract-inverse")["frame"]
    (candle,) = perpetual().parse_ws_message(frame)

    assert (8.075908760556816, 253_900) == (candle.volume, candle.quote_asset_volume)


@pytest.mark.parametrize("amount", [253900.0, 0.08, 0, None, "much"])
def test_an_amount_that_cannot_be_base_coins_raises(amount: object):
    """Were it in another unit, the candle would be wrong: contracts and prices tell."""
    frame = item("mexc_perpetual/15-ws-candle-contract-inverse")["frame"]
    frame["data"]["a"] = amount

    with pytest.raises((ValueError, TypeError)):
        perpetual().parse_ws_message(frame)


def test_a_bar_without_trades_of_a_contract_margined_in_coin():
    """Nothing and nothing agree."""
    frame = item("mexc_perpetual/15-ws-candle-contract-inverse")["frame"]
    frame["data"] |= {"q": 0, "a": 0}

    (candle,) = perpetual().parse_ws_message(frame)

    assert 0 == candle.volume


def test_contracts_of_unknown_size_raise():
    """Without the list no volume can be told."""
    with pytest.raises(ValueError, match="ETH_USDT"):
        perpetual().parse_ws_message(
            {"channel": "push.kline", "data": {**PUSHED, "symbol": "ETH_USDT"}}
        )


def test_answers_of_contracts():
    """A confirmation names nothing; a refusal names a contract, so all its intervals."""
    adapter = perpetual()

    [sent] = adapter.subscribe_messages(["Min60:BTC_USDT"], 3, 0.0)
    param = {"symbol": "BTC_USDT", "interval": "Min60"}
    assert {"method": "sub.kline", "param": param} == sent
    for name in ("rs.sub.kline", "rs.unsub.kline"):
        assert Confirmed() == adapter.parse_ws_message({"channel": name, "data": "success"})
    refused = adapter.parse_ws_message(item("mexc_perpetual/10-ws-error-contract")["frame"])
    assert isinstance(refused, Refused)
    assert "Min1:NOPE_USDT" in refused.channels
    assert len(MexcPerpetual.ws_intervals) == len(refused.channels)
    other = {"channel": "rs.error", "data": "no such interval"}
    assert Refused("no such interval") == adapter.parse_ws_message(other)
    other["data"] = "more than 60 seconds no response, close the channel"
    assert isinstance(adapter.parse_ws_message(other), Closing)


# --- REST ---


def test_requests():
    """Milliseconds and both bounds for spot; seconds and the symbol in the path for contracts."""
    spot = MexcSpot().rest_request("BTC-USDT", "1h", 3600, 10800, 2, 0.0)
    bounds = {"startTime": 3_600_000, "endTime": 10_799_000}
    assert {"symbol": "BTCUSDT", "interval": "60m", **bounds, "limit": 2} == spot.params
    contract = perpetual().rest_request("BTC-USDT", "1h", 3600, 10800, 2, 0.0)
    assert contract.url.endswith("/contract/kline/BTC_USDT")
    assert {"interval": "Min60", "start": 3599, "end": 10_800} == contract.params
    assert not MexcSpot().grid("1w").known


@pytest.mark.parametrize("adapter", [MexcSpot(), MexcPerpetual()])
def test_what_is_streamed_can_be_read_again(adapter: MexcSpot | MexcPerpetual):
    """No frame flags a close, so REST has to confirm it: spot's 8h, which it lacks, is no offer."""
    streamed, read_again = adapter.ws_intervals, adapter.rest_intervals

    assert streamed.keys() == read_again.keys()


def test_history_of_spot_ends_with_the_newest_500_bars():
    """Perhaps nothing older is served: what is not there is no bar without trades, then."""
    adapter = MexcSpot()

    assert {499} == {adapter.rest_pages(code).rows for code in adapter.rest_intervals}


@pytest.mark.parametrize(
    ("adapter", "body", "status", "expected"),
    [
        (MexcSpot(), {"code": -1121, "msg": "invalid symbol"}, 200, RestRefused),
        (MexcSpot(), {"code": -1003, "msg": "Too many requests."}, 200, RestSlowDown),
        (MexcSpot(), {"code": 5, "msg": "?"}, 200, RestUnavailable),
        (MexcPerpetual(), {"code": 1001, "message": "Contract not exists"}, 200, RestRefused),
        (MexcPerpetual(), {"code": 600, "message": "Parameter error"}, 200, RestRefused),
        (MexcPerpetual(), {"code": 510, "message": "too frequent"}, 200, RestSlowDown),
        (MexcPerpetual(), {"code": 9, "message": "?"}, 200, RestUnavailable),
        (MexcPerpetual(), {}, 429, RestSlowDown),
    ],
)
def test_errors_of_rest(adapter: Any, body: Any, status: int, expected: type):
    """Errors come within HTTP 200; an unknown code is asked again."""
    request = adapter.rest_request("BTC-USDT", "1m", 0, 60, 1, 0.0)

    assert isinstance(adapter.read_rest_reply(reply(body, status), request), expected)


@pytest.mark.parametrize("status", [200, 400, 403])
def test_a_place_that_is_not_served(status: int):
    """The block has code 0, and whatever its status is, it is a block."""
    body = item("mexc_spot/22-rest-error-geo-block")["frame"]
    request = MexcSpot().rest_request("BTC-USDT", "1m", 0, 60, 1, 0.0)

    answer = MexcSpot().read_rest_reply(reply(body, status), request)

    assert isinstance(answer, RestUnavailable)
    assert answer.blocked


def test_columns_of_unequal_length_raise():
    """Lists that do not belong together give no rows."""
    body = item("mexc_perpetual/24-rest-candles-contract-doc")["frame"]
    body["data"]["close"].append(1)
    request = perpetual().rest_request("BTC-USDT", "15m", 0, 900, 1, 0.0)

    with pytest.raises(ValueError, match=r"zip|longer"):
        perpetual().read_rest_reply(reply(body), request)


# --- instruments ---


def test_instruments_of_contracts():
    """Named as the symbol is; margined in coin where the coin settles; only state 0 is live."""
    body = item("mexc_perpetual/27-rest-instruments-contract")["frame"]
    [row] = body["data"]
    body["data"] += [
        {**row, "symbol": "BTC_USD", "quoteCoin": "USD", "settleCoin": "BTC", "contractSize": 100},
        {**row, "symbol": "FILECOIN_USDT", "baseCoin": "FIL", "contractSize": 10, "state": 3},
    ]

    assert MexcPerpetual().read_instruments(reply(body)) == [
        Instrument("BTC-USDT", "BTC_USDT", 0.0001, status="0"),
        Instrument("BTC-USD", "BTC_USD", 100.0, inverse=True, status="0"),
        Instrument("FILECOIN-USDT", "FILECOIN_USDT", 10.0, tradable=False, status="3"),
    ]


def test_instruments_of_spot():
    """Status 1 is online; another one says so."""
    body = item("mexc_spot/26-rest-instruments-spot-doc")["frame"]
    [row] = body["symbols"]
    body["symbols"].append({**row, "symbol": "BTCUSDT", "baseAsset": "BTC", "status": "1"})

    assert MexcSpot().read_instruments(reply(body)) == [
        Instrument("TOMO3L-USDT", "TOMO3LUSDT", tradable=False, status="ENABLED"),
        Instrument("BTC-USDT", "BTCUSDT", status="1"),
    ]
