"""Test the API, the calendar feed and the pages of on-call schedules."""

import json
import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from alerts import signed_links
from alerts.models import (
    AlertType,
    Channel,
    EscalationStep,
    NotificationRule,
    Person,
    Rotation,
    Schedule,
    ScheduleOverride,
)
from alerts.queries.on_call import load_schedules, on_call_now
from core.clients import services as clients
from core.clients.models import Scope
from tests.alerts.conftest import MINUTE, NOON
from tests.alerts.on_call.support import make_rule, make_schedule, make_step
from tests.factories import make_app

pytestmark = pytest.mark.django_db


# --- API and calendar ------------------------------------------------------------------------------------------


def call(client: Client, method: str, path: str, body: object = None) -> Any:
    app = make_app()
    _, key = clients.issue_api_key(app=app, label="x", scopes=[Scope.ON_CALL])
    return client.generic(
        method,
        path,
        json.dumps(body) if body is not None else b"",
        content_type="application/json",
        headers={"Authorization": f"Bearer {key}"},
    )


def test_the_api_says_who_is_on_call(client: Client, ann: Person, bob: Person) -> None:
    schedule = make_schedule(ann, bob)
    make_schedule(ann, name="Later", first_day=date(2090, 1, 1))

    path = "/api/v1/on-call/?at=2026-03-02T08:59:00Z"
    later, primary = call(client, "GET", path).json()["on_call"]
    assert (later["schedule"], later["person"], later["until"]) == ("Later", None, None)
    assert primary == {
        "id": schedule.pk,
        "schedule": "Primary",
        "person": {"id": ann.pk, "name": "Ann", "email": "ann@shop.example"},
        "until": "2026-03-02T09:00:00Z",
    }
    only = call(client, "GET", f"{path}&schedule=Primary").json()["on_call"]
    assert [one["schedule"] for one in only] == ["Primary"]
    assert call(client, "GET", "/api/v1/on-call/?schedule=x").status_code == 404
    assert call(client, "GET", "/api/v1/on-call/?at=noon").status_code == 422
    assert call(client, "GET", "/api/v1/on-call/?at=2026-13-02T08:59:00Z").status_code == 422


def test_the_api_lists_shifts_and_accepts_overrides(
    client: Client, ann: Person, bob: Person
) -> None:
    schedule = make_schedule(ann, bob)
    base = f"/api/v1/on-call/{schedule.pk}"
    period = "?from=2026-03-02T00:00:00%2B00:00&until=2026-03-04T00:00:00Z"
    override = {
        "person": bob.pk,
        "starts_at": "2126-03-02T10:00:00Z",
        "ends_at": "2126-03-02T12:00:00+01:00",
        "instead_of": ann.pk,
        "comment": "dentist",
    }

    shifts = call(client, "GET", f"{base}/shifts/{period}").json()["shifts"]
    assert [(s["starts_at"][5:13], s["person"]["name"]) for s in shifts] == [
        ("03-02T00", "Ann"),
        ("03-02T09", "Bob"),
        ("03-03T09", "Ann"),
    ]
    created = call(client, "POST", f"{base}/overrides/", override)
    assert created.status_code == 201
    (listed,) = call(client, "GET", f"{base}/overrides/").json()["overrides"]
    assert (listed["person"]["name"], listed["instead_of"]["name"]) == ("Bob", "Ann")
    one = f"{base}/overrides/{created.json()['id']}/"
    assert call(client, "DELETE", one).status_code == 204
    assert call(client, "DELETE", one).status_code == 404
    for wrong in (
        {"person": 0},
        {"ends_at": "2126-03-02T10:00:00Z"},
        {"starts_at": "2126-03-02T10:00:00"},
        {"instead_of": bob.pk},
        {"until": 1},
    ):
        refused = call(client, "POST", f"{base}/overrides/", {**override, **wrong})
        assert refused.status_code == 422, wrong
    long = "?from=2026-01-01T00:00:00Z&until=2028-01-01T00:00:00Z"
    assert call(client, "GET", f"{base}/shifts/{long}").status_code == 422
    assert call(client, "GET", "/api/v1/on-call/0/shifts/").status_code == 404


def test_the_calendar_has_a_secret_address_that_can_be_replaced(
    client: Client, admin_client: Client, ann: Person, bob: Person
) -> None:
    schedule = make_schedule(ann, bob)
    url = "/on-call/" + signed_links.build_feed_url(schedule).rpartition("/")[2]

    answer = client.get(url)
    assert answer["Content-Type"].startswith("text/calendar")
    text = answer.content.decode().replace("\r\n ", "")
    assert text.count("SUMMARY:Ann is on call (Primary)") > 20
    own = client.get(f"{url}?person={bob.pk}").content.decode()
    assert "Bob is on call" in own
    assert "Ann is on call" not in own
    assert client.get(url.replace(".ics", "x.ics")).status_code == 404
    admin_client.post(reverse("alerts:on-call-feed-renew", args=[schedule.pk]))
    assert client.get(url).status_code == 404


@pytest.mark.parametrize("is_alone", [True, False])
def test_a_shift_keeps_its_uid_and_its_start_in_the_calendar(
    client: Client, ann: Person, bob: Person, monkeypatch: pytest.MonkeyPatch, is_alone: bool
) -> None:
    people = [ann] if is_alone else [ann, bob]
    schedule = make_schedule(*people, unit="week", first_day=date(2026, 1, 1))
    url = "/on-call/" + signed_links.build_feed_url(schedule).rpartition("/")[2]

    def fetch(now: datetime) -> list[tuple[str, str]]:
        monkeypatch.setattr(timezone, "now", lambda: now)
        return re.findall(r"UID:(.*?)\r.*?DTSTART:(.*?)\r", client.get(url).content.decode(), re.S)

    first, second = (fetch(NOON + hours * timedelta(hours=1)) for hours in (0, 1))

    assert first == second
    assert len(first) == (1 if is_alone else 16)


# --- pages -------------------------------------------------------------------------------------------------------


def test_the_pages_show_the_coming_weeks_and_accept_overrides(
    admin_client: Client, ann: Person, bob: Person
) -> None:
    schedule = make_schedule(
        ann, bob, time_zone="Europe/Berlin", on_from=time(9), on_until=time(17)
    )
    schedule.time_zone = "Europe/Berlin"
    schedule.save()
    url = reverse("alerts:on-call-schedule", args=[schedule.pk])

    page = admin_client.get(url).content.decode()
    assert "daily, at 09:00 (Europe/Berlin); 09:00 to 17:00" in page
    assert "No one is on call" in page
    assert "Primary" in admin_client.get(reverse("alerts:on-call")).content.decode()
    form = {"person": bob.pk, "starts_at": "2126-07-01T08:00", "ends_at": "2126-07-02T08:00"}
    added = admin_client.post(f"{url}override/", form)
    assert added.status_code == 302
    override = ScheduleOverride.objects.get()
    assert override.starts_at == datetime(2126, 7, 1, 6, tzinfo=UTC)
    assert override.created_by is not None
    wrong = admin_client.post(f"{url}override/", {**form, "ends_at": "2126-07-01T07:00"})
    assert wrong.status_code == 422
    assert "The end must be after the start" in wrong.content.decode()
    prefilled = admin_client.get(f"{url}?starts_at=2126-07-01T06:00:00%2B00:00&ends_at=bogus")
    assert 'value="2126-07-01T08:00"' in prefilled.content.decode()


def test_the_headline_of_the_health_page_names_the_person_on_call(
    admin_client: Client, ann: Person
) -> None:
    make_schedule(ann)

    page = admin_client.get("/admin/system-health/widgets/health.verdict/").content.decode()

    assert "On call" in page
    assert "Ann" in page


def test_the_forms_of_rotations_steps_and_rules_can_be_saved(
    admin_client: Client, ann: Person
) -> None:
    schedule = Schedule.objects.create(name="Primary")
    form = {
        "schedule": schedule.pk,
        "name": "Week",
        "position": 1,
        "every": 1,
        "unit": "week",
        "first_day": "2026-03-02",
        "handover_at": "09:00",
        "time_zone": "UTC",
        "weekdays": [1, 2],
        "members-TOTAL_FORMS": 1,
        "members-INITIAL_FORMS": 0,
        "members-0-person": ann.pk,
        "members-0-position": 1,
    }
    saved = admin_client.post(reverse("admin:alerts_rotation_add"), form)
    assert saved.status_code == 302, saved.context["errors"]
    assert Rotation.objects.get().weekdays == [1, 2]
    assert Rotation.objects.get().hours_text == "Monday, Tuesday"
    (one,) = on_call_now(load_schedules(), now=datetime(2026, 3, 3, tzinfo=UTC))
    assert one.person == ann

    alert_type = AlertType.objects.get(slug="high-error-rate")
    url = reverse("admin:alerts_alerttype_change", args=[alert_type.pk])
    alert_type.steps.all().delete()
    base = {
        "slug": alert_type.slug,
        "name": "Errors",
        "severity": "critical",
        "steps-TOTAL_FORMS": 1,
        "steps-INITIAL_FORMS": 0,
        "steps-0-after": "0 min",
    }
    empty = admin_client.post(url, base)
    assert "Choose a schedule, a person, a team or a channel." in empty.content.decode()
    assert admin_client.post(url, {**base, "steps-0-schedules": [schedule.pk]}).status_code == 302
    assert EscalationStep.objects.get(alert_type=alert_type).schedules.get() == schedule

    url = reverse("admin:alerts_person_change", args=[ann.pk])
    rule = {
        "name": "Ann",
        "time_zone": "UTC",
        "is_active": "on",
        "notification_rules-TOTAL_FORMS": 1,
        "notification_rules-INITIAL_FORMS": 0,
        "notification_rules-0-after": "3 min",
        "notification_rules-0-channel": Channel.objects.get(name="sms").pk,
    }
    assert admin_client.post(url, rule).status_code == 302
    assert NotificationRule.objects.get().after == 3 * MINUTE


def test_a_person_can_be_saved_without_notification_rules(admin_client: Client) -> None:
    page = admin_client.get(reverse("admin:alerts_person_add"))
    rules = page.context["inline_admin_formsets"][0].formset
    [empty] = rules.forms
    form = {
        "name": "Cy",
        "is_active": "on",
        "time_zone": "UTC",
        "notification_rules-TOTAL_FORMS": 1,
        "notification_rules-INITIAL_FORMS": 0,
        # A browser also sends the fields of the empty row, which must not create a rule.
        "notification_rules-0-after": empty["after"].value(),
        "notification_rules-0-channel": "",
    }
    assert form["notification_rules-0-after"] == "0 min"

    saved = admin_client.post(reverse("admin:alerts_person_add"), form)

    assert saved.status_code == 302, saved.context["errors"]
    assert Person.objects.get(name="Cy").notification_rules.count() == 0


def test_steps_and_rules_are_named_with_their_delay_in_words(ann: Person) -> None:
    step = make_step(17)
    rule = make_rule(ann, 3, Channel.objects.get(name="slack"))

    assert str(step).endswith(" after 17 min")
    assert str(rule) == "Ann: slack after 3 min"
