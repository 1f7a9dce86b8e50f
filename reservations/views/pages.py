"""Serve the staff pages: the overview of events, an event, the inbox of discrepancies, and a reservation."""

import uuid
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.contrib.auth.decorators import permission_required
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone

from core.lib import time_ranges
from core.lib.app_access import limit
from core.releases.queries import mark_deploys
from payments.models import Payment
from payments.queries.dues import sum_partial_payments
from payments.queries.timeline import shorten_reference
from reservations.models import (
    Cleanup,
    Discrepancy,
    Event,
    Reservation,
    Status,
    TicketType,
    WaitingEntry,
)
from reservations.models.holds import MAX_EXTENSIONS
from reservations.queries.drift import find_drift
from reservations.queries.history import build_event_chart
from reservations.queries.stats import collect_stats
from reservations.queries.stock import list_stock
from reservations.views.cancellation import can_cancel

may_see = permission_required("reservations.view_reservation", raise_exception=True)


@may_see
def overview(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    events = Event.objects.announced_first(now)[:50]
    stocks = list_stock(TicketType.objects.filter(event__in=[e.pk for e in events]), now=now)
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": "Reservations",
        "stats": collect_stats(now=now, since=now - timedelta(hours=24)),
        "inbox_count": limit(Discrepancy.objects.open()).count(),
        "drift": find_drift(),
        "events": [
            (event, [stock for stock in stocks if stock.type.event_id == event.pk])
            for event in events
        ],
        "on_sale": {stock.type.event_id for stock in stocks if stock.is_on_sale},
        "cleanups": Cleanup.objects.order_by("-at", "-pk")[:12],
    }
    return render(request, "reservations/overview.html", context)


@may_see
def event_page(request: HttpRequest, slug: str) -> HttpResponse:
    event = get_object_or_404(Event, slug=slug)
    now = timezone.now()
    newest = Reservation.objects.filter(lines__ticket_type__event=event).aggregate(
        newest=Max("created_at")
    )["newest"]
    default = time_ranges.shortest_with(newest, now=now, keys=time_ranges.WITHOUT_HOUR)
    asked = request.GET.get(time_ranges.PARAMETER, "")
    chosen = time_ranges.choose(asked, default, time_ranges.WITHOUT_HOUR)
    stocks = list_stock(TicketType.objects.filter(event=event), now=now)
    lines = limit(Reservation.objects.filter(lines__ticket_type__event=event))
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": event.name,
        "event": event,
        "stocks": stocks,
        "is_on_sale": any(stock.is_on_sale for stock in stocks),
        "chart": mark_deploys(build_event_chart(event, since=now - chosen.length, now=now)),
        "ranges": time_ranges.buttons(chosen, time_ranges.WITHOUT_HOUR),
        "may_cancel": can_cancel(request),
        "recent": lines.distinct().select_related("app").order_by("-created_at", "-pk")[:25],
        "now": now,
    }
    return render(request, "reservations/event.html", context)


@may_see
def inbox(request: HttpRequest) -> HttpResponse:
    """Show up to 100 open discrepancies, oldest first, and the 20 that were resolved last."""
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": "Payments without matching seats",
        "open": limit(Discrepancy.objects.open())
        .select_related("payment", "reservation")
        .order_by("opened_at", "pk")[:100],
        "settled": limit(Discrepancy.objects.exclude(settled_at=None))
        .select_related("payment", "reservation", "settled_by")
        .order_by("-settled_at", "-pk")[:20],
        "may_settle": request.user.has_perm("reservations.change_reservation"),
        "may_refund": request.user.has_perm("payments.change_payment"),
    }
    return render(request, "reservations/inbox.html", context)


@may_see
def reservation_page(request: HttpRequest, reference: uuid.UUID) -> HttpResponse:
    found = limit(Reservation.objects.select_related("app", "payment", "processing_payment"))
    reservation = get_object_or_404(found, uuid=reference)
    now = timezone.now()
    lines = list(reservation.lines.select_related("ticket_type__event").order_by("ticket_type"))
    may_change = request.user.has_perm("reservations.change_reservation")
    amount, currency = sum(line.amount for line in lines), lines[0].currency if lines else ""
    paid = sum_partial_payments(str(reservation.uuid), currency=currency)
    balance = amount - paid.received - paid.discount if paid.received else 0
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": "Reservation",
        "lead": str(reservation.uuid),
        "reservation": reservation,
        "customer": shorten_reference(reservation.customer),
        "status": reservation.shown_status(now),
        "lines": lines,
        "amount": amount,
        "currency": currency,
        "balance": max(0, balance),
        "payments": limit(Payment.objects.filter(reservation_id=str(reservation.uuid))).order_by(
            "created_at"
        ),
        "discrepancies": reservation.discrepancies.order_by("opened_at"),
        "waiting_entry": WaitingEntry.objects.filter(reservation=reservation).first(),
        "max_extensions": MAX_EXTENSIONS,
        "outage_extensions": reservation.outage_extensions.order_by("at"),
        "may_release": may_change
        and reservation.status == Status.ACTIVE
        and not reservation.processing_payment,
        "may_extend": may_change
        and reservation.is_live(now)
        and reservation.extensions < MAX_EXTENSIONS,
    }
    return render(request, "reservations/reservation.html", context)
