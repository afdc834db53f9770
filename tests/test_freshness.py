"""The watch over silent streams, told the time."""

from itertools import pairwise

from connectors.freshness import LONGEST, SHORTEST, Step, Watch, pace_of


def silent(watch: Watch, heard: float, start: float, end: float) -> list[tuple[int, Step]]:
    """Look once a second; every probe finds that the market moved."""
    steps: list[tuple[int, Step]] = []
    for now in range(int(start), int(end)):
        if watch.look(heard, now) is Step.PROBE:
            steps.append((now, Step.PROBE))
            if (step := watch.probed(True, now)) is not None:
                steps.append((now, step))
    return steps


def test_a_stream_that_moves_is_left_alone() -> None:
    """A stream with a frame each second is never suspected."""
    watch = Watch(pace=60, now=0)
    assert [watch.look(now, now) for now in range(1000)] == [None] * 1000
    assert not watch.stale


def test_silence_is_suspect_after_the_deadline() -> None:
    """The first probe comes when the deadline has passed, and only one at a time."""
    watch = Watch(pace=60, now=0)
    watch.look(10.0, 10.0)
    assert watch.look(10.0, 69.0) is None
    assert watch.look(10.0, 70.0) is Step.PROBE
    assert watch.look(10.0, 71.0) is None


def test_confirmed_and_never_delivering_is_found() -> None:
    """A subscription from which nothing ever came is suspected like a silent one."""
    watch = Watch(pace=60, now=100)
    assert watch.look(float("-inf"), 159.0) is None
    assert watch.look(float("-inf"), 160.0) is Step.PROBE


def test_dead_stream_escalates() -> None:
    """A dead stream is subscribed again, then its connection is replaced, later and later."""
    steps = silent(Watch(pace=10, now=0), float("-inf"), 0, 200)
    assert [step for _, step in steps if step is not Step.PROBE] == [
        Step.RESUBSCRIBE,
        Step.RECONNECT,
        Step.RECONNECT,
        Step.RECONNECT,
    ]
    times = [now for now, step in steps if step is Step.PROBE]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps == sorted(gaps)
    assert gaps[0] == 20


def test_quiet_market_is_left_alone() -> None:
    """Where REST has not moved either, nothing is done, and the next look is later."""
    watch = Watch(pace=10, now=0)
    assert watch.look(float("-inf"), 10) is Step.PROBE
    assert watch.probed(False, 10) is None
    assert not watch.stale
    assert watch.look(float("-inf"), 29) is None
    assert watch.look(float("-inf"), 30) is Step.PROBE


def test_unknown_is_no_verdict() -> None:
    """Where REST does not answer, nothing is done about the stream."""
    watch = Watch(pace=10, now=0)
    assert watch.look(float("-inf"), 10) is Step.PROBE
    assert watch.probed(None, 10) is None


def test_a_frame_heals() -> None:
    """A frame ends the escalation, and a probe that was under way counts for nothing."""
    watch = Watch(pace=10, now=0)
    watch.look(float("-inf"), 10)
    assert watch.probed(True, 10) is Step.RESUBSCRIBE
    assert watch.stale
    assert watch.look(float("-inf"), 30) is Step.PROBE
    assert watch.look(31.0, 31.0) is None
    assert not watch.stale
    assert watch.probed(True, 32.0) is None


def test_own_cadence() -> None:
    """A stream that comes every twenty seconds may be silent for four times that."""
    watch = Watch(pace=1, now=0)
    for now in range(0, 200, 20):
        watch.look(float(now), float(now))
    assert watch.deadline == 80
    assert Watch(pace=1, now=0).deadline == SHORTEST


def test_patience_is_bounded() -> None:
    """However long the silence, a look is taken once an hour at least."""
    watch = Watch(pace=60, now=0)
    now = 0.0
    for _ in range(20):
        now += watch.deadline
        assert watch.look(float("-inf"), now) is Step.PROBE
        watch.probed(False, now)
    assert watch.deadline == LONGEST


def test_pace() -> None:
    """A bar of a second is due each second, a bar of a day within a minute; scaled with speed."""
    assert (pace_of(1, 1), pace_of(86_400, 1), pace_of(60, 60)) == (1, 60, 1)
