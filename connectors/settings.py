"""Every setting once: its name, what it means, what it may be, and what it is by default.

A value comes from the first of these that has one: a flag (``--kafka-user``), an environment
variable (``CANDLES_KAFKA_USER``), the settings file (``kafka_user = "…"`` in TOML, the file named
by ``--config`` or ``CANDLES_CONFIG``). Secrets have no flag: other users of a machine can read
those. A wrong value is a UsageError that names the setting, where it came from, and what would be
right.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from connectors.endpoints import Endpoints
from connectors.errors import UsageError
from connectors.kafka.cluster import MECHANISMS, PROTOCOLS, Cluster
from connectors.kafka.topics import TopicPlan
from connectors.registry import SchemaRegistry

ENVIRONMENT: Final = "CANDLES_"
CONFIG: Final = "CANDLES_CONFIG"

Addresses = tuple[str, str]
"""The WebSocket and the HTTP address of one exchange."""


@dataclass(frozen=True)
class Setting:
    """What is known of one setting beside its value.

    ``read`` makes the value of a text, and raises UsageError for one that cannot be right.
    ``many``: it may be given several times, and its value is a tuple.
    """

    help: str
    metavar: str
    read: Callable[[str], Any] = str
    secret: bool = False
    many: bool = False
    name: str = ""
    default: Any = None

    @property
    def hidden(self) -> bool:
        """Whether its value is never shown; a URL may hold a password."""
        return self.secret or self.metavar == "URL"

    @property
    def flag(self) -> str | None:
        """``--kafka-user``; None for a secret."""
        return None if self.secret else f"--{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """``CANDLES_KAFKA_USER``."""
        return ENVIRONMENT + self.name.upper()


# --- what values may be ---------------------------------------------------------------------------


def _one_of(*words: str) -> Callable[[str], str]:
    return partial(_word, words)


def _word(words: tuple[str, ...], text: str) -> str:
    for word in words:
        if text.lower() == word.lower():
            return word
    raise UsageError(f"{text!r} is unknown: use {', '.join(words)}")


def _copies(text: str) -> int:
    number = int(text) if text.removeprefix("-").isdecimal() else 0
    if number == -1 or 1 <= number <= 32_767:
        return number
    raise UsageError(f"{text!r} is no number of copies: write 1, 2, 3 …, or -1 for the broker's")


def _count(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= 10_000:
        return int(text)
    raise UsageError(f"{text!r} is no number of partitions: write a whole number from 1 to 10000")


def _bootstrap(text: str) -> str:
    return Cluster(text).bootstrap


def _prefix(text: str) -> str:
    return TopicPlan(text).prefix


def _registry(text: str) -> str:
    SchemaRegistry(text)
    return text


def _sandbox(text: str) -> str:
    return Endpoints(text).sandbox or text


def _endpoint(text: str) -> tuple[str, Addresses]:
    name, _, both = text.partition("=")
    websocket, _, http = both.partition(",")
    if not (name and websocket and http):
        raise UsageError(f"{text!r} is no endpoint: write EXCHANGE=ws://host:port,http://host:port")
    Endpoints(replaced={name: (websocket, http)})
    return name, (websocket, http)


def _endpoint_text(endpoint: tuple[str, Addresses]) -> str:
    name, addresses = endpoint
    return f"{name}={','.join(addresses)}"


def _setting(default: Any, metavar: str, text: str, read: Callable[[str], Any], **more: Any) -> Any:
    known = Setting(text, metavar, read, **more)
    return field(default=default, metadata={"setting": known}, repr=not known.hidden)


# --- the settings ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Settings:
    """The value of every setting."""

    kafka: str | None = _setting(
        None, "HOST:PORT", "Kafka's address; several are joined by commas.", _bootstrap
    )
    kafka_security: str = _setting(
        "PLAINTEXT", "WORD", f"How to talk to Kafka: {', '.join(PROTOCOLS)}.", _one_of(*PROTOCOLS)
    )
    kafka_mechanism: str = _setting(
        "PLAIN", "WORD", f"How to log in with SASL: {', '.join(MECHANISMS)}.", _one_of(*MECHANISMS)
    )
    kafka_user: str | None = _setting(
        None, "NAME", "Kafka's user, for SASL; the password is CANDLES_KAFKA_PASSWORD.", str
    )
    kafka_password: str | None = _setting(
        None, "TEXT", "The password of Kafka's user.", str, secret=True
    )
    kafka_cafile: str | None = _setting(
        None, "FILE", "The authorities that brokers' certificates are checked against (PEM).", str
    )
    prefix: str = _setting(
        "candles", "NAME", "What the names of topics and transactions begin with.", _prefix
    )
    partitions: int = _setting(
        12, "NUMBER", "Partitions of a new topic of candles; never changed afterwards.", _count
    )
    replication: int = _setting(
        -1, "NUMBER", "Copies of a new topic; -1 leaves it to the broker.", _copies
    )
    registry: str | None = _setting(
        None,
        "URL",
        "A schema registry with Confluent's API; without one none is needed.",
        _registry,
    )
    registry_user: str | None = _setting(
        None, "NAME", "The registry's user; the password is CANDLES_REGISTRY_PASSWORD.", str
    )
    registry_password: str | None = _setting(
        None, "TEXT", "The password of the schema registry's user.", str, secret=True
    )
    live: Literal["all", "newest", "none"] = _setting(
        "all",
        "WORD",
        "Updates of open candles: all of them, only the newest at each flush, or none.",
        _one_of("all", "newest", "none"),
    )
    sandbox: str | None = _setting(
        None, "URL", "A sandbox that stands in for every exchange (candles sandbox).", _sandbox
    )
    endpoint: tuple[tuple[str, Addresses], ...] = _setting(
        (),
        "EXCHANGE=WS,HTTP",
        "Other addresses of an exchange: testnet, mirror, proxy. May be repeated.",
        _endpoint,
        many=True,
    )
    log_format: Literal["auto", "human", "json"] = _setting(
        "auto",
        "WORD",
        "How log lines look: auto (human on a terminal, else json), human, json.",
        _one_of("auto", "human", "json"),
    )
    log_level: str = _setting(
        "info",
        "WORD",
        "What is logged: debug, info, warning, error.",
        _one_of("debug", "info", "warning", "error"),
    )

    def cluster(self) -> Cluster:
        """The Kafka that is meant; UsageError where it is not said, or logs in by halves."""
        if self.kafka is None:
            raise UsageError(
                "where is Kafka? Say it with --kafka host:port or in CANDLES_KAFKA; "
                "candles kafka starts one on this machine"
            )
        if self.kafka_security.startswith("SASL") and not (self.kafka_user and self.kafka_password):
            raise UsageError(
                f"{self.kafka_security} needs a user and a password: "
                "give --kafka-user and CANDLES_KAFKA_PASSWORD"
            )
        return Cluster(
            self.kafka,
            security=self.kafka_security,
            mechanism=self.kafka_mechanism,
            username=self.kafka_user,
            password=self.kafka_password,
            cafile=self.kafka_cafile,
        )

    def endpoints(self) -> Endpoints:
        """Where the exchanges are reached."""
        return Endpoints(self.sandbox, dict(self.endpoint))

    def schema_registry(self) -> SchemaRegistry | None:
        """The schema registry, to be used in ``async with``, where there is one."""
        if self.registry is None:
            return None
        return SchemaRegistry(
            self.registry, user=self.registry_user, password=self.registry_password
        )

    def environment(self) -> dict[str, str]:
        """The environment variables that give another process these settings."""
        values = {setting: getattr(self, name) for name, setting in SETTINGS.items()}
        return {
            setting.variable: " ".join(map(_endpoint_text, value)) if setting.many else str(value)
            for setting, value in values.items()
            if value != setting.default
        }

    def topics(self) -> TopicPlan:
        """The topics under the prefix."""
        return TopicPlan(self.prefix, partitions=self.partitions, replication=self.replication)


def _known() -> Iterator[Setting]:
    for each in fields(Settings):
        yield replace(each.metadata["setting"], name=each.name, default=each.default)


SETTINGS: Final = {setting.name: setting for setting in _known()}
"""Every setting by name, in reading order."""


# --- where values come from -----------------------------------------------------------------------


class _Given(NamedTuple):
    """The texts of one setting, and who gave them."""

    texts: list[str]
    origin: str


def resolve(
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    config: str | None = None,
) -> Settings:
    """The settings from flags (by name; None and () are not given), environment and file."""
    environment = os.environ if environment is None else environment
    sources = [
        _from_flags(flags or {}),
        _from_environment(environment),
        _from_file(config, environment),
    ]
    values = {}
    for setting in SETTINGS.values():
        given = next((source[setting.name] for source in sources if setting.name in source), None)
        if given is not None:
            values[setting.name] = _value(setting, given)
    return Settings(**values)


def _value(setting: Setting, given: _Given) -> Any:
    try:
        values = tuple(setting.read(text) for text in given.texts)
    except UsageError as wrong:
        raise UsageError(f"setting {setting.name}, from {given.origin}: {wrong}") from None
    return values if setting.many else values[-1]


def _from_flags(flags: Mapping[str, Any]) -> dict[str, _Given]:
    return {
        name: _Given(_texts(value), f"the flag {SETTINGS[name].flag}")
        for name, value in flags.items()
        if value not in (None, ())
    }


def _from_environment(environment: Mapping[str, str]) -> dict[str, _Given]:
    return {
        setting.name: _Given(
            text.split() if setting.many else [text], f"the environment variable {setting.variable}"
        )
        for setting in SETTINGS.values()
        if (text := environment.get(setting.variable, ""))
    }


def _from_file(config: str | None, environment: Mapping[str, str]) -> dict[str, _Given]:
    path = config or environment.get(CONFIG)
    if not path:
        return {}
    given = {}
    for name, value in _table(path).items():
        if name not in SETTINGS:
            raise UsageError(
                f"the settings file {path} has an unknown setting {name!r}{_near(name)}"
            )
        if not _fits(SETTINGS[name], value):
            raise UsageError(
                f"setting {name}, from the file {path}, is neither text nor a number: write "
                f'{name} = "{SETTINGS[name].metavar}"'
            )
        given[name] = _Given(_texts(value), f"the file {path}")
    return given


def _table(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text())
    except OSError as error:
        raise UsageError(
            f"the settings file {path} cannot be read ({error.strerror}): name another one with "
            f"--config or {CONFIG}"
        ) from None
    except ValueError as error:  # of TOML, or of UTF-8
        raise UsageError(f"the settings file {path} is no TOML: {error}") from None


def _fits(setting: Setting, value: Any) -> bool:
    items = value if setting.many and isinstance(value, list) else [value]
    return all(isinstance(item, str | int) and not isinstance(item, bool) for item in items)


def _texts(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list | tuple) else [str(value)]


def _near(name: str) -> str:
    near = difflib.get_close_matches(name, SETTINGS, 3, 0.5) or list(SETTINGS)
    return f"; did you mean {' or '.join(near)}?" if len(near) <= 3 else f": {', '.join(near)}"


def markdown() -> str:
    """The table of settings in README.md."""
    rows = [
        f"| {_code(each.flag)} | `{each.variable}` | {_code(each.default)} | {each.help} |"
        for each in SETTINGS.values()
    ]
    return "\n".join(["| flag | environment | default | meaning |", "|---|---|---|---|", *rows])


def _code(value: object) -> str:
    return f"`{value}`" if value else "–"
