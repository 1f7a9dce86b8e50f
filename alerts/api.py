"""POST /api/v1/checks/run/: everything that is checked by schedule, checked now."""

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from alerts import services
from opsportal.clients.auth import NotAllowed, NotAuthenticated, authenticate
from opsportal.clients.models import Scope
from opsportal.lib import ratelimit
from opsportal.lib.http import json_response, problem


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


@csrf_exempt
@require_POST
def run_checks(request: HttpRequest) -> HttpResponse:
    try:
        app = authenticate(request, Scope.ADMIN)
    except NotAuthenticated as error:
        return problem(401, str(error), headers={"WWW-Authenticate": "Bearer"})
    except NotAllowed as error:
        return problem(403, str(error))
    verdict = ratelimit.hit(f"run-checks:{app.pk}", 6, 60)
    if not verdict.allowed:
        wait = str(int(verdict.retry_after) + 1)
        return problem(429, "six runs a minute are enough", headers={"Retry-After": wait})
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
