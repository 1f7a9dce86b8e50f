"""Test the parts of the installer that need no real installation."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import bootstrap
from tests.two_runs import in_the_sqlite_run

pytestmark = in_the_sqlite_run

LOCK = """\
django==5.2 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via -r run.in
colorama==0.4 ; sys_platform == 'win32' \\
    --hash=sha256:cc
localstripe==1.0 \\
    --hash=sha256:dd
"""


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bootstrap, "VENV", tmp_path)
    path = tmp_path / "dev.txt"
    path.write_text(LOCK)
    return path


def test_a_package_is_removed_from_a_lock_with_its_hashes(lock: Path) -> None:
    rest = bootstrap._without(lock, "localstripe").read_text()

    assert "localstripe" not in rest
    assert "dd" not in rest
    assert rest.count("--hash") == 3


def test_packages_for_other_systems_are_not_part_of_the_lock_for_this_system(lock: Path) -> None:
    assert bootstrap.locked_here(lock) == ["django", "localstripe"]


def test_uv_uses_the_mirror_configured_for_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(bootstrap, "PYTHON", Path(sys.executable))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://one.example https://two.example")
    monkeypatch.setenv("PIP_FIND_LINKS", "/one /two")
    monkeypatch.setenv("UV_INDEX", "https://already.example")

    settings = bootstrap.uv_settings()

    assert settings["UV_DEFAULT_INDEX"] == "https://mirror.example/simple"
    assert settings["UV_FIND_LINKS"] == "/one,/two"
    assert "UV_INDEX" not in settings  # An existing UV_INDEX must not be overwritten.


def test_a_python_too_old_for_the_portal_can_parse_it() -> None:
    """Test that an old Python can parse the script, to print one clear line instead of a syntax error."""
    source = (bootstrap.ROOT / "scripts" / "bootstrap.py").read_text()

    compile(source, "bootstrap.py", "exec", flags=0, dont_inherit=True)
    assert source.index("from __future__ import annotations") < source.index("import hashlib")
    assert "match " not in source


def test_an_unknown_argument_is_refused_in_one_line() -> None:
    completed = subprocess.run(
        [sys.executable, "scripts/bootstrap.py", "everything"],
        cwd=bootstrap.ROOT,
        capture_output=True,
        text=True,
    )

    assert completed.returncode == 1
    assert completed.stderr.startswith("usage:")
