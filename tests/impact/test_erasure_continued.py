"""Test that interrupted erasures are completed once, and that finished ones are listed for the restore of a backup."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from core.accounts.models import AuditEvent
from errors.models import ErrorEvent
from impact import tasks
from impact.extension_points import Person, erasers
from impact.models import Change, Erasure
from impact.services.erasure import continue_erasures, erase_person, erase_references
from impact.services.restored_erasures import erasures_file, keep_beside_backups, read_fingerprints
from payments.models import Payment
from tests.errors.stored import make_error
from tests.factories import make_payment
from tests.impact.support import shop

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def backups(settings: Any, tmp_path: Path) -> Path:
    settings.BACKUP_DIR = tmp_path / "backups"
    return tmp_path / "backups"


def interrupted(customers: Any, **fields: Any) -> Erasure:
    """Create an erasure that was interrupted before its first step."""
    return Erasure.objects.create(customers=json.dumps(customers), requested_at=NOON, **fields)


def customers() -> set[str]:
    return set(Payment.objects.values_list("customer", flat=True))


def test_all_interrupted_erasures_are_continued() -> None:
    for number in range(2):
        make_payment(customer=f"buyer-{number}")
        interrupted({"customers": [f"buyer-{number}"]})

    assert continue_erasures(now=NOON) == 2

    assert customers() == {""}
    assert not Erasure.objects.filter(finished_at=None).exists()


def test_an_erasure_that_an_earlier_version_began_is_continued() -> None:
    make_payment(customer="buyer-17")
    interrupted(["buyer-17"])

    continue_erasures(now=NOON)

    assert customers() == {""}


def test_the_task_continues_erasures_and_notes_them_beside_the_backups() -> None:
    make_payment(customer="buyer-17")
    interrupted({"customers": ["buyer-17"]}, fingerprints=["f1"])

    assert tasks.continue_erasures() == {"finished": 1, "noted": 1}

    assert customers() == {""}
    assert read_fingerprints(erasures_file()) == [["f1"]]
    assert tasks.continue_erasures() == {"finished": 0, "noted": 0}


def test_a_user_who_is_not_a_customer_is_erased() -> None:
    event = make_error(shop(), user_key="u-17")

    erase_references({"customers": [], "users": ["u-17"], "addresses": []}, user=None, now=NOON)

    assert ErrorEvent.objects.get(pk=event.pk).user_key.startswith("erased-")


def test_an_erasure_that_two_processes_finish_is_audited_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_payment(customer="buyer-17")
    name, erase = erasers.get("waiting_entries")

    def overtaken(person: Person, limit: int, now: datetime) -> int:
        monkeypatch.undo()
        continue_erasures(now=now)
        return erase(person, limit, now)

    monkeypatch.setitem(erasers._items, "waiting_entries", (name, overtaken))

    erase_person(customer="buyer-17", user=None, now=NOON)

    assert AuditEvent.objects.filter(action="person erased").count() == 1


def test_affected_orders_are_computed_again_before_the_erasure_returns() -> None:
    make_payment(customer="buyer-17")

    erase_person(customer="buyer-17", user=None, now=NOON)

    assert not Change.objects.exists()


def test_only_finished_erasures_with_fingerprints_are_noted(backups: Path) -> None:
    interrupted(["buyer-17"], fingerprints=["f1"])
    # An erasure of an earlier version, which stored no fingerprints.
    Erasure.objects.create(requested_at=NOON, finished_at=NOON, fingerprints=[])
    assert keep_beside_backups() == 0
    assert not backups.exists()

    continue_erasures(now=NOON)

    assert keep_beside_backups() == 1
    assert backups.stat().st_mode & 0o777 == 0o700


def test_an_erasure_cannot_be_deleted(admin_client: Client) -> None:
    erasure = interrupted(["buyer-17"])

    url = reverse("admin:impact_erasure_delete", args=[erasure.pk])
    assert admin_client.post(url, {"post": "yes"}).status_code == 403
    assert Erasure.objects.filter(pk=erasure.pk).exists()
