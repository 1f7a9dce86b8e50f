"""Record payments that do not match their seats, alert staff, and resolve these discrepancies."""

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction

from alerts import services as alerts
from alerts.extension_points import Severity
from core.lib.formats import money
from impact.references import References
from payments.models import Payment
from reservations.models import Discrepancy, Reservation
from reservations.services.release import release_sold


def record_discrepancy(
    *,
    kind: Discrepancy.Kind,
    payment: Payment,
    reservation: Reservation | None = None,
    detail: str = "",
    now: datetime,
) -> Discrepancy:
    """Open a discrepancy for this payment and alert staff, or return the open discrepancy of this kind.

    The caller runs this function in the transaction that changes the payment or the reservation.
    """
    discrepancy, is_new = Discrepancy.objects.open().get_or_create(
        payment=payment,
        kind=kind,
        settled_at=None,
        defaults={"reservation": reservation, "detail": detail[:500], "opened_at": now},
    )
    if is_new:
        _raise_alert(discrepancy, now)
    return discrepancy


def _raise_alert(discrepancy: Discrepancy, now: datetime) -> None:
    payment = discrepancy.payment
    amount = money(payment.amount_received or payment.amount, payment.currency)
    alerts.report_problem(
        key=_alert_key(discrepancy),
        alert_type="money-without-seat" if discrepancy.needs_refund else "seat-and-money-differ",
        title=f"{discrepancy.get_kind_display()}: {amount}",
        message=f"Payment {payment.uuid} was for reservation {payment.reservation_id or '?'}. "
        f"{_next_step(discrepancy)}",
        severity=Severity.HIGH if discrepancy.keeps_seats else Severity.CRITICAL,
        source="reservations",
        metadata={
            "kind": discrepancy.kind,
            "detail": discrepancy.detail,
            "order_id": payment.order_id,
        },
        references=References(
            payment_ids=frozenset({str(payment.uuid)}),
            reservation_ids=frozenset({payment.reservation_id} - {""}),
        ),
        app=payment.app,
        now=now,
    )


def _next_step(discrepancy: Discrepancy) -> str:
    if discrepancy.keeps_seats:
        return "The money was returned, but the seats are still booked. Release or keep the seats in the inbox."
    if discrepancy.can_be_accepted:
        return f"No seats were booked: {discrepancy.detail}. Refund the payment, or accept the amount in the inbox."
    if discrepancy.needs_refund:
        return "Refund the payment, or mark the case as resolved in the inbox."
    return "Compare the payment with the reservation, and mark the case as resolved in the inbox."


def _alert_key(discrepancy: Discrepancy) -> str:
    return f"reservations.{discrepancy.kind}.{discrepancy.payment.uuid}"


def close_refunded(*, payment: Payment, settlement: str = "refunded", now: datetime) -> int:
    """Resolve the payment's discrepancies that a refund settles, and return their number.

    Discrepancies about seats that are still booked stay open.
    """
    open_cases = Discrepancy.objects.open().filter(payment=payment)
    waiting = [found for found in open_cases if not found.keeps_seats]
    for discrepancy in waiting:
        close(discrepancy, settlement=settlement, user=None, now=now)
    return len(waiting)


def close_cases(
    *, payment: Payment, kind: Discrepancy.Kind, settlement: str, now: datetime
) -> None:
    """Resolve the payment's open discrepancies of this kind, after their cause has disappeared."""
    for discrepancy in Discrepancy.objects.open().filter(payment=payment, kind=kind):
        close(discrepancy, settlement=settlement, user=None, now=now)


@transaction.atomic
def settle(
    *,
    discrepancy: Discrepancy,
    settlement: str,
    release_seats: bool = False,
    user: User,
    now: datetime,
) -> bool:
    """Resolve the discrepancy for a staff member.

    With `release_seats`, put the completed reservation's seats on sale again. Returns False, and releases no seats, if
    the discrepancy was resolved before.
    """
    if not close(discrepancy, settlement=settlement, user=user, now=now):
        return False
    reservation = discrepancy.reservation
    if release_seats and reservation is not None:
        release_sold(reservation, now=now)
    return True


def close(discrepancy: Discrepancy, *, settlement: str, user: User | None, now: datetime) -> bool:
    """Close the discrepancy and its alert. Return False if it was closed before."""
    closed = (
        Discrepancy.objects.open()
        .filter(pk=discrepancy.pk)
        .update(settled_at=now, settled_by=user, settlement=settlement[:200])
    )
    if closed:
        alerts.clear_problem(key=_alert_key(discrepancy), now=now, text=settlement)
    return bool(closed)
