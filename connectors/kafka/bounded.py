"""No call of aiokafka is awaited without a limit, and no ended client leaves anything behind.

With a frozen broker ``start``, ``commit_transaction`` and ``stop`` of aiokafka never return, and
some of them swallow a cancellation. So they run in a task of their own that is left to itself when
the limit has passed, and a client that does not stop is cut off by hand: that needs its private
parts, and all such access stands in this file.
"""

# ruff: noqa: SLF001 - see above

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from typing import Any, TypeVar

STOP_SECONDS = 5.0

T = TypeVar("T")


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``; TimeoutError after ``seconds``, even if it resists cancellation."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
            task.add_done_callback(seen)
    if not task.done():
        raise TimeoutError
    return task.result()


def seen(future: asyncio.Future[Any]) -> None:
    """Look at the exception of a future that nobody waits for, so that none is reported."""
    if not future.cancelled():
        future.exception()


async def end_producer(producer: Any, seconds: float = STOP_SECONDS) -> None:
    """Stop a producer politely, and cut it off where that fails or takes too long."""
    try:
        with suppress(Exception):  # whatever it says, it is thrown away
            await within(seconds, producer.stop())
    finally:
        _cut_producer(producer)


async def end_client(client: Any, seconds: float = STOP_SECONDS) -> None:
    """The same for a consumer or an admin client."""
    stop = client.stop if hasattr(client, "stop") else client.close
    try:
        with suppress(Exception):  # as above
            await within(seconds, stop())
    finally:
        client._closed = True  # or its destructor complains
        _cut_connections(client._client)


def _cut_producer(producer: Any) -> None:
    producer._closed = True
    sender = producer._sender
    for task in _tasks_of(sender):
        task.cancel()
    accumulator = producer._message_accumulator
    accumulator._closed = True
    for batch in [*_flat(accumulator._batches.values()), *accumulator._pending_batches]:
        batch.future.cancel()
        if batch._drain_waiter.done():
            seen(batch._drain_waiter)
    transaction = producer._txn_manager and producer._txn_manager._transaction_waiter
    if transaction is not None and transaction.done():
        seen(transaction)
    _cut_connections(producer.client)


def _tasks_of(owner: object) -> list[asyncio.Task[Any]]:
    """The tasks that run a method of ``owner``; the sender keeps its own in a local variable."""
    return [
        task
        for task in asyncio.all_tasks()
        if (frame := getattr(task.get_coro(), "cr_frame", None)) is not None
        and frame.f_locals.get("self") is owner
    ]


def _flat(queues: Iterable[Iterable[Any]]) -> list[Any]:
    return [item for queue in queues for item in queue]


def _cut_connections(client: Any) -> None:
    if client._sync_task is not None:
        client._sync_task.cancel()
        client._sync_task = None
    for connection in client._conns.values():
        writer = connection._writer
        connection.close(reason=None)
        if writer is not None:
            writer.transport.abort()  # close alone waits until a frozen broker has read all
