"""Test every source of changes that may have caused a problem."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from alerts.models import AlertRule
from alerts.services.defaults import sync_rules
from core.accounts.services import audit
from core.clients.models import ApiKey, Scope
from core.releases.models import Deploy
from core.releases.services import record_deploy, record_first_event
from errors.models import ErrorGroup
from health.models import Incident, MaintenanceWindow
from impact.causes import Change, Onset
from impact.extension_points import cause_sources
from impact.queries.causes import causes_of, find_causes
from payments.models import ProviderOutage
from tests.errors.stored import make_error
from tests.factories import (
    make_app,
    make_component,
    make_event,
    make_monitor,
    make_ticket_type,
)
from tests.impact.support import MINUTE, NOON, record_calls, shop

HOUR = timedelta(hours=1)


def edit(model: str, pk: int, *, before: timedelta = 5 * MINUTE, detail: str = "") -> None:
    user = User.objects.filter(username="ann").first() or User.objects.create_superuser("ann")
    kind = model.partition(".")[2]
    audit.record(user, f"{model} changed", target=f"{kind} {pk}", detail=detail, now=NOON - before)


def labels(onset: Onset) -> list[str]:
    return [cause.sentence for cause in find_causes(onset)]


@pytest.mark.django_db
def test_a_deploy_and_a_release_first_seen_are_possible_causes() -> None:
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
def test_edited_settings_of_every_app_are_possible_causes() -> None:
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
def test_keys_that_stopped_working_are_possible_causes() -> None:
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
def test_outages_and_maintenance_are_possible_causes() -> None:
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
        "Gate degraded, 6 min before",
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
def test_a_call_that_became_slower_or_began_to_fail_is_a_possible_cause() -> None:
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
def test_a_rise_in_traffic_and_a_sale_that_began_are_possible_causes() -> None:
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
def test_a_new_error_in_the_same_app_is_a_possible_cause() -> None:
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
def test_a_failing_source_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    make_component("gate", title="Gate", status="degraded", since=NOON - MINUTE)

    def fail(onset: Onset) -> list[Change]:
        raise RuntimeError

    monkeypatch.setitem(
        cause_sources._items,
        "releases.deploys",
        type(cause_sources.get("releases.deploys"))("x", fail),
    )

    assert labels(Onset(NOON)) == ["Gate degraded, 1 min before"]


def test_every_setting_whose_edits_are_causes_has_a_page_in_the_admin() -> None:
    from alerts.hooks import cause_sources as of_alerts
    from health.hooks import cause_sources as of_health
    from impact.hooks import cause_sources as of_impact
    from reservations.hooks import cause_sources as of_reservations

    for module in (of_alerts, of_health, of_impact, of_reservations):
        for model in module.MODELS:
            assert reverse(f"admin:{model.replace('.', '_')}_change", args=[1])
