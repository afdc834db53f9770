"""The shell around every command: settings, log, signals, and one sentence for each failure.

Exit status 0, 1 (it failed: a sentence) or 2 (wrong use: a sentence); never a traceback. SIGINT and
SIGTERM end every command gracefully, a second one at once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Final, NoReturn, TypeVar

import click
import structlog

from connectors.errors import ConnectorError, UsageError
from connectors.kafka import quieten
from connectors.model import milliseconds
from connectors.settings import CONFIG, SETTINGS, resolve
from connectors.telemetry import LoopFailed, configure

T = TypeVar("T")
Command = Callable[..., None]

LOG: Final = ("log_format", "log_level")
KAFKA: Final = ("kafka", "kafka_security", "kafka_mechanism", "kafka_user", "kafka_cafile")
REGISTRY: Final = ("registry", "registry_user")


class Program(click.Group):
    """A group of commands whose every failure is one sentence."""

    def main(self, *args: Any, **more: Any) -> NoReturn:
        """Run the command that the arguments name, and end the process with its exit status."""
        more["standalone_mode"] = False
        try:
            sys.exit(super().main(*args, **more) or 0)
        except click.exceptions.NoArgsIsHelpError as help_wanted:
            click.echo(help_wanted.format_message())
            sys.exit(0)
        except click.ClickException as wrong:
            sys.exit(say(_wrong_use(wrong), wrong.exit_code))
        except ConnectorError as failed:
            sys.exit(say(str(failed), failed.exit_status))
        except BrokenPipeError:
            _silence()
            sys.exit(1)
        except (KeyboardInterrupt, click.Abort):
            sys.exit(say("interrupted", 1))
        except Exception as unforeseen:  # noqa: BLE001 - never a traceback on the screen
            structlog.get_logger().debug("program.failed", exc_info=unforeseen)
            sys.exit(say(_unforeseen(unforeseen), 1))


def say(sentence: str, status: int) -> int:
    """Write one sentence to stderr, and give the exit status back."""
    click.echo(f"candles: {' '.join(sentence.split())}", err=True)
    return status


def _silence() -> None:
    """Whoever read our output has gone: what is left of it goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _wrong_use(wrong: click.ClickException) -> str:
    context = getattr(wrong, "ctx", None)
    command = context.command_path if context else "candles"
    return f"{wrong.format_message().rstrip('.')}: {command} --help shows the right use"


def _unforeseen(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    what = f"{type(error).__name__}: {error}".rstrip(": ")
    return f"something unforeseen went wrong ({what}); --log-level debug logs where"


def with_settings(*names: str) -> Callable[[Command], Command]:
    """Give a command flags for these settings and for the log, and ``settings`` of them all."""
    shown = (*names, *LOG)

    def decorate(command: Command) -> Command:
        @wraps(command)
        def resolved(config: str | None, **given: Any) -> None:
            settings = resolve({name: given.pop(name) for name in shown}, config=config)
            configure(settings.log_format, settings.log_level)
            _listen_to_libraries(settings.log_level)
            command(settings=settings, **given)

        for name in reversed(shown):
            setting = SETTINGS[name]
            resolved = click.option(
                str(setting.flag),
                metavar=setting.metavar,
                multiple=setting.many,
                help=f"{setting.help}  [{setting.variable}{_default(setting.default)}]",
            )(resolved)
        return click.option(
            "--config", metavar="FILE", help=f"A TOML file of settings.  [{CONFIG}]"
        )(resolved)

    return decorate


def _default(default: object) -> str:
    return "" if default in (None, ()) else f", default {default}"


class _Forward(logging.Handler):
    """Hands what libraries log over to our log."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            structlog.get_logger().log(
                record.levelno, "library.said", library=record.name, message=record.getMessage()
            )
        except Exception:  # noqa: BLE001 - a log line never harms what it speaks of
            self.handleError(record)


def _listen_to_libraries(level: str) -> None:
    """What libraries say counts from a warning on; with debug, from an information on."""
    logging.basicConfig(
        handlers=[_Forward()], level="INFO" if level == "debug" else "WARNING", force=True
    )
    quieten()


def _overheard(_: asyncio.AbstractEventLoop, told: dict[str, Any]) -> None:
    """What the event loop says of an exception that nobody waits for."""
    error = told.get("exception")
    LoopFailed(where=told["message"], reason="" if error is None else repr(error)).tell()
    structlog.get_logger().debug("loop.failed.at", exc_info=error)


class Signals:
    """What SIGINT and SIGTERM do: ``gently`` once, where that is set; else they cancel the task."""

    def __init__(self) -> None:
        self.gently: Callable[[], None] | None = None
        self.came = 0

    def _come(self, task: asyncio.Task[Any]) -> None:
        self.came += 1
        gently, self.gently = self.gently, None
        if gently is None:
            task.cancel()
        else:
            gently()

    async def over(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Do the work under these signals; None where they cancelled it.

        What the event loop would write of exceptions that nobody waits for goes into the log.
        """
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_overheard)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._come, task)
        try:
            return await task
        except asyncio.CancelledError:
            if not self.came:
                raise
            return None


def time_of(flag: str, text: str | None) -> float | None:
    """UNIX seconds of what a flag says, ISO 8601 or UNIX seconds; UsageError for anything else."""
    if text is None:
        return None
    try:
        return milliseconds(text) / 1000
    except ValueError:
        raise UsageError(
            f"{flag} {text!r} is no time: write it in ISO 8601, like 2026-11-25T12:00 (UTC where "
            "no zone is told), or in UNIX seconds"
        ) from None
