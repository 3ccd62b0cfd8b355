"""The settings: their defaults, and what is said when they are wrong."""

import dataclasses
import traceback
from pathlib import Path

import pytest

from config.addresses import HistoryLocation
from config.errors import ConfigError, SettingsError
from config.readers import Reader
from config.settings import DECLARED, SHIPPED_ROUTES, Declaration, Settings


def problems(environ):
    with pytest.raises(SettingsError) as raised:
        Settings.from_env(environ)
    assert str(raised.value) == "\n".join(raised.value.problems)
    return raised.value.problems


def test_the_defaults_are_those_of_the_contract():
    settings = Settings.from_env({"PATH": "/bin", "XSLUICE_BROKER": "x"})
    assert dataclasses.asdict(settings) == {
        "broker": "kafka://127.0.0.1:9092",
        "roles": ("ingest", "monitor", "history"),
        "app_id": "sluice",
        "history": {"scheme": "file", "path": "./var/history", "hosts": (), "user": None},
        "history_format": "jsonl",
        "history_compression": "gzip",
        "history_roll_bytes": 134217728,
        "history_roll_interval_s": 60,
        "routes": SHIPPED_ROUTES,
        "partitions": 4,
        "replication": 1,
        "window_s": 10,
        "retention_s": 3600,
        "window_max_keys": 1000,
        "data_dir": Path("var/worker"),
        "max_body_bytes": 16777216,
        "ingest_max_bytes": 268435456,
        "reliability": "end-to-end",
        "spool_max_bytes": 1073741824,
        "given": frozenset(),
    }
    assert settings == Settings()


def test_every_setting_has_a_default_that_its_own_reader_takes_and_a_name_that_is_its_attribute():
    for attribute, declaration in DECLARED.items():
        assert declaration.env == f"SLUICE_{attribute.upper()}"
        assert declaration.read(declaration.default) == getattr(Settings(), attribute)
        assert declaration.help.endswith(".")
    assert set(DECLARED) | {"given"} == {field.name for field in dataclasses.fields(Settings)}


def test_the_shipped_routes_are_there():
    assert SHIPPED_ROUTES.is_file()


def test_values_from_the_environment():
    environ = {
        "SLUICE_BROKER": "kafka://a:1;b:2",
        "SLUICE_ROLES": "history,ingest",
        "SLUICE_APP_ID": "shop",
        "SLUICE_HISTORY": "webhdfs://sluice@nn1:1;nn2:2/logs",
        "SLUICE_HISTORY_FORMAT": "text",
        "SLUICE_HISTORY_COMPRESSION": "zstd",
        "SLUICE_HISTORY_ROLL_BYTES": "1000",
        "SLUICE_HISTORY_ROLL_INTERVAL_S": " 5 ",
        "SLUICE_ROUTES": "/etc/sluice/routes.toml",
        "SLUICE_PARTITIONS": "8",
        "SLUICE_REPLICATION": "3",
        "SLUICE_WINDOW_S": "30",
        "SLUICE_RETENTION_S": "30",
        "SLUICE_WINDOW_MAX_KEYS": "7",
        "SLUICE_DATA_DIR": "/var/lib/sluice",
        "SLUICE_MAX_BODY_BYTES": "1024",
        "SLUICE_INGEST_MAX_BYTES": "1024",
        "SLUICE_RELIABILITY": "store-on-failure",
        "SLUICE_SPOOL_MAX_BYTES": "2097152",
    }
    assert Settings.from_env(environ) == Settings(
        broker="kafka://a:1;kafka://b:2",
        roles=("ingest", "history"),
        app_id="shop",
        history=HistoryLocation("webhdfs", "/logs", ("nn1:1", "nn2:2"), "sluice"),
        history_format="text",
        history_compression="zstd",
        history_roll_bytes=1000,
        history_roll_interval_s=5,
        routes=Path("/etc/sluice/routes.toml"),
        partitions=8,
        replication=3,
        window_s=30,
        retention_s=30,
        window_max_keys=7,
        data_dir=Path("/var/lib/sluice"),
        max_body_bytes=1024,
        ingest_max_bytes=1024,
        reliability="store-on-failure",
        spool_max_bytes=2097152,
    )
    assert set(environ) == {declaration.env for declaration in DECLARED.values()}
    assert Settings.from_env(environ).given == frozenset(environ)
    assert Settings.from_env(environ).bootstrap_servers == ["a:1", "b:2"]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("SLUICE_WINDOW_S", "10s", "is not a whole number"),
        ("SLUICE_PARTITIONS", "0", "is out of range"),
        ("SLUICE_HISTORY_FORMAT", "parquet", "is not available in this version"),
        ("SLUICE_HISTORY_FORMAT", "avro", "is not available in this version"),
        ("SLUICE_HISTORY_COMPRESSION", "lz4", "is unknown"),
        ("SLUICE_SPOOL_MAX_BYTES", "1000", "is out of range"),
        ("SLUICE_RELIABILITY", "best", "is unknown"),
        ("SLUICE_ROLES", "ingest,sink", "'sink' is unknown"),
        ("SLUICE_BROKER", "a:1,b:2", "several brokers are separated by ';'"),
        ("SLUICE_HISTORY", "hdfs://nn/logs", "the scheme is none for the history"),
        ("SLUICE_APP_ID", "a b", "cannot be part of the name of a topic or a consumer group"),
        ("SLUICE_APP_ID", "a\x1b[2J", "has control characters or bytes that are not UTF-8"),
        ("SLUICE_DATA_DIR", "\udcff", "has control characters or bytes that are not UTF-8"),
        ("SLUICE_ROUTES", " ", "is empty; unset it for the default"),
    ],
)
def test_a_wrong_value_is_named_with_its_key_and_what_is_allowed(name, value, reason):
    declaration = next(declaration for declaration in DECLARED.values() if declaration.env == name)
    assert problems({name: value}) == (f"{name}={value!r}: {reason}; allowed: {declaration.reader.allowed}",)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("SLUICE_BROKR", "x", "SLUICE_BROKR='x': there is no such setting; did you mean 'SLUICE_BROKER'?"),
        ("sluice_broker", "x", "sluice_broker='x': there is no such setting; did you mean 'SLUICE_BROKER'?"),
        ("SLUICE_", "x", "SLUICE_='x': there is no such setting"),
        ("SLUICE_\x1b[2J", "\n", "SLUICE_\\x1b[2J='\\n': there is no such setting"),
        ("SLUICE_SASL_PASSWORD", "hunter2", "SLUICE_SASL_PASSWORD=***: there is no such setting"),
        ("SLUICE_URL", "http://u:hunter2@h", "SLUICE_URL='http://u:***@h': there is no such setting"),
    ],
)
def test_an_unknown_name_stops_the_start(name, value, problem):
    assert problems({name: value}) == (problem,)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("SLUICE_RETENTION_S", "5", "SLUICE_RETENTION_S=5: must be a multiple of SLUICE_WINDOW_S=10"),
        ("SLUICE_RETENTION_S", "25", "SLUICE_RETENTION_S=25: must be a multiple of SLUICE_WINDOW_S=10"),
        ("SLUICE_WINDOW_S", "7", "SLUICE_RETENTION_S=3600: must be a multiple of SLUICE_WINDOW_S=7"),
        (
            "SLUICE_MAX_BODY_BYTES",
            "268435457",
            "SLUICE_INGEST_MAX_BYTES=268435456: must not be less than SLUICE_MAX_BODY_BYTES=268435457, "
            "or the largest request would be refused for ever",
        ),
    ],
)
def test_values_that_do_not_go_together(name, value, problem):
    assert problems({name: value}) == (problem,)


def test_everything_wrong_is_said_at_once_one_a_line():
    found = problems(
        {"SLUICE_WINDOW_S": "x", "SLUICE_PARTITIONS": "-1", "SLUICE_FOO": "1", "SLUICE_INGEST_MAX_BYTES": "9"}
    )
    assert [problem.partition("=")[0] for problem in found] == [
        "SLUICE_FOO",
        "SLUICE_PARTITIONS",
        "SLUICE_WINDOW_S",
        "SLUICE_INGEST_MAX_BYTES",
    ]


def test_a_value_that_could_not_be_read_contradicts_nothing():
    assert len(problems({"SLUICE_WINDOW_S": "seven", "SLUICE_RETENTION_S": "15"})) == 1


def test_a_password_in_an_address_is_nowhere_to_be_seen():
    password = str(2**77)
    environ = {"SLUICE_HISTORY": f"webhdfs://me:{password}@nn:1/x", "SLUICE_BROKER": f"kafka://me:{password}@b:1"}
    with pytest.raises(SettingsError) as raised:
        Settings.from_env(environ)
    assert password not in "".join(traceback.format_exception(raised.value))
    assert "me:***@nn:1/x" in str(raised.value)


def test_a_setting_declared_secret_is_never_shown():
    def refuse(text):
        raise ValueError("is too short")

    declaration = Declaration("SLUICE_PIN", Reader("anything long", refuse), "0000", "A pin.", True, "0000")
    assert declaration.shown("1234") == "***"
    assert declaration.exported("1234") == "***"
    assert declaration.exported(1234) == "***"
    assert declaration.exported(("1234",)) == "***"
    with pytest.raises(ValueError, match=r"^SLUICE_PIN=\*\*\*: is too short; allowed: anything long$"):
        declaration.read("1234")


def test_settings_cannot_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().window_s = 1


def test_the_error_tells_a_supervisor_not_to_retry():
    assert issubclass(SettingsError, ConfigError)
    assert SettingsError.retriable is False
    assert SettingsError.reason == "settings"
