"""Run the instant checks of all apps, such as all health checks, and then evaluate every alert rule."""

import logging
from dataclasses import dataclass, field
from datetime import datetime

from alerts.extension_points import instant_checks
from alerts.models import AlertEvent, SystemAlert
from alerts.services.evaluate import EvaluationResult, evaluate_rules

log = logging.getLogger(__name__)

CHANGE_KINDS = (
    AlertEvent.Kind.OPENED,
    AlertEvent.Kind.REOPENED,
    AlertEvent.Kind.RAISED,
    AlertEvent.Kind.RESOLVED,
)


@dataclass
class CheckResult:
    """The results of all checks and rules, the changed alerts, and the number of alerts that are unread afterwards."""

    evaluation: EvaluationResult
    unread_count: int = 0
    changes: list[tuple[str, SystemAlert]] = field(default_factory=list)
    checks: dict[str, str] = field(default_factory=dict)


def run_all_checks(*, now: datetime) -> CheckResult:
    last = AlertEvent.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    checks = {}
    for name in instant_checks.names():
        try:
            checks[name] = instant_checks.get(name)(now)
        except Exception as error:
            log.exception("check failed", extra={"check": name})
            checks[name] = f"failed: {error}"
    evaluation = evaluate_rules(now=now)
    events = (
        AlertEvent.objects.filter(pk__gt=last, kind__in=CHANGE_KINDS)
        .select_related("alert")
        .order_by("pk")
    )
    return CheckResult(
        evaluation=evaluation,
        unread_count=SystemAlert.objects.unread().count(),
        changes=[(event.kind, event.alert) for event in events],
        checks=checks,
    )
