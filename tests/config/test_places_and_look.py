"""Test that the look of the status page and the order of components and inline rows can be configured."""

from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from alerts.models import Person, Rotation, RotationMember, Schedule
from health.models import Component, StatusPage
from tests.config.commands import apply_text, run

pytestmark = pytest.mark.django_db


def test_the_look_and_order_of_the_status_page_are_in_the_file(applied: Path) -> None:
    text = run("export", "--only", "status-pages,checks")
    assert "name: Shop status" in text
    assert 'accent_color: "#1f5fa8"' in text.replace("'", '"')

    text = text.replace("Shop status", "Status").replace("#1f5fa8", "#0b5d3b")
    apply_text(
        applied, text.replace("group: ''\n    position: 0", "group: Core\n    position: 5"), "--yes"
    )

    page = StatusPage.objects.get()
    assert (page.pk, page.name, page.accent_color) == (1, "Status", "#0b5d3b")
    assert bytes(page.logo).startswith(b"\x89PNG")
    checks = Component.objects.checks()
    assert set(checks.values_list("group", "position")) == {("Core", 5)}


def test_rows_with_the_same_position_get_distinct_positions(admin_client: Client) -> None:
    ann, bob, cy = (Person.objects.create(name=name) for name in ("Ann", "Bob", "Cy"))
    form = {
        "schedule": Schedule.objects.create(name="Primary").pk,
        "name": "Week",
        "position": 1,
        "every": 1,
        "unit": "week",
        "first_day": "2026-03-02",
        "handover_at": "09:00",
        "time_zone": "UTC",
        "weekdays": [1],
        "members-TOTAL_FORMS": 2,
        "members-INITIAL_FORMS": 0,
        "members-0-person": bob.pk,
        "members-0-position": 1,
        "members-1-person": ann.pk,
        "members-1-position": 1,
    }
    admin_client.post(reverse("admin:alerts_rotation_add"), form)
    rotation = Rotation.objects.get()
    places = rotation.members.order_by("position").values_list("person__name", "position")
    assert list(places) == [("Bob", 1), ("Ann", 2)]

    RotationMember.objects.create(rotation=rotation, person=cy, position=9)
    first, second, third = rotation.members.order_by("position")
    form |= {
        "members-TOTAL_FORMS": 3,
        "members-INITIAL_FORMS": 3,
        "members-0-id": first.pk,
        "members-0-rotation": rotation.pk,
        "members-1-id": second.pk,
        "members-1-position": 2,
        "members-2-id": third.pk,
        "members-2-person": cy.pk,
        "members-2-position": 9,
    }
    admin_client.post(reverse("admin:alerts_rotation_change", args=[rotation.pk]), form)
    assert [place for _, place in places.all()] == [1, 2, 9]  # Distinct positions are kept.
    admin_client.post(
        reverse("admin:alerts_rotation_change", args=[rotation.pk]),
        form | {"members-2-position": 2},
    )
    assert list(places.all()) == [("Bob", 1), ("Ann", 2), ("Cy", 3)]
    assert "  - reference: week" in run("export", "--only", "rotations")
