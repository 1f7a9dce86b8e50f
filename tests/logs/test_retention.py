"""Test that logs and their words in the search index are deleted after LOG_DAYS."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from logs import services
from logs.models import LogEntry
from logs.tasks import prune_logs
from tests.logs.conftest import Add

pytestmark = pytest.mark.django_db


def test_entries_past_their_retention_are_deleted_and_can_no_longer_be_found(
    add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "CHUNK_SIZE", 2)
    now = timezone.now()
    for number in range(5):
        add(f"expired {number}", at=now - timedelta(days=3, seconds=-60 - number), order_id="o-1")
    add("kept expired", at=now - timedelta(days=2))

    assert services.prune(now=now + timedelta(minutes=5)) == 5

    assert [entry.body for entry in LogEntry.objects.all()] == ["kept expired"]
    client = Client()
    client.force_login(User.objects.create_superuser("owner"))
    page = client.get("/admin/logs/", {"q": "expired"})
    assert [row["entry"].body for row in page.context["rows"]] == ["kept expired"]
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM logs_words WHERE logs_words MATCH 'expired'")
            assert cursor.fetchone() == (1,)
            cursor.execute("INSERT INTO logs_words (logs_words) VALUES ('integrity-check')")


def test_the_retention_can_be_set(add: Add, settings: Settings) -> None:
    add("old", at=timezone.now() - timedelta(days=2))
    settings.LOG_DAYS = 1

    assert prune_logs() == {"deleted": 1}
    assert not LogEntry.objects.exists()


def test_a_run_stops_when_its_time_is_up(add: Add) -> None:
    add("old")

    assert services.prune(now=timezone.now() + timedelta(days=9), seconds=0) == 0
    assert LogEntry.objects.exists()
