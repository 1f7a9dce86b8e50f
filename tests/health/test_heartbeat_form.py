"""Test the form of a heartbeat, and its button that sends a check-in."""

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from core.accounts.services.roles import Role, ensure_roles
from health.models import CheckIn, ComponentKind, Heartbeat

pytestmark = pytest.mark.django_db


@pytest.fixture
def heartbeat() -> Heartbeat:
    return Heartbeat.objects.create(
        kind=ComponentKind.HEARTBEAT, name="invoices", slug="invoices", title="Invoices"
    )


def address(heartbeat: Heartbeat) -> str:
    return reverse("admin:health_heartbeat_check_in", args=[heartbeat.pk])


def test_the_check_in_button_records_a_successful_run(client: Client, heartbeat: Heartbeat) -> None:
    client.force_login(User.objects.create_superuser("olivia"))
    form = reverse("admin:health_heartbeat_change", args=[heartbeat.pk])
    assert address(heartbeat) in client.get(form).content.decode()

    answer = client.post(address(heartbeat))

    assert answer["Location"] == form
    assert CheckIn.objects.get().status == "ok"
    heartbeat.refresh_from_db()
    assert heartbeat.last_check_in_at
    assert "Check-in recorded" in client.get(form).content.decode()


def test_readers_cannot_send_a_check_in(client: Client, heartbeat: Heartbeat) -> None:
    ensure_roles()
    reader = User.objects.create_user("reader", is_staff=True)
    reader.groups.add(Group.objects.get(name=Role.READ_ONLY))
    client.force_login(reader)

    assert client.post(address(heartbeat)).status_code == 403
    assert not CheckIn.objects.exists()
