"""Test that updates of incidents can be written from templates and published at a later time."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from health.models import Incident, IncidentTemplate, IncidentUpdate, Subscriber
from health.queries.public_status import load_public_status
from health.services import incidents, status_messages, subscribers
from tests.factories import make_component

pytestmark = pytest.mark.django_db
ADD = "/admin/health/incident/add/"


def form(start: datetime, **fields: Any) -> dict[str, Any]:
    return {
        "title": "Payments fail", "is_public": "on",
        "started_at_0": f"{start:%Y-%m-%d}", "started_at_1": f"{start:%H:%M:%S}", "postmortem": "",
        "updates-TOTAL_FORMS": "1", "updates-INITIAL_FORMS": "0",
        "updates-0-state": "investigating", "updates-0-text": "",
        "updates-0-at_0": f"{start:%Y-%m-%d}", "updates-0-at_1": f"{start:%H:%M:%S}", **fields,
    }  # fmt: skip


def add_update(incident: Incident, at: datetime, state: str, now: datetime) -> IncidentUpdate:
    return IncidentUpdate.objects.create(
        incident=incident, at=at, state=state, text=f"It is {state}.", is_scheduled=at > now
    )


def shown(now: datetime) -> list[tuple[str, list[str]]]:
    status = load_public_status(now=now)
    return [(one.state, [update.text for update in one.updates]) for one in status.incidents]


def test_a_scheduled_update_is_published_at_its_time_and_changes_the_state() -> None:
    now = timezone.now()
    incident = Incident.objects.create(title="Slow", started_at=now, is_public=True)
    add_update(incident, now, "identified", now)
    later = now + timedelta(hours=1)
    add_update(incident, later, "resolved", now)
    incidents.sync_with_updates(incident, now=now)
    before = load_public_status(now=now).incidents_changed_at

    assert incidents.publish_scheduled_updates(now=now) == 0
    assert shown(now) == [("identified", ["It is identified."])]
    assert before <= now

    assert incidents.publish_scheduled_updates(now=later) == 1
    assert incidents.publish_scheduled_updates(now=later) == 0
    assert shown(later) == [("resolved", ["It is resolved.", "It is identified."])]
    incident.refresh_from_db()
    assert incident.resolved_at == later
    assert load_public_status(now=later).incidents_changed_at == later


def test_subscribers_get_a_scheduled_update_when_it_is_published(mailoutbox: list[Any]) -> None:
    now = timezone.now()
    subscribers.subscribe("ada@example.com", now=now)
    token = Subscriber.objects.get().token
    subscribers.confirm(token, now=now)
    incident = Incident.objects.create(title="Slow", started_at=now, is_public=True)
    add_update(incident, now + timedelta(hours=1), "monitoring", now)
    status_messages.send_pending(now=now)
    mailoutbox.clear()

    for minutes in (0, 59, 60, 61):
        subscribers.queue_updates(now=now + timedelta(minutes=minutes))
        status_messages.send_pending(now=now + timedelta(minutes=minutes))
        assert len(mailoutbox) == (minutes >= 60), minutes


def test_a_recovery_deletes_scheduled_updates_of_the_automatic_incident() -> None:
    now = timezone.now()
    shop = make_component("shop", title="Shop", is_public=True, status="unhealthy", since=now)
    incidents.open_incident(shop, now=now)
    incident = Incident.objects.get()
    add_update(incident, now + timedelta(hours=1), "monitoring", now)
    staff = add_update(
        incident, now + timedelta(seconds=30), "identified", now + timedelta(minutes=1)
    )
    shop.since = now + timedelta(seconds=10)

    incidents.resolve_incidents_of(shop, now=now + timedelta(minutes=1))
    incidents.publish_scheduled_updates(now=now + timedelta(hours=2))

    incident.refresh_from_db()
    assert incident.state == "resolved"
    assert incident.updates.filter(pk=staff.pk).exists()
    assert not incident.updates.filter(is_scheduled=True).exists()


def test_the_form_saves_a_time_in_the_future_as_scheduled(admin_client: Client) -> None:
    start, later = timezone.now(), timezone.now() + timedelta(days=1)
    given = form(
        start,
        **{
            "updates-0-text": "Fixed.", "updates-0-state": "resolved",
            "updates-0-at_0": f"{later:%Y-%m-%d}", "updates-0-at_1": f"{later:%H:%M:%S}",
        },
    )  # fmt: skip
    assert admin_client.post(ADD, given).status_code == 302

    incident = Incident.objects.get()
    assert incident.state == "investigating"
    assert incident.updates.get().is_scheduled


def test_an_incident_can_be_saved_without_an_update(admin_client: Client) -> None:
    start = timezone.now() - timedelta(minutes=3)
    assert admin_client.post(ADD, form(start)).status_code == 302
    assert not IncidentUpdate.objects.exists()


def test_an_incident_and_an_update_can_start_from_a_template(admin_client: Client) -> None:
    shop = make_component("shop", title="Shop")
    template = IncidentTemplate.objects.create(
        name="Payments down",
        title="Payments fail",
        component=shop,
        is_major=True,
        state="identified",
        text="Our payment provider has an outage.",
    )
    address = f"{ADD}?template={template.pk}"

    page = admin_client.get(address).content.decode()
    assert f'href="?template={template.pk}"' in admin_client.get(ADD).content.decode()
    assert 'value="Payments fail"' in page
    assert f'<option value="{shop.pk}" selected>' in page
    assert "Our payment provider has an outage.</textarea>" in page
    assert '<option value="identified" selected>' in page

    # The update must be saved although the user did not edit the template's text.
    given = form(
        timezone.now(),
        **{"updates-0-text": template.text, "updates-0-state": template.state},
    )
    assert admin_client.post(address, given).status_code == 302
    update = IncidentUpdate.objects.get()
    assert (update.text, update.incident.state) == (template.text, "identified")
    change = f"/admin/health/incident/{update.incident_id}/change/?template={template.pk}"
    assert (
        "Our payment provider has an outage.</textarea>"
        in admin_client.get(change).content.decode()
    )


@pytest.mark.parametrize("number", ["0", "x", "9" * 18, "9" * 5000, ""])
def test_an_unknown_template_is_ignored(admin_client: Client, number: str) -> None:
    assert admin_client.get(f"{ADD}?template={number}").status_code == 200
