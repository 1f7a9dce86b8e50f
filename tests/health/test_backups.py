"""Test that backups of the suite's own database can be created, rotated, verified and restored."""

import gzip
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django.fixtures import Settings

from alerts.models import SystemAlert
from health import backups
from health.backups import databases
from health.extension_points import Degraded, NotConfigured
from health.hooks import health_checks
from health.models import Backup
from tests.factories import make_app

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def folder(settings: Settings, tmp_path: Path) -> Path:
    settings.BACKUP_DIR = str(tmp_path / "backups")
    return tmp_path / "backups"


def test_a_backup_can_be_restored_with_all_rows(folder: Path) -> None:
    for _ in range(30):
        make_app()
    backup = backups.create_backup(now=timezone.now())

    assert backup.row_counts["clients_clientapp"] == 30
    assert [path.name for path in folder.iterdir()] == [Path(backup.file).name]
    assert Path(backup.file).stat().st_mode & 0o077 == 0
    finding = backups.verify_newest_backup(now=timezone.now())
    assert (finding.is_good, SystemAlert.objects.count()) == (True, 0)
    assert "was restored" in finding.text
    assert health_checks.backups() is not None


def test_only_the_newest_backups_are_kept_and_other_files_stay(
    folder: Path, settings: Settings
) -> None:
    settings.BACKUP_KEEP = 2
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    now = timezone.now()
    for hours in range(4):
        backups.create_backup(now=now + timedelta(hours=hours))

    assert len(list(folder.iterdir())) == 3
    assert (folder / "notes.txt").exists()


def damage(backup: Backup, how: str) -> None:
    file = Path(backup.file)
    match how:
        case "missing":
            file.unlink()
        case "stale":
            Backup.objects.update(started_at=timezone.now() - timedelta(hours=30))
        case "small":
            older = Backup.objects.get()
            Backup.objects.create(
                started_at=older.started_at - timedelta(days=1),
                state="done",
                size_bytes=older.size_bytes * 3,
            )
        case "checksum":
            file.write_bytes(file.read_bytes()[:-20] + b"x" * 20)
        case "broken":
            content = b"not a database" * 99
            file.write_bytes(gzip.compress(content) if file.name.endswith(".gz") else content)
            Backup.objects.update(sha256=backups.creation.sha256_of(file))
        case "rows are missing":
            Backup.objects.update(row_counts={"clients_clientapp": 500})


@pytest.mark.parametrize(
    "how", ["missing", "stale", "small", "checksum", "broken", "rows are missing"]
)
def test_a_bad_backup_raises_an_alert_until_a_good_one_is_verified(how: str) -> None:
    backup = backups.create_backup(now=timezone.now())
    damage(backup, how)

    finding = backups.verify_newest_backup(now=timezone.now())

    assert not finding.is_good
    assert how in finding.text
    assert SystemAlert.objects.active().get().message == finding.text
    with pytest.raises(RuntimeError):
        health_checks.backups()
    with pytest.raises(CommandError):
        call_command("verify_backup")

    Backup.objects.all().delete()
    backups.create_backup(now=timezone.now())
    assert backups.verify_newest_backup(now=timezone.now()).is_good
    assert not SystemAlert.objects.active().exists()


def test_a_missing_backup_fails_verification_but_not_the_health_check() -> None:
    assert backups.verify_newest_backup(now=timezone.now()).text.startswith("missing")
    with pytest.raises(NotConfigured):
        health_checks.backups()


def test_a_backup_without_recent_verification_is_degraded() -> None:
    backups.create_backup(now=timezone.now())
    backups.verify_newest_backup(now=timezone.now())
    Backup.objects.update(verified_at=timezone.now() - timedelta(days=9))
    with pytest.raises(Degraded):
        health_checks.backups()


def test_the_command_creates_a_backup_and_prints_its_path(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("backup")
    assert str(folder) in capsys.readouterr().out


@pytest.mark.parametrize(
    "database",
    [
        databases.SQLite(Path("/nowhere/opsportal.sqlite3")),
        databases.PostgreSQL({"NAME": "opsportal", "HOST": "127.0.0.1", "PORT": 1}),
    ],
    ids=["SQLite", "PostgreSQL"],
)
def test_a_failed_backup_is_recorded_with_its_error(
    monkeypatch: pytest.MonkeyPatch, folder: Path, database: databases.Database
) -> None:
    monkeypatch.setattr(databases, "current_database", lambda: database)

    with pytest.raises(backups.BackupFailed):
        backups.create_backup(now=timezone.now())

    failed = Backup.objects.get()
    assert (failed.state, bool(failed.error)) == ("failed", True)
    assert list(folder.iterdir()) == []
    with pytest.raises(RuntimeError, match="the first backup failed"):
        health_checks.backups()
