"""Where Stripe calls. Logged first, processed by a worker; a duplicate is answered at once."""

import logging

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from opsportal.lib.addresses import client_address, network_of
from opsportal.lib.http import json_response, problem
from opsportal.lib.scrub import scrub_text
from opsportal.limits.blocked import subject_of_address
from payments import services, stripe_api
from payments.services.webhooks import signatures
from payments.services.webhooks.receive import NotAnEvent
from payments.services.webhooks.rejected import count_refusal

log = logging.getLogger(__name__)


@csrf_exempt
def receive(request: HttpRequest, endpoint: str = "") -> HttpResponse:
    """200 once the event is stored. Refusals store nothing of the call."""
    if request.method != "POST":
        return problem(405, "use POST", headers={"Allow": "POST"})
    secrets = signatures.secrets_for(endpoint)
    if not secrets:
        return problem(503, "no webhook secret is configured here", type="not-configured")
    if int(request.META.get("CONTENT_LENGTH") or 0) > signatures.MAX_BYTES:
        return _refuse(request, "too large", 413)
    body = request.body
    if len(body) > signatures.MAX_BYTES:
        return _refuse(request, "too large", 413)
    now = timezone.now()
    try:
        data = signatures.verified(body, request.headers.get("Stripe-Signature", ""), secrets)
        received = services.record_event(
            data, endpoint=endpoint or "default", livemode=stripe_api.livemode(), now=now
        )
    except signatures.Refused as refusal:
        return _refuse(request, refusal.reason, 400)
    except NotAnEvent:
        return _refuse(request, "not an event", 400)
    except DatabaseError:
        log.exception("event not stored")
        return problem(500, "not stored; send it again")  # Stripe does, for three days
    return json_response({"received": True, "duplicate": not received.is_new})


def _refuse(request: HttpRequest, reason: str, status: int) -> HttpResponse:
    caller = subject_of_address(network_of(client_address(request.META)))
    sample = f"from {caller}, {scrub_text(request.headers.get('User-Agent', '')[:150])}"
    try:
        count_refusal(reason, sample=sample, now=timezone.now())
    except DatabaseError:
        log.warning("refusal not counted", extra={"reason": reason})
    return problem(status, reason)
