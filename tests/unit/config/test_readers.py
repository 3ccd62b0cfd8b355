"""One value from its text."""

from pathlib import Path

import pytest

from config import readers
from config.readers import one_of, subset_of, whole_number


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("10", 10), ("007", 7), ("+3", 3)])
def test_whole_numbers(text, number):
    assert whole_number(1, 10).read(text) == number


@pytest.mark.parametrize(
    "text", ["0", "11", "-1", "99999999999999999999", "1.0", "1e1", "1_0", "0x5", "5s", "٥", "", " 5"]
)
def test_what_is_no_whole_number_in_range(text):
    with pytest.raises(ValueError, match=r"is not a whole number|is out of range"):
        whole_number(1, 10).read(text)


def test_one_of_tells_unknown_from_not_yet():
    reader = one_of("jsonl", "text", later=("parquet",))
    assert reader.read("text") == "text"
    with pytest.raises(ValueError, match="not available in this version"):
        reader.read("parquet")
    with pytest.raises(ValueError, match="is unknown"):
        reader.read("TEXT")


def test_a_subset_comes_in_the_declared_order_and_once():
    reader = subset_of("ingest", "monitor", "history")
    assert reader.read("history, ingest,history") == ("ingest", "history")
    for text in ("", ",", "ingest,", "ingest;monitor", "Ingest", "all"):
        with pytest.raises(ValueError, match=r"is unknown|empty word"):
            reader.read(text)


def test_app_ids_are_legal_in_topics_and_groups():
    for legal in ("sluice", "a", "9", "Prod.eu-1_x", "a" * 200):
        assert readers.app_id.read(legal) == legal
    for illegal in ("", ".", "..", "-a", "a b", "a/b", "é", "a" * 201, "a\n", "a\x00"):
        with pytest.raises(ValueError, match="cannot be part of"):
            readers.app_id.read(illegal)


def test_paths_are_taken_as_they_are():
    assert readers.path.read("./x y") == Path("x y")
