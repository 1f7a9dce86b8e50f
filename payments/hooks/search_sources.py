"""Add payments and refund forms to the portal's search."""

from collections.abc import Iterator

from django.db.models import Q, QuerySet
from django.urls import reverse

from core.lib.app_access import limit
from core.lib.customers import customer_references
from core.lib.search_sources import MAX_HITS, Hit, Search, has_value, search_source
from core.lib.uuids import parse_uuids
from payments.models import Payment


@search_source(
    "payments.payments",
    title="Payments",
    permission="payments.view_payment",
    order=200,
    respects_apps=True,
)
def find_payments(search: Search) -> Iterator[Hit]:
    """Find payments by customer, or by a complete order, intent, reservation, payment or request id."""
    for payment in _find(search.text):
        url = reverse("payments:payment-page", args=[payment.uuid])
        detail = f"{payment.formatted_amount}, {payment.shown_status_label.lower()}"
        yield Hit(_name(payment), url, detail, is_exact=True)


@search_source(
    "payments.refunds",
    title="Actions",
    permission="payments.change_payment",
    order=506,
    respects_apps=True,
)
def find_refunds(search: Search) -> Iterator[Hit]:
    """Find the refund forms of refundable payments if the text is "refund", followed by an id or a customer."""
    action, _, text = search.text.partition(" ")
    if action.casefold() != "refund" or not text.strip():
        return
    for payment in _find(text.strip().removeprefix("order ")):
        if payment.refundable:
            name = _name(payment)
            url = reverse("payments:payment-refund", args=[payment.uuid])
            yield Hit(f"Refund {name[0].lower()}{name[1:]}", url, payment.formatted_amount)


def _find(text: str) -> QuerySet[Payment]:
    condition = Q(intent_id=text)
    for field in ("order_id", "reservation_id", "request_id"):
        condition |= has_value(field, text)
    for customer in customer_references(text) if "@" in text else [text]:
        condition |= has_value("customer", customer)
    for reference in parse_uuids([text]):
        condition |= Q(uuid=reference)
    return limit(Payment.objects.filter(condition)).order_by("-created_at", "-pk")[:MAX_HITS]


def _name(payment: Payment) -> str:
    return f"Order {payment.order_id}" if payment.order_id else f"Payment {payment.uuid}"
