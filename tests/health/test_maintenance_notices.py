"""Test the notices to subscribers when maintenance is scheduled, moved, begins, ends or is canceled."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from pytest_django import Settings

from health import tasks
from health.models import MaintenanceNotice, MaintenanceWindow, StatusMail, Subscriber
from health.services import maintenance, status_messages, subscribers
from tests.factories import make_component
from tests.servers.fake_http import FakeHTTP

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def make_window(**fields: Any) -> MaintenanceWindow:
    given = {
        "title": "Database move",
        "text": "Orders take longer.",
        "starts_at": NOON + 2 * HOUR,
        "ends_at": NOON + 3 * HOUR,
    }
    return MaintenanceWindow.objects.create(**{**given, **fields})


def make_subscriber(address: str = "ada@shop.example", at: datetime = NOON) -> None:
    subscribers.subscribe(address, now=at)
    Subscriber.objects.filter(confirmed_at=None).update(confirmed_at=at)
    # Delete the confirmation e-mail, because the tests count only notices.
    StatusMail.objects.all().delete()


def run(*hours: float) -> list[tuple[str, bool]]:
    """Run the job at each of `hours` after noon. Return each notice's phase, and True if it announces a new time."""
    for hour in hours:
        maintenance.record_notices(now=NOON + hour * HOUR)
    return list(MaintenanceNotice.objects.order_by("pk").values_list("phase", "is_new_time"))


def test_each_phase_is_reported_once() -> None:
    make_window()

    found = run(0, 0, 1, 2, 2, 2.5, 3, 3, 4)

    assert found == [("scheduled", False), ("in_progress", False), ("completed", False)]


@pytest.mark.parametrize(
    ("hours", "phases"),
    [
        ((2.5, 4), ["in_progress", "completed"]),  # The window is created after it has begun.
        ((4, 5), []),  # The window is created after it has ended.
        # The portal is down from the announcement to the end of the window.
        ((0, 4), ["scheduled", "completed"]),
        ((2,), ["in_progress"]),  # The job runs exactly at the start of the window.
        ((3,), []),  # The job runs exactly at the end of the window.
    ],
)
def test_windows_are_reported_from_their_creation_on(
    hours: tuple[float, ...], phases: list[str]
) -> None:
    make_window()
    assert [phase for phase, _ in run(*hours)] == phases


def test_windows_that_are_not_public_are_not_reported() -> None:
    make_window(is_public=False)
    assert run(0, 2, 4) == []


def test_a_new_time_is_reported_and_a_new_text_is_not() -> None:
    window = make_window()
    run(0)
    MaintenanceWindow.objects.update(text="Orders may fail.")
    run(0.1)
    MaintenanceWindow.objects.update(starts_at=NOON + 5 * HOUR, ends_at=NOON + 6 * HOUR)
    run(0.2, 5)
    MaintenanceWindow.objects.update(ends_at=NOON + 7 * HOUR)

    found = run(6, 7)

    assert found == [
        ("scheduled", False),
        ("scheduled", True),
        ("in_progress", False),
        ("in_progress", True),
        ("completed", False),
    ]
    notices = list(MaintenanceNotice.objects.order_by("pk"))
    assert notices[1].starts_at == NOON + 5 * HOUR
    assert {one.window_number for one in notices} == {window.pk}
    assert [one.heading for one in notices[:3]] == [
        "Maintenance scheduled",
        "New time of the maintenance",
        "Maintenance in progress",
    ]


@pytest.mark.parametrize("end", ["delete", "hide"])
@pytest.mark.parametrize(("hours", "last"), [((0,), "canceled"), ((0, 2), "completed")])
def test_a_window_that_is_deleted_or_hidden_is_reported_as_over(
    end: str, hours: tuple[float, ...], last: str
) -> None:
    make_window()
    run(*hours)
    if end == "delete":
        MaintenanceWindow.objects.all().delete()
    else:
        MaintenanceWindow.objects.update(is_public=False)

    assert run(2.1, 2.2, 5)[-1] == (last, False)
    assert MaintenanceNotice.objects.filter(phase=last).count() == 1


def test_subscribers_get_each_notice_once_by_email() -> None:
    make_component(title="Intern", name="intern", is_public=False)
    window = make_window()
    window.components.set(
        [
            make_component(title="Shop", name="shop", is_public=True),
            make_component(title="Ledger", name="ledger", is_public=False),
        ]
    )
    make_subscriber()
    make_subscriber("late@shop.example", at=NOON + HOUR)

    for hour in (0, 0, 2, 3, 3.1):
        now = NOON + hour * HOUR
        maintenance.record_notices(now=now)
        subscribers.queue_updates(now=now)
        subscribers.queue_updates(now=now)
        status_messages.send_pending(now=now)

    subjects = {
        address: [m.subject for m in mail.outbox if m.to == [address]]
        for address in ("ada@shop.example", "late@shop.example")
    }
    begun_and_ended = [
        "[Maintenance in progress] Database move",
        "[Maintenance completed] Database move",
    ]
    assert subjects["ada@shop.example"] == [
        "[Maintenance scheduled] Database move",
        *begun_and_ended,
    ]
    # Subscribed after the announcement.
    assert subjects["late@shop.example"] == begun_and_ended
    text = str(mail.outbox[0].body)
    assert (
        "From 2 Mar 2026, 14:00 UTC to 2 Mar 2026, 15:00 UTC\nAffected: Shop\n\nOrders take longer."
        in text
    )
    assert "Ledger" not in text
    assert "/status/leave/" in text


def test_webhooks_get_notices_as_json(fake: FakeHTTP, settings: Settings) -> None:
    settings.ALLOW_PRIVATE_URLS = ["127.0.0.1"]
    window = make_window()
    subscribers.subscribe_webhook(f"{fake.url}/hook", now=NOON)
    Subscriber.objects.update(confirmed_at=NOON)
    StatusMail.objects.all().delete()

    maintenance.record_notices(now=NOON)
    subscribers.queue_updates(now=NOON)
    status_messages.call_webhooks(now=NOON)

    (call,) = fake.requests
    body = call.json()
    assert body["type"] == "maintenance.update"
    assert body["maintenance"].pop("url").endswith("/status/")
    assert body["maintenance"] == {
        "id": window.pk,
        "title": "Database move",
        "text": "Orders take longer.",
        "state": "scheduled",
        "is_new_time": False,
        "components": [],
        "starts_at": "2026-03-02T14:00:00Z",
        "ends_at": "2026-03-02T15:00:00Z",
        "at": "2026-03-02T12:00:00Z",
    }


def test_the_jobs_record_send_and_delete_notices(monkeypatch: pytest.MonkeyPatch) -> None:
    make_subscriber()
    make_window()
    for task, at in (
        (tasks.keep_status, NOON),
        (tasks.send_status_mails, NOON),
        (tasks.prune, NOON + timedelta(days=29)),
    ):
        monkeypatch.setattr("django.utils.timezone.now", lambda at=at: at)
        task()

    assert [message.subject for message in mail.outbox] == ["[Maintenance scheduled] Database move"]
    assert MaintenanceNotice.objects.exists()
    maintenance.record_notices(now=NOON + 4 * HOUR)
    maintenance.prune_notices(now=NOON + timedelta(days=31))
    assert not MaintenanceNotice.objects.exists()
    # The window is still in the database, but must not be reported again.
    assert run(24 * 31) == []
