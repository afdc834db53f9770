"""`make faults`: every kind of fault, a table of what came of it, and an exit status.

The status is 1 where a figure is not 0, where a run ended that nobody had stopped, and where a
fault did not end as it should.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections import defaultdict
from fnmatch import fnmatchcase
from pathlib import Path

from tests.faults.campaign import Campaign, campaign
from tests.faults.judgement import COLUMNS, Amiss
from tests.faults.kinds import KINDS

WIDTH = max(map(len, KINDS)) + 1
END = "the end: SIGTERM"
SHOWN = 5
"""So many sentences of each round that is not right are printed."""

Results = dict[str, list[Amiss]]


def main() -> int:
    """Run it; 1 where any figure is not 0."""
    asked = arguments()
    seed = random.randrange(10_000) if asked.seed is None else asked.seed
    names = [name for name in KINDS if fnmatchcase(name, asked.only)]
    say(f"seed {seed}: {len(names)} kinds of fault, {asked.rounds} round(s) each")
    results, remarks = asyncio.run(play(names, asked.rounds, seed))
    say(table(results))
    for remark in remarks:
        say(f"! {remark}")
    wrong = any(amiss.everything for rounds in results.values() for amiss in rounds)
    return int(wrong or bool(remarks) or not results)


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="make faults")
    parser.add_argument("--rounds", type=int, default=1, help="of each kind")
    parser.add_argument("--seed", type=int, help="repeats the order and the lengths of a campaign")
    parser.add_argument("--only", default="*", help="kinds whose names match, as in 'broker*'")
    return parser.parse_args()


async def play(names: list[str], rounds: int, seed: int) -> tuple[Results, list[str]]:
    """All rounds, in an order by the seed: what each made amiss, and what is remarkable."""
    order = names * rounds
    random.Random(seed).shuffle(order)
    results: Results = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="candles-faults-") as folder:
        async with campaign(f"faults-{seed}", Path(folder), seed, brokers=3) as played:
            for name in order:
                results[name].append(await one(played, name))
            results[END].append(await played.ended())
            remarks = played.connector.remarks
            told = sorted(played.connector.told().items())
            say("\nthe runs told: " + ", ".join(f"{event} {count}" for event, count in told))
    return results, remarks


async def one(played: Campaign, name: str) -> Amiss:
    """One round, told as soon as it is over."""
    before = len(played.connector.remarks)
    amiss = await played.round(KINDS[name])
    said = ", ".join(f"{len(it)} {column}" for column, it in amiss.sentences.items() if it)
    fault, healing = played.seconds
    say(f"{name:{WIDTH}}{fault:4.0f} s + {healing:3.0f} s  {said or 'nothing amiss'}")
    if played.latencies is not None:
        say(f"    {played.latencies}")
    for sentence in (*amiss.everything[:SHOWN], *played.connector.remarks[before:]):
        say(f"    {sentence}")
    return amiss


def table(results: Results) -> str:
    """The figures of each kind."""
    head = f"{'kind of fault':{WIDTH}}{'rounds':>8}" + "".join(f"{it:>14}" for it in COLUMNS)
    names = [name for name in (*KINDS, END) if name in results]
    return "\n".join(["", head, *(line(name, results[name]) for name in names)])


def line(name: str, rounds: list[Amiss]) -> str:
    """One kind."""
    figures = (sum(len(amiss.sentences[it]) for amiss in rounds) for it in COLUMNS)
    return f"{name:{WIDTH}}{len(rounds):>8}" + "".join(f"{figure:>14}" for figure in figures)


def say(text: str) -> None:
    """Tell it now, whatever stdout is."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
