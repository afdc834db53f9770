"""Waiting for an event, and ending tasks: never longer than one may."""

from __future__ import annotations

import asyncio
import time

import pytest

from connectors import tasks
from connectors.tasks import end, happens


async def test_an_event_ends_the_wait() -> None:
    """What is set already, or is set meanwhile, is not waited for any longer."""
    event = asyncio.Event()
    asyncio.get_running_loop().call_soon(event.set)
    began = time.monotonic()
    await happens(event, 60.0)
    assert event.is_set()
    assert time.monotonic() - began < 10.0


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 0.01])
async def test_a_wait_is_bounded_and_lets_others_run(seconds: float) -> None:
    """Without the event it ends by itself; even a wait in the past lets others run."""
    ran = asyncio.Event()
    asyncio.get_running_loop().call_soon(ran.set)
    await happens(asyncio.Event(), seconds)
    assert ran.is_set()


async def test_tasks_are_ended() -> None:
    """A running task is cancelled, a finished or failed one is left as it is, none is fine."""

    async def fail() -> None:
        raise ValueError("its own fault")

    running = asyncio.create_task(asyncio.sleep(60))
    failed = asyncio.create_task(fail())
    await asyncio.wait({failed})
    await end(running, failed)
    await end()
    assert running.cancelled()
    assert isinstance(failed.exception(), ValueError)


async def test_one_that_resists_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that does not end when it is cancelled is left to itself after a while."""
    monkeypatch.setattr(tasks, "END_SECONDS", 0.05)
    may = asyncio.Event()

    async def resist() -> None:
        while not may.is_set():
            try:
                await may.wait()
            except asyncio.CancelledError:
                continue

    stubborn = asyncio.create_task(resist())
    await asyncio.sleep(0)
    await end(stubborn)
    assert not stubborn.done()
    may.set()
    await stubborn
