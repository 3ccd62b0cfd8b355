"""docs/routes.md: every example in it is read, and the errors that it shows are the errors that are said."""

import re
from pathlib import Path

import pytest

from config.business_route import BusinessRoute
from config.errors import RoutesError
from config.routes import Routes, load
from config.settings import SHIPPED_ROUTES

PAGE = (Path(__file__).parents[3] / "docs" / "routes.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
EXAMPLES = [text for language, text in BLOCKS if language == "toml"]
ANSWERS = [text for language, text in BLOCKS if not language]


def read(text):
    Path("routes.toml").write_text(text, encoding="utf-8")
    return load(Path("routes.toml"), check_pattern=lambda pattern, tomcat: None)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("example", EXAMPLES[:-1])
def test_every_example_but_the_last_is_right(example):
    assert isinstance(read(example), Routes)


def test_the_first_example_is_what_is_shipped():
    first, shipped = read(EXAMPLES[0]), load(SHIPPED_ROUTES, check_pattern=lambda pattern, tomcat: None)
    assert (first.access_log, first.business) == (shipped.access_log, shipped.business)


def test_the_last_example_is_wrong_in_the_way_that_is_shown():
    with pytest.raises(RoutesError) as raised:
        read(EXAMPLES[-1])
    assert f"{raised.value}\n" == ANSWERS[0]


def test_what_is_not_toml_is_refused_in_the_way_that_is_shown():
    with pytest.raises(RoutesError) as raised:
        read("[access_log]\npatterns = []\ntomcat 10\n")
    assert f"{raised.value}\n" == ANSWERS[1]


def test_every_key_of_a_business_table_has_its_row():
    keys = [field for field in BusinessRoute.__dataclass_fields__ if f"\n| `{field}` | " in PAGE]
    assert keys == list(BusinessRoute.__dataclass_fields__)
