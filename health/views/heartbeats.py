"""Handle `/api/v1/heartbeats/<key>/`, a simple URL for cron jobs.

The key in the URL is the only authentication.
"""

import uuid

from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from core.lib.http import json_response
from health.models import CheckInStatus, Heartbeat
from health.services.heartbeats import check_in

_STATUS_OF_STEP = {
    "": CheckInStatus.OK,
    "start": CheckInStatus.RUNNING,
    "fail": CheckInStatus.ERROR,
}


@csrf_exempt
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def ping(request: HttpRequest, key: uuid.UUID, step: str = "") -> HttpResponse:
    """Record a check-in: `start/` before the work, no suffix after success, or `fail/` after a failure.

    GET is accepted because curl sends it by default.
    """
    if step not in _STATUS_OF_STEP:
        raise Http404(step)
    heartbeat = get_object_or_404(Heartbeat.objects.enabled(), ping_key=key)
    with transaction.atomic():
        run = check_in(heartbeat, status=_STATUS_OF_STEP[step], now=timezone.now())
    return json_response(
        {
            "status": run.status,
            "check_in_id": run.check_in_id,
            "next_expected": heartbeat.expected_at,
        }
    )
