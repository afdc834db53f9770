"""What is left of a plan that goes wrong."""

from __future__ import annotations

from tests.simulation.campaign import story_of
from tests.simulation.plan import Plan, What
from tests.simulation.shrink import Shrinking
from tests.simulation.test_mutations import WithoutRepair, first_failure
from tests.simulation.world import World


def test_what_a_failure_does_not_need_is_left_out() -> None:
    """Two faults that only do harm together are all that is left of some twenty."""
    plan = next(plan for plan in map(Plan.drawn, range(100)) if _harm(plan))
    smallest = Shrinking(plan, _harm).smallest()
    assert sorted(fault.what.name for fault in smallest.faults) == ["CUT", "KILLED"]
    assert len(smallest.wishes) == 1
    assert smallest.noise < plan.noise


def _harm(plan: Plan) -> bool:
    """A worker is killed while the connection is cut."""
    killed = [fault for fault in plan.faults if fault.what is What.KILLED]
    cuts = [fault for fault in plan.faults if fault.what is What.CUT]
    return any(cut.at < kill.at < plan.noise for kill in killed for cut in cuts)


def test_the_story_tells_what_was_expected_and_what_happened_instead() -> None:
    """A few numbered lines: the fault, what REST said, what was published, the truth."""
    plan = first_failure(WithoutRepair)
    assert plan is not None
    story = story_of(plan, WithoutRepair)
    assert len(story.splitlines()) < 60, story
    assert story.startswith(f"seed {plan.seed}, "), story
    assert "coverage: missing" in story, story
    assert "\nexpected: " in story, story
    assert "\nlost: bar " in story, story


def test_a_plan_runs_alike_each_time() -> None:
    """Nothing but the plan decides what happens."""
    one, other = World(Plan.drawn(3)), World(Plan.drawn(3))
    assert one.run() == other.run()
    assert [repr(p.log.candles) for p in one.pairs] == [repr(p.log.candles) for p in other.pairs]
