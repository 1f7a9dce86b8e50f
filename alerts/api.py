"""POST /api/v1/checks/run/: everything that is checked by schedule, checked now."""

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from alerts import services
from opsportal.clients.api import api
from opsportal.clients.models import ClientApp, Scope
from opsportal.lib import ratelimit
from opsportal.lib.http import json_response, too_many_requests


class Change(msgspec.Struct):
    id: int
    change: str  # opened, reopened, raised, resolved
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
    verdict = ratelimit.acquire(f"run-checks:{app.pk}", 6, 60)
    if not verdict.allowed:
        return too_many_requests("six runs a minute are enough", verdict.retry_after)
    done = services.run_all_checks(now=timezone.now())
    return json_response(
        ChecksRun(
            unread=done.unread_count,
            rules=done.evaluated.rules,
            failed=done.evaluated.failed,
            changes=[
                Change(
                    id=alert.pk,
                    change=change,
                    title=alert.title,
                    severity=alert.severity,
                    url=request.build_absolute_uri(alert.get_absolute_url()),
                )
                for change, alert in done.changes
            ],
            checks=done.checks,
        )
    )
