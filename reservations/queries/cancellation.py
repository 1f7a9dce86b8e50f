"""Forecast the effect of an event's cancellation, and report its progress."""

from collections import Counter
from dataclasses import dataclass

from django.db.models import Count, QuerySet, Sum

from payments.models import Payment
from reservations.models import Cancellation, CancellationItem, Event, Reservation, Status
from reservations.models.cancellations import Outcome
from reservations.models.holds import KEPT, Line


@dataclass(frozen=True)
class Forecast:
    """The seats and amounts that the cancellation of an event would release and refund."""

    hold_count: int
    booking_count: int
    seat_count: int
    # Each pair contains a currency and the maximum amount to refund.
    refundable: list[tuple[str, int]]


def forecast(event: Event) -> Forecast:
    reservations = Reservation.objects.filter(lines__ticket_type__event=event).distinct()
    booked = reservations.filter(status=Status.COMPLETED)
    refundable: Counter[str] = Counter()
    ids = [str(uuid) for uuid in booked.values_list("uuid", flat=True)]
    for payment in Payment.objects.succeeded().filter(reservation_id__in=ids):
        refundable[payment.currency] += payment.refundable
    seats = Line.objects.filter(
        ticket_type__event=event, reservation__status__in=[Status.ACTIVE, Status.COMPLETED]
    ).aggregate(seats=Sum(KEPT, default=0))
    return Forecast(
        hold_count=reservations.filter(status=Status.ACTIVE).count(),
        booking_count=len(ids),
        seat_count=int(seats["seats"]),
        refundable=sorted(refundable.items()),
    )


@dataclass(frozen=True)
class Progress:
    """The progress of a cancellation, with the number of reservations by outcome and the refunded amounts."""

    total: int
    done: int
    outcomes: list[tuple[Outcome, int]]
    refunded: list[tuple[str, int]]  # Each pair contains a currency and the refunded amount.

    @property
    def percent(self) -> int:
        return 100 * self.done // self.total if self.total else 100


def collect_progress(cancellation: Cancellation) -> Progress:
    counts = dict(cancellation.items.values_list("outcome").annotate(count=Count("pk")).order_by())
    waiting = counts.get(Outcome.PENDING, 0) + counts.get(Outcome.REQUESTED, 0)
    refunded = cancellation.items.filter(outcome=Outcome.REFUNDED).values_list("currency")
    total = sum(counts.values())
    return Progress(
        total=total,
        done=total - waiting,
        outcomes=[(outcome, counts[outcome]) for outcome in Outcome if counts.get(outcome)],
        refunded=list(refunded.annotate(sum=Sum("amount")).order_by("currency")),
    )


def list_open_items(cancellation: Cancellation) -> QuerySet[CancellationItem]:
    """Return the reservations whose refund failed or must be made outside the portal, so that staff can handle them."""
    return (
        cancellation.items.filter(outcome__in=[Outcome.FAILED, Outcome.PAID_ELSEWHERE])
        .select_related("reservation", "payment")
        .order_by("outcome", "pk")
    )
