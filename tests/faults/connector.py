"""The connector of a campaign: `candles run`, started again whenever it is gone."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path

from tests.end_to_end.program import Program, flags
from tests.end_to_end.stage import Stage

START_SECONDS = 60.0
"""Real seconds within which a run has taken its shard, also from a Kafka that just came back."""
STOP_SECONDS = 60.0


class Process(Program):
    """One run, which can be frozen."""

    def freeze(self) -> None:
        """Stop it where it stands (SIGSTOP)."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on (SIGCONT)."""
        self._process.send_signal(signal.SIGCONT)


class Connector:
    """Whichever run carries the wishes now, by way of Kafka's ``address``.

    ``remarks`` are the sentences of those that failed.
    """

    def __init__(self, stage: Stage, folder: Path, wishes: list[str], address: str) -> None:
        self._stage = stage
        self._folder = folder
        self._wishes = wishes
        self._address = address
        self.remarks: list[str] = []
        self.process = self._started()

    def _started(self) -> Process:
        arguments = ["run", *self._wishes, *flags(self._stage), "--kafka", self._address]
        return Process(self._folder, arguments)  # of two addresses the last one counts

    def start(self) -> None:
        """Start another run; the one before is left as it is."""
        self.process = self._started()

    async def carrying(self) -> Process:
        """Wait until the run has its shard; the first one also says when it accepted the wishes."""
        await self.process.event("shard.taken", seconds=START_SECONDS)
        if not self._stage.wishes:
            accepted = (await self.process.event("subscriptions.accepted"))["market"]
            self._stage.wishes.update(dict.fromkeys(self._wishes, accepted))
        return self.process

    def told(self) -> Counter[str]:
        """How many lines of each event the logs of all runs have; the noisiest are thinned out."""
        logs = (log.read_text().splitlines() for log in self._folder.glob("run-*.log"))
        lines = (line for log in logs for line in log if line.startswith("{"))
        return Counter(json.loads(line)["event"] for line in lines)

    def keep_up(self) -> None:
        """Start another run where the last has ended by itself, as Kubernetes would."""
        if self.process.status is not None:
            last = (self.process.wrote.strip().splitlines() or ["it wrote nothing"])[-1]
            self.remarks.append(f"a run ended by itself, status {self.process.status}: {last}")
            self.start()
