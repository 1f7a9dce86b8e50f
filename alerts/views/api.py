"""Handle POST /api/v1/checks/run/, which runs all instant checks and evaluates all rules immediately."""

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from alerts import services
from alerts.models import SystemAlert
from core.clients.api import api
from core.clients.models import ClientApp, Scope
from core.lib import ratelimit
from core.lib.app_access import limit, reading_as
from core.lib.http import json_response, too_many_requests

MAX_RUNS_PER_MINUTE = 6


class Change(msgspec.Struct):
    id: int
    change: str  # The value is "opened", "reopened", "raised" or "resolved".
    title: str
    severity: str
    url: str


class ChecksRun(msgspec.Struct):
    unread: int
    rules: int
    failed: list[str]
    changes: list[Change]
    checks: dict[str, str]


@api(Scope.ADMIN, "POST", permission="alerts.change_systemalert", needs_app=False)
def run_checks(request: HttpRequest, app: ClientApp | None) -> HttpResponse:
    caller = app.pk if app else f"user-{request.user.pk}"
    verdict = ratelimit.acquire(f"run-checks:{caller}", MAX_RUNS_PER_MINUTE, 60)
    if not verdict.allowed:
        return too_many_requests(
            f"the limit of {MAX_RUNS_PER_MINUTE} runs per minute was reached", verdict.retry_after
        )
    with reading_as(None):  # The checks concern every app, not only the calling app.
        result = services.run_all_checks(now=timezone.now())
    visible = set(limit(SystemAlert.objects.filter(pk__in=[one.pk for _, one in result.changes])))
    return json_response(
        ChecksRun(
            unread=result.unread_count,
            rules=result.evaluation.rule_count,
            failed=result.evaluation.failed,
            changes=[
                Change(
                    id=alert.pk,
                    change=change,
                    title=alert.title,
                    severity=alert.severity,
                    url=request.build_absolute_uri(alert.get_absolute_url()),
                )
                for change, alert in result.changes
                if alert in visible
            ],
            checks=result.checks,
        )
    )
