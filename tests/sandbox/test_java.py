"""Java and the jars: what is missing is said in one sentence, and Maven is asked once.

Maven and old Javas are scripts here; the real ones are met in ``test_kafka.py``.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from connectors.errors import SetupError
from connectors.sandbox import java, process
from connectors.sandbox.java import Artifact, Bundle

BUNDLE = Bundle("thing-1", (Artifact("org.example", "thing", "1"),))
FETCHES = """
for each in "$@"; do case $each in -DoutputDirectory=*) folder=${each#*=};; esac; done
sleep 0.2; mkdir "$folder"; echo jar > "$folder/thing.jar"; echo "$@" >> "$CANDLES_CACHE/asked"
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with nothing but a shell's tools in PATH before it, and an empty cache."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for tool in ("sh", "sleep", "mkdir"):
        (folder / tool).symlink_to(f"/bin/{tool}")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("CANDLES_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return folder


def _script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_no_java(programs: Path) -> None:
    """Without a Java, the sentence says which one to install."""
    with pytest.raises(SetupError, match=r"^there is no Java on this machine: install a JDK, 17 "):
        java.java()


def test_no_java_in_java_home(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A JAVA_HOME without a Java is named."""
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    with pytest.raises(SetupError, match=r"^there is no Java in JAVA_HOME \(/nowhere\): install "):
        java.java()


@pytest.mark.parametrize(("told", "version"), [("1.8.0_312", "8"), ("11.0.2", "11")])
def test_old_java(programs: Path, told: str, version: str) -> None:
    """A Java that is too old is named with its version."""
    _script(programs / "java", f"echo 'openjdk version \"{told}\"' >&2")
    with pytest.raises(SetupError, match=rf"/java is Java {version}, which is too old: install "):
        java.java()


def test_broken_java(programs: Path) -> None:
    """A Java that does not run, such as macOS's placeholder, is refused."""
    _script(programs / "java", "echo 'Unable to locate a Java Runtime.' >&2; exit 1")
    with pytest.raises(SetupError, match=r"does not work .*: install a JDK, 17 or newer$"):
        java.java()


def test_java_home_first(programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Java of JAVA_HOME comes before the one in PATH."""
    _script(programs / "java", "echo 'openjdk version \"11.0.2\"' >&2")
    own = _script(tmp_path / "home" / "bin" / "java", "echo 'openjdk version \"21\"' >&2")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    assert java.java() == str(own)


def test_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache is where the user wants it, else where the system keeps caches."""
    for name in ("CANDLES_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/homes/me")
    assert java.cache_folder() == Path("/homes/me/.cache/candle-connectors")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert java.cache_folder() == Path("/caches/candle-connectors")
    monkeypatch.setenv("CANDLES_CACHE", "/mine")
    assert java.cache_folder() == Path("/mine")


async def test_resolved_once(programs: Path) -> None:
    """However many ask for a bundle, at once or later, Maven fetches it once."""
    (half_done := java.cache_folder() / ".thing-1-killed").mkdir(parents=True)
    _script(programs / "mvn", FETCHES)
    folders = await asyncio.gather(*(BUNDLE.resolve() for _ in range(3)))
    (programs / "mvn").unlink()
    again = await BUNDLE.resolve()

    assert {*folders, again} == {BUNDLE.folder}
    assert not half_done.exists()
    assert (BUNDLE.folder / "thing.jar").read_text() == "jar\n"
    assert len((java.cache_folder() / "asked").read_text().splitlines()) == 1


async def test_no_maven(programs: Path) -> None:
    """Without Maven, the sentence says that it is needed the first time."""
    with pytest.raises(SetupError, match=r"^there is no Maven on this machine, .*: install Maven "):
        await BUNDLE.resolve()


async def test_maven_fails(programs: Path) -> None:
    """When Maven fails, the sentence says where its words are, and nothing half-done is cached."""
    _script(programs / "mvn", "echo 'no route to anywhere'; exit 1")
    with pytest.raises(SetupError, match=r"^Maven could not fetch thing-1, .*: see (.*\.log), and"):
        await BUNDLE.resolve()

    assert not BUNDLE.folder.exists()
    log = java.cache_folder() / "thing-1.maven.log"
    assert log.read_text() == "no route to anywhere\n"
    assert sorted(os.listdir(java.cache_folder())) == ["maven.lock", log.name]


async def test_maven_cancelled(programs: Path) -> None:
    """Who is cancelled while Maven works ends Maven and leaves nothing half-done."""
    _script(programs / "mvn", 'echo $$ > "$CANDLES_CACHE/pid"; sleep 600')
    resolving = asyncio.create_task(BUNDLE.resolve())
    pid = java.cache_folder() / "pid"
    assert await process.until(lambda: pid.exists() and pid.read_text() != "", 10)

    resolving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await resolving

    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    assert not [name for name in os.listdir(java.cache_folder()) if name.startswith(".thing")]


def test_folder_follows_content() -> None:
    """Another version of any artifact is another folder, so a cache is never stale."""
    other = Bundle("thing-1", (Artifact("org.example", "thing", "2"),))
    assert other.folder != BUNDLE.folder
