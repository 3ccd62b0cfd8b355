"""The import table of the architecture, and what every module promises, read from the sources."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# What a package may import: packages of ours (each may import itself and `telemetry`), and libraries of others.
OURS: dict[str, set[str]] = {
    "telemetry": set(),
    "config": set(),
    "parsers": set(),
    "streaming": {"config"},
    "sources": {"config", "parsers"},
    "sinks": {"config", "parsers"},
    "tables": {"streaming", "parsers", "config"},
    "agents": {"tables", "sinks", "parsers", "streaming", "config"},
    "app": {"agents", "tables", "sinks", "sources", "parsers", "streaming", "config"},
}
THEIRS: dict[str, set[str]] = {
    "telemetry": set(),
    "config": {"tomli"},
    "parsers": {"orjson"},
    "streaming": {"aiohttp", "aiokafka", "faust", "mode", "orjson", "rocksdict", "uvloop", "yarl"},
    "sources": {"aiohttp", "aiokafka", "fastavro", "orjson", "rocksdict", "thriftpy2", "zstandard"},
    "sinks": {"aiohttp", "aiokafka", "hdfs", "orjson", "requests", "requests_kerberos", "zstandard", "isal"},
    "tables": {"orjson"},
    "agents": set(),
    "app": {
        *("aiohttp", "aiokafka", "faust", "hdfs", "mode", "orjson", "prometheus_client", "requests", "uvloop"),
        *("yarl", "zstandard"),
    },
}

# What is plugged in by name: each module must be reached from `app`, or nobody would notice that it isn't.
WIRED = ("agents", "tables", "app")

MOST_LINES = 400
# Offered by the standard library's own types, whatever the underscore says.
PUBLIC_AFTER_ALL = {"_replace", "_asdict", "_fields", "_make", "_exit", "_value_"}
# Private parts of aiokafka, which is pinned exactly and has no public way to do these.
TOLERATED = {
    "sources/connection.py": {"_sender", "_message_accumulator"},  # stop a producer whose brokers are away
    "app/brokers.py": {"_send_request"},  # see a group's error in the answer about its offsets
}


def modules(*packages: str) -> Iterator[Path]:
    for package in packages:
        yield from sorted((ROOT / package).rglob("*.py"))


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that a module imports; `from a import b` counts as `a` and as `a.b`."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{shown(path)}:{node.lineno}: relative import"
            assert node.module is not None
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


@pytest.mark.parametrize("package", OURS)
def test_imports_follow_the_table(package: str) -> None:
    allowed = {package, "telemetry", "__future__", *OURS[package], *THEIRS[package], *sys.stdlib_module_names}
    wrong = [
        f"{shown(path)}:{line}: {name}"
        for path in modules(package)
        for line, name in imported(path)
        if name.partition(".")[0] not in allowed
    ]
    assert not wrong, f"{package} may not import:\n" + "\n".join(wrong)


def test_an_agent_imports_no_other_agent() -> None:
    """Of agents/, only `app` picks; what agents share (origin, outcome, route) is not an agent."""
    agents = {"agents.access_log", "agents.business_log", "agents.history", "agents.monitor"}
    assert agents <= {name for path in modules("app") for _, name in imported(path)}, "an agent that nobody registers"
    for path in modules("agents"):
        assert not agents & {name for _, name in imported(path)}, shown(path)


def test_private_parts_stay_private() -> None:
    """Only `streaming`, whose job it is, touches Faust's; of other names, each module touches its own only."""
    wrong = []
    for path in modules(*OURS.keys() - {"streaming"}):
        own = {*_private_names_defined_in(path), *PUBLIC_AFTER_ALL, *TOLERATED.get(shown(path), ())}
        wrong += [
            f"{shown(path)}:{node.lineno}: .{node.attr}"
            for node in ast.walk(tree(path))
            if isinstance(node, ast.Attribute) and _is_private(node.attr) and node.attr not in own
            if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
        ]
        wrong += [
            f"{shown(path)}:{line}: {name}"
            for line, name in imported(path)
            if name.partition(".")[0] not in OURS and any(_is_private(part) for part in name.split("."))
        ]
    assert not wrong, "\n".join(wrong)


def test_imports_are_at_the_top() -> None:
    """A broken import must stop the start, not the first request that gets there."""
    inside = [
        f"{shown(path)}:{node.lineno}"
        for path in modules(*OURS)
        for function in ast.walk(tree(path))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert not inside, "imports inside functions:\n" + "\n".join(inside)


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        shown(path)
        for path in modules(*OURS, "deploy", "bench", "tests")
        if not (ast.get_docstring(tree(path)) or "").partition("\n")[0].strip()
    ]
    assert not silent, "no docstring, or its first line is empty:\n" + "\n".join(silent)


def test_modules_stay_small() -> None:
    lines = {shown(path): len(path.read_text("utf-8").splitlines()) for path in modules(*OURS, "deploy")}
    assert lines
    assert not {path: count for path, count in lines.items() if count > MOST_LINES}


def test_module_names_say_something() -> None:
    """Faust's discovery passes over names with `test_` in them."""
    empty_words = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
    for path in modules(*OURS):
        assert not empty_words & set(path.relative_to(ROOT).with_suffix("").parts), shown(path)
        assert "test_" not in path.stem, shown(path)


@pytest.mark.parametrize("package", OURS)
def test_our_packages_are_ours(package: str) -> None:
    """`agents`, `tables`, `config` and `app` are import names of published packages, too."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin == str(ROOT / package / "__init__.py")


@pytest.mark.parametrize("package", WIRED)
def test_nothing_is_forgotten(package: str) -> None:
    """Every module is imported, directly or not, when Faust imports `app`; discovery is off, as it swallows errors."""
    known = {_dotted(path): path for path in modules(*OURS)}
    reached: set[str] = set()
    waiting = {"app"}
    while waiting:
        name = waiting.pop()
        reached.add(name)
        parents = {".".join(name.split(".")[:depth]) for depth in range(1, name.count(".") + 1)}
        waiting |= ({found for _, found in imported(known[name])} | parents) & known.keys() - reached
    # A package's `memory` is the fake that it ships for tests.
    forgotten = {name for name in known if name.partition(".")[0] == package} - reached - {f"{package}.memory"}
    assert not forgotten, sorted(forgotten)


def _dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _private_names_defined_in(path: Path) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
