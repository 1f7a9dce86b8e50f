"""Problems that are not thresholds: a failed check, a refund that is due, a webhook that died, a missed heartbeat."""

import dataclasses
import json
from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db import transaction

from alerts.impact import References
from alerts.models import AlertState, SystemAlert
from alerts.rules import Severity
from alerts.services import lifecycle
from alerts.services.lifecycle import Problem

REOPEN_WINDOW = timedelta(minutes=15)
TRIES = 20  # each lost to another worker that changed the same alert meanwhile, and so at most one a worker


class Contended(Exception):
    """Other workers kept changing the same alert; nothing was reported."""


def report_problem(
    *,
    key: str,
    alert_type: str,
    title: str,
    message: str,
    severity: Severity,
    source: str,
    now: datetime,
    metadata: Mapping[str, object] | None = None,
    references: References | None = None,
) -> SystemAlert:
    """The one open alert with this key: opened, reopened, or updated. Joins the caller's transaction.

    Reporting again what was dismissed leaves it dismissed. Raises Contended.
    """
    problem = Problem(
        key=key[:200],
        alert_type=alert_type[:100],
        title=title[:200],
        message=message,
        severity=severity,
        source=source[:100],
        metadata=json.loads(json.dumps(dict(metadata or {}), default=str)),
        references=_plain(references),
    )
    for _ in range(TRIES):
        with transaction.atomic():
            alert = _latest(problem.key, now)
            if alert is None:
                alert = lifecycle.begin(problem, now=now)
                done = alert is not None
            elif alert.state == AlertState.RESOLVED:
                done = lifecycle.reopen(alert, problem, now=now)
            elif alert.is_active and severity.rank > Severity(alert.severity).rank:
                done = lifecycle.worsen(alert, problem, now=now)
            else:
                done = lifecycle.again(alert, problem, now=now)
        if done and alert is not None:
            return alert
    raise Contended(key)


def clear_problem(*, key: str, now: datetime, text: str = "") -> bool:
    """End the alert with this key; False when there is none. Joins the caller's transaction."""
    for _ in range(TRIES):
        with transaction.atomic():
            alert = SystemAlert.objects.owning_their_key().filter(key=key).first()
            if alert is None:
                return False
            if alert.state == AlertState.PENDING:
                if lifecycle.forget(alert):
                    return True
            elif lifecycle.finish(alert, now=now, text=text):
                return True
    return False


def _latest(key: str, now: datetime) -> SystemAlert | None:
    """The alert that owns the key, else one that ended within the reopen window."""
    return (
        SystemAlert.objects.owning_their_key().filter(key=key).first()
        or SystemAlert.objects.filter(key=key, resolved_at__gte=now - REOPEN_WINDOW)
        .order_by("-resolved_at", "-pk")
        .first()
    )


def _plain(references: References | None) -> dict[str, object]:
    """References as JSON can keep them; `references_of` reads them back."""
    if references is None:
        return {}
    return {
        name: sorted(value) if isinstance(value, frozenset) else value.isoformat()
        for name, value in dataclasses.asdict(references).items()
        if value
    }


def references_of(alert: SystemAlert) -> References:
    """What the alert is known to have touched."""
    kept = dict(alert.references)
    times = {n: datetime.fromisoformat(kept.pop(n)) for n in ("since", "until") if n in kept}
    return References(
        **{name: frozenset(values) for name, values in kept.items()},
        since=times.get("since"),
        until=times.get("until"),
    )
