"""Receive Stripe's webhook calls. An event is stored first and then processed by a worker."""

import logging

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from core.lib.addresses import client_address, network_of
from core.lib.http import json_response, problem
from core.lib.scrub import scrub_text
from core.limits.blocked import subject_of_address
from payments import services, stripe_api
from payments.services.webhooks import signatures
from payments.services.webhooks.receive import NotAnEvent
from payments.services.webhooks.rejected import count_rejected_call

log = logging.getLogger(__name__)


@csrf_exempt
def receive(request: HttpRequest, endpoint: str = "") -> HttpResponse:
    """Store the event and respond with 200. Reject and count calls whose body or signature is invalid.

    `endpoint` is the name in STRIPE_WEBHOOK_SECRETS, or "" for the endpoint without a name.
    """
    if request.method != "POST":
        return problem(405, "use POST", headers={"Allow": "POST"})
    secrets = signatures.secrets_for(endpoint)
    if not secrets:
        return problem(503, "no webhook secret is configured on this portal", type="not-configured")
    if int(request.META.get("CONTENT_LENGTH") or 0) > signatures.MAX_BYTES:
        return _reject(request, "too large", 413)
    body = request.body
    if len(body) > signatures.MAX_BYTES:
        return _reject(request, "too large", 413)
    now = timezone.now()
    try:
        data = signatures.verify(body, request.headers.get("Stripe-Signature", ""), secrets)
        received = services.record_event(
            data, endpoint=endpoint or "default", livemode=stripe_api.is_livemode(), now=now
        )
    except signatures.RejectedCall as refusal:
        return _reject(request, refusal.reason, 400)
    except NotAnEvent:
        return _reject(request, "not an event", 400)
    except DatabaseError:
        log.exception("a webhook event could not be stored")
        # Stripe sends the event again after an error, for up to three days.
        return problem(500, "the event was not stored; send it again")
    return json_response({"received": True, "duplicate": not received.is_new})


def _reject(request: HttpRequest, reason: str, status: int) -> HttpResponse:
    caller = subject_of_address(network_of(client_address(request.META)))
    sample = f"from {caller}, {scrub_text(request.headers.get('User-Agent', '')[:150])}"
    try:
        count_rejected_call(reason, sample=sample, now=timezone.now())
    except DatabaseError:
        log.warning("a rejected webhook call could not be counted", extra={"reason": reason})
    return problem(status, reason)
