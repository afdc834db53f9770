"""Many runs: until one goes wrong, whose story is told as shortly as can be."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from connectors.ledger import Ledger
from tests.simulation.plan import Plan, What
from tests.simulation.shrink import Shrinking
from tests.simulation.story import Story
from tests.simulation.verdict import VERDICTS
from tests.simulation.world import World


@dataclass
class Tally:
    """What runs amount to; ``failed`` is the plan that ended them."""

    seeds: int = 0
    candles: int = 0
    faults: int = 0
    seconds: float = 0.0
    failed: Plan | None = None

    def __str__(self) -> str:
        verdicts = "" if self.failed else "".join(f"{verdict} 0 · " for verdict in VERDICTS)
        return (
            f"seeds {self.seeds} · closed candles {self.candles} · faults {self.faults} · "
            f"{verdicts}{self.seconds:.0f} s of CPU"
        )


def simulate(
    seeds: Iterable[int], make: Callable[..., Ledger] = Ledger, only: Sequence[What] = ()
) -> Tally:
    """Run the plans of these seeds until one goes wrong; with ``only`` faults of these kinds."""
    tally, began = Tally(), time.process_time()
    for seed in seeds:
        plan = Plan.drawn(seed, only)
        world = World(plan, make)
        wrong = world.run()
        tally.seeds += 1
        tally.candles += world.candles
        tally.faults += len(plan.faults)
        if wrong:
            tally.failed = plan
            break
    tally.seconds = time.process_time() - began
    return tally


def story_of(plan: Plan, make: Callable[..., Ledger] = Ledger) -> str:
    """The story of a plan that goes wrong, of as little of it as still goes wrong alike."""
    verdict = World(plan, make).run()[0].verdict

    def fails(smaller: Plan) -> bool:
        return any(it.verdict == verdict for it in World(smaller, make).run()[:1])

    smallest = Shrinking(plan, fails).smallest()
    about = World(smallest, make).run()[0]
    story = Story(smallest, about)
    world = World(smallest, make, story)
    world.run()
    pair = next(pair for pair in world.pairs if pair.number == about.pair)
    return story.told(pair.truth.final(about.slot))
