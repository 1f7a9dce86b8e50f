"""Test that no file may gain lines over 120 columns, and that a file that improves must be removed from the list."""

from pathlib import Path

from scripts.check_columns import is_checked, long_lines, problems


def test_a_line_of_121_characters_is_too_long(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text("é" * 120 + "\n" + "é" * 121 + "\n")

    assert long_lines(file) == [2]


def test_a_listed_file_may_keep_its_long_lines() -> None:
    assert problems({"a.py": [1, 9]}, {"a.py": 2}) == []


def test_a_file_that_gets_worse_is_a_problem() -> None:
    worse = problems({"a.py": [1, 9, 12], "new.py": [3]}, {"a.py": 2})

    assert [sentence.split(":")[0] for sentence in worse] == ["a.py", "new.py"]


def test_a_file_that_gets_better_must_be_removed_from_the_list() -> None:
    assert "--update" in problems({}, {"a.py": 2})[0]


def test_vendored_files_and_migrations_are_not_checked() -> None:
    assert not is_checked("health/migrations/0001_initial.py")
    assert not is_checked("opsportal/static/opsportal/vendor/uplot/uPlot.js")
    assert not is_checked("requirements/dev.txt")
    assert is_checked("templates/emails/alert.txt")
    assert is_checked("health/tasks.py")
