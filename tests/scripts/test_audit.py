"""Test that `make audit` succeeds only if pip-audit has checked every locked package."""

import json
from pathlib import Path

import pytest

from scripts import audit
from scripts.bootstrap import REQUIREMENTS, locked_here

SCRIPT = """#!/bin/sh
for lock in "$@"; do case "$lock" in *.txt) cat "{folder}/$lock.json" ;; esac; done
exit 0
"""


@pytest.fixture
def auditor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a fake pip-audit that prints `<lock>.json` and exits with 0, and return the folder for these files."""
    program = tmp_path / "bin" / "pip-audit"
    program.parent.mkdir()
    program.write_text(SCRIPT.format(folder=tmp_path))
    program.chmod(0o755)
    monkeypatch.setattr(audit, "TOOLS", tmp_path)
    monkeypatch.setattr(audit, "install_tools", lambda *_: None)
    for lock in ("run.txt", "dev.txt"):
        known = [
            {"name": name, "version": "1", "vulns": []} for name in locked_here(REQUIREMENTS / lock)
        ]
        (tmp_path / f"{lock}.json").write_text(json.dumps({"dependencies": known}))
    return tmp_path


def test_the_audit_succeeds_when_every_package_was_checked_and_none_is_vulnerable(
    auditor: Path,
) -> None:
    assert audit.main() == 0


def test_the_audit_fails_without_a_report_although_pip_audit_exits_with_0(
    auditor: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (auditor / "run.txt.json").write_text("")

    assert audit.main() == 1
    assert "nothing is known" in capsys.readouterr().out


def test_the_audit_fails_when_a_package_was_skipped(auditor: Path) -> None:
    report = json.loads((auditor / "dev.txt.json").read_text())
    report["dependencies"][0] = {"name": report["dependencies"][0]["name"], "skip_reason": "?"}
    (auditor / "dev.txt.json").write_text(json.dumps(report))

    assert audit.main() == 1


def test_the_audit_fails_and_names_a_known_vulnerability(
    auditor: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = json.loads((auditor / "run.txt.json").read_text())
    report["dependencies"][0]["vulns"] = [{"id": "PYSEC-1", "fix_versions": ["2"]}]
    (auditor / "run.txt.json").write_text(json.dumps(report))

    assert audit.main() == 1
    assert "PYSEC-1 (fixed in: 2)" in capsys.readouterr().out
