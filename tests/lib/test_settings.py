"""Test that invalid settings in the environment are reported together, in one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.portal import ROOT
from tests.two_runs import in_the_sqlite_run

pytestmark = [in_the_sqlite_run, pytest.mark.slow]  # Each test starts a Python process.


def check(tmp_path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "check", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path / "data"), **environment},
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_all_invalid_values_are_reported_at_once(tmp_path: Path) -> None:
    refused = check(
        tmp_path,
        TRUSTED_PROXY_COUNT="x",
        DATABASE_POOL="abc",
        DATABASE_URL="mysq://nowhere",
        TIME_ZONE="Mars/Base",
        BASE_URL="shop.example",
        WORKERS="0",
        SECRET_KEY_FILE="/nonexistent",
    )

    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert refused.stderr.startswith("opsportal cannot start: invalid settings: ")
    for name in (
        "TRUSTED_PROXY_COUNT: Not a valid integer.",
        "DATABASE_POOL: Not a valid integer.",
        "DATABASE_URL: expected postgresql://user:password@host:5432/name",
        "TIME_ZONE: expected the name of a time zone",
        "BASE_URL: expected a URL such as https://ops.example.com",
        "WORKERS: Must be greater than or equal to 1.",
        "SECRET_KEY: The value of SECRET_KEY_FILE must be a readable file path.",
    ):
        assert name in refused.stderr


@pytest.mark.parametrize("url", ["nonsense", "postgresql://h:notaport/x", "mysql://h/x", "://"])
def test_an_invalid_database_url_is_reported(tmp_path: Path, url: str) -> None:
    refused = check(tmp_path, DATABASE_URL=url)

    assert refused.returncode == 1
    assert refused.stderr.startswith(
        "opsportal cannot start: invalid settings: DATABASE_URL: expected "
    )
    assert refused.stderr.count("\n") == 1


def test_a_data_folder_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")

    refused = check(tmp_path)

    assert refused.returncode == 1
    assert "invalid settings: DATA_DIR: cannot be written" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_empty_values_mean_the_default_and_files_are_stripped(tmp_path: Path) -> None:
    (tmp_path / "pool").write_text("7\n")

    accepted = check(
        tmp_path,
        WORKERS="",
        DATABASE_URL="",
        TIME_ZONE="",
        DATABASE_POOL_FILE=str(tmp_path / "pool"),
    )

    assert accepted.returncode == 0, accepted.stderr


def test_production_settings_pass_djangos_deployment_check(tmp_path: Path) -> None:
    accepted = check(
        tmp_path, "--deploy", "--fail-level", "WARNING", BASE_URL="https://ops.example.com"
    )

    assert accepted.returncode == 0, accepted.stderr
    assert "no issues (0 silenced)" in accepted.stdout
