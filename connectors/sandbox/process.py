"""Local programs on behalf of this process: ports, folders, and children that never stay behind.

Nothing here belongs to an event loop: a service may be started by one ``asyncio.run`` and stopped
by another, as session-wide test fixtures do.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from connectors.errors import SetupError

HOST = "127.0.0.1"
TICK = 0.05  # seconds between two looks at something that is awaited

# Below the ephemeral range of Linux (32768) and macOS (49152): the kernel gives those to outgoing
# connections, which could take the port of a service that is down for a moment, or even connect
# to themselves there.
FREE_PORTS = range(20000, 32000)


class Service(ABC):
    """Something that runs in processes of its own; an asynchronous context manager."""

    async def start(self) -> None:
        """Return when it answers; when it does not come to that, nothing of it is left."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    @abstractmethod
    async def _start(self) -> None:
        """Return when it answers."""

    @abstractmethod
    async def stop(self) -> None:
        """End its processes and remove what they wrote."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()


async def until(done: Callable[[], bool], seconds: float) -> bool:
    """Wait until ``done()``; False when ``seconds`` have passed first."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(TICK)
    return True


# ports


def _bind(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((HOST, port))
        sock.listen()
    except OSError:
        sock.close()
        raise
    return sock


def _bind_any() -> socket.socket:
    for port in random.sample(FREE_PORTS, 100):
        with suppress(OSError):
            return _bind(port)
    raise SetupError("no free port was found on this machine: stop what listens on so many")


def free_ports(count: int) -> list[int]:
    """``count`` different ports on which nobody listens."""
    with ExitStack() as held:
        return [held.enter_context(_bind_any()).getsockname()[1] for _ in range(count)]


def require_free(port: int) -> None:
    """Raise SetupError when ``port`` is taken."""
    try:
        _bind(port).close()
    except OSError:
        raise SetupError(
            f"port {port} is taken: stop the program that listens there, or choose another --port"
        ) from None


# folders


class DataFolder:
    """The folder of one running service, locked: a temporary one is removed at the end."""

    def __init__(self, kind: str, given: Path | None) -> None:
        self.temporary = given is None
        prefix = f"candles-{kind}-"
        if given is None:
            _sweep(prefix)
            given = Path(tempfile.mkdtemp(prefix=prefix))
        self.path = made(given).resolve()
        self._lock = _locked(self.path / ".lock")
        if self._lock is None:
            raise SetupError(
                f"the data folder {given} is in use by a running {kind}: "
                "stop that one, or choose another folder"
            )

    def close(self) -> None:
        """Give the folder free; remove it when it is temporary."""
        if self._lock is not None:
            if self.temporary:
                shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)
            self._lock = None


def made(path: Path) -> Path:
    """``path``, made with its parents where it is missing."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(
            f"the folder {path} cannot be made ({error.strerror}): choose another"
        ) from None
    return path


def _locked(path: Path) -> int | None:
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise SetupError(
            f"the folder {path.parent} cannot be written ({error.strerror}): choose another"
        ) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file


def _sweep(prefix: str) -> None:
    """Remove temporary folders whose owner was killed before it could."""
    for lock in Path(tempfile.gettempdir()).glob(f"{prefix}*/.lock"):
        with suppress(OSError, SetupError):
            if lock.stat().st_uid == os.getuid() and (file := _locked(lock)) is not None:
                shutil.rmtree(lock.parent, ignore_errors=True)
                os.close(file)


async def lock(path: Path) -> int:
    """Wait for the lock ``path``; whoever has it gives it back with ``os.close``."""
    while (file := _locked(path)) is None:  # noqa: ASYNC110 - another process has it: no event
        await asyncio.sleep(TICK)
    return file


# children


class Child:
    """One program started by this process, ended with it; its output goes to the file ``log``.

    It must be started in a thread that lives as long as it shall (see ``tether.py``). It has a
    process group of its own, so that Ctrl-C reaches it only by way of ``stop``.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.log = log
        tether = str(Path(__file__).with_name("tether.py"))
        with log.open("ab") as output:
            self._start = output.tell()
            self._process = subprocess.Popen(  # noqa: S603 - a fixed program, no shell
                [sys.executable, "-I", "-S", tether, str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs, negative after a signal."""
        return self._process.poll()

    def output(self) -> str:
        """What this child has written to its log so far."""
        with self.log.open("rb") as file:
            file.seek(self._start)
            return file.read().decode(errors="replace")

    def last_words(self) -> str:
        """The line of its output that says most, to be put into a sentence."""
        lines = [line.strip() for line in self.output().splitlines() if line.strip()]
        telling = [line for line in lines if "Exception" in line or " ERROR " in line] or lines
        return telling[-1][:300] if telling else "(it wrote nothing)"

    def pause(self) -> None:
        """Freeze it (SIGSTOP)."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen one go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def terminate(self) -> None:
        """Ask it to end."""
        self._signal(signal.SIGTERM)
        self.resume()

    def kill(self) -> None:
        """End it at once, and wait until it is gone."""
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        """Signal it and what it started in turn (mvn may be a script around its Java)."""
        if self.running():
            os.killpg(self.pid, number)

    async def ended(self, seconds: float) -> bool:
        """Wait for its end; False when ``seconds`` have passed first."""
        return await until(lambda: not self.running(), seconds)


async def stop(children: Sequence[Child], seconds: float) -> None:
    """End all ``children`` together: politely, and by force after ``seconds`` or when cancelled."""
    for child in children:
        child.terminate()
    try:
        await until(lambda: not any(child.running() for child in children), seconds)
    finally:
        for child in children:
            child.kill()


async def ready(
    child: Child, name: str, answers: Callable[[], Awaitable[bool]], seconds: float
) -> None:
    """Wait until ``answers()``; raise SetupError when ``child`` ends before or stays silent."""
    end = time.monotonic() + seconds
    while child.running():
        if await answers():
            return
        if time.monotonic() > end:
            raise SetupError(
                f"{name} did not answer within {seconds:.0f} s: this machine may be short of "
                f"memory or processor time; its last words: {child.last_words()}"
            )
        await asyncio.sleep(TICK)
    raise SetupError(
        f"{name} ended while starting (exit status {child.status}): {child.last_words()}"
    )
