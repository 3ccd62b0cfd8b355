"""docs/guarantees.md names the tests that break when a guarantee does: each of them exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guarantees.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[a-z_/]+\.py(?:::[a-z0-9_]+)?)`", PAGE)))


@pytest.mark.parametrize("named", NAMED)
def test_a_named_test_exists(named: str) -> None:
    path, _, function = named.partition("::")
    source = ROOT / path
    assert source.is_file(), path
    tests = {
        node.name
        for node in ast.walk(ast.parse(source.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }
    machines = re.findall(r"^Test\w+ = \w+\.TestCase$", source.read_text("utf-8"), re.MULTILINE)  # of hypothesis
    assert function in tests if function else tests or machines


def test_each_guarantee_names_a_test() -> None:
    rows = re.findall(r"^\| (\d+) \|.*\| ([^|]*) \|$", PAGE, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, len(rows) + 1))
    assert len(rows) > 10
    for number, tests in rows:
        assert "`tests/" in tests, f"guarantee {number}"


def test_every_path_on_the_page_exists() -> None:
    paths = re.findall(r"`((?:[a-z_]+/)+[a-z0-9_.-]+\.(?:py|md))", PAGE)
    assert paths
    for path in paths:
        assert (ROOT / path).is_file(), path
