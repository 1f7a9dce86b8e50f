"""Serve the overview of payments and the page of one payment to staff."""

import uuid
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.contrib.auth.decorators import permission_required
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone

from core.lib.app_access import limit
from impact.extension_points import Wanted
from impact.queries.records import records
from payments import stripe_api
from payments.extension_points import find_paid_items
from payments.models import Dispute, Mismatch, Payment, PaymentStatus, Refund, WebhookEvent
from payments.queries import stats
from payments.queries.timeline import build_timeline, describe_payment, shorten_reference

DAY = timedelta(days=1)
may_see = permission_required("payments.view_payment", raise_exception=True)


@may_see
def overview(request: HttpRequest) -> HttpResponse:
    """Show the problems that need attention, and the statistics of the last 24 hours."""
    now = timezone.now()
    attempts, stuck = stats.count_attempts(now - DAY), stats.count_stuck(now)
    webhooks = stats.count_webhooks(since=now - DAY)
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": "Payments",
        "is_configured": stripe_api.is_configured(),
        "stuck": limit(Payment.objects.stuck(now))
        .select_related("app")
        .order_by("created_at")[:20],
        "stuck_count": stuck.count,
        "at_risk": sorted(stuck.amounts.items()),
        "dead": limit(WebhookEvent.objects.dead()).order_by("-received_at", "-pk")[:20],
        "mismatches": limit(Mismatch.objects.open())
        .select_related("payment")
        .order_by("-found_at", "-pk")[:20],
        "refunds": limit(
            Refund.objects.filter(state__in=[Refund.State.ASKED, Refund.State.PENDING])
        )
        .select_related("payment", "asked_by")
        .order_by("-asked_at", "-pk")[:20],
        "disputes": limit(Dispute.objects.open())
        .select_related("payment")
        .order_by(F("evidence_due_at").asc(nulls_last=True), "pk")[:20],
        "dispute_count": limit(Dispute.objects.awaiting_evidence()).count(),
        "mismatch_count": stats.count_open_mismatches(),
        "by_status": [
            (PaymentStatus(status).label.lower(), count)
            for status, count in sorted(attempts.by_status.items())
        ],
        "attempts": attempts.count,
        "books": attempts.books,
        "prevented": attempts.prevented,
        "prevented_amounts": sorted(attempts.prevented.amounts.items()),
        "webhooks": webhooks,
        "event_states": sorted(webhooks.by_state.items()),
        "comparison": stats.find_last_comparison(now),
        "may_handle_events": request.user.has_perm("payments.change_webhookevent"),
        "may_settle": request.user.has_perm("payments.change_mismatch"),
    }
    return render(request, "payments/overview.html", context)


@may_see
def payment_page(request: HttpRequest, reference: uuid.UUID) -> HttpResponse:
    payment = get_object_or_404(limit(Payment.objects.select_related("app")), uuid=reference)
    items = find_paid_items(payment)
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": f"Payment of {payment.formatted_amount}",
        "lead": describe_payment(payment, items) or str(payment.uuid),
        "payment": payment,
        "is_stuck": Payment.objects.stuck(timezone.now()).filter(pk=payment.pk).exists(),
        "timeline": build_timeline(payment),
        "events": payment.events.order_by("received_at", "pk"),
        "refunds": payment.refunds.select_related("asked_by").order_by("asked_at"),
        "disputes": payment.disputes.order_by("opened_at"),
        "items": items,
        "customer": shorten_reference(payment.customer),
        "mismatches": payment.mismatches.order_by("found_at"),
        "reservations": records(
            Wanted(reservation_ids=frozenset({payment.reservation_id} - {""})),
            kinds=["reservation"],
        ),
        "may_refund": request.user.has_perm("payments.change_payment") and payment.refundable > 0,
        "may_handle_events": request.user.has_perm("payments.change_webhookevent"),
    }
    return render(request, "payments/payment.html", context)
