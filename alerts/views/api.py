"""Handle POST /api/v1/checks/run/, which runs all scheduled checks immediately."""

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from alerts import services
from core.clients.api import api
from core.clients.models import ClientApp, Scope
from core.lib import ratelimit
from core.lib.http import json_response, too_many_requests

MAX_RUNS_PER_MINUTE = 6


class Change(msgspec.Struct):
    id: int
    change: str  # One of "opened", "reopened", "raised" and "resolved".
    title: str
    severity: str
    url: str


class ChecksRun(msgspec.Struct):
    unread: int
    rules: int
    failed: list[str]
    changes: list[Change]
    checks: dict[str, str]


@api(Scope.ADMIN, "POST")
def run_checks(request: HttpRequest, app: ClientApp) -> HttpResponse:
    verdict = ratelimit.acquire(f"run-checks:{app.pk}", MAX_RUNS_PER_MINUTE, 60)
    if not verdict.allowed:
        return too_many_requests(
            f"limit of {MAX_RUNS_PER_MINUTE} per minute reached", verdict.retry_after
        )
    result = services.run_all_checks(now=timezone.now())
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
            ],
            checks=result.checks,
        )
    )
