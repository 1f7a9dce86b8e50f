"""Test that `scripts/check_pictures.py` detects screenshots that are older than their pages."""

import json
import re
import sys
from pathlib import Path

import pytest

from scripts import check_pictures

README = (check_pictures.ROOT / "README.md").read_text()


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the only template of a project whose pictures are up to date."""
    monkeypatch.setattr(sys, "argv", ["check_pictures.py"])
    template = tmp_path / "templates" / "health" / "page.html"
    template.parent.mkdir(parents=True)
    template.write_text("<h1>All is well</h1>")
    monkeypatch.setattr(check_pictures, "ROOT", tmp_path)
    monkeypatch.setattr(check_pictures, "FOLDER", tmp_path)
    monkeypatch.setattr(check_pictures, "RECORD", tmp_path / "made-from.json")
    check_pictures.write_record()
    return template


def test_pictures_are_current_until_a_page_changes(
    made: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check_pictures.main() == 0
    made.write_text("<h1>\n  All is   well {# said twice a day #}</h1>\n")
    assert check_pictures.main() == 0
    assert capsys.readouterr().out == ""

    made.write_text("<h1>Nothing is well</h1>")

    assert check_pictures.main() == 0  # On a contributor's machine, the check only prints a note.
    assert (
        "templates/health/page.html. Make them again with `make pictures`"
        in capsys.readouterr().out
    )
    monkeypatch.setattr(sys, "argv", ["check_pictures.py", "--strict"])
    assert check_pictures.main() == 1


def test_a_new_and_a_deleted_page_count_as_changes(made: Path) -> None:
    made.rename(made.with_name("other.html"))

    assert check_pictures.find_changes() == [
        "templates/health/other.html",
        "templates/health/page.html",
    ]


def test_each_picture_was_made_by_the_script_and_each_that_the_readme_shows_exists() -> None:
    names = json.loads(check_pictures.RECORD.read_text())["pictures"]
    script = (check_pictures.ROOT / "demo" / "pictures.py").read_text()

    assert names == sorted(path.name for path in check_pictures.FOLDER.glob("*.png"))
    assert [name for name in names if f'"{name.removesuffix(".png")}"' not in script] == []
    shown = re.findall(r"\]\(docs/screenshots/([^)]+)\)", README)
    assert len(shown) >= 6
    assert set(shown) <= set(names)
