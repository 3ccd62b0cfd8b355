"""The settings of a worker: `SLUICE_*` environment variables, read once and checked at start."""

# ruff: noqa: RUF009 - a call in a default here is `_setting`, which gives a dataclass field

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from config import readers
from config.addresses import HistoryLocation
from config.errors import SettingsError
from config.readers import Reader, one_of, subset_of, whole_number
from config.wording import did_you_mean, quoted, without_secrets

T = TypeVar("T")

Role = Literal["ingest", "monitor", "history"]
Reliability = Literal["end-to-end", "store-on-failure", "best-effort"]

SHIPPED_ROUTES = Path(__file__).with_name("routes.toml")

_PREFIX = "SLUICE_"
_MEBIBYTE = 1 << 20
_DAY_S = 86_400
# Names of unknown variables whose value is not to be shown, because it is likely a secret with a misspelt name.
_LIKELY_SECRET = re.compile(r"PASS|SECRET|TOKEN|CREDENTIAL|KEY", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Declaration:
    """What is said about a setting where it is declared."""

    env: str
    reader: Reader[Any]
    default: str  # as text, as it would stand in the environment
    help: str
    secret: bool
    default_shown: str  # the default for people, where the text itself says little

    def shown(self, value: object) -> str:
        """A value of this setting as text; `***` in place of a secret."""
        if self.secret:
            return "***"
        return ",".join(value) if isinstance(value, tuple) else str(value)

    def exported(self, value: object) -> int | str | list[str]:
        """A value of this setting for JSON: as `shown`, but numbers as numbers and several words as an array."""
        if isinstance(value, tuple) and not self.secret:
            return list(value)
        return value if isinstance(value, int) and not self.secret else self.shown(value)

    def read(self, text: str) -> Any:
        """The value that `text` stands for. Raises ValueError: key, value, what is wrong and what is allowed."""
        try:
            if not text.strip():
                raise ValueError("is empty; unset it for the default")
            if not text.isprintable():
                raise ValueError("has control characters or bytes that are not UTF-8")
            return self.reader.read(text.strip())
        except ValueError as error:
            value = "***" if self.secret else quoted(without_secrets(text))
            raise ValueError(f"{self.env}={value}: {error}; allowed: {self.reader.allowed}") from None


def _setting(
    env: str, reader: Reader[T], default: str, help: str, *, secret: bool = False, default_shown: str = ""
) -> T:
    declaration = Declaration(env, reader, default, help, secret, default_shown or default)
    field = dataclasses.field(default=declaration.read(default), repr=not secret, metadata={"declaration": declaration})
    return cast(T, field)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting of one worker process, with the unit in the name. Secrets are not in its `repr`.

    `Settings()` has the defaults, and `Settings(window_s=1)` is for tests: only `from_env` checks.
    """

    broker: str = _setting(
        "SLUICE_BROKER",
        readers.brokers,
        "kafka://127.0.0.1:9092",
        "Where Kafka is; several brokers with `;`, each the way into the whole cluster.",
    )
    roles: tuple[Role, ...] = _setting(
        "SLUICE_ROLES",
        cast(Reader[tuple[Role, ...]], subset_of("ingest", "monitor", "history")),
        "ingest,monitor,history",
        "What this worker does: take logs in over HTTP, feed topics and windows, write the history.",
    )
    app_id: str = _setting(
        "SLUICE_APP_ID",
        readers.app_id,
        "sluice",
        "Prefix of the consumer groups (`<id>-monitor`, `<id>-history`) and of Sluice's own topics; "
        "the same for all workers of a deployment.",
    )
    history: HistoryLocation = _setting(
        "SLUICE_HISTORY",
        readers.history,
        "file://./var/history",
        "Where the history of every log is written: a folder, or an HDFS with all its NameNodes.",
    )
    history_format: Literal["jsonl", "text"] = _setting(
        "SLUICE_HISTORY_FORMAT",
        cast(Reader[Literal["jsonl", "text"]], one_of("jsonl", "text", later=("parquet", "avro"))),
        "jsonl",
        "What a history file holds: `jsonl` a JSON object a record, `text` the bodies alone.",
    )
    history_compression: Literal["gzip", "zstd", "none"] = _setting(
        "SLUICE_HISTORY_COMPRESSION",
        cast(Reader[Literal["gzip", "zstd", "none"]], one_of("gzip", "zstd", "none")),
        "gzip",
        "How history files are compressed.",
    )
    history_roll_bytes: int = _setting(
        "SLUICE_HISTORY_ROLL_BYTES",
        whole_number(1, 1 << 40),
        str(128 * _MEBIBYTE),
        "A history file is finished when it has reached this many bytes, compressed.",
    )
    history_roll_interval_s: int = _setting(
        "SLUICE_HISTORY_ROLL_INTERVAL_S",
        whole_number(1, _DAY_S),
        "60",
        "A history file is finished at the latest this many seconds after its first record.",
    )
    routes: Path = _setting(
        "SLUICE_ROUTES",
        readers.path,
        str(SHIPPED_ROUTES),
        "The file that says which logs go to real-time monitoring, and how; see docs/routes.md.",
        default_shown="config/routes.toml as shipped",
    )
    partitions: int = _setting(
        "SLUICE_PARTITIONS",
        whole_number(1, 10_000),
        "4",
        "Partitions of the topics that Sluice creates; existing topics stay as they are.",
    )
    replication: int = _setting(
        "SLUICE_REPLICATION",
        whole_number(1, 100),
        "1",
        "Copies of each partition of the topics that Sluice creates; not more than there are brokers.",
    )
    window_s: int = _setting(
        "SLUICE_WINDOW_S",
        whole_number(1, _DAY_S),
        "10",
        "Length of a monitoring window, in seconds.",
    )
    retention_s: int = _setting(
        "SLUICE_RETENTION_S",
        whole_number(1, 30 * _DAY_S),
        "3600",
        "How long windows are kept, in seconds; a multiple of the window.",
    )
    window_max_keys: int = _setting(
        "SLUICE_WINDOW_MAX_KEYS",
        whole_number(1, 1_000_000),
        "1000",
        "Distinct keys (paths, services, values of `group_by`) counted apart in one window of one partition; "
        "what comes after is counted together as `other`.",
    )
    data_dir: Path = _setting(
        "SLUICE_DATA_DIR",
        readers.path,
        "./var/worker",
        "RocksDB state, spool and upload buffers; a folder of its own for each worker process.",
    )
    max_body_bytes: int = _setting(
        "SLUICE_MAX_BODY_BYTES",
        whole_number(1, 1 << 30),
        str(16 * _MEBIBYTE),
        "The largest request, inflated; anything larger is answered 413.",
    )
    ingest_max_bytes: int = _setting(
        "SLUICE_INGEST_MAX_BYTES",
        whole_number(1, 1 << 40),
        str(256 * _MEBIBYTE),
        "Bytes of events that may wait in memory for Kafka; beyond it requests are answered 503.",
    )
    reliability: Reliability = _setting(
        "SLUICE_RELIABILITY",
        cast(Reader[Reliability], one_of("end-to-end", "store-on-failure", "best-effort")),
        "end-to-end",
        "When a source acknowledges what it was given, where its table does not say: once Kafka has it on all "
        "replicas; while Kafka is away, once it is on the local disk; or at once. See docs/reliability.md.",
    )
    spool_max_bytes: int = _setting(
        "SLUICE_SPOOL_MAX_BYTES",
        whole_number(_MEBIBYTE, 1 << 50),
        str(1 << 30),
        "Bytes of events that the local spool (`store-on-failure`) may hold for Kafka; beyond it events are refused.",
    )
    given: frozenset[str] = dataclasses.field(default=frozenset(), repr=False, compare=False)  # set by the environment

    @property
    def bootstrap_servers(self) -> list[str]:
        """The brokers as `host:port`, as Kafka clients want them."""
        return [broker.removeprefix("kafka://") for broker in self.broker.split(";")]

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read and check every `SLUICE_*` variable of `environ`.

        Raises SettingsError with everything that is wrong: unknown names, values that are not allowed, and values
        that do not go together. Neither the error nor its traceback holds a password.
        """
        problems = [
            _unknown(name, value)
            for name, value in sorted(environ.items())
            if name.upper().startswith(_PREFIX) and name not in _BY_ENV
        ]
        values: dict[str, Any] = {}
        unread = set()
        for attribute, declaration in DECLARED.items():
            if declaration.env in environ:
                try:
                    values[attribute] = declaration.read(environ[declaration.env])
                except ValueError as error:
                    unread.add(attribute)
                    problems.append(str(error))
        settings = cls(**values, given=frozenset(DECLARED[attribute].env for attribute in values))
        problems.extend(what for about, what in settings._contradictions() if unread.isdisjoint(about))
        if problems:
            raise SettingsError(problems)
        return settings

    def _contradictions(self) -> Iterator[tuple[set[str], str]]:
        """Values that do not go together: the settings concerned, and what is wrong."""
        if self.retention_s < self.window_s or self.retention_s % self.window_s:
            yield (
                {"retention_s", "window_s"},
                f"SLUICE_RETENTION_S={self.retention_s}: must be a multiple of SLUICE_WINDOW_S={self.window_s}",
            )
        if self.ingest_max_bytes < self.max_body_bytes:
            yield (
                {"ingest_max_bytes", "max_body_bytes"},
                f"SLUICE_INGEST_MAX_BYTES={self.ingest_max_bytes}: must not be less than "
                f"SLUICE_MAX_BODY_BYTES={self.max_body_bytes}, or the largest request would be refused for ever",
            )


DECLARED: dict[str, Declaration] = {
    field.name: field.metadata["declaration"]
    for field in dataclasses.fields(Settings)
    if "declaration" in field.metadata
}
"""Every setting by its attribute, in the order of the reference."""

_BY_ENV = {declaration.env: declaration for declaration in DECLARED.values()}


def _unknown(name: str, value: str) -> str:
    shown = "***" if _LIKELY_SECRET.search(name) else quoted(without_secrets(value))
    return f"{quoted(name)[1:-1]}={shown}: there is no such setting{did_you_mean(name.upper(), _BY_ENV, _PREFIX)}"
