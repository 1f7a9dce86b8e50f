"""Test that pages about components need the same number of queries for any number of components."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core.lib.forms import MANY_CHOICES, Checkboxes, LongSelect
from health.models import (
    CheckIn,
    Component,
    ComponentKind,
    Heartbeat,
    Incident,
    MaintenanceWindow,
)
from health.queries.components import list_worst_first, sort_worst_first
from health.services import record_results
from health.verdict import Result, Status
from tests.factories import make_app, make_component, make_monitor

pytestmark = pytest.mark.django_db
PAGES = (
    "/admin/system-health/",
    "/admin/system-health/?tab=reliability",
    "/admin/system-health/uptime/",
    "/admin/health/monitor/",
    "/admin/health/heartbeat/",
    "/admin/health/component/",
    "/admin/health/incident/",
    "/admin/health/incident/add/",
    "/admin/health/incidenttemplate/add/",
    "/admin/health/maintenancewindow/add/",
    "/admin/alerts/",
    "/admin/search/?q=monitor",
    "/status/history/",
    "/health",
)


def add(count: int, *, down: int) -> None:
    """Add `count` monitors and `count` heartbeats. `down` of each kind are down and have alerts and incidents."""
    app, now = make_app(), timezone.now()
    for number in range(count):
        monitor = make_monitor("https://93.184.215.14/", app=app, is_public=True, group="Shop")
        beat = Heartbeat.objects.create(
            kind="heartbeat", name=f"beat-{monitor.pk}", title="Job", app=app, slug=f"job-{monitor.pk}", fail_after=1,
        )  # fmt: skip
        status = Status.UNHEALTHY if number < down else Status.HEALTHY
        for pk in (monitor.pk, beat.pk):
            component = Component.objects.get(pk=pk)
            results = [Result(status, now - timedelta(minutes=ago), 5, "refused") for ago in (2, 1)]
            record_results([(component, results)], now=now)


def count_queries(client: Client, path: str) -> int:
    """Return the number of queries about components and alerts on a page whose data is cached.

    Return the smaller number of two requests, because a cache entry may expire during one of them.
    """
    client.get(path)
    return min(_count_queries(client, path), _count_queries(client, path))


def _count_queries(client: Client, path: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        response = client.get(path)
    assert response.status_code in (200, 503), path
    return sum('"health_' in one["sql"] or '"alerts_' in one["sql"] for one in captured)


def test_pages_with_5_and_with_50_monitors_need_the_same_number_of_queries(
    admin_client: Client,
) -> None:
    add(5, down=4)  # Eight failing components fill all lists, so further ones do not lengthen them.
    few = {path: count_queries(admin_client, path) for path in PAGES}
    add(45, down=9)
    many = {path: count_queries(admin_client, path) for path in PAGES}

    assert many == few


def test_the_page_of_a_heartbeat_shows_its_latest_30_runs(admin_client: Client) -> None:
    now = timezone.now()
    beat = Heartbeat.objects.create(kind="heartbeat", name="beat", title="Job", slug="job")
    CheckIn.objects.bulk_create(
        CheckIn(heartbeat=beat, at=now - timedelta(minutes=ago), status="ok", output=f"run {ago}.")
        for ago in range(40)
    )
    page = admin_client.get(f"/admin/health/heartbeat/{beat.pk}/change/").content.decode()
    assert "run 29." in page
    assert "run 30." not in page


def test_the_uptime_page_is_paged_with_failing_components_first(admin_client: Client) -> None:
    now = timezone.now()
    for number in range(60):
        make_component(f"s{number}", title=f"Shop {number}", status="healthy", last_at=now)
    make_component("down", title="Tickets", status="unhealthy", last_at=now)

    def titles(query: str) -> list[str]:
        response = admin_client.get(f"/admin/system-health/uptime/{query}")
        return [line.component.title for line in response.context["lines"]]

    assert titles("")[:3] == ["Tickets", "Shop 0", "Shop 1"]
    assert titles("")[10:12] == ["Shop 9", "Shop 10"]
    assert titles("?page=2") == [f"Shop {n}" for n in range(49, 60)]
    assert titles("?page=x") == titles("?page=0")[:0] + titles("")
    assert titles("?page=99") == titles("?page=2")


def test_a_window_for_one_of_many_components_can_be_saved_and_is_shown(
    admin_client: Client,
) -> None:
    components = [make_component(f"s{n}", title=f"<Shop {n}>") for n in range(MANY_CHOICES + 5)]
    path = "/admin/health/maintenancewindow/add/"
    day = {
        "starts_at_0": "2026-12-01",
        "starts_at_1": "01:00",
        "ends_at_0": "2026-12-01",
        "ends_at_1": "02:00",
    }
    chosen = str(components[7].pk)

    saved = admin_client.post(path, {"title": "Move", "components": [chosen], **day})

    window = MaintenanceWindow.objects.get()
    assert saved.status_code == 302
    assert [one.pk for one in window.components.all()] == [components[7].pk]
    page = admin_client.get(f"/admin/health/maintenancewindow/{window.pk}/change/").content.decode()
    assert page.count(" checked> &lt;Shop") == 1
    assert "<Shop" not in page


def test_long_lists_of_choices_are_rendered_like_short_ones() -> None:
    """Compare the HTML with the output of Django's own template, ignoring whitespace."""
    choices = [(n, f"Entry <{n}> & more") for n in range(MANY_CHOICES + 1)]

    def squeeze(html: Any) -> str:
        return "".join(str(html).split())

    long = Checkboxes(choices=choices).render("boxes", [3, "5"], {"id": "id_boxes"})
    short = super(Checkboxes, Checkboxes(choices=choices)).render(
        "boxes", [3, "5"], {"id": "id_boxes"}
    )
    assert squeeze(long).count("checked") == squeeze(short).count("checked") == 2
    assert squeeze(long).count("<label") == squeeze(short).count("<label")
    select = LongSelect(choices=choices).render("one", 7, {"id": "id_one"})
    plain = super(LongSelect, LongSelect(choices=choices)).render("one", 7, {"id": "id_one"})
    assert squeeze(select).partition(">")[2] == squeeze(plain).partition(">")[2]
    assert 'name="one"' in select


def test_the_incident_form_keeps_its_component(admin_client: Client) -> None:
    shop = make_component("shop", title="Shop")
    incident = Incident.objects.create(title="Slow", component=shop, started_at=timezone.now())
    page = admin_client.get(f"/admin/health/incident/{incident.pk}/change/").content.decode()
    assert f'<option value="{shop.pk}" selected>Shop</option>' in page


def test_components_with_all_columns_are_in_the_same_order_as_their_ids() -> None:
    for number in range(40):
        make_component(
            title=f"Part {number % 13}",
            kind=list(ComponentKind)[number % 3],
            status=list(Status)[number % 4],
            is_required=number % 5 == 0,
            is_public=number % 2 == 0,
        )
    components = Component.objects.all()

    assert [one.pk for one in sort_worst_first(components)] == list_worst_first(components)
