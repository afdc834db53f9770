"""Settings: what wins, what may be, and the sentence for what may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.errors import UsageError
from connectors.settings import SETTINGS, Settings, resolve


def _refused(*given: object, **more: object) -> str:
    with pytest.raises(UsageError) as wrong:
        resolve(*given, **more)  # type: ignore[arg-type]  # wrong ones are the point
    return str(wrong.value)


def _file(folder: Path, text: str) -> str:
    path = folder / "candles.toml"
    path.write_text(text)
    return str(path)


def test_defaults() -> None:
    """With nothing given every setting has its default."""
    assert resolve({}, {}) == Settings()
    assert (Settings().prefix, Settings().live, Settings().partitions) == ("candles", "all", 12)


def test_order(tmp_path: Path) -> None:
    """A flag wins over the environment, and that over the file."""
    config = _file(tmp_path, 'kafka = "file:1"\nprefix = "file"\nlive = "none"\n')
    environment = {"CANDLES_KAFKA": "environment:1", "CANDLES_PREFIX": "environment"}

    found = resolve({"kafka": "flag:1", "prefix": None}, environment, config)

    assert (found.kafka, found.prefix, found.live) == ("flag:1", "environment", "none")


def test_file_named_by_environment(tmp_path: Path) -> None:
    """CANDLES_CONFIG names the file where no flag does."""
    config = _file(tmp_path, "partitions = 3\n")

    assert resolve({}, {"CANDLES_CONFIG": config}).partitions == 3


def test_empty_variable() -> None:
    """An empty environment variable counts as absent."""
    assert resolve({}, {"CANDLES_PREFIX": ""}).prefix == "candles"


ENDPOINT = "some=ws://localhost:1,http://localhost:2"
OTHER = "other=wss://localhost:3/x,https://localhost:4/y"


def test_endpoints(tmp_path: Path) -> None:
    """Endpoints may be repeated: as flags, with blanks between, or as a list."""
    expected = {
        "some": ("ws://localhost:1", "http://localhost:2"),
        "other": ("wss://localhost:3/x", "https://localhost:4/y"),
    }
    config = _file(tmp_path, f'endpoint = ["{ENDPOINT}", "{OTHER}"]\n')

    for found in (
        resolve({"endpoint": (ENDPOINT, OTHER)}, {}),
        resolve({}, {"CANDLES_ENDPOINT": f"{ENDPOINT} {OTHER}"}),
        resolve({}, {}, config),
    ):
        assert found.endpoints().replaced == expected


def test_words_in_any_case() -> None:
    """Words may be written in upper or lower case."""
    found = resolve({"kafka_security": "sasl_ssl", "log_level": "DEBUG"}, {})

    assert (found.kafka_security, found.log_level) == ("SASL_SSL", "debug")


WRONG = {
    "kafka": "local host:port",
    "kafka_security": "TLS",
    "kafka_mechanism": "PLAN",
    "prefix": "a.b",
    "partitions": "0",
    "replication": "0",
    "registry": "localhost:8081",
    "live": "some",
    "sandbox": "localhost:8460",
    "endpoint": "some=localhost",
    "log_format": "xml",
    "log_level": "loud",
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_value(name: str, tmp_path: Path) -> None:
    """A wrong value is one sentence with setting, value, origin and what would be right."""
    value, setting = WRONG[name], SETTINGS[name]
    given = [value] if name == "endpoint" else value
    config = _file(tmp_path, f"{name} = {given!r}\n".replace("'", '"'))
    variable = f"the environment variable CANDLES_{name.upper()}"

    by_flag = _refused({name: (value,) if setting.many else value}, {})
    by_variable = _refused({}, {f"CANDLES_{name.upper()}": value})
    by_file = _refused({}, {}, config)

    for sentence, origin in (
        (by_flag, f"the flag --{name.replace('_', '-')}"),
        (by_variable, variable),
        (by_file, f"the file {config}"),
    ):
        assert sentence.startswith(f"setting {name}, from {origin}: ")
        assert value in sentence or "schema registry's address" in sentence
        assert any(word in sentence for word in ("write ", "use ", "must begin with")), sentence
        assert "\n" not in sentence


def test_every_checked_setting_is_tried() -> None:
    """Each setting that can be wrong stands in the table above."""
    free = {name for name, setting in SETTINGS.items() if setting.read is str}

    assert set(SETTINGS) - free == set(WRONG)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("perfix = 'x'", "has an unknown setting 'perfix'; did you mean prefix"),
        (
            "partitions = 1.5",
            r"setting partitions, from the file .* is neither text nor a number: write",
        ),
        ("live = true", r"setting live, from the file .* is neither text nor a number: write"),
        ("[kafka]\nhost = 'x'", "setting kafka, from the file .* is neither text nor a number"),
        ("prefix", "is no TOML: "),
    ],
)
def test_wrong_file(text: str, sentence: str, tmp_path: Path) -> None:
    """What is wrong in the file is told with the file's name."""
    config = _file(tmp_path, text)

    with pytest.raises(UsageError, match=sentence) as wrong:
        resolve({}, {}, config)
    assert config in str(wrong.value)


def test_file_missing(tmp_path: Path) -> None:
    """A settings file that cannot be read is named."""
    path = str(tmp_path / "nowhere.toml")

    assert _refused({}, {}, path).startswith(
        f"the settings file {path} cannot be read (No such file or directory): "
    )


def test_secrets() -> None:
    """Passwords have no flag and are never shown."""
    environment = {"CANDLES_KAFKA_PASSWORD": "tiger-1", "CANDLES_REGISTRY_PASSWORD": "tiger-2"}
    found = resolve({"kafka": "k:1", "kafka_user": "u", "kafka_security": "SASL_SSL"}, environment)

    assert {name for name, each in SETTINGS.items() if each.flag is None} == {
        "kafka_password",
        "registry_password",
    }
    assert (found.cluster().username, found.cluster().password) == ("u", "tiger-1")
    assert "tiger" not in repr(found)
    assert "tiger" not in repr(resolve({"registry": "http://u:tiger@localhost"}, {}))
    assert "tiger" not in repr(found.cluster())


def test_handed_on() -> None:
    """Another process gets the same settings by its environment, secrets included."""
    given = {"CANDLES_KAFKA_PASSWORD": "p", "CANDLES_ENDPOINT": f"{ENDPOINT} {OTHER}"}
    settings = resolve({"kafka": "k:1", "partitions": "3"}, given)

    assert resolve({}, settings.environment()) == settings
    assert Settings().environment() == {}


def test_cluster_needs_an_address() -> None:
    """Without Kafka's address the sentence says how to give it."""
    with pytest.raises(UsageError, match=r"^where is Kafka\? .*--kafka host:port.*CANDLES_KAFKA"):
        Settings().cluster()


def test_login_by_halves() -> None:
    """SASL without a password names the setting that lacks."""
    found = resolve({"kafka": "k:1", "kafka_user": "u", "kafka_security": "SASL_SSL"}, {})

    with pytest.raises(UsageError, match=r"SASL_SSL needs .* CANDLES_KAFKA_PASSWORD"):
        found.cluster()


def test_registry() -> None:
    """The schema registry is there when its address is given."""
    assert Settings().schema_registry() is None
    assert resolve({"registry": "http://localhost:8081"}, {}).schema_registry() is not None


def test_described() -> None:
    """Every setting has a help text that is a sentence, and a name for its value."""
    for setting in SETTINGS.values():
        assert setting.help.endswith("."), setting.name
        assert setting.metavar, setting.name
