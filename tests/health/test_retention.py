from datetime import UTC, datetime, timedelta

import pytest

from health.models import ActiveUser, CheckResult, Component, Latency, Tier, Uptime
from health.services import prune, record_measurements, record_results
from health.signals import Activity, Performance
from health.verdict import Result, Status
from tests.factories import make_app

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.mark.django_db
def test_each_kind_of_row_is_deleted_after_its_retention() -> None:
    app = make_app()
    component = Component.objects.create(kind="check", name="db", title="Database")
    for days in (0, 3, 40, 500):
        at = NOON - timedelta(days=days)
        record_measurements([Performance("f", 5), Activity("u")], app=app, now=at)
        record_results([(component, [Result(Status.HEALTHY, at)])], now=at)

    removed = prune(now=NOON)

    own = Latency.objects.filter(series__app=app)
    assert {tier: own.filter(tier=tier).count() for tier in Tier} == {
        Tier.MINUTE: 1,
        Tier.HOUR: 2,
        Tier.DAY: 3,
    }
    assert CheckResult.objects.count() == 1
    assert Uptime.objects.filter(tier=Tier.HOUR).count() == 2
    assert Uptime.objects.filter(tier=Tier.DAY).count() == 3
    assert ActiveUser.objects.count() == 1
    assert removed > 0
    assert prune(now=NOON) == 0
