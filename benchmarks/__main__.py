"""``make bench``: messages a CPU-second through the whole way, its parts, and the floor beside it.

Exit status 1 where a record is lost, doubled, wrong or out of order, or where it cannot run; never
because of time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks.contest import WARM_UP, Arena
from benchmarks.load import Load
from benchmarks.report import Report
from benchmarks.stages import Stages
from connectors.errors import ConnectorError
from connectors.sandbox.kafka import LocalKafka
from connectors.telemetry import configure

MESSAGES = 40_000
MOST = 200_000


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--kafka", metavar="HOST:PORT", help="this Kafka instead of a local one")
    parser.add_argument("--messages", type=_messages, default=MESSAGES, help="in each round")
    parser.add_argument("--rounds", type=int, default=3, help="how often all is measured")
    parser.add_argument("--json", action="store_true", help="all figures as JSON, no table")
    return parser.parse_args()


def _messages(text: str) -> int:
    number = int(text)
    if not 1_000 <= number <= MOST:
        raise argparse.ArgumentTypeError(f"measure 1000 to {MOST} messages")
    return number


async def measured(kafka: str | None, messages: int, rounds: int) -> Report:
    """Everything, in turns, so that noise hits all alike."""
    report = Report()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="candles-bench-")))
        if kafka is None:
            _say("starting a local Kafka")
            kafka = (await stack.enter_async_context(LocalKafka())).bootstrap
        arena = Arena(kafka, Load.until_now(WARM_UP + messages), folder)
        await arena.serving(stack.enter_context(arena.server()))
        stages = Stages(arena)
        for turn in range(1, rounds + 1):
            _say(f"round {turn} of {rounds}")
            report.ours.append(await arena.contest("ours"))
            report.floor.append(await arena.contest("floor"))
            ours, floor = await stages.measure()
            report.our_parts.append(ours)
            report.floor_parts.append(floor)
    return report


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def main() -> int:
    """The exit status."""
    told = arguments()
    configure("human", "warning")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # says much about topics in the making
    try:
        report = asyncio.run(measured(told.kafka, told.messages, told.rounds))
    except ConnectorError as error:
        _say(f"the benchmark cannot run: {error}")
        return 1
    print(json.dumps(report.as_json(), indent=1) if told.json else report.as_text())
    return int(any(report.faults.values()))


if __name__ == "__main__":
    sys.exit(main())
