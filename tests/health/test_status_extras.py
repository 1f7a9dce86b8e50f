"""Test the status page's badges, its history, and the order of its components."""

import re
from datetime import timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from django.test import Client
from django.utils import timezone

from health.badges import render_badge
from health.models import Incident, IncidentState
from health.queries.public_status import load_public_status
from tests.factories import make_component

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("patient_status_cache")]


def add_public(title: str, status: str = "healthy", **fields: Any) -> None:
    now = timezone.now()
    make_component(
        title=title,
        is_public=True,
        status=status,
        last_status=status,
        since=now,
        last_at=now,
        **fields,
    )


def get_badge(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    assert response["Content-Type"] == "image/svg+xml"
    assert response["Cache-Control"].startswith("public, max-age=30")
    again = client.get(path, headers={"If-None-Match": response["ETag"]})
    assert again.status_code == 304
    return ElementTree.fromstring(response.content).get("aria-label") or ""


@pytest.mark.django_db(transaction=True)
def test_badges_show_the_state_of_everything_and_of_one_component(client: Client) -> None:
    add_public("Ticket shop", "unhealthy", is_required=True)
    add_public("Gate")
    make_component(title="Secret", status="healthy")

    assert get_badge(client, "/status/badge.svg") == "status: down"
    assert get_badge(client, "/status/badge/ticket-shop.svg") == "Ticket shop: down"
    assert get_badge(client, "/status/badge/gate.svg") == "Gate: operational"
    assert client.get("/status/badge/secret.svg").status_code == 404


@pytest.mark.parametrize("label", ['<script>"&', "x" * 500, "", "Überblick"])
def test_a_badge_is_valid_for_every_label(label: str) -> None:
    root = ElementTree.fromstring(render_badge(label, "healthy"))
    assert root.tag.endswith("svg")
    assert "<script" not in render_badge(label, "healthy")


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("status", ["healthy", "degraded", "unhealthy", "maintenance", "unknown"])
def test_the_text_of_a_badge_is_legible(status: str) -> None:
    for color in re.findall(r'<rect[^>]*fill="(#\w{6})"', render_badge("x", status)):
        assert 1.05 / (luminance(color) + 0.05) >= 4.5, color


def test_the_history_lists_every_resolved_public_incident_on_pages(client: Client) -> None:
    now = timezone.now()
    for number in range(25):
        Incident.objects.create(
            title=f"Outage {number}",
            state=IncidentState.RESOLVED,
            is_public=True,
            started_at=now - timedelta(days=number, hours=1),
            resolved_at=now - timedelta(days=number),
        )
    Incident.objects.create(
        title="Private",
        state=IncidentState.RESOLVED,
        is_public=False,
        started_at=now,
        resolved_at=now,
    )
    Incident.objects.create(title="Still open", is_public=True, started_at=now)

    def titles(query: str) -> list[str]:
        page = client.get(f"/status/history/{query}").content.decode()
        return re.findall(r"<h3[^>]*>([^<]*)</h3>", page)

    assert titles("") == [f"Outage {n}" for n in range(20)]
    assert titles("?page=2") == titles("?page=99") == [f"Outage {n}" for n in range(20, 25)]
    assert titles("?page=x") == titles("?page=0") == titles("")
    assert titles(f"?page={'9' * 5000}") == titles("?page=2")


def test_positions_determine_the_order_of_groups_and_components() -> None:
    add_public("Lobby", group="Venue", position=20)
    add_public("Gate", "unhealthy", group="Venue", position=30)
    add_public("Cards", group="Payments", position=10)
    add_public("Site", position=40)

    groups = load_public_status(now=timezone.now()).groups

    assert [(g.title, [c.title for c in g.components]) for g in groups] == [
        ("", ["Site"]),
        ("Payments", ["Cards"]),
        ("Venue", ["Lobby", "Gate"]),
    ]
    assert groups[2].status == "unhealthy"
