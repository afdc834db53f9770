"""A local Apache Kafka, for a laptop and for tests: one broker or a small cluster, in KRaft mode.

    async with LocalKafka(brokers=3) as kafka:
        ...  # clients connect to kafka.bootstrap

Each broker is one Java process that is also a controller. They listen on this machine only,
without encryption or passwords, and write to a log file in the data folder, never to the screen.
They end with the process that started them, even when that is killed.
"""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from connectors.errors import SetupError, UsageError
from connectors.sandbox import process
from connectors.sandbox.java import Artifact, Bundle, java
from connectors.sandbox.process import HOST, Child, DataFolder

VERSION = "4.4.0"
JARS = Bundle(
    f"kafka-{VERSION}",
    (
        Artifact("org.apache.kafka", "kafka_2.13", VERSION),
        Artifact("org.slf4j", "slf4j-simple", "1.7.36"),  # of the slf4j-api that Kafka brings
    ),
)

START_SECONDS = 90.0  # 2 to 4 on an idle machine
STOP_SECONDS = 20.0  # about 1.5 on an idle machine; then by force, which a broker recovers from
_LOOK_SECONDS = 0.5  # between two looks whether the brokers still run

_JVM = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError")
_LOGGING = tuple(
    f"-Dorg.slf4j.simpleLogger.{setting}"
    for setting in (
        "showDateTime=true",
        "dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS",
        "log.org.apache.kafka.common.config.AbstractConfig=warn",  # pages of settings
    )
)


@dataclass(frozen=True)
class _Node:
    """One broker's place: its id (from 1) and the ports of its listeners.

    Clients of ``relayed_port`` are told ``advertised_port``; both are None where no relay stands.
    """

    id: int
    port: int
    controller_port: int
    relayed_port: int | None = None
    advertised_port: int | None = None


class LocalKafka(process.Service):
    """A cluster of ``brokers`` processes; ``bootstrap`` is its address for clients.

    ``port`` is the first broker's, the others have the next ones; 0 chooses free ones. ``data`` is
    a folder that is kept, and started on again, with the same number of brokers; without it the
    data is temporary. ``properties`` are broker settings that win over the ones chosen here.
    ``advertised`` are the ports of relays, one a broker: see ``relayed``. Brokers are numbered from
    1. Errors are SetupError, each one sentence.
    """

    def __init__(
        self,
        port: int = 0,
        brokers: int = 1,
        data: Path | None = None,
        properties: Mapping[str, str] | None = None,
        advertised: Sequence[int] = (),
    ) -> None:
        if brokers < 1:
            raise UsageError(f"a Kafka of {brokers} brokers cannot be: ask for 1 or 3")
        if len(advertised) not in (0, brokers):
            raise UsageError(
                f"{len(advertised)} ports cannot be advertised by {brokers} broker(s): "
                "give one for each, or none"
            )
        self._port = port
        self._brokers = brokers
        self._data = data
        self._extra = dict(properties or {})
        self._advertised = list(advertised)
        self._nodes: list[_Node] = []
        self._children: dict[int, Child] = {}
        self._folder: DataFolder | None = None
        self._java: list[str] = []

    @property
    def bootstrap(self) -> str:
        """``host:port`` of every broker, joined by commas."""
        return ",".join(f"{HOST}:{node.port}" for node in self._nodes)

    @property
    def relayed(self) -> dict[int, int]:
        """Of each broker, the port to which a relay at its ``advertised`` port has to lead.

        Who connects there is told the advertised ports of all brokers, and so comes by way of
        relays again. Brokers, and clients of ``bootstrap``, go past them.
        """
        return {node.id: node.relayed_port for node in self._nodes if node.relayed_port}

    @property
    def folder(self) -> Path:
        """The data folder, with one log file a broker: ``broker-1.log`` and so on."""
        if self._folder is None:
            raise UsageError("this Kafka is not running: start it first")
        return self._folder.path

    @property
    def pids(self) -> dict[int, int]:
        """The process id of each broker that runs."""
        return {broker: child.pid for broker, child in self._children.items() if child.running()}

    async def stop(self) -> None:
        """End every broker and, unless it was given, remove the data folder."""
        try:
            await process.stop(list(self._children.values()), STOP_SECONDS)
        finally:
            self._children.clear()
            if self._folder is not None:
                self._folder.close()
                self._folder = None

    async def kill(self, broker: int) -> None:
        """End one broker at once, as a crash does (SIGKILL)."""
        self._child(broker).kill()

    async def restart(self, broker: int) -> None:
        """Start one broker again (ending it properly where it runs); return when it answers."""
        await process.stop([self._child(broker)], STOP_SECONDS)
        self._spawn(self._nodes[broker - 1])
        await self._ready(broker)

    def pause(self, broker: int) -> None:
        """Freeze one broker (SIGSTOP): its connections stay open and nothing answers."""
        self._child(broker).pause()

    def resume(self, broker: int) -> None:
        """Let a frozen broker go on."""
        self._child(broker).resume()

    def check(self) -> None:
        """Raise SetupError when a broker has ended by itself."""
        for broker, child in self._children.items():
            if not child.running():
                raise SetupError(
                    f"Kafka broker {broker} has ended by itself (exit status {child.status}): "
                    f"{child.last_words()}"
                )

    def _child(self, broker: int) -> Child:
        if broker not in self._children:
            raise UsageError(f"there is no broker {broker}: they are {sorted(self._children)}")
        return self._children[broker]

    async def _start(self) -> None:
        """Return when every broker answers and knows all the others."""
        program = java()
        self._nodes = self._places()
        self._java = [program, *_JVM, *_LOGGING, "-cp", f"{await JARS.resolve()}/*"]
        self._folder = DataFolder("kafka", self._data)
        cluster = _cluster_id(self.folder / "cluster.json", self._brokers)
        await asyncio.gather(*(self._format(node, cluster) for node in self._nodes))
        for node in self._nodes:
            self._spawn(node)
        await asyncio.gather(*(self._ready(node.id) for node in self._nodes))

    def _places(self) -> list[_Node]:
        free = iter(process.free_ports(3 * self._brokers))
        ports = [self._port + n if self._port else next(free) for n in range(self._brokers)]
        for port in ports:
            process.require_free(port)
        nodes = [_Node(n + 1, port, next(free)) for n, port in enumerate(ports)]
        if not self._advertised:
            return nodes
        return [
            replace(node, relayed_port=next(free), advertised_port=port)
            for node, port in zip(nodes, self._advertised, strict=True)
        ]

    async def _format(self, node: _Node, cluster: str) -> None:
        """Write the node's settings and, the first time, its empty storage."""
        settings = self._settings(node)
        file = self.folder / f"broker-{node.id}.properties"
        file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        if (Path(settings["log.dirs"]) / "meta.properties").exists():
            return
        tool = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(file)]
        child = Child([*self._java, *tool], self._log(node))
        try:
            await child.ended(START_SECONDS)
        finally:
            child.kill()
        if child.status != 0:
            raise SetupError(f"Kafka could not format its storage: {child.last_words()}")

    def _spawn(self, node: _Node) -> None:
        temporary = self.folder / f"broker-{node.id}.tmp"
        temporary.mkdir(exist_ok=True)  # where the JVM unpacks native libraries
        file = str(self.folder / f"broker-{node.id}.properties")
        java_command = [self._java[0], f"-Djava.io.tmpdir={temporary}", *self._java[1:]]
        command = [*java_command, "kafka.Kafka", file]
        self._children[node.id] = Child(command, self._log(node), cwd=self.folder)

    def _log(self, node: _Node) -> Path:
        return self.folder / f"broker-{node.id}.log"

    async def _ready(self, broker: int) -> None:
        """Wait until ``broker`` answers and counts every running one among the living."""
        port = self._nodes[broker - 1].port

        async def answers() -> bool:
            return await _living_brokers(port) >= self.pids.keys()

        await process.ready(self._child(broker), f"Kafka broker {broker}", answers, START_SECONDS)

    def _settings(self, node: _Node) -> dict[str, str]:
        copies = min(3, self._brokers)
        in_sync = max(1, copies - 1)
        return {
            "process.roles": "broker,controller",
            "node.id": str(node.id),
            "controller.quorum.voters": ",".join(
                f"{each.id}@{HOST}:{each.controller_port}" for each in self._nodes
            ),
            **_listeners(node),
            "log.dirs": str(self.folder / f"broker-{node.id}"),
            "default.replication.factor": str(copies),
            "min.insync.replicas": str(in_sync),
            **_internal_topics(copies, in_sync),
            "auto.create.topics.enable": "false",
            "unclean.leader.election.enable": "false",
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            "group.initial.rebalance.delay.ms": "0",
            "log.cleaner.dedupe.buffer.size": "16777216",  # the default is half of our heap
            **self._extra,
        }


def _listeners(node: _Node) -> dict[str, str]:
    """Where a broker listens, and what it tells its clients."""
    here, told = f"PLAINTEXT://{HOST}:{node.port}", f"PLAINTEXT://{HOST}:{node.port}"
    if node.relayed_port is not None:
        here += f",RELAYED://{HOST}:{node.relayed_port}"
        told += f",RELAYED://{HOST}:{node.advertised_port}"
    return {
        "listeners": f"{here},CONTROLLER://{HOST}:{node.controller_port}",
        "advertised.listeners": told,
        "listener.security.protocol.map": ",".join(
            f"{name}:PLAINTEXT" for name in ("PLAINTEXT", "RELAYED", "CONTROLLER")
        ),
        "controller.listener.names": "CONTROLLER",
    }


def _internal_topics(copies: int, in_sync: int) -> dict[str, str]:
    """Few partitions: 50 of each, the default, only cost time on one machine."""
    return {
        "offsets.topic.num.partitions": "6",
        "offsets.topic.replication.factor": str(copies),
        "transaction.state.log.num.partitions": "6",
        "transaction.state.log.replication.factor": str(copies),
        "transaction.state.log.min.isr": str(in_sync),
        "share.coordinator.state.topic.num.partitions": "6",
        "share.coordinator.state.topic.replication.factor": str(copies),
        "share.coordinator.state.topic.min.isr": str(in_sync),
    }


def _cluster_id(file: Path, brokers: int) -> str:
    """The id of the cluster whose data is here; a new one where there is none."""
    if file.exists():
        known = json.loads(file.read_text())
        if known["brokers"] != brokers:
            raise SetupError(
                f"the data in {file.parent} is that of {known['brokers']} broker(s), not of "
                f"{brokers}: ask for as many, or choose another folder"
            )
        return str(known["id"])
    new = "-"
    while new.startswith("-"):  # which Kafka's own tool would take for an option
        new = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    file.write_text(json.dumps({"id": new, "brokers": brokers}))
    return new


async def _living_brokers(port: int) -> set[int]:
    """The ids of the brokers that the one at ``port`` counts among the living."""
    with suppress(OSError, KafkaError, TimeoutError):
        connection = await create_conn(HOST, port, request_timeout_ms=2000)
        try:
            return {broker[0] for broker in (await connection.send(MetadataRequest([]))).brokers}
        finally:
            await connection.close()
    return set()


async def serve(
    port: int,
    brokers: int,
    data: Path | None,
    ready: Callable[[LocalKafka], None],
) -> None:
    """Run a local Kafka until cancelled; ``ready`` is called once when it answers.

    Raises SetupError when it cannot start, or when a broker ends by itself.
    """
    async with LocalKafka(port=port, brokers=brokers, data=data) as kafka:
        ready(kafka)
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            kafka.check()
