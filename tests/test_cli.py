"""The program `candles`: each command for real, and one sentence for each thing that goes wrong."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
import structlog
from click.testing import CliRunner

from connectors.cli import main
from connectors.commands import listing
from connectors.sandbox.server import Sandbox
from tests.kafka.guarded import PASSWORD, Guarded

PATIENCE = 60.0
SUBSCRIPTION = "binance_spot:BTC-USDT:1m"


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """The program sets the log of the whole process up: put it back."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def call(*words: str, **environment: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of the program, run in this process."""
    found = CliRunner(env=environment).invoke(main, words, prog_name="candles")
    return found.exit_code, found.stdout, found.stderr


def sentence(status: int, *words: str, **environment: str) -> str:
    """The one sentence on stderr of a command that fails with this status."""
    found, printed, said = call(*words, **environment)
    assert (found, printed) == (status, ""), said
    assert re.fullmatch(r"candles: .+\n", said), said
    assert "Traceback" not in said
    return said.removeprefix("candles: ").strip()


async def started(*words: str, **environment: str) -> asyncio.subprocess.Process:
    """The program as a process of its own, in which every warning is an error."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "connectors.cli", *words),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
    )


async def ended(program: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    """Exit status, and what was printed that was not read yet."""
    async with asyncio.timeout(PATIENCE):
        printed, said = await program.communicate()
    return program.returncode, printed.decode(), said.decode()


async def heard(program: asyncio.subprocess.Process, word: str) -> str:
    """The next line on stderr that has this word."""
    assert program.stderr is not None
    async with asyncio.timeout(PATIENCE):
        while line := (await program.stderr.readline()).decode():
            if word in line:
                return line
    raise AssertionError(f"it ended without {word}: {await ended(program)}")


# --- help


@pytest.mark.parametrize("name", sorted(main.commands))
def test_help(name: str) -> None:
    """Each command's help has an example, and the example is right use."""
    status, printed, said = call(name, "--help")

    assert (status, said) == (0, "")
    (example,) = re.findall(r"Example: candles ((?:.+\n?)+)", printed)
    words = shlex.split(example)
    assert words[0] == name
    context = main.commands[name].make_context(name, words[1:])
    assert not context.args


def test_bare() -> None:
    """Without a command the commands are listed."""
    status, printed, said = call()

    assert (status, said) == (0, "")
    assert all(f"\n  {name} " in printed for name in main.commands)


def test_version() -> None:
    """The version is told."""
    assert call("--version")[1].startswith("candles, version ")


# --- wrong use: status 2


@pytest.mark.parametrize(
    ("words", "right"),
    [
        ("rum", "No such command 'rum'. Did you mean 'run'?"),
        ("run", "Missing argument 'SUBSCRIPTION…': candles run --help shows the right use"),
        ("run --kafak k:1", "No such option '--kafak'.*--kafka"),
        ("run foo", "'foo' is not a subscription: write exchange:BASE-QUOTE:interval"),
        ("run Binance:BTC-USDT:1m", "'Binance' in .* is not an exchange: candles exchanges lists"),
        ("run binance_spto:BTC-USDT:1m", "'binance_spto' is not an exchange; .* binance_spot"),
        ("run binance_spot:btc-usdt:1m", "'btc-usdt' in .* is no trading pair: write BASE-QUOTE"),
        ("run binance_spot:BTC-USDT:m", "'m' is not an interval: write a number and one of s m h"),
        ("run binance_spot:BTC-USDT:7m", "binance_spot has no interval 7m; it has 1s 1m 3m 5m"),
        (f"run {SUBSCRIPTION}", "where is Kafka[?] Say it with --kafka host:port"),
        (f"run {SUBSCRIPTION} --kafka k:x", "from the flag --kafka: .* write host:port"),
        (f"run {SUBSCRIPTION} --live some", "from the flag --live: .* use all, newest, none"),
        (f"run {SUBSCRIPTION} --prefix a.b", "from the flag --prefix: .* without dots"),
        (f"run {SUBSCRIPTION} --config /x.toml", "the settings file /x.toml cannot be read"),
        ("tail binance_spto", "'binance_spto' is not an exchange; did you mean binance_spot"),
        ("tail a:b", "'a:b' is not a subscription: write exchange:BASE-QUOTE:interval"),
        ("tail", "where is Kafka[?] Say it with --kafka host:port"),
        ("tail --count 0", "Invalid value for '--count': 0 is not in the range"),
        ("sandbox --speed 0", "Invalid value for '--speed': 0.0 is not in the range"),
        ("sandbox --port x", "Invalid value for '--port'"),
        ("kafka --brokers 0", "Invalid value for '--brokers': 0 is not in the range"),
        ("demo --seconds 0", "Invalid value for '--seconds': 0.0 is not in the range"),
    ],
)
def test_wrong_use(words: str, right: str) -> None:
    """Wrong use is one sentence that says what would be right, and status 2."""
    assert re.search(right, sentence(2, *words.split()))


def test_wrong_variable() -> None:
    """A wrong environment variable is named."""
    said = sentence(2, "run", SUBSCRIPTION, CANDLES_LIVE="some")

    assert said.startswith("setting live, from the environment variable CANDLES_LIVE: 'some'")


# --- failures: status 1


@pytest.mark.parametrize("command", [["run", SUBSCRIPTION], ["tail"], ["demo"]])
def test_kafka_unreachable(command: list[str]) -> None:
    """Where Kafka does not answer, that is all that is said."""
    said = sentence(1, *command, "--kafka", "127.0.0.1:9")

    assert said.startswith("nothing answers at 127.0.0.1:9 (Connection refused): start Kafka there")


def test_no_sandbox() -> None:
    """Where the sandbox does not answer, the sentence says how to start one."""
    words = ["run", SUBSCRIPTION, "--kafka", "127.0.0.1:9", "--sandbox", "http://127.0.0.1:9"]

    assert sentence(1, *words).startswith("nothing answers at http://127.0.0.1:9: start a sandbox")


@pytest.mark.parametrize("command", ["sandbox", "kafka"])
def test_port_taken(command: str) -> None:
    """A port that is taken is named before anything is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = sentence(1, command, "--port", port)

    assert said == (
        f"port {port} is taken: stop the program that listens there, or choose another --port"
    )


@pytest.mark.parametrize("command", ["kafka", "demo"])
def test_no_java(command: str) -> None:
    """Without Java the sentence says what to install."""
    found, _, said = call(command, PATH="/nowhere", JAVA_HOME="")

    assert found == 1
    assert said.startswith("candles: there is no Java on this machine: install a JDK, 17 or newer")


@pytest.mark.kafka
def test_no_topics(kafka: str, prefix: str) -> None:
    """Reading topics that are not there names them and the prefix."""
    said = sentence(1, "tail", "binance_spot", "--kafka", kafka, "--prefix", prefix)

    topics = f"{prefix}.binance_spot.closed or {prefix}.binance_spot.live"
    assert said == (
        f"Kafka at {kafka} has no topic {topics}: "
        "is another --prefix meant, or has candles run not been started yet?"
    )


def test_unforeseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody foresaw is one sentence with its kind; the traceback is for the log."""

    def broken(_: object) -> None:
        raise KeyError("volume")

    monkeypatch.setattr(listing, "facts", broken)

    said = sentence(1, "exchanges")
    _, _, logged = call("exchanges", "--log-level", "debug", "--log-format", "json")

    assert said == (
        "something unforeseen went wrong (KeyError: 'volume'); --log-level debug logs where"
    )
    line, last = logged.splitlines()
    assert "in broken" in json.loads(line)["exception"]
    assert last == f"candles: {said}"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A Kafka that wants a password, or TLS."""
    service = Guarded(tmp_path_factory.mktemp("tls"))
    asyncio.run(service.start())
    yield service
    asyncio.run(service.stop())


@pytest.mark.kafka
def test_wrong_password(guarded: Guarded) -> None:
    """A wrong password is told with the user's name, and never shown."""
    login = ["--kafka", guarded.sasl, "--kafka-security", "SASL_PLAINTEXT", "--kafka-user", "alice"]
    login += ["--log-level", "error"]  # a library warns of passwords in the clear
    wrong, correct = ({"CANDLES_KAFKA_PASSWORD": word} for word in ("battery staple", PASSWORD))

    said = sentence(1, "run", SUBSCRIPTION, *login, **wrong)
    right = sentence(1, "tail", *login, **correct)

    assert said.startswith(f"Kafka at {guarded.sasl} refuses to log alice in with PLAIN")
    assert "battery staple" not in said
    assert "has no topic candles." in right


@pytest.mark.kafka
def test_wrong_certificate(guarded: Guarded) -> None:
    """A certificate that nobody vouches for is told; with its authority all is well."""
    tls = ["tail", "--kafka", guarded.tls, "--kafka-security", "SSL"]

    said = sentence(1, *tls)
    right = sentence(1, *tls, "--kafka-cafile", str(guarded.cafile))

    assert said.startswith(f"the certificate of Kafka at {guarded.tls} is not to be trusted")
    assert "has no topic candles." in right


# --- a reader that goes away


def test_reader_gone() -> None:
    """When whoever reads our output has gone, nothing is said."""
    reading, writing = os.pipe()
    os.close(reading)
    program = [sys.executable, "-m", "connectors.cli", "exchanges", "--json"]
    found = subprocess.run(program, stdout=writing, stderr=subprocess.PIPE, check=False)  # noqa: S603 - our own
    os.close(writing)

    assert (found.returncode, found.stderr) == (1, b"")


# --- run and tail


@pytest.mark.kafka
async def test_run_and_tail(kafka: str, prefix: str) -> None:
    """What `run` carries, `tail` shows; SIGTERM drains and one line accounts for everything."""
    place = ["--kafka", kafka, "--prefix", prefix]
    polled = "coinbase_exchange:BTC-USD:1m"
    async with Sandbox(0, speed=60) as sandbox:
        run = await started(
            *("run", SUBSCRIPTION, polled, SUBSCRIPTION, "--sandbox", sandbox.url, *place),
            *("--log-format", "json", "--partitions", "2"),
        )
        await heard(run, "shard.taken")

        closed = await ended(
            await started("tail", *place, "--closed", "--from-beginning", "--count", "4", "--json")
        )
        live = await ended(await started("tail", SUBSCRIPTION, *place, "--live", "--count", "2"))
        some = await ended(
            await started("tail", "coinbase_exchange", *place, "--from-beginning", "--count", "2")
        )
        run.send_signal(signal.SIGTERM)
        status, printed, said = await ended(run)

    assert status == 0, said
    assert re.fullmatch(r"received \d+ = published \d+ [^\n]*\n", printed)
    assert (closed[0], closed[2], live[0], live[2]) == (0, "", 0, "")
    candles = [json.loads(text) for text in closed[1].splitlines()]
    assert len(candles) == 4
    assert {candle["interval"] for candle in candles} == {"1m"}
    for candle in candles:
        assert candle["closed"] is True
        assert candle["close_time"] == candle["open_time"] + 60_000
        assert candle["low"] <= candle["close"] <= candle["high"]
    pattern = rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:00  {SUBSCRIPTION} +open    O [\d.]+  H .*  V [\d.]+"
    assert [bool(re.fullmatch(pattern, text)) for text in live[1].splitlines()] == [True, True]
    assert [polled in text and "closed  O" in text for text in some[1].splitlines()] == [True, True]


@pytest.mark.kafka
async def test_interrupted_tail(kafka: str, prefix: str) -> None:
    """A tail that waits for candles ends at once and in silence with SIGINT."""
    place = ["--kafka", kafka, "--prefix", prefix]
    async with Sandbox(0, speed=60) as sandbox:
        run = await started("run", SUBSCRIPTION, "--sandbox", sandbox.url, *place)
        await heard(run, "shard.taken")
        tail = await started("tail", *place)
        assert tail.stdout is not None
        assert await asyncio.wait_for(tail.stdout.readline(), PATIENCE)
        tail.send_signal(signal.SIGINT)
        status, _, said = await ended(tail)
        run.send_signal(signal.SIGINT)
        assert (await ended(run))[0] == 0

    assert (status, said) == (0, "")


@pytest.mark.kafka
async def test_registry(kafka: str, prefix: str, registry: str) -> None:
    """With a schema registry candles are framed by its ids, and `tail` looks them up there."""
    place = ["--kafka", kafka, "--prefix", prefix]
    async with Sandbox(0, speed=60) as sandbox:
        run = await started(
            "run", SUBSCRIPTION, "--sandbox", sandbox.url, "--registry", registry, *place
        )
        await heard(run, "shard.taken")
        words = ["tail", *place, "--closed", "--from-beginning", "--count", "1"]
        found = await ended(await started(*words, "--registry", registry))
        blind = await ended(await started(*words))
        run.send_signal(signal.SIGTERM)
        assert (await ended(run))[0] == 0

    assert (found[0], found[2]) == (0, "")
    assert SUBSCRIPTION in found[1]
    assert (blind[0], blind[1]) == (1, "")
    assert re.fullmatch(
        r"candles: .* was written with a schema registry: give it with --registry\n", blind[2]
    )


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("subscription", "right"),
    [
        ("binance_spot:BTC-USDTT:1m", "binance_spot lists no BTC-USDTT; did you mean BTC-USDT"),
        ("okx_spot:NOPE-USDT:1m", "okx_spot lists no NOPE-USDT"),
    ],
)
async def test_unknown_pair(kafka: str, prefix: str, subscription: str, right: str) -> None:
    """A pair that the exchange does not list is refused before any WebSocket is opened."""
    async with Sandbox(0) as sandbox, aiohttp.ClientSession() as http:
        run = await started(
            *("run", subscription, "--kafka", kafka, "--prefix", prefix, "--sandbox", sandbox.url)
        )
        status, printed, said = await ended(run)
        async with http.get(f"{sandbox.url}/-/journal") as reply:
            journal = await reply.json()

    assert (status, printed) == (2, "")
    assert said.startswith(f"candles: {subscription}: {right}")
    assert said.count("\n") == 1
    assert journal["connections"] == []


# --- sandbox and kafka


async def test_sandbox() -> None:
    """The sandbox says where it is when it listens, and ends in silence with SIGINT."""
    program = await started("sandbox", "--port", "0", "--speed", "7")
    assert program.stdout is not None
    line = (await program.stdout.readline()).decode()
    url = re.match(r"The sandbox is ready at (http://127.0.0.1:\d+) ", line)
    assert url, line

    async with aiohttp.ClientSession() as http, http.get(f"{url[1]}/-/clock") as reply:
        assert (await reply.json())["speed"] == 7
    program.send_signal(signal.SIGINT)

    assert await ended(program) == (0, "", "")


@pytest.mark.kafka
async def test_kafka(tmp_path: Path) -> None:
    """The local Kafka says where it is when it answers, and ends in silence with SIGTERM."""
    program = await started("kafka", "--port", "0", "--data", str(tmp_path / "data"))
    assert program.stdout is not None
    line = (await asyncio.wait_for(program.stdout.readline(), PATIENCE)).decode()
    where = re.match(r"Kafka is ready at (127.0.0.1:\d+) ", line)
    assert where, line

    tail = await started("tail", "--kafka", where[1])
    assert (await ended(tail))[2].startswith(f"candles: Kafka at {where[1]} has no topic candles.")
    program.send_signal(signal.SIGTERM)

    assert await ended(program) == (0, "", "")
    assert (tmp_path / "data" / "broker-1.log").exists()
