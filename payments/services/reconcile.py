"""Compare our payments with Stripe's, fix what can be fixed, and record the rest as mismatches."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta

from django.db.models import Count
from django.utils import timezone

from alerts.extension_points import Severity
from core.lib.formats import money
from payments import stripe_api
from payments.intents import Intent
from payments.models import Mismatch, Payment, PaymentStatus, ReconciliationRun, WebhookEvent
from payments.services.alerts import clear_alert, raise_alert
from payments.services.apply import apply_intent
from payments.services.attempt import STRIPE_KEY_ALERT
from payments.services.mismatches import record_mismatch
from payments.services.webhooks.process import process_event
from payments.services.webhooks.receive import HANDLED_TYPES, NotAnEvent, record_event

Kind = Mismatch.Kind

EVENT_LOOKBACK = timedelta(hours=2)
FULL_LOOKBACK = timedelta(days=30)  # as long as Stripe keeps events
OVERLAP = timedelta(hours=1)
LATE_AFTER = timedelta(minutes=15)
EVENT_BATCH_SIZE = 500
MISSING_WEBHOOKS_ALERT = "webhooks-missing"


def reconcile(*, now: datetime, is_full: bool = False) -> ReconciliationRun:
    """Run one comparison and return its row. Raises the errors of stripe_api; the next run then starts where this one did."""
    last = ReconciliationRun.objects.exclude(finished_at=None).order_by("-started_at").first()
    since = (last.started_at if last else now - FULL_LOOKBACK) - OVERLAP
    if is_full or since < now - FULL_LOOKBACK:
        since = now - FULL_LOOKBACK
    run = ReconciliationRun.objects.create(started_at=now, since=since, is_full=is_full)
    last_event_at = _fetch_events(run, now)
    _compare_intents(run, last_event_at, now)
    _record_double_charges(run, now)
    run.finished_at = timezone.now()
    run.save()
    _alert_missing_webhooks(run, now)
    clear_alert(STRIPE_KEY_ALERT, now=now)  # Stripe has just accepted the key
    return run


def _fetch_events(run: ReconciliationRun, now: datetime) -> dict[str, datetime]:
    """Store and process the events that never arrived, and return the time of each intent's latest event."""
    last_event_at: dict[str, datetime] = {}
    missing = []
    since = now - (FULL_LOOKBACK if run.is_full else EVENT_LOOKBACK)
    for data in stripe_api.events_since(since, HANDLED_TYPES):
        run.event_count += 1
        intent_id = str(data.get("data", {}).get("object", {}).get("id", ""))
        last_event_at.setdefault(intent_id, datetime.fromtimestamp(int(data["created"]), UTC))
        missing.append(data)
        if len(missing) >= EVENT_BATCH_SIZE:
            run.inserted_count += _insert_missing(run, missing, now)
            missing = []
    run.inserted_count += _insert_missing(run, missing, now)
    return last_event_at


def _insert_missing(run: ReconciliationRun, events: list[dict[str, object]], now: datetime) -> int:
    ids = [str(data.get("id")) for data in events]
    known = set(WebhookEvent.objects.filter(event_id__in=ids).values_list("event_id", flat=True))
    inserted = 0
    for data in reversed(events):  # oldest first, as they happened
        if data.get("id") in known:
            continue
        try:
            received = record_event(
                data, endpoint="reconciliation", livemode=stripe_api.is_livemode(), now=now
            )
        except NotAnEvent:
            continue
        if received.is_new:
            inserted += 1
            run.late_count += received.event.created_at < now - LATE_AFTER
            process_event(event_pk=received.event.pk, now=now)
    return inserted


def _compare_intents(
    run: ReconciliationRun, last_event_at: dict[str, datetime], now: datetime
) -> None:
    seen: set[str] = set()
    for intent in stripe_api.intents_since(run.since):
        run.intent_count += 1
        seen.add(intent.id)
        payment = Payment.objects.filter(intent_id=intent.id).first()
        if payment is None and intent.payment_uuid:
            payment = _find_unlinked(intent)
            if payment is None and intent.status == PaymentStatus.SUCCEEDED:
                detail = money(intent.amount_received, intent.currency)
                _record(run, Kind.MISSING, intent, None, detail, now)
        if payment is not None:
            _compare_intent(run, payment, intent, last_event_at.get(intent.id), now)
    if run.is_full:
        _record_unknown_at_stripe(run, seen, now)


def _record_unknown_at_stripe(run: ReconciliationRun, seen: set[str], now: datetime) -> None:
    ours = Payment.objects.filter(
        created_at__gte=run.since + OVERLAP,
        created_at__lte=now - LATE_AFTER,
        intent_id__isnull=False,
        livemode=stripe_api.is_livemode(),
    )
    for payment in ours.exclude(intent_id__in=seen).order_by("pk")[:100]:
        run.mismatch_count += record_mismatch(
            Kind.NOT_AT_STRIPE,
            intent_id=payment.intent_id or "",
            payment=payment,
            detail=payment.status,
            now=now,
        )


def _find_unlinked(intent: Intent) -> Payment | None:
    """Return the payment that this intent was created for, unless it has another intent."""
    try:
        return Payment.objects.filter(uuid=intent.payment_uuid, intent_id=None).first()
    except ValueError:
        return None


def _compare_intent(
    run: ReconciliationRun,
    payment: Payment,
    intent: Intent,
    last_event_at: datetime | None,
    now: datetime,
) -> None:
    if (payment.amount, payment.currency) != (intent.amount, intent.currency):
        there = money(intent.amount, intent.currency)
        detail = f"{payment.formatted_amount} here, {there} at Stripe"
        _record(run, Kind.AMOUNT, intent, payment, detail, now)
    if payment.status == intent.status and payment.intent_id:
        return
    was, was_linked = payment.status, bool(payment.intent_id)
    is_fixed = apply_intent(
        payment_id=payment.pk, intent=intent, reported_at=now, is_authoritative=True, now=now
    )
    run.healed_count += is_fixed
    detail = f"{was} here, {intent.status} at Stripe"
    if not is_fixed:
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


def _alert_missing_webhooks(run: ReconciliationRun, now: datetime) -> None:
    """Alert while events older than 15 minutes are missing, which means that webhook calls do not reach the portal."""
    if not run.late_count:
        clear_alert(MISSING_WEBHOOKS_ALERT, now=now)
        return
    raise_alert(
        MISSING_WEBHOOKS_ALERT,
        f"{run.late_count} Stripe events never arrived",
        "They have been fetched and processed. Check the endpoint in Stripe's dashboard and the rejected deliveries.",
        alert_type="webhooks-missing",
        severity=Severity.WARNING,
        now=now,
    )


def _record_double_charges(run: ReconciliationRun, now: datetime) -> None:
    doubled = (
        Payment.objects.succeeded()
        .filter(created_at__gte=run.since, amount_refunded=0)
        .exclude(reservation_id="")
        .values_list("reservation_id")
        .annotate(count=Count("pk"))
        .filter(count__gt=1)
        .order_by()
    )
    by_reservation: dict[str, list[Payment]] = defaultdict(list)
    for payment in (
        Payment.objects.succeeded()
        .filter(reservation_id__in=[reservation for reservation, _ in doubled])
        .order_by("created_at", "pk")
    ):
        by_reservation[payment.reservation_id].append(payment)
    for reservation, payments in by_reservation.items():
        first, *duplicates = payments
        for payment in duplicates:
            run.mismatch_count += record_mismatch(
                Kind.TWO_CHARGES,
                intent_id=payment.intent_id or "",
                payment=payment,
                detail=f"reservation {reservation} was also paid by {first.intent_id}",
                now=now,
            )


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


def fetch_missing_event(*, event_id: str, now: datetime) -> WebhookEvent:
    """Fetch one event from Stripe, store and process it. Raises NotAnEvent and the errors of stripe_api."""
    received = record_event(
        stripe_api.retrieve_event(event_id),
        endpoint="staff",
        livemode=stripe_api.is_livemode(),
        now=now,
    )
    process_event(event_pk=received.event.pk, now=now)
    received.event.refresh_from_db()
    return received.event
