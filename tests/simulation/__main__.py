"""As long as one likes: ``python -m tests.simulation FIRST COUNT`` runs so many seeds."""

from __future__ import annotations

import sys

from tests.simulation.campaign import simulate, story_of


def main(first: int = 0, count: int = 2_000) -> int:
    """Run the seeds: the story of the first that goes wrong, and a line of figures."""
    tally = simulate(range(first, first + count))
    if tally.failed is not None:
        sys.stdout.write(story_of(tally.failed) + "\n")
    sys.stdout.write(f"{tally}\n")
    return 0 if tally.failed is None else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
