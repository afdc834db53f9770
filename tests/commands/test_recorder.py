"""Frames and replies as items: as they came, one of each sort, in files that can be read again."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from connectors.adapter import RestReply, RestRequest
from connectors.commands.recorder import LARGE, Recorder, Sort, new_folder
from connectors.conformance.items import Item, evidence, items_of
from connectors.errors import SetupError, UsageError

CANDLE = Sort("ws_candle", "1m-open")
ASKED = RestRequest(url="https://plain.example/list", params={"of": "spot"})


@pytest.fixture
def recorder() -> Recorder:
    """Of a market without anything yet."""
    return Recorder("toy_spot", "made up", "nowhere")


def written(recorder: Recorder, folder: Path) -> list[Item]:
    """The items as the suite reads them."""
    count = recorder.write(new_folder(folder, "toy_spot"))
    with evidence(folder):
        found = items_of("toy_spot")
    assert count == len(found)
    return list(found)


def test_a_frame_stands_as_it_came(recorder: Recorder, tmp_path: Path) -> None:
    """Numbers keep their writing; request, pair and origin are told; nothing is made of it."""
    frame = b'{"o": 0.10, "v": 1e-08, "t": 1790000040000}'
    recorder.frame(CANDLE, frame, None, {"op": "subscribe"}, "BTC-USDT")
    (item,) = written(recorder, tmp_path)

    assert frame in (tmp_path / "toy_spot" / "01-ws-candle-1m-open.json").read_bytes()
    assert (item.kind, item.market, item.trading_pair) == ("ws_candle", "toy_spot", "BTC-USDT")
    assert (item.provenance, item.source, item.candles) == ("made up", "nowhere", None)
    assert item.request == {"op": "subscribe"}


def test_a_binary_frame_is_kept_packed_and_unpacked(recorder: Recorder, tmp_path: Path) -> None:
    """Both what came and what is in it."""
    packed = gzip.compress(b'{"a": 1}')
    recorder.frame(CANDLE, packed, b'{"a": 1}', None, "BTC-USDT")
    (item,) = written(recorder, tmp_path)

    assert (item.binary, item.frame, item.request) == (packed, {"a": 1}, None)


def test_text_stays_text(recorder: Recorder, tmp_path: Path) -> None:
    """What is no JSON is kept as text, and a request in text is not kept."""
    recorder.frame(Sort("ws_pong", ""), b"pong", None, "ping", "BTC-USDT")
    (item,) = written(recorder, tmp_path)

    assert (item.frame, item.request) == ("pong", None)


def test_the_first_of_each_sort_is_kept(recorder: Recorder, tmp_path: Path) -> None:
    """Files are in the order of kinds, whatever came first."""
    recorder.reply(Sort("rest_candles", "1m"), ASKED, RestReply(200, {}, b"[1]"), limit=2)
    recorder.frame(CANDLE, b"1", None, None, "BTC-USDT")
    recorder.frame(CANDLE, b"2", None, None, "BTC-USDT")

    assert recorder.has(CANDLE)
    assert [(item.name, item.frame) for item in written(recorder, tmp_path)] == [
        ("01-ws-candle-1m-open", 1),
        ("02-rest-candles-1m", [1]),
    ]


def test_a_reply_has_its_request_and_status(recorder: Recorder, tmp_path: Path) -> None:
    """Method, address and parameters; what is no JSON is not kept."""
    recorder.reply(Sort("rest_error", ""), ASKED, RestReply(404, {}, b'{"no": 1}'), http_status=404)
    recorder.reply(Sort("rest_candles", ""), ASKED, RestReply(502, {}, b"<html>"))
    (item,) = written(recorder, tmp_path)

    assert item.http_status == 404
    assert item.request == {"method": "GET", "url": ASKED.url, "params": {"of": "spot"}}


def test_a_long_list_is_cut_down(recorder: Recorder, tmp_path: Path) -> None:
    """Of many rows the first and the pair's own stay, with a note; columns are not cut."""
    rows = [{"symbol": f"C{number}USDT", "columns": [0] * 19} for number in range(2_000)]
    body = json.dumps({"list": rows}).encode()
    assert len(body) > LARGE
    recorder.instruments(ASKED, RestReply(200, {}, body), "C1234USDT")
    (item,) = written(recorder, tmp_path)

    names = [row["symbol"] for row in item.frame["list"]]
    assert names == ["C0USDT", "C1USDT", "C2USDT", "C1234USDT"]
    assert item.frame["list"][0]["columns"] == [0] * 19
    assert item.note == f"cut down from {len(body)} bytes"


def test_a_short_list_is_kept_whole(recorder: Recorder, tmp_path: Path) -> None:
    """Nothing is cut that is not long."""
    body = json.dumps([{"symbol": f"C{number}"} for number in range(100)]).encode()
    recorder.instruments(ASKED, RestReply(200, {}, body), "C7")
    (item,) = written(recorder, tmp_path)

    assert len(item.frame) == 100
    assert item.note == ""


def test_old_items_are_not_mixed_with_new_ones(recorder: Recorder, tmp_path: Path) -> None:
    """A folder that holds anything is refused, with what to do."""
    recorder.frame(CANDLE, b"1", None, None, "BTC-USDT")
    recorder.write(new_folder(tmp_path, "toy_spot"))

    with pytest.raises(UsageError, match="is not empty: name another folder, or empty this one"):
        new_folder(tmp_path, "toy_spot")


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A file in the way is one sentence, before anybody looks at an exchange."""
    (tmp_path / "file").write_text("", "utf-8")

    with pytest.raises(UsageError, match="items cannot be written to"):
        new_folder(tmp_path / "file", "toy_spot")


def test_a_folder_that_vanishes_is_told(recorder: Recorder, tmp_path: Path) -> None:
    """What cannot be written in the end is a sentence, too."""
    recorder.frame(CANDLE, b"1", None, None, "BTC-USDT")

    with pytest.raises(SetupError, match="the items cannot be written to"):
        recorder.write(tmp_path / "gone")
