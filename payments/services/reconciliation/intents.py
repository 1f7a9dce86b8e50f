"""Compare the status and amount of each of Stripe's intents with the portal's payment."""

from datetime import datetime

from django.db.models import Max, Q

from core.lib.formats import money
from core.lib.uuids import parse_uuids
from payments import stripe_api
from payments.intents import Intent
from payments.models import Mismatch, Payment, PaymentStatus, ReconciliationRun, WebhookEvent
from payments.services.apply import apply_intent
from payments.services.mismatches import record_mismatch
from payments.services.reconciliation.pages import (
    LATE_AFTER,
    OVERLAP,
    SINGLE_BATCH_SIZE,
    read_page,
)

Kind = Mismatch.Kind


def compare_intents(run: ReconciliationRun, now: datetime) -> str:
    items, bookmark = read_page(run, "payment_intents")
    intents = [Intent.from_stripe(data) for data in items]
    run.intent_count += len(intents)
    ids = [intent.id for intent in intents]
    payments = {one.intent_id: one for one in Payment.objects.filter(intent_id__in=ids)}
    last_event_at = _find_last_events(ids)
    for intent in intents:
        payment = payments.get(intent.id)
        if payment is None and intent.payment_uuid:
            payment = _find_unlinked(intent)
            if payment is None and intent.status == PaymentStatus.SUCCEEDED:
                detail = money(intent.amount_received, intent.currency)
                _record_unknown_intent(run, intent, detail, now)
        if payment is not None:
            _compare_intent(run, payment, intent, last_event_at.get(intent.id), now)
    Payment.objects.filter(intent_id__in=ids).update(compared_at=run.started_at)
    return bookmark


def _find_last_events(intent_ids: list[str]) -> dict[str, datetime]:
    events = WebhookEvent.objects.filter(object_id__in=intent_ids).values_list("object_id")
    return dict(events.annotate(at=Max("created_at")).order_by())


def _record_unknown_intent(
    run: ReconciliationRun, intent: Intent, detail: str, now: datetime
) -> None:
    """Record a paid intent that is not linked to a payment, unless its money has been refunded."""
    if is_given_back(intent):
        return
    twin = Payment.objects.filter(uuid__in=parse_uuids([intent.payment_uuid])).first()
    kind = Kind.TWO_CHARGES if twin else Kind.MISSING
    _record(run, kind, intent, twin, detail, now)


def _find_unlinked(intent: Intent) -> Payment | None:
    """Return the payment for which this intent was created, if no intent is linked to the payment yet."""
    ids = parse_uuids([intent.payment_uuid])
    return Payment.objects.filter(uuid__in=ids, intent_id=None).first()


def _compare_intent(
    run: ReconciliationRun,
    payment: Payment,
    intent: Intent,
    last_event_at: datetime | None,
    now: datetime,
) -> None:
    is_same = (payment.amount, payment.currency) == (intent.amount, intent.currency)
    # The amount of a payment for a reservation is compared with the price when the money arrives, and a difference then
    # opens a discrepancy.
    if not is_same and not payment.reservation_id:
        there = money(intent.amount, intent.currency)
        detail = f"{payment.formatted_amount} in the portal, {there} at Stripe"
        _record(run, Kind.AMOUNT, intent, payment, detail, now)
    if payment.status == intent.status and payment.intent_id:
        return
    was, was_linked = payment.status, bool(payment.intent_id)
    is_fixed = apply_intent(
        payment_id=payment.pk, intent=intent, reported_at=now, is_authoritative=True, now=now
    )
    run.healed_count += is_fixed
    detail = f"{was} in the portal, {intent.status} at Stripe"
    if not is_fixed:
        payment.refresh_from_db(fields=["status"])
        if payment.status != intent.status:  # An event may have changed the status in the meantime.
            _record(run, Kind.BEHIND, intent, payment, detail, now)
    elif was_linked and (last_event_at is None or last_event_at < now - LATE_AFTER):
        run.late_count += 1
        record_mismatch(
            Kind.BEHIND,
            intent_id=intent.id,
            payment=payment,
            detail=detail,
            healed=True,
            now=now,
        )


def compare_unlisted(run: ReconciliationRun, now: datetime) -> str:
    """Retrieve the intents that a full run did not find in Stripe's list. Do nothing in other runs.

    The bookmark is a payment's primary key.
    """
    if not run.is_full:
        return ""
    unlisted = (
        Payment.objects.filter(
            created_at__gte=run.since + OVERLAP,
            created_at__lte=run.started_at - LATE_AFTER,
            intent_id__isnull=False,
            livemode=stripe_api.is_livemode(),
            pk__gt=int(run.bookmark or 0),
        )
        .filter(Q(compared_at=None) | Q(compared_at__lt=run.started_at))
        .order_by("pk")[:SINGLE_BATCH_SIZE]
    )
    bookmark = ""
    for payment in unlisted:
        try:
            intent = stripe_api.retrieve_intent(payment.intent_id or "")
        except stripe_api.NotFound:
            run.mismatch_count += record_mismatch(
                Kind.NOT_AT_STRIPE,
                intent_id=payment.intent_id or "",
                payment=payment,
                detail=payment.status,
                now=now,
            )
        else:
            run.intent_count += 1
            _compare_intent(run, payment, intent, now, now)
            Payment.objects.filter(pk=payment.pk).update(compared_at=run.started_at)
        bookmark = str(payment.pk)
    return bookmark


def _record(
    run: ReconciliationRun,
    kind: Mismatch.Kind,
    intent: Intent,
    payment: Payment | None,
    detail: str,
    now: datetime,
) -> None:
    run.mismatch_count += record_mismatch(
        kind, intent_id=intent.id, payment=payment, detail=detail, now=now
    )


def is_given_back(intent: Intent) -> bool:
    if not intent.amount_received:
        return False
    refunds = stripe_api.refunds_of(intent.id)
    return sum(one.amount for one in refunds if one.is_effective) >= intent.amount_received
