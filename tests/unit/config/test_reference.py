"""docs/settings.md is what the declarations say."""

from pathlib import Path

from config.reference import main, reference
from config.settings import DECLARED

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"


def test_the_committed_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == reference(), "run `python -m config.reference`"


def test_every_setting_has_one_row_with_as_many_cells_as_the_header():
    for declaration in DECLARED.values():
        rows = [line for line in reference().splitlines() if line.startswith(f"| `{declaration.env}` |")]
        assert [row.count("|") for row in rows] == [5]


def test_no_path_of_this_machine_gets_into_the_page():
    assert str(Path.cwd()) not in reference()
    assert str(PAGE.parents[1]) not in reference()


def test_check_fails_for_a_stale_or_missing_page_and_writing_mends_it(tmp_path, capsys):
    page = tmp_path / "settings.md"
    assert main(["--check", str(page)]) == 1
    assert main([str(page)]) == 0
    assert main(["--check", str(page)]) == 0
    page.write_text(page.read_text(encoding="utf-8") + "more\n", encoding="utf-8")
    assert main(["--check", str(page)]) == 1
    assert "is stale: run `python -m config.reference" in capsys.readouterr().err
