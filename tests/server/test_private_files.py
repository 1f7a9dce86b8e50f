"""Test that the portal's files can be read by its own user only."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django import Settings

from core.lib.private_files import make_private
from tests.servers.portal import Portal


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.django_db
def test_a_public_data_folder_is_made_private_and_the_change_is_logged(
    tmp_path: Path, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.DATA_DIR = tmp_path
    tmp_path.chmod(0o755)
    database, key = tmp_path / "opsportal.sqlite3", tmp_path / "secret_key"
    for path in (database, key):
        path.touch()
    database.chmod(0o644)
    key.chmod(0o600)

    changed = make_private()

    assert {tmp_path, database} <= set(changed)
    assert key not in changed
    assert (mode(tmp_path), mode(database), mode(key)) == (0o700, 0o600, 0o600)
    lines = [record for record in caplog.records if "its mode was changed" in record.message]
    assert {(str(tmp_path), "0755"), (str(database), "0644")} <= {
        (record.__dict__["path"], record.__dict__["mode_before"]) for record in lines
    }
    assert not {tmp_path, database} & set(make_private())


def test_files_that_the_portal_creates_are_private_whatever_the_umask_is(
    make_portal: Callable[..., Portal],
) -> None:
    portal = make_portal()
    for path in portal.data_dir.glob("*.sqlite3*"):
        path.chmod(0o644)
    before = os.umask(0o022)
    try:
        prepared = portal.manage("prepare")
    finally:
        os.umask(before)

    assert prepared.returncode == 0, prepared.stderr
    assert mode(portal.data_dir) == 0o700
    logs = {portal.web_log, portal.worker_log}
    files = [path for path in portal.data_dir.iterdir() if path.is_file() and path not in logs]
    assert files
    assert {path: mode(path) for path in files if mode(path) & 0o077} == {}
