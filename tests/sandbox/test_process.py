"""Children and folders of local services: what is started is ended, what is locked is refused."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.errors import SetupError
from connectors.sandbox import process
from connectors.sandbox.process import Child, DataFolder

STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True)\n"


def _python(tmp_path: Path, text: str) -> Child:
    return Child([sys.executable, "-c", f"{text}\nimport time; time.sleep(600)"], tmp_path / "log")


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def _eventually(done: Callable[[], bool], seconds: float = 10) -> bool:
    return asyncio.run(process.until(done, seconds))


def test_free_ports() -> None:
    """Free ports are different ones, and nobody listens there."""
    ports = process.free_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        process.require_free(port)


def test_port_taken() -> None:
    """A taken port is refused with a sentence that names it."""
    with process._bind_any() as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=f"^port {port} is taken: stop .* --port$"):
            process.require_free(port)


def test_stop(tmp_path: Path) -> None:
    """A child that obeys is asked to end, and not forced."""
    child = _python(tmp_path, "print('up', flush=True)")
    assert _eventually(lambda: child.output() == "up\n")

    asyncio.run(process.stop([child], 10))

    assert child.status == -signal.SIGTERM


def test_stop_stubborn(tmp_path: Path) -> None:
    """A child that does not obey is ended by force after the bound."""
    child = _python(tmp_path, STUBBORN)
    assert _eventually(lambda: "up" in child.output())

    asyncio.run(process.stop([child], 0.3))

    assert child.status == -signal.SIGKILL


def test_stop_frozen(tmp_path: Path) -> None:
    """A frozen child can be ended properly."""
    child = _python(tmp_path, "print('up', flush=True)")
    assert _eventually(lambda: child.output() == "up\n")
    child.pause()

    asyncio.run(process.stop([child], 10))

    assert child.status == -signal.SIGTERM


async def test_stop_cancelled(tmp_path: Path) -> None:
    """Who is cancelled while stopping leaves no child behind either."""
    child = _python(tmp_path, STUBBORN)
    assert await process.until(lambda: "up" in child.output(), 10)
    stopping = asyncio.create_task(process.stop([child], 60))
    await asyncio.sleep(0)

    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping

    assert child.status == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_parent_killed(tmp_path: Path) -> None:
    """A child does not outlive the kill -9 of whoever started it."""
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom connectors.sandbox.process import Child\n"
        f"command = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        f"child = Child(command, Path({str(tmp_path / 'log')!r}))\n"
        "print(child.pid, flush=True)\ntime.sleep(600)"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:  # noqa: S603 - written above
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert _alive(child)
        parent.kill()
    assert _eventually(lambda: not _alive(child)), f"process {child} lives on"


async def test_never_ready(tmp_path: Path) -> None:
    """A child that ends before it answers is reported with its last words."""
    log = tmp_path / "log"
    child = Child([sys.executable, "-c", "print(1); raise ValueError('Exception: no luck')"], log)

    async def answers() -> bool:
        return False

    with pytest.raises(SetupError, match=r"^it ended .*status 1.*no luck$"):
        await process.ready(child, "it", answers, 10)


def test_data_folder_locked(tmp_path: Path) -> None:
    """A data folder belongs to one running service; it can be used again afterwards."""
    first = DataFolder("kafka", tmp_path / "new" / "data")
    with pytest.raises(SetupError, match="in use by a running kafka: stop that one"):
        DataFolder("kafka", first.path)
    first.close()

    DataFolder("kafka", first.path).close()

    assert first.path.is_dir()


def test_data_folder_unusable(tmp_path: Path) -> None:
    """A data folder that cannot be made is refused with a sentence."""
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match=r"file/data cannot be made .*: choose another$"):
        DataFolder("kafka", tmp_path / "file" / "data")


def test_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A temporary folder left behind by a killed process goes with the next start, no other."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    in_use = DataFolder("kafka", None)
    killed = tmp_path / "candles-kafka-killed"
    killed.mkdir()
    (killed / ".lock").touch()

    DataFolder("kafka", None).close()

    assert os.listdir(tmp_path) == [in_use.path.name]
    in_use.close()
    assert os.listdir(tmp_path) == []


async def test_lock_waits(tmp_path: Path) -> None:
    """Who wants a lock waits until it is given back."""
    first = await process.lock(tmp_path / "lock")
    second = asyncio.create_task(process.lock(tmp_path / "lock"))
    await asyncio.sleep(0)
    assert not second.done()

    os.close(first)

    os.close(await asyncio.wait_for(second, 10))


async def test_until() -> None:
    """Waiting ends at the bound and says that it was in vain."""
    begin = time.monotonic()
    assert not await process.until(lambda: False, 0.1)
    assert time.monotonic() - begin < 5
