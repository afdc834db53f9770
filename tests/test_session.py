"""One connection's conversation, told the time: a made-up exchange, then the real dialects."""

# ruff: noqa: ARG002 - the contract names the arguments

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest

from connectors import session
from connectors.adapter import (
    Closing,
    Confirmed,
    ExchangeAdapter,
    Heartbeat,
    Limits,
    Message,
    Opening,
    Parsed,
    Rate,
    Ready,
    Refused,
    RestRequest,
    WSJSONRequest,
)
from connectors.errors import BadFrame
from connectors.model import CandleData
from connectors.session import (
    ANSWER_WITHIN,
    ASK_AT_MOST,
    JITTER,
    OURS,
    READY_WITHIN,
    Session,
)

START = 1000.0
WALL = 1_790_000_000.0
LIMITS = Limits(
    source="nowhere: invented",
    checked="2026-10-01",
    subscriptions=1000,
    message_channels=4,
    messages=Rate(100),
)


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits without the time for the network, which has a test of its own."""
    monkeypatch.setattr(session, "JITTER", 0.0)


class Toy(ExchangeAdapter):
    """Frames say in plain words what the session is to be told (made up)."""

    name = "toy"
    limits = LIMITS
    heartbeat = Heartbeat("server", silence=10_000)
    unsubscribes = True
    one_by_one = False

    def get_trading_pair_format(self, trading_pair: str) -> str:
        return trading_pair

    def get_supported_intervals(self) -> dict[str, int]:
        return {"1m": 60}

    def get_ws_supported_intervals(self) -> list[str]:
        return ["1m"]

    def get_ws_url(self) -> str:
        return "wss://toy.example"

    def get_ws_subscription_payload(self, trading_pair: str, interval: str) -> dict[str, Any]:
        return {"subscribe": [trading_pair], "id": 1}

    def batch_group(self, channel: str) -> str:
        return channel.partition(".")[0] if "." in channel else ""

    def subscribe_messages(
        self, channels: Sequence[str], request_id: int, now: float
    ) -> list[Message]:
        batches = [[channel] for channel in channels] if self.one_by_one else [list(channels)]
        return [{"subscribe": batch, "id": request_id, "time": int(now)} for batch in batches]

    def unsubscribe_messages(
        self, channels: Sequence[str], request_id: int, now: float
    ) -> list[Message]:
        return [{"unsubscribe": list(channels), "id": request_id}] if self.unsubscribes else []

    def ping_message(self, request_id: int, now: float) -> Message:
        return {"ping": request_id, "time": int(now)}

    def unpack_frame(self, frame: bytes) -> bytes:
        return frame[::-1]

    def parse_ws_message(self, data: Any) -> Parsed:
        if type(data) is str and "unexpected" not in data:
            return None
        if type(data) is not dict:
            raise ValueError(f"unexpected: {data!r}")
        if "candles" in data:
            return [CandleData(60, 1, 1, 1, 1, 1, channel=channel) for channel in data["candles"]]
        for key, made in TOLD.items():
            if key in data:
                return made(data[key])
        return None

    def get_rest_url(self) -> str:
        return "https://toy.example"

    def get_rest_params(
        self, trading_pair: str, interval: str, start_time: int, end_time: int, limit: int
    ) -> dict[str, str | int]:
        return {}

    def parse_rest_response(
        self, data: Any, request: RestRequest | None = None
    ) -> list[CandleData]:
        return []


TOLD: dict[str, Callable[[Any], Parsed]] = {
    "ok": lambda said: Confirmed(said.get("id"), tuple(said.get("of", ()))),
    "list": lambda said: Confirmed(channels=tuple(said), listing=True),
    "no": lambda said: Refused(
        said.get("why", "no"), said.get("id"), tuple(said.get("of", ())), said.get("full", False)
    ),
    "are you there": lambda said: WSJSONRequest({"here": said}),
    "hello": lambda _: Ready(),
    "bye": Closing,
}


class Talk:
    """A session and its clock: what it says, and what it is told."""

    def __init__(
        self, adapter: ExchangeAdapter, opening: Opening | None = None, wants: Iterable[str] = ()
    ) -> None:
        self.now = START
        self.session = Session(adapter, opening or Opening(url=adapter.get_ws_url()), self.now)
        self.session.want(wants)

    def says(self) -> list[Any]:
        """Decoded messages that go out now; afterwards nothing is due before it can be done."""
        texts = self.session.texts(self.now, WALL)
        assert self.session.verdict(self.now) or self.session.due(self.now) > self.now
        return [decoded(text) for text in texts]

    def says_after(self, seconds: float) -> list[Any]:
        """What goes out once so many seconds have passed."""
        self.now += seconds
        return self.says()

    def hears(self, *frames: Any) -> list[CandleData] | None:
        """Tell it these frames now; what the last one gave."""
        given = None
        for frame in frames:
            text = frame if isinstance(frame, str) else orjson.dumps(frame).decode()
            given = self.session.receive(text.encode(), False, self.now)
        return given

    @property
    def rejected(self) -> list[tuple[str, str, bool]]:
        """Channel, reason, for want of room."""
        return [(it.channel, it.reason, it.limit) for it in self.session.rejected]

    @property
    def sets(self) -> tuple[str, str, str]:
        """Desired, confirmed, delivering."""
        session = self.session
        parts = session.desired, session.confirmed, session.delivering
        return tuple("".join(sorted(part)) for part in parts)  # type: ignore[return-value]  # three


def decoded(text: str) -> Any:
    """JSON where it is JSON."""
    try:
        return orjson.loads(text)
    except ValueError:
        return text


def toy(limits: Limits = LIMITS, heartbeat: Heartbeat = Toy.heartbeat) -> Toy:
    """The made-up exchange with other facts."""
    adapter = Toy()
    adapter.limits, adapter.heartbeat = limits, heartbeat  # type: ignore[misc]  # only of this one
    return adapter


def subscribed(said: list[Any]) -> list[list[str]]:
    """The batches of the subscribe messages."""
    return [message["subscribe"] for message in said if "subscribe" in message]


# --- batches, ids, budgets ---


def test_batches_hold_no_more_than_the_exchange_takes() -> None:
    """Nine channels at four a message are three messages, in the order of the wish."""
    talk = Talk(toy(), wants="abcdefghi")

    assert subscribed(talk.says()) == [list("abcd"), list("efgh"), ["i"]]


def test_what_is_not_sent_yet_is_told() -> None:
    """Until the last message is given out, however many the budget lets through at once."""
    talk = Talk(toy(replace(LIMITS, messages=Rate(2.5, 5))), wants="abcdefghi")
    before = talk.session.unsent

    some = talk.says(), talk.session.unsent
    talk.now = talk.session.due(talk.now)
    rest = talk.says(), talk.session.unsent

    assert before
    assert [len(subscribed(said)) for said, _ in (some, rest)] == [2, 1]
    assert (some[1], rest[1]) == (True, False)


def test_groups_never_share_a_message() -> None:
    """Channels that differ in ``batch_group`` are asked for apart."""
    talk = Talk(toy(), wants=["x.1", "y.1", "x.2"])

    assert subscribed(talk.says()) == [["x.1", "x.2"], ["y.1"]]


def test_messages_stay_below_their_bytes_as_sent() -> None:
    """The size is that of the message with its id and time, not of a shorter draft."""
    whole = orjson.dumps({"subscribe": ["a", "b", "c"], "id": 9, "time": int(WALL)})
    limits = replace(LIMITS, message_bytes=len(whole))
    talk = Talk(toy(limits), wants="abcd")

    texts = talk.session.texts(talk.now, WALL)

    assert subscribed([decoded(text) for text in texts]) == [["a", "b"], ["c", "d"]]
    assert all(len(text) <= len(whole) for text in texts)


def test_a_channel_that_is_too_large_alone_is_sent_all_the_same() -> None:
    """What cannot be divided is left to the exchange to judge."""
    talk = Talk(toy(replace(LIMITS, message_bytes=5)), wants="ab")

    assert subscribed(talk.says()) == [["a"], ["b"]]


def test_request_ids_are_never_used_twice() -> None:
    """Subscribes, unsubscribes and pings count on from one."""
    talk = Talk(toy(heartbeat=Heartbeat("message", every=5, silence=10_000)), wants="abcde")
    said = talk.says()
    talk.session.drop("a")
    said += talk.says_after(5)

    assert [message.get("id", message.get("ping")) for message in said] == [1, 2, 3, 4]


def test_no_window_has_more_messages_than_our_part_of_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever asks whenever texts are due sends four fifths of the rate, and bursts well apart."""
    monkeypatch.setattr(session, "JITTER", JITTER)
    talk = Talk(toy(replace(LIMITS, messages=Rate(5), message_channels=1)))
    talk.session.want(map(str, range(30)))
    times: list[float] = []
    while len(times) < 30:
        times += [talk.now] * len(talk.says())
        talk.now = talk.session.due(talk.now)

    late = 1 + JITTER - 1e-9
    assert all(sum(first <= at < first + late for at in times) <= 5 * OURS for first in times)
    assert times[-1] - START == pytest.approx(7 * (1 + JITTER))  # and no slower than that


def test_nothing_is_sent_while_a_new_connection_must_be_quiet() -> None:
    """The exchange's limit grows with the age of a connection: its first seconds are waited out."""
    talk = Talk(toy(replace(LIMITS, quiet=1.5)), wants="ab")
    talk.now += 3
    talk.session.connected(talk.now)
    assert (talk.says(), set(talk.session.asked)) == ([], set())
    assert talk.session.due(talk.now) == talk.now + 1.5
    assert subscribed(talk.says_after(1.5)) == [["a", "b"]]
    assert set(talk.session.asked) == {"a", "b"}


def test_a_channel_twice_in_a_wish_is_asked_for_once() -> None:
    """Two pairs may lead to one channel of the exchange."""
    talk = Talk(toy(), wants="aab")
    talk.session.want("ba")

    assert subscribed(talk.says()) == [["a", "b"]]


def test_a_budget_of_subscribes_keeps_no_ping_back() -> None:
    """When no subscribe is allowed any more, pings and replies are."""
    limits = replace(LIMITS, subscribes=Rate(2.5, 3600), message_channels=1)
    talk = Talk(toy(limits, Heartbeat("message", every=20, silence=10_000)), wants="abc")
    assert subscribed(talk.says()) == [["a"], ["b"]]

    talk.hears({"ok": {"id": "1"}}, {"ok": {"id": "2"}}, {"are you there": 7})

    assert talk.says() == [{"here": 7}]
    assert [{"ping": 3, "time": int(WALL)}] == talk.says_after(20)
    assert talk.session.due(talk.now) == talk.now + 20
    assert subscribed(talk.says_after(3580)) == [["c"]]


def test_a_ping_goes_before_the_subscribes_that_wait() -> None:
    """Under a spent budget the first message that fits is the ping, and due says when."""
    limits = replace(LIMITS, messages=Rate(1.25, 10), message_channels=1)
    talk = Talk(toy(limits, Heartbeat("message", every=5, silence=10_000)), wants="abcd")
    assert subscribed(talk.says()) == [["a"]]
    assert talk.says_after(6) == []

    assert talk.session.due(talk.now) == START + 10
    assert list(talk.says_after(4)[0]) == ["ping", "time"]


# --- confirmations ---


def test_confirmed_by_id() -> None:
    """An id stands for all channels of its request."""
    talk = Talk(toy(), wants="abcdef")
    talk.says()
    talk.hears({"ok": {"id": "2"}})

    assert talk.sets == ("abcdef", "ef", "")


def test_confirmed_by_channel() -> None:
    """One frame for each arg: the request is done when the last has come."""
    talk = Talk(toy(), wants="abc")
    talk.says()
    talk.hears({"ok": {"of": ["a"]}}, {"ok": {"id": "1", "of": ["c"]}})
    assert talk.sets == ("abc", "ac", "")

    talk.hears({"ok": {"of": ["b"]}})
    assert talk.sets == ("abc", "abc", "")
    assert talk.says_after(ANSWER_WITHIN) == []


def test_confirmed_without_a_name() -> None:
    """A bare yes belongs to the oldest open request."""
    talk = Talk(toy(), wants="abcde")
    talk.says()
    talk.hears({"ok": {}})

    assert talk.sets == ("abcde", "abcd", "")


def test_an_answer_to_an_unknown_id_changes_nothing() -> None:
    """A confirmation or refusal of a request that is not open is nobody's."""
    talk = Talk(toy(), wants="ab")
    talk.says()
    talk.hears({"ok": {"id": "9", "of": ["a"]}}, {"no": {"id": "9", "of": ["a"]}})
    talk.hears({"ok": {"id": "9"}}, {"no": {"id": "9"}})

    assert talk.sets == ("ab", "", "")
    assert talk.rejected == []


def test_a_channel_that_was_not_asked_for_is_not_confirmed() -> None:
    """What the exchange confirms on its own is no wish of ours."""
    talk = Talk(toy(), wants="a")
    talk.says()
    talk.hears({"ok": {"id": "1", "of": ["z"]}}, {"ok": {"of": ["z"]}}, {"list": ["a", "z"]})

    assert talk.sets == ("a", "a", "")


def test_an_answer_may_come_before_everything_was_sent() -> None:
    """A confirmation of the first batch leaves the batches alone that still wait."""
    talk = Talk(toy(replace(LIMITS, messages=Rate(1.25), message_channels=1)), wants="ab")
    talk.says()
    talk.hears({"ok": {"of": ["a", "b"]}}, {"list": ["a", "b"]})
    assert talk.sets == ("ab", "a", "")

    assert subscribed(talk.says_after(1)) == [["b"]]


# --- confirmations by listing ---


def test_confirmed_by_listing() -> None:
    """A list of all that the connection has confirms what is in it."""
    talk = Talk(toy(), wants="abcdef")
    talk.says()
    talk.hears({"list": ["a", "b", "c", "d"]})
    assert talk.sets == ("abcdef", "abcd", "")

    talk.hears({"list": ["a", "b", "c", "d", "e", "f"]})
    assert talk.sets == ("abcdef", "abcdef", "")
    assert talk.says_after(ANSWER_WITHIN) == []


def test_missing_in_a_listing_is_no_refusal_while_its_request_may_be_unread() -> None:
    """With several batches in flight, a list may be older than the request."""
    talk = Talk(toy(), wants="abcdef")
    talk.says()
    talk.hears({"list": ["a", "b", "c", "d"]})

    assert talk.says_after(ANSWER_WITHIN - 0.1) == []
    assert talk.rejected == []


def test_missing_in_every_listing_is_asked_again_and_at_last_rejected() -> None:
    """Only what is missing is asked for again, and what was accepted stays."""
    talk = Talk(toy(), wants="abcdef")
    asked = talk.says()
    for _ in range(ASK_AT_MOST):
        talk.hears({"list": ["a", "c", "d", "e", "f"]})
        asked += talk.says_after(ANSWER_WITHIN)

    assert subscribed(asked) == [list("abcd"), list("ef"), ["b"], ["b"]]
    assert [channel for channel, _, _ in talk.rejected] == ["b"]
    assert talk.sets == ("acdef", "acdef", "")


def test_what_a_listing_has_lost_is_asked_for_again() -> None:
    """A channel that was listed and is no more was ended by the exchange."""
    talk = Talk(toy(), wants="abc")
    talk.says()
    talk.hears({"list": ["a", "b", "c"]}, {"candles": ["a", "b", "c"]}, {"list": ["a", "c"]})
    assert talk.sets == ("abc", "ac", "ac")

    assert subscribed(talk.says()) == [["b"]]
    talk.hears({"list": ["a", "b", "c"]})
    assert talk.sets == ("abc", "abc", "ac")


def test_a_listing_without_what_was_dropped_is_its_confirmation() -> None:
    """A list that still has it may be older; neither makes it wanted again."""
    talk = Talk(toy(), wants="abc")
    talk.says()
    talk.hears({"list": ["a", "b", "c"]})
    talk.session.drop("b")
    assert talk.says() == [{"unsubscribe": ["b"], "id": 2}]
    talk.hears({"list": ["a", "b", "c"]}, {"list": ["a", "c"]})

    assert talk.sets == ("ac", "ac", "")
    talk.session.want("d")
    talk.says()
    talk.hears({"no": {}})  # so it can only be the answer to the newest request
    assert [channel for channel, _, _ in talk.rejected] == ["d"]
    assert talk.says_after(ANSWER_WITHIN) == []


def test_an_older_listing_leaves_an_unsubscribe_open() -> None:
    """So a refusal without a name that follows is the unsubscribe's, and no subscription's."""
    talk = Talk(toy(), wants="ab")
    talk.says()
    talk.hears({"list": ["a", "b"]})
    talk.session.drop("b")
    talk.session.want("c")
    talk.says()
    talk.hears({"list": ["a", "b"]}, {"no": {}})

    assert talk.rejected == []
    assert talk.sets == ("ac", "a", "")


# --- refusals ---


def test_refused_by_id_alone() -> None:
    """The only channel of a request is refused with the exchange's reason."""
    talk = Talk(toy(), wants="a")
    talk.says()
    talk.hears({"no": {"id": "1", "why": "unknown symbol"}})

    assert talk.rejected == [("a", "unknown symbol", False)]
    assert talk.sets == ("", "", "")
    assert talk.says_after(ANSWER_WITHIN) == []


@pytest.mark.parametrize("culprits", ["a", "d", "g", "ah", "abc", "abcdefgh"])
@pytest.mark.parametrize("named", [True, False], ids=["by id", "without anything"])
def test_a_refused_batch_is_split_until_the_culprit_stands_alone(
    culprits: str, named: bool
) -> None:
    """The culprits are rejected, the others end up confirmed."""
    talk = Talk(toy(replace(LIMITS, message_channels=8)), wants="abcdefgh")
    while said := talk.says():
        for message in said:
            answer = "no" if set(culprits) & set(message["subscribe"]) else "ok"
            talk.hears({answer: {"id": str(message["id"])} if named else {}})

    good = "".join(channel for channel in "abcdefgh" if channel not in culprits)
    assert talk.sets == (good, good, "")
    assert "".join(sorted(channel for channel, _, _ in talk.rejected)) == culprits


def test_refused_by_channel() -> None:
    """The named one is rejected, the rest of its batch goes on waiting for its answer."""
    talk = Talk(toy(), wants="abc")
    talk.says()
    talk.hears({"no": {"of": ["b"], "why": "doesn't exist"}}, {"ok": {"id": "1"}})

    assert talk.rejected == [("b", "doesn't exist", False)]
    assert talk.sets == ("ac", "ac", "")


def test_refused_by_id_and_channel() -> None:
    """An id together with a channel means this one of the batch."""
    talk = Talk(toy(), wants="abc")
    talk.says()
    talk.hears({"no": {"id": "1", "of": ["b"]}}, {"ok": {"id": "1", "of": ["a"]}})

    assert talk.sets == ("ac", "a", "")
    assert subscribed(talk.says_after(ANSWER_WITHIN)) == [["c"]]


def test_refused_without_anything_is_the_oldest_open_request() -> None:
    """What was answered before, or waits to be sent, is not meant."""
    limits = replace(LIMITS, messages=Rate(2.5), message_channels=1)
    talk = Talk(toy(limits), wants="abc")
    assert subscribed(talk.says()) == [["a"], ["b"]]
    talk.hears({"ok": {"id": "1"}}, {"no": {"why": "bad"}})

    assert talk.rejected == [("b", "bad", False)]
    assert subscribed(talk.says_after(1)) == [["c"]]


def test_a_refusal_when_nothing_is_open_harms_nothing() -> None:
    """There is no subscription that it could be about."""
    talk = Talk(toy(), wants="a")
    talk.hears({"no": {}})
    talk.says()
    talk.hears({"ok": {"id": "1"}}, {"no": {"why": "slow down"}}, {"no": {"of": ["z"]}})

    assert talk.sets == ("a", "a", "")
    assert talk.rejected == []


def test_refused_for_want_of_room() -> None:
    """The whole batch is told as being too many, and is not split."""
    talk = Talk(toy(), wants="abc")
    talk.says()
    talk.hears({"no": {"id": "1", "why": "too many", "full": True}})

    assert talk.rejected == [(channel, "too many", True) for channel in "abc"]
    assert talk.says_after(ANSWER_WITHIN) == []


def test_an_accepted_channel_may_be_ended_by_name() -> None:
    """A refusal that names a confirmed channel, with nothing open about it, ends it."""
    talk = Talk(toy(), wants="ab")
    talk.says()
    talk.hears({"ok": {"id": "1"}}, {"candles": ["a"]}, {"no": {"of": ["a"], "why": "delisted"}})

    assert talk.rejected == [("a", "delisted", False)]
    assert talk.sets == ("b", "b", "")


def test_a_rejected_channel_can_be_asked_for_again() -> None:
    """``again`` sends a plain subscribe: there is nothing to unsubscribe."""
    talk = Talk(toy(), wants="a")
    talk.says()
    talk.hears({"no": {"id": "1"}})
    talk.session.again("a")

    assert subscribed(talk.says()) == [["a"]]
    talk.hears({"ok": {"id": "2"}})
    assert talk.sets == ("a", "a", "")


# --- no answer ---


def test_an_unanswered_subscribe_is_asked_again_and_at_last_rejected() -> None:
    """As often as is tried, each time after the same wait, then with a reason."""
    talk = Talk(toy(), wants="ab")
    said = talk.says()
    for _ in range(ASK_AT_MOST):
        assert talk.session.due(talk.now) == talk.now + ANSWER_WITHIN
        said += talk.says_after(ANSWER_WITHIN)

    assert subscribed(said) == [["a", "b"]] * ASK_AT_MOST
    assert [channel for channel, _, _ in talk.rejected] == ["a", "b"]
    assert "neither accepted nor delivered" in talk.rejected[0][1]
    assert talk.sets == ("", "", "")


def test_what_delivers_needs_no_answer() -> None:
    """Only the silent ones of an unanswered batch are asked for again."""
    talk = Talk(toy(), wants="abc")
    talk.says()
    talk.hears({"candles": ["a", "c"]})

    assert subscribed(talk.says_after(ANSWER_WITHIN)) == [["b"]]
    assert talk.sets == ("abc", "", "ac")


def test_the_wait_for_an_answer_begins_when_the_message_leaves() -> None:
    """A batch that has to wait for the budget is not late before it was sent."""
    limits = replace(LIMITS, messages=Rate(1.25, 60), message_channels=1)
    talk = Talk(toy(limits), wants="ab")
    talk.says()
    talk.hears({"ok": {"id": "1"}})

    assert subscribed(talk.says_after(60)) == [["b"]]
    assert talk.says_after(ANSWER_WITHIN - 1) == []
    assert talk.rejected == []


def test_a_request_of_several_messages_is_unanswered_only_when_all_have_left() -> None:
    """A message for each channel, under one id: the wait begins with the last."""
    adapter = toy(replace(LIMITS, messages=Rate(1.25, 12)))
    adapter.one_by_one = True
    talk = Talk(adapter, wants="abc")

    said = talk.says() + talk.says_after(12) + talk.says_after(12)
    assert subscribed(said) == [["a"], ["b"], ["c"]]
    assert talk.session.due(talk.now) == talk.now + ANSWER_WITHIN
    talk.hears({"ok": {"id": "1"}})
    assert talk.sets == ("abc", "abc", "")


def test_an_unanswered_unsubscribe_is_let_be() -> None:
    """Several exchanges say nothing to it; what still comes is nobody's wish."""
    talk = Talk(toy(), wants="a")
    talk.says()
    talk.hears({"ok": {"id": "1"}})
    talk.session.drop("a")
    talk.says()

    assert talk.says_after(ANSWER_WITHIN) == []
    assert talk.rejected == []


# --- subscribing and unsubscribing while alive ---


def test_wishes_may_change_while_alive() -> None:
    """One more, one less, and one back: each is one message."""
    talk = Talk(toy(), wants="ab")
    talk.says()
    talk.hears({"ok": {"id": "1"}}, {"candles": ["a", "b"]})
    talk.session.want("c")
    talk.session.drop("a")
    said = [{"subscribe": ["c"], "id": 2, "time": int(WALL)}, {"unsubscribe": ["a"], "id": 3}]
    assert said == talk.says()
    assert talk.sets == ("bc", "b", "b")

    talk.session.want("a")
    assert subscribed(talk.says()) == [["a"]]
    talk.hears({"ok": {"id": "2"}}, {"ok": {"id": "3"}}, {"ok": {"id": "4"}})
    assert talk.sets == ("abc", "abc", "b")


def test_what_was_never_sent_is_simply_taken_back() -> None:
    """A wish that ends before its message left causes no message at all."""
    talk = Talk(toy(), wants="ab")
    talk.session.drop("a")
    assert talk.says() == [{"subscribe": ["b"], "id": 1, "time": int(WALL)}]

    talk.session.want("c")
    talk.session.drop("c")
    assert talk.says() == []


def test_what_may_have_been_heard_is_unsubscribed_even_if_it_waits_again() -> None:
    """A channel that waits to be asked for a second time may be subscribed since the first."""
    talk = Talk(toy(replace(LIMITS, messages=Rate(1.25, ANSWER_WITHIN + 1))), wants="a")
    talk.says()
    assert talk.says_after(ANSWER_WITHIN) == []
    talk.session.drop("a")

    assert talk.says_after(1) == [{"unsubscribe": ["a"], "id": 2}]


@pytest.mark.parametrize("answer", [{"id": "2"}, {"id": "2", "of": ["a"]}, {"of": ["a"]}, {}])
def test_what_answers_an_unsubscribe_is_no_acceptance(answer: dict[str, Any]) -> None:
    """Asked again, a channel counts as confirmed only by the answer to its last subscribe."""
    talk = Talk(toy(), wants="a")
    talk.says()
    talk.hears({"ok": {"id": "1"}})
    talk.session.again("a")
    assert [message["id"] for message in talk.says()] == [2, 3]
    talk.hears({"ok": answer})
    assert talk.sets == ("a", "", "")

    talk.hears({"ok": {**answer, "id": "3"} if "id" in answer else answer})
    assert talk.sets == ("a", "a", "")


@pytest.mark.parametrize("answer", [{"id": "1"}, {"id": "1", "of": ["a"]}, {"of": ["a"]}, {}])
@pytest.mark.parametrize("kind", ["ok", "no"])
def test_a_late_answer_to_what_was_taken_back_decides_nothing(
    kind: str, answer: dict[str, Any]
) -> None:
    """The first of two subscribes was superseded by an unsubscribe between them."""
    talk = Talk(toy(), wants="a")
    talk.says()
    talk.session.again("a")
    talk.hears({kind: answer})
    assert talk.sets == ("a", "", "")
    assert [message["id"] for message in talk.says()] == [2, 3]

    talk.hears({"ok": {"id": "2"}}, {"ok": {"id": "3"}})
    assert talk.sets == ("a", "a", "")
    assert talk.rejected == []


@pytest.mark.parametrize("answer", [{"id": "2"}, {"id": "2", "of": ["a"]}, {"of": ["a"]}, {}])
def test_a_refused_unsubscribe_harms_nothing(answer: dict[str, Any]) -> None:
    """There is nothing to split and nobody to reject."""
    talk = Talk(toy(), wants="ab")
    talk.says()
    talk.hears({"ok": {"id": "1"}})
    talk.session.again("a")
    talk.says()
    talk.hears({"no": answer}, {"ok": {"id": "3"}})

    assert talk.sets == ("ab", "ab", "")
    assert talk.rejected == []


def test_where_nothing_can_be_unsubscribed_the_connection_is_replaced() -> None:
    """The contract's way for exchanges without an unsubscribe message."""
    adapter = toy()
    adapter.unsubscribes = False
    talk = Talk(adapter, wants="a")
    talk.says()
    talk.session.drop("a")

    assert talk.says() == []
    assert "new connection" in str(talk.session.closing)


# --- opening ---


GREETED = Opening(url="wss://toy.example", awaits_ready=True)
LOGIN = {"op": "login", "key": "made up"}


def test_nothing_is_said_before_the_greeting() -> None:
    """Neither subscriptions nor our own pings; then the subscriptions, at once."""
    adapter = toy(heartbeat=Heartbeat("message", every=2, silence=10_000))
    talk = Talk(adapter, GREETED, wants="a")

    assert talk.says() == []
    assert talk.says_after(5) == []
    talk.hears({"hello": 1})
    assert [{"ping", "time"}, {"subscribe", "id", "time"}] == [set(it) for it in talk.says()]


def test_an_authentication_message_after_connecting() -> None:
    """The pattern: the login goes first and alone, then its acceptance, then subscriptions."""
    talk = Talk(toy(), replace(GREETED, messages=(LOGIN,)), wants="a")
    assert talk.says() == [LOGIN]
    assert talk.says_after(1) == []

    talk.hears({"hello": "authenticated"})
    assert subscribed(talk.says()) == [["a"]]


def test_a_ping_of_the_exchange_is_answered_before_it_greets() -> None:
    """Opening messages and replies are the only ones that need no greeting."""
    talk = Talk(toy(), replace(GREETED, messages=(LOGIN, "hi")), wants="a")
    talk.hears({"are you there": 3})

    assert talk.says() == [LOGIN, "hi", {"here": 3}]


def test_opening_messages_go_before_subscriptions_where_nothing_is_awaited() -> None:
    """A connection that needs no greeting subscribes right behind them."""
    talk = Talk(toy(), Opening(url="wss://toy.example", messages=(LOGIN,)), wants="a")

    said = talk.says()
    assert said[0] == LOGIN
    assert subscribed(said[1:]) == [["a"]]


def test_a_refused_login_gives_the_connection_up() -> None:
    """What is refused before the greeting can only be the login."""
    talk = Talk(toy(), replace(GREETED, messages=(LOGIN,)), wants="a")
    talk.says()
    talk.hears({"no": {"why": "authentication failure"}})

    assert (
        talk.session.verdict(talk.now) == "the exchange refuses the login: authentication failure"
    )
    assert talk.rejected == []


def test_a_greeting_that_never_comes_gives_the_connection_up() -> None:
    """However alive it looks: nothing could ever be subscribed on it."""
    talk = Talk(toy(), GREETED, wants="a")
    assert talk.session.due(talk.now) == START + READY_WITHIN
    talk.now += READY_WITHIN
    talk.session.alive(talk.now)

    assert "neither greeting" in str(talk.session.verdict(talk.now))


# --- heartbeats ---


def test_a_reply_is_due_at_once() -> None:
    """Whoever asks for texts at ``due`` answers the exchange's ping without delay."""
    talk = Talk(toy())
    talk.hears({"are you there": 42})

    assert talk.session.due(talk.now) == talk.now
    assert talk.says() == [{"here": 42}]


def test_replies_go_out_first() -> None:
    """The answer to the exchange's ping goes before all that waits."""
    talk = Talk(toy(replace(LIMITS, messages=Rate(1.25))), wants="abcdefgh")
    talk.says()
    talk.hears({"are you there": 42})

    assert talk.says_after(1) == [{"here": 42}]
    assert subscribed(talk.says_after(1)) == [list("efgh")]


@pytest.mark.parametrize(("told", "every"), [(None, 20.0), (7.5, 7.5)])
def test_client_pings_keep_their_period(told: float | None, every: float) -> None:
    """The heartbeat's, unless the exchange told another while connecting."""
    adapter = toy(heartbeat=Heartbeat("message", every=20.0, silence=10_000))
    talk = Talk(adapter, Opening(url="wss://toy.example", ping_every=told))
    times: list[float] = []
    while len(times) < 4:
        talk.now = talk.session.due(talk.now)
        times += [talk.now - START] * len(talk.says())

    assert times == [every * number for number in (1, 2, 3, 4)]


@pytest.mark.parametrize("kind", ["server", "protocol"])
def test_other_heartbeats_are_not_the_session_s(kind: Any) -> None:
    """Where the exchange pings, or the library does, no text is sent."""
    talk = Talk(toy(heartbeat=Heartbeat(kind, every=5, silence=100)))

    assert talk.session.due(talk.now) == START + 100
    assert talk.says_after(50) == []


def test_silence_is_death() -> None:
    """A connection on which nothing at all came is given up, exactly then."""
    talk = Talk(toy(heartbeat=Heartbeat("server", silence=60)))
    assert talk.session.due(talk.now) == START + 60

    assert talk.session.verdict(START + 59.9) is None
    assert talk.session.verdict(START + 60) == "nothing was heard for 60 s"


@pytest.mark.parametrize("sign", ["control frame", "candle", "noise", "bad frame"])
def test_whatever_comes_is_a_sign_of_life(sign: str) -> None:
    """Control frames too, and even what cannot be read."""
    talk = Talk(toy(heartbeat=Heartbeat("server", silence=60)), wants="a")
    talk.now += 50
    if sign == "control frame":
        talk.session.alive(talk.now)
    elif sign == "bad frame":
        with pytest.raises(BadFrame):
            talk.hears("{")
    else:
        talk.hears({"candles": ["a"]} if sign == "candle" else {"noise": 1})

    assert talk.session.verdict(START + 109.9) is None
    assert talk.session.verdict(START + 110) is not None


def test_an_announced_end_is_told() -> None:
    """The connection is to be replaced, with the exchange's reason."""
    talk = Talk(toy())
    talk.hears({"bye": "maintenance"})

    assert talk.session.closing == "maintenance"


# --- candles and bad frames ---


def test_candles_are_handed_on() -> None:
    """A frame gives its candles, and their channels deliver."""
    talk = Talk(toy(), wants="abc")
    given = talk.hears({"candles": ["a", "b"]})

    assert given == [CandleData(60, 1, 1, 1, 1, 1, channel=channel) for channel in "ab"]
    assert talk.sets == ("abc", "", "ab")
    assert talk.hears({"noise": 1}) is None
    assert talk.hears("pong") is None


def test_a_candle_without_a_channel_is_the_only_subscription_s() -> None:
    """Where one channel is wanted there is no doubt whose it is."""
    talk = Talk(toy(), wants="a")
    given = talk.hears({"candles": [None]})

    assert given == [CandleData(60, 1, 1, 1, 1, 1, channel="a")]
    assert talk.sets == ("a", "", "a")


def test_a_candle_without_a_channel_among_several_is_a_bad_frame() -> None:
    """It is not guessed whose it is, nor is it lost in silence."""
    talk = Talk(toy(), wants="ab")

    with pytest.raises(BadFrame, match="names no channel"):
        talk.hears({"candles": [None]})
    assert talk.sets == ("ab", "", "")
    assert talk.session.bad_frames == 1


def test_late_candles_of_a_dropped_channel_count_for_nothing() -> None:
    """Wanted again, it delivers only when it does so anew."""
    talk = Talk(toy(), wants="ab")
    talk.says()
    talk.session.drop("a")
    talk.hears({"candles": ["a"]})
    talk.session.want("a")
    assert talk.sets == ("ab", "", "")

    talk.hears({"candles": ["a"]})
    assert talk.sets == ("ab", "", "a")


def test_binary_frames_are_unpacked_and_text_is_not() -> None:
    """The made-up exchange packs by writing backwards."""
    talk = Talk(toy(), wants="a")
    frame = orjson.dumps({"candles": ["a"]})

    assert talk.session.receive(frame[::-1], True, START) == talk.session.receive(
        frame, False, START
    )


@pytest.mark.parametrize(
    "frame",
    [
        b"unexpected text",
        b'{"candles": [',
        b' \n{"candles": ["a"}',
        b'["a", NaN]',
        b"\xff\xfe\x00",
        b'{"candles": ["\xc3\x28"]}',
        b"[1, 2]",
        b"17",
        b"[" * 100_000,
        b'{"candles": 5}',
        b'{"ok": 5}',
    ],
    ids=lambda frame: repr(frame[:20]),
)
@pytest.mark.parametrize("binary", [False, True])
def test_a_bad_frame_changes_nothing(frame: bytes, binary: bool) -> None:
    """It is told and counted; the conversation goes on as if it had not come."""
    talk = Talk(toy(), wants="ab")
    talk.says()
    talk.hears({"ok": {"id": "1", "of": ["a"]}})

    with pytest.raises(BadFrame, match="Error: "):
        talk.session.receive(frame[::-1] if binary else frame, binary, talk.now)

    assert talk.session.bad_frames == 1
    assert talk.sets == ("ab", "a", "")
    assert talk.says() == []
    talk.hears({"ok": {"id": "1"}})
    assert talk.sets == ("ab", "ab", "")
