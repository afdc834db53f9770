"""Java programs: the Java of this machine, and jars fetched by Maven into a cache folder.

What Maven fetched is kept in ``$CANDLES_CACHE`` (else ``$XDG_CACHE_HOME/candle-connectors``, else
``~/.cache/candle-connectors``), one folder a bundle, named after its content. A folder appears
there only when it is complete, so a second start neither needs Maven nor asks it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from connectors.errors import SetupError
from connectors.sandbox import process

OLDEST_JAVA = 17  # Apache Kafka 4 runs its brokers on Java 17 and newer
MAVEN_SECONDS = 900.0  # for everything that one bundle needs, over a slow line

_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
_POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>candle-connectors</groupId>
  <artifactId>{name}</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
{dependencies}
  </dependencies>
</project>
"""


def cache_folder() -> Path:
    """Where fetched jars are kept."""
    if own := os.environ.get("CANDLES_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "candle-connectors"


def java() -> str:
    """The path of a Java that is new enough: that of ``JAVA_HOME``, else the first in ``PATH``."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")
    if found is None:
        where = f"in JAVA_HOME ({home})" if home else "on this machine"
        raise SetupError(
            f"there is no Java {where}: install a JDK, {OLDEST_JAVA} or newer, "
            "and put its java into PATH"
        )
    version = _version(found)
    if version < OLDEST_JAVA:
        raise SetupError(
            f"{found} is Java {version}, which is too old: install a JDK, {OLDEST_JAVA} or newer, "
            "and put its java into PATH or name its folder in JAVA_HOME"
        )
    return found


def _version(program: str) -> int:
    told = subprocess.run(  # noqa: S603 - the user's own Java
        [program, "-version"], capture_output=True, text=True, check=False
    ).stderr
    found = re.search(r'version "(?:1\.)?(\d+)', told)
    if found is None:
        raise SetupError(
            f"{program} does not work (it does not tell its version): "
            f"install a JDK, {OLDEST_JAVA} or newer"
        )
    return int(found[1])


@dataclass(frozen=True)
class Artifact:
    """One dependency by its Maven coordinates."""

    group: str
    name: str
    version: str
    type: str = "jar"
    classifier: str = ""
    alone: bool = False  # without what it depends on

    def xml(self) -> str:
        """The element of a pom."""
        exclusions = (
            "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion>"
            "</exclusions>"
        )
        return (
            f"    <dependency><groupId>{self.group}</groupId><artifactId>{self.name}</artifactId>"
            f"<version>{self.version}</version><type>{self.type}</type>"
            + (f"<classifier>{self.classifier}</classifier>" if self.classifier else "")
            + (exclusions if self.alone else "")
            + "</dependency>"
        )


@dataclass(frozen=True)
class Bundle:
    """What one Java program needs; ``unpack`` when the artifacts are archives."""

    name: str
    artifacts: tuple[Artifact, ...]
    unpack: bool = False
    _pom: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        dependencies = "\n".join(artifact.xml() for artifact in self.artifacts)
        object.__setattr__(self, "_pom", _POM.format(name=self.name, dependencies=dependencies))

    @property
    def folder(self) -> Path:
        """Where it is kept, whether it is there yet or not."""
        mark = hashlib.sha256(self._pom.encode()).hexdigest()[:8]
        return cache_folder() / f"{self.name}-{mark}"

    async def resolve(self) -> Path:
        """The folder with all its files; asks Maven when it is not cached yet."""
        if self.folder.is_dir():
            return self.folder
        cache = process.made(cache_folder())
        lock = await process.lock(cache / "maven.lock")
        try:
            if not self.folder.is_dir():  # another process may have been faster
                await self._fetch(cache)
        finally:
            os.close(lock)
        return self.folder

    async def _fetch(self, cache: Path) -> None:
        self._sweep(cache)
        with tempfile.TemporaryDirectory(prefix=f".{self.name}-", dir=cache) as work:
            log = cache / f"{self.name}.maven.log"
            child = process.Child([_mvn(), *self._goal(Path(work))], log)
            try:
                await child.ended(MAVEN_SECONDS)
            finally:
                child.kill()
            if child.status != 0 or not self._keep(Path(work)):
                raise SetupError(
                    f"Maven could not fetch {self.name}, which is needed once: see {log}, "
                    "and give Maven access to a repository"
                )

    def _sweep(self, cache: Path) -> None:
        """Remove what one left half-done that was killed; only the owner of the lock may."""
        for folder in cache.glob(f".{self.name}-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _goal(self, work: Path) -> list[str]:
        """Maven's arguments, after writing the pom that they speak of."""
        pom = work / "pom.xml"
        pom.write_text(self._pom)
        goal = f"{_PLUGIN}:{'unpack' if self.unpack else 'copy'}-dependencies"
        files = f"-DoutputDirectory={work / 'files'}"
        return ["-B", "-q", "-f", str(pom), goal, "-DincludeScope=runtime", files]

    def _keep(self, work: Path) -> bool:
        """Give the complete files their lasting place; False where there are none."""
        if fetched := (work / "files").is_dir():
            (work / "files").rename(self.folder)
        return fetched


def _mvn() -> str:
    found = shutil.which("mvn")
    if found is None:
        raise SetupError(
            "there is no Maven on this machine, which fetches the jars the first time: "
            "install Maven and put its mvn into PATH"
        )
    return found
