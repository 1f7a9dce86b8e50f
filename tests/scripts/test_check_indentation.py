"""Test that the check of templates finds new wrong indentation, and that its list of exceptions can only shrink."""

from pathlib import Path

import pytest

from scripts import check_indentation

INDENTED = "<ul>\n  <li>one</li>\n</ul>\n"
FLAT = "<ul>\n<li>one</li>\n</ul>\n"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "templates").mkdir()
    (tmp_path / "known.txt").write_text("")
    monkeypatch.setattr(check_indentation, "ROOT", tmp_path)
    monkeypatch.setattr(check_indentation, "KNOWN", tmp_path / "known.txt")
    (tmp_path / "templates" / "page.html").write_text(INDENTED)
    return tmp_path


def test_indented_templates_pass(tree: Path) -> None:
    assert check_indentation.main() == 0


def test_a_template_that_is_not_indented_fails(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "templates" / "new.html").write_text(FLAT)

    assert check_indentation.main() == 1
    assert "templates/new.html" in capsys.readouterr().out


def test_a_listed_template_passes_until_it_is_indented(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "known.txt").write_text("templates/old.html\n")
    (tree / "templates" / "old.html").write_text(FLAT)
    assert check_indentation.main() == 0

    (tree / "templates" / "old.html").write_text(INDENTED)
    assert check_indentation.main() == 1
    assert "remove it from" in capsys.readouterr().out
