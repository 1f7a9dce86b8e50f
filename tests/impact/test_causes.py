"""Test the time at which a problem began, and its possible causes on pages and in the API."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from alerts.models import AlertRule
from alerts.queries.causes import onset_of_alert
from alerts.services.defaults import sync_rules
from core.clients.models import ApiKey, Scope
from core.releases.models import Deploy
from core.releases.services import record_deploy
from errors.queries.onset import onset_of_group
from health.models import Incident
from health.queries.public_status import load_public_status
from tests.errors.stored import make_error
from tests.factories import make_alert, make_app
from tests.impact.support import MINUTE, NOON, shop

HOUR = timedelta(hours=1)


# --- beginning of a problem --------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_group_begins_when_it_is_first_seen_or_regresses() -> None:
    event = make_error(
        shop(), received_at=NOON - HOUR, environment="production", release="2.4", title="Timeout"
    )
    onset = onset_of_group(event.group)
    assert (onset.at, onset.releases) == (NOON - HOUR, frozenset({"2.4"}))
    assert onset.environments == frozenset({"production"})
    assert onset.app_ids == frozenset({event.app_id})

    event.group.regressed_at, event.group.regressed_in_release = NOON, "2.5"
    onset = onset_of_group(event.group)
    assert (onset.at, onset.releases) == (NOON, frozenset({"2.5"}))


@pytest.mark.django_db
def test_a_known_group_begins_when_it_becomes_much_more_frequent() -> None:
    for hour in range(1, 30):
        event = make_error(shop(), group="g", received_at=NOON - hour * HOUR, release="2.3")
    for second in range(40):
        make_error(shop(), group="g", received_at=NOON + 7 * MINUTE + timedelta(seconds=second))

    event.group.refresh_from_db()
    onset = onset_of_group(event.group)

    assert (onset.at, onset.releases) == (NOON + 7 * MINUTE, frozenset())


@pytest.mark.django_db
def test_an_alert_begins_with_the_new_group_that_its_rule_counted() -> None:
    sync_rules()
    event = make_error(
        shop(), received_at=NOON - 12 * MINUTE, environment="production", release="2.4"
    )
    alert = make_alert(now=NOON, rule=AlertRule.objects.get(name="errors.high"))

    onset = onset_of_alert(alert)

    assert (onset.at, onset.uncertainty) == (NOON - 12 * MINUTE, timedelta(0))
    assert onset.app_ids == frozenset({event.app_id})
    assert onset.releases == frozenset({"2.4"})


@pytest.mark.django_db
def test_an_alert_without_new_groups_begins_within_its_window() -> None:
    sync_rules()
    app = shop()
    alert = make_alert(
        now=NOON, labels={"app": app.name}, rule=AlertRule.objects.get(name="errors.rate")
    )

    onset = onset_of_alert(alert)

    assert (onset.at, onset.uncertainty, onset.app_ids) == (NOON, HOUR, frozenset({app.pk}))


# --- causes on pages and in the API ------------------------------------------------------------------------


@pytest.fixture
def browse() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("owner"))
    return client


def deployed(before: timedelta) -> None:
    record_deploy(
        app=shop(), version="2.4", environment="production", source=Deploy.Source.API,
        now=timezone.now() - before,
    )  # fmt: skip


Problem = Callable[[], tuple[str, str, int]]


def an_alert() -> tuple[str, str, int]:
    alert = make_alert(metadata={"app": "shop"})
    return alert.get_absolute_url(), "alert", alert.pk


def a_group() -> tuple[str, str, int]:
    group = make_error(shop(), received_at=timezone.now(), environment="production").group_id
    return reverse("errors:group-detail", args=[group]), "group", group


def an_incident() -> tuple[str, str, int]:
    incident = Incident.objects.create(title="The shop is down", started_at=timezone.now())
    return reverse("admin:health_incident_change", args=[incident.pk]), "incident", incident.pk


@pytest.mark.django_db
@pytest.mark.parametrize("problem", [an_alert, a_group, an_incident])
def test_the_pages_and_the_api_show_the_same_causes(problem: Problem, browse: Client) -> None:
    deployed(3 * MINUTE)
    url, kind, id = problem()
    _, secret = ApiKey.issue(app=make_app(), scopes=[str(Scope.ADMIN)], label="t")

    page = browse.get(url).content.decode()
    answer = Client().get(
        f"/api/v1/impact/{kind}/{id}/", headers={"Authorization": f"Bearer {secret}"}
    )

    [cause] = answer.json()["causes"]
    assert (cause["kind"], cause["label"]) == ("deploy", "Deploy of Shop 2.4 to production")
    assert cause["distance"] == "3 min before"
    assert "Deploy of Shop 2.4 to production" in page
    assert "3 min before" in page


@pytest.mark.django_db
def test_a_page_says_so_when_nothing_has_changed(browse: Client) -> None:
    url, _, _ = an_alert()

    assert "No deploy, edited setting, outage" in browse.get(url).content.decode()


@pytest.mark.django_db
def test_the_public_status_page_names_no_cause() -> None:
    deployed(3 * MINUTE)
    Incident.objects.create(title="Shop is down", started_at=timezone.now(), is_public=True)

    shown = str(load_public_status(now=timezone.now()))

    assert "Shop is down" in shown
    assert "Deploy of" not in shown
    assert "Shop 2.4" not in shown
