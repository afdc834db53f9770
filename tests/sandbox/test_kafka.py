"""The local Kafka, for real: starts, answers, can be hurt and healed, leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from connectors.errors import SetupError, UsageError
from connectors.sandbox import process
from connectors.sandbox.kafka import LocalKafka, _cluster_id, serve
from connectors.sandbox.process import HOST
from connectors.sandbox.relay import Relay, Weather
from tests.oracle import read_topics

# What the command `candles kafka` does, without its command line.
SERVE = """
import asyncio, signal
from connectors.sandbox.kafka import serve

def ready(kafka):
    print(*kafka.pids.values(), flush=True)

async def main():
    work = asyncio.create_task(serve(0, 1, None, ready))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
    await asyncio.wait([work])

asyncio.run(main())
"""


def _create(bootstrap: str, topic: str, copies: int = 1) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for created in admin.create_topics([NewTopic(topic, 1, copies)]).values():
        created.result(20)


def _produce(bootstrap: str, topic: str, value: bytes) -> None:
    """One acknowledged record; fails when it is not acknowledged."""
    failed: list[object] = []
    settings = {"bootstrap.servers": bootstrap, "acks": "all", "message.timeout.ms": 20_000}
    producer = Producer({**settings, "log_level": 0})
    producer.produce(topic, value, on_delivery=lambda error, _: failed.append(error))
    producer.flush(25)
    assert failed == [None]


def _values(bootstrap: str, topic: str) -> list[bytes | None]:
    return [record.value for record in read_topics(bootstrap, topic)]


def _brokers(bootstrap: str) -> set[str]:
    """The addresses that a client who asks there is told."""
    told = AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=10)
    return {f"{broker.host}:{broker.port}" for broker in told.brokers.values()}


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@contextmanager
def _served(temporary: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that serves a Kafka, with the process id of its broker."""
    environment = {**os.environ, "TMPDIR": str(temporary)}
    command = [sys.executable, "-W", "error", "-c", SERVE]
    with subprocess.Popen(  # noqa: S603 - the program above
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as program:
        assert program.stdout is not None
        try:
            line = program.stdout.readline()
            assert line.strip().isdigit(), line + program.stdout.read()
            yield program, int(line)
        finally:
            program.kill()


def test_settings(kafka: str) -> None:
    """The broker of the tests makes no topics by itself and elects no unclean leaders."""
    admin = AdminClient({"bootstrap.servers": kafka})
    (broker,) = admin.list_topics(timeout=10).brokers
    resource = ConfigResource("broker", str(broker))
    (found,) = [each.result(10) for each in admin.describe_configs([resource]).values()]
    expected = {
        "auto.create.topics.enable": "false",
        "unclean.leader.election.enable": "false",
        "broker.session.timeout.ms": "3000",
        "default.replication.factor": "1",
        "group.initial.rebalance.delay.ms": "0",
    }
    assert expected == {name: found[name].value for name in expected}


async def test_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen, then crashed broker comes back with its records, and all is gone at the end."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    async with LocalKafka() as kafka:
        address = kafka.bootstrap
        await asyncio.to_thread(_create, address, "numbers")
        await asyncio.to_thread(_produce, address, "numbers", b"1")
        kafka.pause(1)
        kafka.resume(1)
        await kafka.kill(1)
        assert kafka.pids == {}
        with pytest.raises(SetupError, match=r"^Kafka broker 1 has ended by itself .*-9"):
            kafka.check()
        await kafka.restart(1)
        kafka.check()
        assert kafka.bootstrap == address
        assert await asyncio.to_thread(_values, address, "numbers") == [b"1"]
        pids = list(kafka.pids.values())
    assert all(_gone(pid) for pid in pids)
    assert os.listdir(tmp_path) == []


async def test_data_kept(tmp_path: Path) -> None:
    """A given data folder is kept and started on again, by as many brokers, on a given port."""
    data, port = tmp_path / "data", process.free_ports(1)[0]
    async with LocalKafka(port=port, data=data) as kafka:
        assert kafka.bootstrap == f"127.0.0.1:{port}"
        await asyncio.to_thread(_create, kafka.bootstrap, "numbers")
        await asyncio.to_thread(_produce, kafka.bootstrap, "numbers", b"1")
        with pytest.raises(SetupError, match="in use by a running kafka"):
            await LocalKafka(data=data).start()

    async with LocalKafka(data=data) as kafka:
        assert await asyncio.to_thread(_values, kafka.bootstrap, "numbers") == [b"1"]

    with pytest.raises(SetupError, match=r"is that of 1 broker\(s\), not of 3: ask for as many"):
        await LocalKafka(data=data, brokers=3).start()
    assert (data / "broker-1.log").stat().st_size > 0


async def test_port_taken() -> None:
    """A taken port is refused with one sentence, before anything is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=f"^port {port} is taken: stop "):
            await LocalKafka(port=port).start()


async def test_no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a Java nothing is started, and the sentence says what to install."""
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(SetupError, match=r"^there is no Java on this machine: install a JDK, 17"):
        await LocalKafka().start()


async def test_wrong_property() -> None:
    """A setting that Kafka refuses is reported with Kafka's own words."""
    with pytest.raises(SetupError, match=r"^Kafka could not .* log\.retention\.hours"):
        await LocalKafka(properties={"log.retention.hours": "soon"}).start()


async def test_behind_a_relay() -> None:
    """Clients of the listener behind the relay are sent to the relay, all others past it."""
    async with Relay() as relay, LocalKafka(advertised=[relay.port]) as kafka:
        relay.target = kafka.relayed[1]
        await asyncio.to_thread(_create, kafka.bootstrap, "numbers")
        relayed = f"{HOST}:{relay.port}"
        await asyncio.to_thread(_produce, relayed, "numbers", b"1")
        relay.weather = Weather(held=True)
        assert await asyncio.to_thread(_values, kafka.bootstrap, "numbers") == [b"1"]
        relay.weather = Weather()
        assert await asyncio.to_thread(_brokers, relayed) == {relayed}
        assert await asyncio.to_thread(_brokers, kafka.bootstrap) == {kafka.bootstrap}


async def test_wrong_use() -> None:
    """Brokers that cannot be or are not there are refused with a sentence."""
    with pytest.raises(UsageError, match="0 brokers cannot be"):
        LocalKafka(brokers=0)
    with pytest.raises(UsageError, match="2 ports cannot be advertised by 3 broker"):
        LocalKafka(brokers=3, advertised=[1, 2])
    with pytest.raises(UsageError, match="there is no broker 2"):
        await LocalKafka().kill(2)
    with pytest.raises(UsageError, match="not running: start it first"):
        _ = LocalKafka().folder


def test_terminated(tmp_path: Path) -> None:
    """SIGTERM to the parent ends the broker properly: nothing printed, nothing left behind."""
    with _served(tmp_path) as (program, broker):
        log = next(tmp_path.glob("candles-kafka-*/broker-1.log"))
        with log.open() as words:
            program.send_signal(signal.SIGTERM)
            printed, _ = program.communicate(timeout=60)
            assert "shutdown completed" in words.read().lower()
    assert (program.returncode, printed) == (0, "")
    assert _gone(broker)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_killed(tmp_path: Path) -> None:
    """The broker does not outlive the kill -9 of its parent."""
    with _served(tmp_path) as (program, broker):
        program.kill()
        program.wait()
        assert asyncio.run(process.until(lambda: _gone(broker), 10)), f"process {broker} lives on"


async def test_serve_notices() -> None:
    """Serving ends with a sentence when a broker ends by itself."""
    running: asyncio.Future[LocalKafka] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(0, 1, None, running.set_result))
    await asyncio.wait([serving, running], return_when=asyncio.FIRST_COMPLETED)
    await running.result().kill(1)
    with pytest.raises(SetupError, match=r"^Kafka broker 1 has ended by itself"):
        await asyncio.wait_for(serving, 30)


def test_no_id_looks_like_an_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An id that Kafka's tool would take for an option is never given to a new cluster."""
    made = iter([uuid.UUID(bytes=bytes([first]) * 16) for first in (0xF8, 0xFB, 0x41)])
    monkeypatch.setattr(uuid, "uuid4", lambda: next(made))
    assert _cluster_id(tmp_path / "cluster.json", 1) == "QUFBQUFBQUFBQUFBQUFBQQ"


@pytest.mark.slow
async def test_cluster() -> None:
    """Three brokers know each other, and two of them go on when one has crashed."""
    async with LocalKafka(brokers=3) as kafka:
        assert kafka.pids.keys() == {1, 2, 3}
        await asyncio.to_thread(_create, kafka.bootstrap, "numbers", 3)
        await asyncio.to_thread(_produce, kafka.bootstrap, "numbers", b"1")
        await kafka.kill(2)
        await asyncio.to_thread(_produce, kafka.bootstrap, "numbers", b"2")
        await kafka.restart(2)
        await kafka.kill(3)
        await asyncio.to_thread(_produce, kafka.bootstrap, "numbers", b"3")
        await kafka.restart(3)
        assert await asyncio.to_thread(_values, kafka.bootstrap, "numbers") == [b"1", b"2", b"3"]
