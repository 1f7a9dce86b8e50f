"""Test `manage.py import healthchecks`, which creates a heartbeat for each check in an export from healthchecks."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from health.models import CheckIn, Heartbeat
from tests.health.importing import run

pytestmark = pytest.mark.django_db
CODE = uuid.UUID("f618072a-7bde-4eee-af63-71a77c5723bc")


def check(version: int, **more: Any) -> dict[str, Any]:
    """Return a check as version `version` of the healthchecks API returns it."""
    found: dict[str, Any] = {
        "name": "Nightly backup",
        "tags": "prod db",
        "desc": "",
        "grace": 1800,
        "n_pings": 5,
        "status": "up",
        "last_ping": "2026-11-28T03:00:00+00:00",
        "next_ping": "2026-11-29T03:00:00+00:00",
        "manual_resume": False,
        "methods": "",
        "ping_url": f"https://hc-ping.com/{CODE}",
        "update_url": f"https://healthchecks.io/api/v{version}/checks/{CODE}",
        "channels": "1bdea674-59de-4d00-a1e1-25a0b5ed8c1e",
        "schedule": "0 3 * * *",
        "tz": "Europe/Berlin",
    }
    if version >= 2:
        found["slug"] = "nightly-backup"
    if version == 3:
        found["uuid"] = str(CODE)
    return {**found, **more}


def write(path: Path, *checks: dict[str, Any]) -> str:
    path.write_text(json.dumps({"checks": list(checks)}))
    return str(path)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_check_keeps_its_name_schedule_tags_and_ping_address(
    tmp_path: Path, version: int, client: Client
) -> None:
    run("healthchecks", write(tmp_path / "checks.json", check(version)), "--yes")

    heartbeat = Heartbeat.objects.get()
    assert (heartbeat.title, heartbeat.name) == ("Nightly backup", "hc-f618072a-nightly-backup")
    assert (heartbeat.schedule, heartbeat.time_zone) == ("0 3 * * *", "Europe/Berlin")
    assert (heartbeat.margin_minutes, heartbeat.slug) == (30, "nightly-backup")
    assert {tag.strip() for tag in heartbeat.tags.split(",")} == {"prod", "db"}
    assert client.get(f"/ping/{CODE}").status_code == 200
    assert CheckIn.objects.get().heartbeat == heartbeat


def test_a_check_with_a_period_is_imported_and_differences_are_listed(tmp_path: Path) -> None:
    simple = check(
        3, timeout=90, grace=45, status="paused", desc="Old", success_kw="OK", filter_body=True
    )
    for member in ("schedule", "tz"):
        del simple[member]
    read_only = {
        name: value
        for name, value in check(
            2, name="Read only", slug="ro", unique_key="a6c7b0a8a66bed0df66abfdab3c77736861703ee"
        ).items()
        if name not in ("ping_url", "update_url")
    }
    calendar = check(
        3, name="Calendar", slug="c", uuid=str(uuid.uuid4()), schedule="Mon..Fri *-*-* 10:00"
    )

    shown = run("healthchecks", write(tmp_path / "c.json", simple, read_only, calendar), "--yes")

    first = Heartbeat.objects.get(title="Nightly backup")
    assert (first.schedule, first.margin_minutes, first.is_enabled) == ("every 2 min", 1, False)
    assert Heartbeat.objects.filter(title="Read only").exists()
    assert not Heartbeat.objects.filter(title="Calendar").exists()
    for text in (
        "Nightly backup: the period is 2 min instead of 90 s.",
        "Nightly backup: the grace time is 1 min instead of 45 s.",
        "Nightly backup: the description, the filter by body, the keywords of a success: not imported.",
        "Read only: a read-only export has no ping address",
        "is refused: crontab: Enter five fields",
        "Integrations and the history of checks are not in this export.",
    ):
        assert text in shown


def test_a_second_import_of_checks_changes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "checks.json", check(3))
    run("healthchecks", path, "--yes")

    assert "0 to create, 0 to change, 0 to delete, 1 unchanged" in run(
        "healthchecks", path, "--yes"
    )
    assert Heartbeat.objects.get().ping_key == CODE
