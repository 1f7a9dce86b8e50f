from collections.abc import Iterator

from payments.extension_points import PaidItem, paid_items
from payments.models import Payment
from reservations.models import Line, Status


@paid_items("reservations")
def tickets(payment: Payment) -> Iterator[PaidItem]:
    """Yield the unreleased tickets of the completed reservation that the payment paid for."""
    lines = Line.objects.filter(
        reservation__payment=payment, reservation__status=Status.COMPLETED
    ).select_related("ticket_type__event")
    for line in lines.order_by("pk"):
        if line.kept:
            label = f"{line.ticket_type.name}, {line.ticket_type.event}"
            yield PaidItem(str(line.pk), label, line.kept, line.price)
