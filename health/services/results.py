"""Record check results, and update states, hourly and daily uptime, alerts and incidents."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from core.lib.upsert import upsert
from health import verdict
from health.models import CheckResult, Component, Tier, Uptime
from health.queries.components import ComponentsUnderMaintenance
from health.services.status_changes import update_alert_and_incident
from health.verdict import Result, Status

COUNTS = ("healthy", "degraded", "unhealthy", "maintenance")
# Contains the id of the component, the tier and the start.
PointKey = tuple[int, int, datetime]


@transaction.atomic
def record_results(
    results_by_component: Sequence[tuple[Component, Sequence[Result]]], *, now: datetime
) -> None:
    """Record the results of each component, with the oldest first, in one transaction.

    A result that is "not configured" or "unknown" is not stored, but changes the state of the component.
    """
    rows: list[CheckResult] = []
    points: dict[PointKey, dict[str, float]] = {}
    under_maintenance = ComponentsUnderMaintenance(now)
    for component, results in results_by_component:
        status_before = Status(component.status)
        is_maintained = component in under_maintenance
        for result in results:
            component.state = verdict.next_state(
                component.state,
                result,
                fail_after=component.fail_after,
                recover_after=component.recover_after,
            )
            if result.status in (Status.NOT_CONFIGURED, Status.UNKNOWN):
                continue
            rows.append(
                CheckResult(
                    component_id=component.pk,
                    at=result.at,
                    status=result.status,
                    duration_ms=result.duration_ms,
                    message=result.message[:500],
                    is_maintained=is_maintained,
                )
            )
            _add_to_uptime(points, component, result, is_maintained=is_maintained)
        if results and not is_maintained:
            update_alert_and_incident(component, status_before=status_before, now=now)
    CheckResult.objects.bulk_create(rows)
    upsert(
        Uptime,
        [{"component": c, "tier": t, "start": s, **point} for (c, t, s), point in points.items()],
        key=Uptime.KEY,
        add=(*COUNTS, "total_ms"),
        greatest=("highest_ms",),
    )
    Component.objects.bulk_update(
        [component for component, results in results_by_component if results],
        [*Component.STATE, "is_alerted"],
    )


def _add_to_uptime(
    points: dict[PointKey, dict[str, float]],
    component: Component,
    result: Result,
    *,
    is_maintained: bool,
) -> None:
    for tier in (Tier.HOUR, Tier.DAY):
        point = points.setdefault(
            (component.pk, tier, tier.floor(result.at)),
            dict.fromkeys((*COUNTS, "total_ms", "highest_ms"), 0),
        )
        point["maintenance" if is_maintained else result.status] += 1
        point["total_ms"] += result.duration_ms
        point["highest_ms"] = max(point["highest_ms"], result.duration_ms)
