"""Show payments for a selected part of the timeline on the system-health page."""

from datetime import datetime

from django.urls import reverse

from core.lib.app_access import limit
from health.extension_points import IntervalRow, IntervalSection, interval_section
from payments.models import Payment

_MAX_ROWS = 10


@interval_section("payments.created")
def payments_created(since: datetime, until: datetime) -> IntervalSection:
    payments = limit(Payment.objects.filter(created_at__gte=since, created_at__lt=until))
    return IntervalSection(
        "Payments",
        payments.count(),
        [
            IntervalRow(
                f"Order {payment.order_id}, {payment.formatted_amount}"
                if payment.order_id
                else payment.formatted_amount,
                str(payment.status or payment.state).replace("_", " "),
                reverse("payments:payment-page", args=[payment.uuid]),
            )
            for payment in payments.order_by("-created_at")[:_MAX_ROWS]
        ],
        url=reverse("payments:overview"),
    )
