"""Test that the audit log records every write by a signed-in user once, with the request id but no personal data."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from core.accounts.models import AuditEvent, Unchangeable
from core.accounts.services import audit
from core.clients import services
from core.clients.models import ClientApp
from core.jobs.models import Job
from core.jobs.services import sync_jobs
from tests.factories import make_app

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def app() -> ClientApp:
    app = make_app("shop")
    services.issue_dsn_key(app=app)
    return app


def only_event() -> AuditEvent:
    (event,) = AuditEvent.objects.exclude(action="signed in")
    return event


def test_a_write_on_a_page_is_recorded_with_its_request_id(
    admin_client: Client, app: ClientApp
) -> None:
    key = app.keys.get()

    admin_client.post(
        f"/admin/apps/{app.pk}/keys/dsn/{key.pk}/revoke/",
        headers={"X-Request-ID": "audit-me-12345"},
    )

    event = only_event()
    assert (event.username, event.action) == ("admin", "clients:dsn-key-revoke")
    assert event.target == f"app_id {app.pk}; key_id {key.pk}"
    assert (event.status, event.request_id) == (302, "audit-me-12345")


def test_changes_in_the_admin_are_recorded_once_with_the_field_names(
    admin_client: Client, app: ClientApp
) -> None:
    admin_client.post(
        f"/admin/clients/clientapp/{app.pk}/change/",
        {"name": "anna@shop.example", "slug": "shop", "platform": "go", "retention_days": "30"},
    )

    event = only_event()
    assert event.action == "clients.clientapp changed"
    assert event.target == f"clientapp {app.pk}"
    assert "Name" in event.detail
    assert "anna@shop.example" not in f"{event.target} {event.detail}"


def test_a_bulk_action_is_recorded_with_the_rows(admin_client: Client) -> None:
    sync_jobs(timezone.now())
    ids = list(Job.objects.order_by("pk").values_list("pk", flat=True)[:2])

    admin_client.post("/admin/jobs/job/", {"action": "disable", "_selected_action": ids})

    event = only_event()
    assert event.action == "admin:jobs_job_changelist"
    assert event.detail == "action disable"
    assert event.target == f"ids {ids[0]}, {ids[1]}"


def test_reads_and_invalid_forms_are_not_recorded(admin_client: Client, app: ClientApp) -> None:
    admin_client.get("/admin/clients/clientapp/")
    admin_client.post(f"/admin/clients/clientapp/{app.pk}/change/", {"name": ""})

    assert not AuditEvent.objects.exclude(action="signed in").exists()


def test_a_write_without_permission_is_recorded(app: ClientApp) -> None:
    user = User.objects.create_user("bob", is_staff=True)
    client = Client()
    client.force_login(user)

    client.post(f"/admin/apps/{app.pk}/keys/dsn/add/")

    assert only_event().status == 403


def test_an_event_survives_its_user(admin_user: User) -> None:
    audit.record(admin_user, "did something", now=NOON)

    admin_user.delete()

    event = AuditEvent.objects.get()
    assert (event.user, event.username) == (None, "admin")


def test_owners_can_read_events_but_not_change_them(admin_client: Client, admin_user: User) -> None:
    audit.record(admin_user, "did something", now=NOON)
    page = "/admin/access/auditevent/"
    event = only_event()

    assert "did something" in admin_client.get(f"{page}?q=admin").content.decode()
    assert admin_client.get(f"{page}{event.pk}/change/").status_code == 200
    assert admin_client.post(f"{page}{event.pk}/change/", {"action": "x"}).status_code == 403
    assert admin_client.post(f"{page}{event.pk}/delete/", {"post": "yes"}).status_code == 403
    assert admin_client.get(f"{page}add/").status_code == 403


@pytest.mark.parametrize(
    ("method", "path", "form", "status"),
    [
        ("get", "{page}add/", {}, 403),
        ("post", "{page}add/", {"action": "x"}, 403),
        ("post", "{page}{pk}/change/", {"action": "x"}, 403),
        ("get", "{page}{pk}/delete/", {}, 403),
        ("post", "{page}{pk}/delete/", {"post": "yes"}, 403),
        ("post", "{page}", {"action": "delete_selected", "_selected_action": "{pk}", "post": "yes"}, 200),
        ("post", "{page}", {"form-TOTAL_FORMS": "1", "form-INITIAL_FORMS": "1", "form-0-id": "{pk}",
                            "form-0-action": "x", "_save": "Save"}, 200),
        ("post", "{page}{pk}/history/", {"action": "x"}, 200),
        ("post", "/admin/auth/user/{user}/delete/", {"post": "yes"}, 302),
    ],
)  # fmt: skip
def test_no_page_of_the_admin_changes_an_event(
    admin_client: Client, method: str, path: str, form: dict[str, str], status: int
) -> None:
    bob = User.objects.create_user("bob")
    audit.record(bob, "did something", now=NOON)
    event = only_event()
    known = {"page": "/admin/access/auditevent/", "pk": event.pk, "user": bob.pk}
    sent = {name: value.format(**known) for name, value in form.items()}

    answer = getattr(admin_client, method)(path.format(**known), sent)

    assert answer.status_code == status
    now = AuditEvent.objects.get(pk=event.pk)
    for name in ("at", "username", "action", "target", "detail", "status", "request_id"):
        assert getattr(now, name) == getattr(event, name)


def test_no_code_changes_or_deletes_an_event(admin_user: User) -> None:
    audit.record(admin_user, "did something", now=NOON)
    event = AuditEvent.objects.get()

    for change in (
        event.save,
        event.delete,
        AuditEvent.objects.all().delete,
        lambda: AuditEvent.objects.update(action="x"),
        lambda: AuditEvent.objects.bulk_update([event], ["action"]),
    ):
        with pytest.raises(Unchangeable):
            change()


def test_the_log_is_exported_with_the_filters_of_the_list(
    admin_client: Client, admin_user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.accounts.queries.EXPORT_BATCH", 2)
    for number in range(5):
        audit.record(admin_user, "did something", target=f"=row {number}", now=NOON)
    audit.record(admin_user, "something else", now=NOON)
    page = admin_client.get("/admin/access/auditevent/?q=did").content.decode()
    assert "/admin/access/auditevent/export/csv/?q=did" in page

    lines = admin_client.get("/admin/access/auditevent/export/csv/?q=did")
    objects = admin_client.get("/admin/access/auditevent/export/jsonl/?q=did")

    assert lines.streaming
    rows = csv.DictReader(io.StringIO(lines.getvalue().decode()))
    assert [row["target"] for row in rows] == [f"'=row {number}" for number in range(5)]
    decoded = [json.loads(line) for line in objects.getvalue().splitlines()]
    assert [one["target"] for one in decoded] == [f"=row {number}" for number in range(5)]
    assert decoded[0] == {
        "id": decoded[0]["id"], "at": NOON.isoformat(), "user_id": admin_user.pk, "username": "admin",
        "action": "did something", "target": "=row 0", "detail": "", "status": None,
        "request_id": decoded[0]["request_id"],
    }  # fmt: skip
    exports = AuditEvent.objects.filter(action="access.auditevent exported")
    assert [one.detail for one in exports.order_by("pk")] == ["csv", "jsonl"]


@pytest.mark.parametrize("path", ["export/xml/", "export/csv/?at__gte=nonsense"])
def test_an_invalid_export_is_refused(admin_client: Client, path: str) -> None:
    assert admin_client.get(f"/admin/access/auditevent/{path}").status_code in (400, 404)


def test_the_export_needs_the_permission_to_see_the_log() -> None:
    client = Client()
    client.force_login(User.objects.create_user("bob", is_staff=True))

    assert client.get("/admin/access/auditevent/export/csv/").status_code == 403


def test_events_are_pruned_after_400_days_in_batches(admin_user: User) -> None:
    for days in (399, 401, 402):
        audit.record(admin_user, "x", now=NOON - timedelta(days=days))

    assert audit.prune(now=NOON, limit=1) == 1
    assert audit.prune(now=NOON, limit=10) == 1
    assert audit.prune(now=NOON, limit=10) == 0
    assert AuditEvent.objects.count() == 1
