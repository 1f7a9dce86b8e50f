"""`make audit` says that all is well only when somebody who knows was asked."""

import json
from pathlib import Path

import pytest

from scripts import audit
from scripts.bootstrap import REQUIREMENTS, locked_here

SAYS = """#!/bin/sh
for lock in "$@"; do case "$lock" in *.txt) cat "{folder}/$lock.json" ;; esac; done
exit 0
"""


@pytest.fixture
def auditor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pip-audit that exits 0 and prints what is in <lock>.json of the returned folder."""
    program = tmp_path / "bin" / "pip-audit"
    program.parent.mkdir()
    program.write_text(SAYS.format(folder=tmp_path))
    program.chmod(0o755)
    monkeypatch.setattr(audit, "TOOLS", tmp_path)
    monkeypatch.setattr(audit, "_install", lambda: None)
    for lock in ("run.txt", "dev.txt"):
        known = [
            {"name": name, "version": "1", "vulns": []} for name in locked_here(REQUIREMENTS / lock)
        ]
        (tmp_path / f"{lock}.json").write_text(json.dumps({"dependencies": known}))
    return tmp_path


def test_all_answered_and_nothing_known_is_well(auditor: Path) -> None:
    assert audit.main() == 0


def test_no_answer_is_a_failure_although_the_tool_exits_0(
    auditor: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (auditor / "run.txt.json").write_text("")

    assert audit.main() == 1
    assert "nothing is known" in capsys.readouterr().out


def test_a_package_that_was_passed_over_is_a_failure(auditor: Path) -> None:
    answered = json.loads((auditor / "dev.txt.json").read_text())
    answered["dependencies"][0] = {"name": answered["dependencies"][0]["name"], "skip_reason": "?"}
    (auditor / "dev.txt.json").write_text(json.dumps(answered))

    assert audit.main() == 1


def test_a_known_weakness_is_named(auditor: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answered = json.loads((auditor / "run.txt.json").read_text())
    answered["dependencies"][0]["vulns"] = [{"id": "PYSEC-1", "fix_versions": ["2"]}]
    (auditor / "run.txt.json").write_text(json.dumps(answered))

    assert audit.main() == 1
    assert "PYSEC-1 (fixed in: 2)" in capsys.readouterr().out
