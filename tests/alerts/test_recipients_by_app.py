"""Test that people who see only the apps of their teams are not notified of problems in other apps."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User

from alerts.extension_points import Severity
from alerts.models import (
    AlertEvent,
    AlertType,
    Channel,
    EscalationStep,
    Notification,
    Person,
    SystemAlert,
    Team,
)
from alerts.services import digests, replies, report_problem
from alerts.services.followups import follow_up
from alerts.services.replies import Action
from core.clients.models import ClientApp
from tests.alerts.conftest import MINUTE, NOON
from tests.errors.stored import make_error
from tests.factories import make_alert, make_app

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop() -> ClientApp:
    return make_app("shop")


@pytest.fixture
def mail(shop: ClientApp) -> Channel:
    """Return a channel with three recipients: Ada sees every app, Bob sees only the shop, and Cem has no account."""
    channel = Channel.objects.create(
        name="Mail", kind="email", config={"recipients": "ops@example.com"}, gets_every_type=True, gets_digests=True
    )  # fmt: skip
    people = [make_person("ada", True), make_person("bob", True, shop), make_person("cem", False)]
    channel.people.set(people)
    return channel


def make_person(name: str, has_account: bool, *apps: ClientApp) -> Person:
    user = User.objects.create_user(name, is_staff=True) if has_account else None
    person = Person.objects.create(name=name, email=f"{name}@example.com", user=user)
    if apps:
        Team.objects.create(name=f"Team of {name}").apps.set(apps)
        Team.objects.get(name=f"Team of {name}").people.add(person)
    return person


def recipients(**filters: Any) -> set[str]:
    sent = Notification.objects.filter(**filters).values_list("payload__recipients", flat=True)
    return {address.partition("@")[0] for addresses in sent for address in addresses}


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        ("shop", {"ops", "ada", "bob", "cem"}),
        ("bank", {"ops", "ada", "cem"}),
        ("", {"ops", "ada", "bob", "cem"}),  # An alert without an app is sent to all recipients.
    ],
)
def test_an_alert_is_sent_to_the_people_who_see_its_app(
    mail: Channel, app: str, expected: set[str]
) -> None:
    make_app("bank")

    alert = make_alert(app=ClientApp.objects.filter(slug=app).first(), now=NOON)

    assert recipients(alert=alert) == expected


@pytest.mark.parametrize("names", ["name", "slug"])
def test_an_alert_belongs_to_the_app_that_its_labels_name(shop: ClientApp, names: str) -> None:
    alert = report_problem(
        key="slow", alert_type="slow", title="Slow", message="", severity=Severity.HIGH, source="tests", now=NOON,
        labels={"app": getattr(shop, names)},
    )  # fmt: skip

    assert alert.app == shop


def test_an_escalation_leaves_out_people_who_do_not_see_the_app(mail: Channel) -> None:
    bank = make_app("bank")
    alert = make_alert(app=bank, now=NOON)
    step = EscalationStep.objects.create(
        alert_type=AlertType.objects.get(slug=alert.alert_type), after=5 * MINUTE
    )
    step.people.set(Person.objects.all())
    SystemAlert.objects.update(escalate_at=NOON + 5 * MINUTE)

    follow_up(now=NOON + 5 * MINUTE)

    assert recipients(kind="paged") == {"ada", "cem"}
    assert alert.events.filter(
        kind=AlertEvent.Kind.HELD_BACK, text__contains="are not allowed to see the app: bob"
    ).exists()


def test_a_person_cannot_act_by_a_message_on_an_alert_of_another_app(mail: Channel) -> None:
    alert = make_alert(app=make_app("bank"), now=NOON)
    bob = Person.objects.get(name="bob")

    answer = replies.act([alert], Action.ACKNOWLEDGE, person=bob, way="by a link", now=NOON)

    alert.refresh_from_db()
    assert (answer, alert.state) == (replies.NOT_ALLOWED, "open")
    assert alert.title not in answer


def test_a_digest_lists_only_items_that_the_recipient_may_see(
    mail: Channel, shop: ClientApp
) -> None:
    for app in (shop, make_app("bank")):
        make_error(app, received_at=NOON + MINUTE, occurred_at=NOON, title=f"Broken {app.slug}")

    digests.send_error_digest(now=NOON + timedelta(minutes=15))

    by_recipient = {
        address: row["text"]
        for row in Notification.objects.values_list("payload", flat=True)
        for address in row["recipients"]
    }
    assert "Broken bank" in by_recipient["ops@example.com"]
    assert "Broken shop" in by_recipient["bob@example.com"]
    assert "Broken bank" not in by_recipient["bob@example.com"]


def test_the_daily_digest_lists_only_alerts_that_the_recipient_may_see(
    mail: Channel, shop: ClientApp
) -> None:
    AlertType.objects.create(slug="note", name="Note", severity="info", digest_only=True)
    for app in (shop, make_app("bank")):
        make_alert(
            alert_type="note", severity="info", app=app, title=f"Note of {app.slug}", now=NOON
        )

    digests.send_daily_digest(now=NOON + MINUTE)

    texts = {
        address: row["text"]
        for row in Notification.objects.values_list("payload", flat=True)
        for address in row["recipients"]
    }
    assert "Note of bank" in texts["ops@example.com"]
    assert "Note of shop" in texts["bob@example.com"]
    assert "Note of bank" not in texts["bob@example.com"]


def test_the_weekly_report_on_all_apps_is_sent_to_those_who_see_all(mail: Channel) -> None:
    digests.send_weekly_report(now=NOON)

    assert recipients() == {"ops", "ada", "cem"}


def test_a_person_whose_role_sees_every_app_is_notified_of_all_alerts(mail: Channel) -> None:
    bob = User.objects.get(username="bob")
    bob.user_permissions.add(Permission.objects.get(codename="see_every_app"))

    alert = make_alert(app=make_app("bank"), now=NOON)

    assert "bob" in recipients(alert=alert)
