"""Changes before a problem: the ranking, and every source of changes, on pages, in the API and in the headline."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from alerts.models import AlertRule
from alerts.queries.causes import onset_of_alert
from alerts.services.defaults import sync_rules
from core.accounts.services import audit
from core.clients.models import ApiKey, Scope
from core.releases.models import Deploy
from core.releases.services import record_deploy, record_first_event
from errors.models import ErrorGroup
from errors.queries.onset import onset_of_group
from health.models import Incident, MaintenanceWindow
from impact.causes import Cause, CauseKind, Change, Onset, rank
from impact.extension_points import cause_sources
from impact.queries.causes import causes_of, find_causes
from payments.models import ProviderOutage
from tests.errors.stored import make_error
from tests.factories import (
    make_alert,
    make_app,
    make_component,
    make_event,
    make_monitor,
    make_ticket_type,
)
from tests.impact.support import MINUTE, NOON, record_calls, shop

HOUR = timedelta(hours=1)


def change(kind: CauseKind = CauseKind.DEPLOY, minutes: float = 5, **fields: Any) -> Change:
    given = {"label": kind.label, "app_id": 1, "environment": "production", **fields}
    return Change(kind, at=NOON - minutes * MINUTE, **given)


SHOP = Onset(
    NOON,
    app_ids=frozenset({1}),
    environments=frozenset({"production"}),
    subjects=frozenset({"alerts.alertrule 7", "component gate"}),
    own=frozenset({"group 3"}),
    text="Timeout: no answer from Fastmail",
)


# --- the ranking -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("likely", "unlikely"),
    [
        (change(minutes=3), change(minutes=30)),
        (change(minutes=7), change(minutes=-4)),
        (change(), change(app_id=2)),
        (change(), change(environment="staging")),
        (change(), change(CauseKind.SETTING)),
        (change(CauseKind.SETTING), change(CauseKind.ERROR)),
        (change(CauseKind.SETTING, subjects=frozenset({"alerts.alertrule 7"})), change()),
        (
            change(CauseKind.OUTAGE, app_id=None, names=("fastmail",)),
            change(CauseKind.OUTAGE, app_id=None, names=("gate",)),
        ),
        (
            change(CauseKind.OUTAGE, minutes=9),
            change(CauseKind.OUTAGE, minutes=8, until=NOON - 6 * MINUTE),
        ),
        (change(CauseKind.DEPENDENCY, factor=8), change(CauseKind.DEPENDENCY, factor=2)),
        (change(CauseKind.TRAFFIC, factor=0.1), change(CauseKind.TRAFFIC, factor=0.5)),
        (change(CauseKind.DEPENDENCY, factor=4), change(CauseKind.TRAFFIC, factor=4)),
    ],
    ids=[
        "nearer", "before rather than after", "same app", "same environment", "kind", "setting before error",
        "the alert's rule", "named",
        "still down", "larger step", "larger fall", "dependency before traffic",
    ],
)  # fmt: skip
def test_the_likely_cause_comes_first(likely: Change, unlikely: Change) -> None:
    ranked = [cause.change for cause in rank([unlikely, likely], SHOP)]

    assert ranked[0] == likely


def test_the_release_of_a_new_error_says_which_deploy_it_came_with() -> None:
    ours = change(release="2.4", minutes=9)
    other = change(release="2.5", minutes=4)
    onset = Onset(NOON, app_ids=frozenset({1}), releases=frozenset({"2.4"}))

    first, second = rank([ours, other], onset)

    assert (first.change, second.change) == (ours, other)
    assert "first seen in this release" in first.reasons
    assert "first seen in another release" in second.reasons


@pytest.mark.parametrize(
    "not_a_cause",
    [
        change(minutes=-11),
        change(CauseKind.SETTING, minutes=-1),
        change(minutes=24 * 60 + 1),
        change(CauseKind.ERROR, identity="group 3"),
        change(CauseKind.ERROR, app_id=2),
        change(app_id=2, environment="staging", minutes=120),
    ],
    ids=["afterwards", "edited afterwards", "old", "itself", "error elsewhere", "deploy elsewhere"],
)
def test_what_is_no_cause(not_a_cause: Change) -> None:
    assert rank([not_a_cause], SHOP) == []


def test_a_deploy_that_finished_just_after_the_first_error_is_a_cause() -> None:
    [cause] = rank([change(minutes=-2)], SHOP)

    assert cause.sentence == "Deploy, 2 min after"


@pytest.mark.parametrize(
    ("before", "text"),
    [
        (timedelta(0), "at the same time"),
        (timedelta(seconds=20), "at the same time"),
        (3 * MINUTE, "3 min before"),
        (100 * MINUTE, "1 h 40 min before"),
        (timedelta(seconds=-90), "2 min after"),
    ],
)
def test_the_distance_in_words(before: timedelta, text: str) -> None:
    assert Cause(change(), 1.0, before, ()).distance_text == text


def test_each_cause_has_its_reasons() -> None:
    found = change(names=("Fastmail",), subjects=frozenset({"component gate"}))

    [cause] = rank([found], SHOP)

    assert cause.reasons == ("the problem concerns it", "same app", "same environment")


# --- the sources -----------------------------------------------------------------------------------


def edit(model: str, pk: int, *, before: timedelta = 5 * MINUTE, detail: str = "") -> None:
    user = User.objects.filter(username="ann").first() or User.objects.create_superuser("ann")
    kind = model.partition(".")[2]
    audit.record(user, f"{model} changed", target=f"{kind} {pk}", detail=detail, now=NOON - before)


def labels(onset: Onset) -> list[str]:
    return [cause.sentence for cause in find_causes(onset)]


@pytest.mark.django_db
def test_a_deploy_and_a_release_first_seen() -> None:
    app = make_app("shop", name="Shop")
    record_deploy(
        app=app, version="2.4", environment="production", source=Deploy.Source.API,
        now=NOON - 3 * MINUTE,
    )  # fmt: skip
    record_first_event(app=app, version="2.5", environment="production", at=NOON - MINUTE)
    onset = Onset(NOON, app_ids=frozenset({app.pk}))

    first, second = find_causes(onset)

    assert first.sentence == "Deploy of Shop 2.4 to production, 3 min before"
    assert second.sentence == "Shop 2.5 first seen in production, 1 min before"
    release = app.releases.get(version="2.4")
    assert first.change.url == reverse("errors:release-detail", args=[release.pk])


@pytest.mark.django_db
def test_a_deploy_during_which_the_problem_began_counts_from_its_start() -> None:
    app = make_app("shop", name="Shop")
    record_deploy(
        app=app, version="2.4", environment="production", source=Deploy.Source.CLI,
        now=NOON + 3 * MINUTE, started_at=NOON - 2 * MINUTE, finished_at=NOON + 3 * MINUTE,
    )  # fmt: skip

    assert labels(Onset(NOON)) == ["Deploy of Shop 2.4 to production, 2 min before"]


@pytest.mark.django_db
def test_edited_settings_of_every_app() -> None:
    sync_rules()
    rule = AlertRule.objects.get(name="errors.high")
    app = make_app("shop", name="Shop")
    monitor = make_monitor("https://gate.example", title="Gate", app=app)
    event = make_event("gala", name="Gala")
    edit("alerts.alertrule", rule.pk, detail="Changed Threshold and Severity.")
    edit("clients.clientapp", app.pk)
    edit("health.monitor", monitor.pk)
    edit("reservations.event", event.pk, before=7 * MINUTE)
    edit("auth.user", 1)
    edit("alerts.systemalert", 1)

    assert labels(Onset(NOON, app_ids=frozenset({app.pk}))) == [
        "App Shop changed by ann, 5 min before",
        "Monitor Gate changed by ann, 5 min before",
        "Rule errors.high changed by ann (Threshold and Severity), 5 min before",
        "Event Gala changed by ann, 7 min before",
    ]


@pytest.mark.django_db
def test_a_deleted_row_is_named_by_its_number() -> None:
    user = User.objects.create_superuser("ann")
    audit.record(user, "alerts.channel deleted", target="channel 99", now=NOON - MINUTE)

    [cause] = find_causes(Onset(NOON))

    assert cause.sentence == "Channel #99 deleted by ann, 1 min before"
    assert cause.change.url == ""


@pytest.mark.django_db
def test_keys_that_stopped_working() -> None:
    app = make_app("shop", name="Shop")
    key, _ = ApiKey.issue(app=app, scopes=[Scope.PAYMENTS], label="server")
    ApiKey.objects.filter(pk=key.pk).update(expires_at=NOON - 2 * MINUTE)
    revoked, _ = ApiKey.issue(app=app, scopes=[Scope.PAYMENTS], label="old")
    ApiKey.objects.filter(pk=revoked.pk).update(revoked_at=NOON - 4 * MINUTE)

    assert labels(Onset(NOON)) == [
        "API key server of Shop expired, 2 min before",
        "API key old of Shop revoked, 4 min before",
    ]


@pytest.mark.django_db
def test_outages_and_maintenance() -> None:
    mail = make_component("mail", title="Mail")
    make_component("gate", title="Gate", status="degraded", since=NOON - 6 * MINUTE)
    Incident.objects.create(title="Mail is down", component=mail, started_at=NOON - 4 * MINUTE)
    ProviderOutage.objects.create(
        started_at=NOON - 2 * MINUTE, last_seen_at=NOON, reason="no response"
    )
    window = MaintenanceWindow.objects.create(
        title="New router", starts_at=NOON - 3 * MINUTE, ends_at=NOON + HOUR
    )

    assert labels(Onset(NOON, text="Stripe did not answer")) == [
        "Payment provider stopped responding, 2 min before",
        f"Maintenance: {window.title}, 3 min before",
        "Mail is down, 4 min before",
        "Gate is degraded, 6 min before",
    ]


@pytest.mark.django_db
def test_a_component_is_not_the_cause_of_its_own_incident() -> None:
    mail, gate = make_component("mail", title="Mail"), make_component("gate", title="Gate")
    Incident.objects.create(title="Gate is down", component=gate, started_at=NOON - 3 * MINUTE)
    incident = Incident.objects.create(title="Mail is down", component=mail, started_at=NOON)

    assert [one.sentence for one in causes_of("incident", incident.pk)] == [
        "Gate is down, 3 min before"
    ]


@pytest.mark.django_db
def test_a_call_that_became_slower_or_began_to_fail() -> None:
    app = make_app("shop", name="Shop")
    record_calls(app, "bank.charge", [200.0] * 70 + [2000.0] * 5, until=NOON)
    record_calls(app, "sms.send", [100.0] * 75, until=NOON, failed_from=72)
    record_calls(app, "seats.find", [50.0] * 75, until=NOON)
    onset = Onset(NOON, app_ids=frozenset({app.pk}), environments=frozenset({"production"}))

    slower, failing = sorted(find_causes(onset), key=lambda one: one.change.label)

    assert slower.sentence == (
        "bank.charge in Shop became 10 times slower (200 ms to 2.00 s on average), 5 min before"
    )
    assert slower.reasons == ("same app", "same environment")
    assert failing.sentence == (
        "sms.send in Shop began to fail (100% of the calls, 0% before), 3 min before"
    )


@pytest.mark.django_db
def test_a_rise_in_traffic_and_a_sale_that_began() -> None:
    app = make_app("shop", name="Shop")
    record_calls(
        app, "GET /", [20.0] * 75, until=NOON, kind="request", counts=[30] * 71 + [300] * 4
    )
    make_ticket_type(
        event=make_event("gala", name="Gala"), name="Seat", sale_starts_at=NOON - 4 * MINUTE
    )

    assert labels(Onset(NOON, app_ids=frozenset({app.pk}))) == [
        "Requests of Shop rose from 30 to 300 a minute, 4 min before",
        "Sale of Gala: Seat began, 4 min before",
    ]


@pytest.mark.django_db
def test_a_new_error_in_the_same_app() -> None:
    app = shop()
    make_error(app, title="Timeout", group="t", received_at=NOON - 2 * MINUTE)
    make_error(app, title="Regressed", group="r", received_at=NOON - 50 * HOUR)
    ErrorGroup.objects.filter(title="Regressed").update(regressed_at=NOON - MINUTE)
    make_error(app, title="Only a warning", severity="warning", received_at=NOON - MINUTE)

    assert labels(Onset(NOON, app_ids=frozenset({app.pk}))) == [
        "Regressed error: Regressed, 1 min before",
        "New error: Timeout, 2 min before",
    ]


@pytest.mark.django_db
def test_a_source_that_fails_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    make_component("gate", title="Gate", status="degraded", since=NOON - MINUTE)

    def fail(onset: Onset) -> list[Change]:
        raise RuntimeError

    monkeypatch.setitem(
        cause_sources._items,
        "releases.deploys",
        type(cause_sources.get("releases.deploys"))("x", fail),
    )

    assert labels(Onset(NOON)) == ["Gate is degraded, 1 min before"]


# --- when a problem began --------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_group_began_when_it_was_first_seen_or_regressed() -> None:
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
def test_a_known_group_began_when_it_became_much_more_frequent() -> None:
    for hour in range(1, 30):
        event = make_error(shop(), group="g", received_at=NOON - hour * HOUR, release="2.3")
    for second in range(40):
        make_error(shop(), group="g", received_at=NOON + 7 * MINUTE + timedelta(seconds=second))

    event.group.refresh_from_db()
    onset = onset_of_group(event.group)

    assert (onset.at, onset.releases) == (NOON + 7 * MINUTE, frozenset())


@pytest.mark.django_db
def test_an_alert_began_with_the_new_group_that_its_rule_counted() -> None:
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
def test_an_alert_without_new_groups_began_within_its_window() -> None:
    sync_rules()
    app = shop()
    alert = make_alert(
        now=NOON, labels={"app": app.name}, rule=AlertRule.objects.get(name="errors.rate")
    )

    onset = onset_of_alert(alert)

    assert (onset.at, onset.uncertainty, onset.app_ids) == (NOON, HOUR, frozenset({app.pk}))


# --- where causes are shown ------------------------------------------------------------------------


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
def test_pages_and_api_show_the_same_causes(problem: Problem, browse: Client) -> None:
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
def test_a_page_says_that_nothing_changed(browse: Client) -> None:
    url, _, _ = an_alert()

    assert "No deploy, edited setting, outage" in browse.get(url).content.decode()


@pytest.mark.django_db
def test_the_public_status_page_names_no_cause(client: Client) -> None:
    deployed(3 * MINUTE)
    Incident.objects.create(title="Shop is down", started_at=timezone.now(), is_public=True)

    assert "2.4" not in client.get(reverse("health:status-page")).content.decode()


def test_every_setting_whose_edits_are_causes_has_a_page_in_the_admin() -> None:
    from alerts.hooks import cause_sources as of_alerts
    from health.hooks import cause_sources as of_health
    from impact.hooks import cause_sources as of_impact
    from reservations.hooks import cause_sources as of_reservations

    for module in (of_alerts, of_health, of_impact, of_reservations):
        for model in module.MODELS:
            assert reverse(f"admin:{model.replace('.', '_')}_change", args=[1])
