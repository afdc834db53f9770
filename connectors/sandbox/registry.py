"""A local schema registry, for tests: Apicurio Registry, which speaks Confluent's API.

    async with LocalRegistry() as registry:
        ...  # clients use registry.url

It keeps everything in memory and forgets it at the end.
"""

from __future__ import annotations

from pathlib import Path

import aiohttp

from connectors.errors import UsageError
from connectors.sandbox import process
from connectors.sandbox.java import Artifact, Bundle, java
from connectors.sandbox.process import HOST, Child, DataFolder

VERSION = "2.6.13.Final"
PROGRAM = Bundle(
    f"apicurio-{VERSION}",
    (Artifact("io.apicurio", "apicurio-registry-app", VERSION, "zip", "all", alone=True),),
    unpack=True,
)

START_SECONDS = 90.0  # 3 to 5 on an idle machine
STOP_SECONDS = 10.0  # about 2 on an idle machine

_PATH = "/apis/ccompat/v7"  # Confluent's Schema Registry API, version 7
_JVM = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-XX:TieredStopAtLevel=1")


class LocalRegistry(process.Service):
    """One registry process; ``url`` is its address for clients.

    ``port`` 0 chooses a free one. Errors are SetupError, each one sentence.
    """

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self._child: Child | None = None
        self._folder: DataFolder | None = None

    @property
    def url(self) -> str:
        """The base address of the API, without a slash at its end."""
        if self._child is None:
            raise UsageError("this registry is not running: start it first")
        return f"http://{HOST}:{self._port}{_PATH}"

    async def stop(self) -> None:
        """End it and remove what it wrote."""
        try:
            await process.stop([self._child] if self._child else [], STOP_SECONDS)
        finally:
            self._child = None
            if self._folder is not None:
                self._folder.close()
                self._folder = None

    async def _start(self) -> None:
        """Return when it answers."""
        program = java()
        self._port = self._port or process.free_ports(1)[0]
        process.require_free(self._port)
        jars = await PROGRAM.resolve()
        self._folder = DataFolder("registry", None)
        folder = self._folder.path
        address = [f"-Dquarkus.http.host={HOST}", f"-Dquarkus.http.port={self._port}"]
        options = [*_JVM, f"-Djava.io.tmpdir={folder}", *address]
        command = [program, *options, "-jar", str(_runner(jars))]
        self._child = Child(command, folder / "registry.log", cwd=folder)
        await process.ready(self._child, "the schema registry", self._answers, START_SECONDS)

    async def _answers(self) -> bool:
        limit = aiohttp.ClientTimeout(total=2)
        try:
            async with (
                aiohttp.ClientSession(timeout=limit) as client,
                client.get(f"{self.url}/subjects") as response,
            ):
                return response.status == 200
        except (TimeoutError, aiohttp.ClientError):
            return False


def _runner(jars: Path) -> Path:
    return next(jars.glob("*-runner.jar"))
