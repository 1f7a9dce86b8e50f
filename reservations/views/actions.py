"""Handle staff actions on reservations.

Each action is a POST request. If it succeeds, the admin log records it with its time and user.
"""

import uuid

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.http import require_POST

from core.lib.admin import log_change
from core.lib.app_access import limit
from reservations import services
from reservations.models import Discrepancy, Reservation

may_change = permission_required("reservations.change_reservation", raise_exception=True)


@may_change
@require_POST
def release(request: HttpRequest, reference: uuid.UUID) -> HttpResponse:
    reservation = get_object_or_404(limit(Reservation.objects.all()), uuid=reference)
    try:
        services.cancel(reservation=reservation, now=timezone.now())
    except services.CannotChange as refusal:
        messages.error(request, f"The reservation was not released: {refusal}.")
    else:
        log_change(request, reservation, "released")
        messages.success(request, "The reservation was released. Its seats are on sale again.")
    return redirect("reservations:reservation-page", reference)


@may_change
@require_POST
def extend(request: HttpRequest, reference: uuid.UUID) -> HttpResponse:
    reservation = get_object_or_404(limit(Reservation.objects.all()), uuid=reference)
    try:
        services.extend(reservation=reservation, now=timezone.now())
    except services.CannotChange as refusal:
        messages.error(request, f"The hold was not extended: {refusal}.")
    else:
        log_change(request, reservation, "extended")
        messages.success(request, "The hold now lasts at least 15 more minutes.")
    return redirect("reservations:reservation-page", reference)


@may_change
@require_POST
def settle(request: HttpRequest, pk: int) -> HttpResponse:
    discrepancy = get_object_or_404(limit(Discrepancy.objects.all()), pk=pk)
    assert isinstance(request.user, User)
    note = request.POST.get("settlement", "").strip()
    if request.POST.get("amount") == "accepted":
        return _accept(request, discrepancy, note)
    release_seats = request.POST.get("seats") == "back"
    settled = services.settle(
        discrepancy=discrepancy,
        settlement=note or ("seats released" if release_seats else "resolved by staff"),
        release_seats=release_seats,
        user=request.user,
        now=timezone.now(),
    )
    if settled:
        log_change(request, discrepancy, f"resolved: {note or 'no note'}"[:200])
        messages.success(request, "The case was marked as resolved.")
    else:
        messages.info(request, "The case was already resolved.")
    return redirect("reservations:inbox")


def _accept(request: HttpRequest, discrepancy: Discrepancy, note: str) -> HttpResponse:
    assert isinstance(request.user, User)
    if services.accept_amount(
        discrepancy=discrepancy, note=note, user=request.user, now=timezone.now()
    ):
        log_change(request, discrepancy, f"amount accepted: {note or 'no note'}"[:200])
        messages.success(
            request,
            "The amount was accepted. The reservation's page shows whether the seats were booked.",
        )
    else:
        messages.info(request, "The case was already resolved.")
    return redirect("reservations:inbox")
