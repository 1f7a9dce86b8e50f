"""Test the sections that the portal's apps add to the weekly report and to the error digest."""

from datetime import timedelta

import pytest
from django.utils import timezone

from alerts.extension_points import digest_sources, report_sections
from errors.models import ErrorGroup
from health.services import record_measurements
from health.signals import Performance
from tests.alerts.conftest import MINUTE
from tests.errors.stored import group_of, make_error
from tests.factories import make_app, make_payment

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_weekly_report_covers_errors_payments_and_response_times() -> None:
    now = timezone.now()
    app = make_app()
    record_measurements([Performance("view", 120, kind="request", count=5)], app=app, now=now)
    make_error(app, received_at=now - MINUTE, severity="critical")
    make_payment(amount=4200, now=now - MINUTE)

    values = {
        section.name: {
            fact.label: fact.value for fact in section.facts(now - timedelta(days=7), now + MINUTE)
        }
        for section in report_sections
    }

    assert values["errors"]["Errors"] == "1"
    assert values["errors"]["Critical errors"] == "1"
    assert values["payments"]["Received"] == "42.00 EUR"
    assert values["health.response_times"]["Requests, mean"] == "120 ms"


def test_the_digest_lists_only_new_and_regressed_groups() -> None:
    now = timezone.now()
    app = make_app("shop")
    new = make_error(app, group="new", received_at=now - MINUTE)
    back = make_error(app, group="back", received_at=now - MINUTE)
    old = make_error(app, group="old", received_at=now - MINUTE)
    long_ago = now - timedelta(days=3)
    ErrorGroup.objects.exclude(pk=new.group_id).update(first_seen_at=long_ago)
    ErrorGroup.objects.filter(pk=back.group_id).update(
        status="regressed", regressed_at=now - MINUTE
    )

    source = digest_sources.get("errors")
    items = list(source(now - 15 * MINUTE, now))

    found = {item.key: item for item in items}
    assert found[f"error-group:{new.group_id}"].reason == "new"
    assert found[f"error-group:{back.group_id}"].reason == "regressed"
    assert f"error-group:{old.group_id}" not in found
    assert found[f"error-group:{new.group_id}"].title == f"Shop: {group_of(new).title}"
