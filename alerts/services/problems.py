"""Report problems that code finds without a rule, such as a failed check, a failed refund or a missed heartbeat."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db import transaction

from alerts.extension_points import Severity
from alerts.models import AlertState, SystemAlert
from alerts.queries.impact import references_to_json
from alerts.services import lifecycle
from alerts.services.lifecycle import Problem
from core.clients.models import ClientApp
from impact.references import References

REOPEN_WINDOW = timedelta(minutes=15)
# An attempt fails only if another worker changed the same alert, so 20 attempts are enough for 20 concurrent workers.
MAX_TRIES = 20


class Contended(Exception):
    """Other workers kept changing the same alert, so the problem was not reported."""


def report_problem(
    *,
    key: str,
    alert_type: str,
    title: str,
    message: str,
    severity: Severity,
    source: str,
    now: datetime,
    labels: Mapping[str, str] | None = None,
    metadata: Mapping[str, object] | None = None,
    references: References | None = None,
    app: ClientApp | None = None,
) -> SystemAlert:
    """Open, reopen or update the alert with this key, and return it.

    The change is part of the caller's transaction. Without `app`, the alert concerns the app that the labels or the
    metadata name. A dismissed alert stays dismissed. Raises Contended if other workers keep changing the alert.
    """
    problem = Problem(
        key=key[:200],
        alert_type=alert_type[:100],
        title=title[:200],
        message=message,
        severity=severity,
        source=source[:100],
        labels=labels or {},
        metadata=json.loads(json.dumps(dict(metadata or {}), default=str)),
        references=references_to_json(references),
        app_id=app.pk if app else None,
    )
    for _ in range(MAX_TRIES):
        with transaction.atomic():
            alert = _find_current(problem.key, now)
            if alert is None:
                alert = lifecycle.create_alert(problem, now=now)
                done = alert is not None
            elif alert.state == AlertState.RESOLVED:
                done = lifecycle.reopen(alert, problem, now=now)
            elif alert.is_active and severity.rank > Severity(alert.severity).rank:
                done = lifecycle.raise_severity(alert, problem, now=now)
            else:
                done = lifecycle.add_occurrence(alert, problem, now=now)
        if done and alert is not None:
            return alert
    raise Contended(key)


def clear_problem(*, key: str, now: datetime, text: str = "") -> bool:
    """Resolve the alert with this key, as part of the caller's transaction.

    A pending alert is deleted. Return False if there is no such alert, or if other workers keep changing it.
    """
    for _ in range(MAX_TRIES):
        with transaction.atomic():
            alert = SystemAlert.objects.unresolved().filter(key=key).first()
            if alert is None:
                return False
            if alert.state == AlertState.PENDING:
                if lifecycle.discard_pending(alert):
                    return True
            elif lifecycle.resolve(alert, now=now, text=text):
                return True
    return False


def _find_current(key: str, now: datetime) -> SystemAlert | None:
    """Return the unresolved alert with this key, or else the alert that was resolved within the reopen window."""
    return (
        SystemAlert.objects.unresolved().filter(key=key).first()
        or SystemAlert.objects.filter(key=key, resolved_at__gte=now - REOPEN_WINDOW)
        .order_by("-resolved_at", "-pk")
        .first()
    )
