"""What is compiled is known, and what is missing is said."""

from pathlib import Path

import pytest

from app import compiled

ROOT = Path(__file__).parents[3]


def test_every_compiled_part_is_known_and_has_its_types() -> None:
    sources = sorted(ROOT.glob("*/_*.pyx"))
    assert [f"{path.parent.name}.{path.stem}" for path in sources] == sorted(compiled.PARTS)
    assert all(path.with_suffix(".pyi").exists() for path in sources)


def test_where_tests_run_all_parts_are_compiled() -> None:
    assert compiled.missing() == []
    assert compiled.describe() == "all parts"


def test_what_was_not_compiled_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "PARTS", (*compiled.PARTS, "parsers._no_such_part"))
    assert compiled.missing() == ["parsers._no_such_part"]
    assert compiled.describe().startswith("without parsers._no_such_part: several times slower")
