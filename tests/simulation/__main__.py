"""As long as one likes: ``python -m tests.simulation FIRST COUNT`` runs so many seeds."""

from __future__ import annotations

import sys
import time

from tests.simulation.world import World, told


def main(first: int = 0, count: int = 2_000) -> int:
    """Run the seeds; the story of the first that goes wrong, and a line of figures."""
    candles = 0
    for seed in range(first, first + count):
        world = World(seed)
        if world.run():
            sys.stdout.write(told(world) + "\n")
            return 1
        candles += sum(len(carried.kept.candles) for carried in world.carried.values())
    seconds = time.process_time()
    sys.stdout.write(
        f"seeds {first}..{first + count - 1} · closed {candles} · lost 0 · doubled 0 · wrong 0 · "
        f"out of order 0 · undeclared 0 · {seconds:.0f} s of CPU\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
