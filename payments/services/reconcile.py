"""Compare our books with Stripe's, put right what can be, and note what cannot."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta

from django.db.models import Count
from django.utils import timezone

from alerts.rules import Severity
from opsportal.lib.formats import money
from payments import stripe_api
from payments.intents import Intent
from payments.models import Mismatch, Payment, ReconciliationRun, WebhookEvent
from payments.services.alerts import alarm, all_clear
from payments.services.apply import apply_intent
from payments.services.attempt import KEY_ALARM
from payments.services.mismatches import note_mismatch
from payments.services.webhooks.process import process_event
from payments.services.webhooks.receive import HANDLED, NotAnEvent, record_event

Kind = Mismatch.Kind

EVENTS_BACK = timedelta(hours=2)
FULL_BACK = timedelta(days=30)  # as long as Stripe keeps events
OVERLAP = timedelta(hours=1)
LATE = timedelta(minutes=15)
EVENTS_AT_ONCE = 500
SILENCE_ALARM = "webhooks-missing"


def reconcile(*, now: datetime, is_full: bool = False) -> ReconciliationRun:
    """One comparison, kept as a row. Raises stripe_api's troubles; the next run then starts where this one did."""
    last = ReconciliationRun.objects.exclude(finished_at=None).order_by("-started_at").first()
    since = (last.started_at if last else now - FULL_BACK) - OVERLAP
    if is_full or since < now - FULL_BACK:
        since = now - FULL_BACK
    run = ReconciliationRun.objects.create(started_at=now, since=since, is_full=is_full)
    told = _fetch_events(run, now)
    _compare_intents(run, told, now)
    _find_double_charges(run, now)
    run.finished_at = timezone.now()
    run.save()
    _tell_of_silence(run, now)
    all_clear(KEY_ALARM, now=now)  # Stripe accepted it just now
    return run


def _fetch_events(run: ReconciliationRun, now: datetime) -> dict[str, datetime]:
    """Insert the events we were not told of, and say when each intent last made news."""
    told: dict[str, datetime] = {}
    missing = []
    since = now - (FULL_BACK if run.is_full else EVENTS_BACK)
    for data in stripe_api.events_since(since, HANDLED):
        run.event_count += 1
        intent_id = str(data.get("data", {}).get("object", {}).get("id", ""))
        told.setdefault(intent_id, datetime.fromtimestamp(int(data["created"]), UTC))
        missing.append(data)
        if len(missing) >= EVENTS_AT_ONCE:
            run.inserted_count += _insert_missing(run, missing, now)
            missing = []
    run.inserted_count += _insert_missing(run, missing, now)
    return told


def _insert_missing(run: ReconciliationRun, events: list[dict[str, object]], now: datetime) -> int:
    ids = [str(data.get("id")) for data in events]
    known = set(WebhookEvent.objects.filter(event_id__in=ids).values_list("event_id", flat=True))
    inserted = 0
    for data in reversed(events):  # oldest first, as they happened
        if data.get("id") in known:
            continue
        try:
            received = record_event(
                data, endpoint="reconciliation", livemode=stripe_api.livemode(), now=now
            )
        except NotAnEvent:
            continue
        if received.is_new:
            inserted += 1
            run.late_count += received.event.created_at < now - LATE
            process_event(event_pk=received.event.pk, now=now)
    return inserted


def _compare_intents(run: ReconciliationRun, told: dict[str, datetime], now: datetime) -> None:
    seen: set[str] = set()
    for intent in stripe_api.intents_since(run.since):
        run.intent_count += 1
        seen.add(intent.id)
        payment = Payment.objects.filter(intent_id=intent.id).first()
        if payment is None and intent.payment_uuid:
            payment = _unlinked(intent)
            if payment is None and intent.status == "succeeded":
                detail = money(intent.amount_received, intent.currency)
                _note(run, Kind.MISSING, intent, None, detail, now)
        if payment is not None:
            _compare(run, payment, intent, told.get(intent.id), now)
    if run.is_full:
        _note_those_not_at_stripe(run, seen, now)


def _note_those_not_at_stripe(run: ReconciliationRun, seen: set[str], now: datetime) -> None:
    ours = Payment.objects.filter(
        created_at__gte=run.since + OVERLAP,
        created_at__lte=now - LATE,
        intent_id__isnull=False,
        livemode=stripe_api.livemode(),
    )
    for payment in ours.exclude(intent_id__in=seen).order_by("pk")[:100]:
        run.mismatch_count += note_mismatch(
            Kind.NOT_AT_STRIPE,
            intent_id=payment.intent_id or "",
            payment=payment,
            detail=payment.status,
            now=now,
        )


def _unlinked(intent: Intent) -> Payment | None:
    """The payment this intent was made for, unless that has another one."""
    try:
        return Payment.objects.filter(uuid=intent.payment_uuid, intent_id=None).first()
    except ValueError:
        return None


def _compare(
    run: ReconciliationRun,
    payment: Payment,
    intent: Intent,
    told_at: datetime | None,
    now: datetime,
) -> None:
    if (payment.amount, payment.currency) != (intent.amount, intent.currency):
        there = money(intent.amount, intent.currency)
        detail = f"{payment.shown_amount} here, {there} there"
        _note(run, Kind.AMOUNT, intent, payment, detail, now)
    if payment.status == intent.status and payment.intent_id:
        return
    was, was_linked = payment.status, bool(payment.intent_id)
    healed = apply_intent(
        payment_id=payment.pk, intent=intent, told_at=now, is_certain=True, now=now
    )
    run.healed_count += healed
    detail = f"{was} here, {intent.status} there"
    if not healed:
        _note(run, Kind.BEHIND, intent, payment, detail, now)
    elif was_linked and (told_at is None or told_at < now - LATE):
        run.late_count += 1
        note_mismatch(
            Kind.BEHIND,
            intent_id=intent.id,
            payment=payment,
            detail=detail,
            healed=True,
            now=now,
        )


def _tell_of_silence(run: ReconciliationRun, now: datetime) -> None:
    """News that is older than 15 minutes and never reached us: Stripe's calls do not come through."""
    if not run.late_count:
        all_clear(SILENCE_ALARM, now=now)
        return
    alarm(
        SILENCE_ALARM,
        f"{run.late_count} of Stripe's events never came",
        "They were fetched and processed. Look at the endpoint in Stripe's dashboard, and at the refused deliveries.",
        alert_type="webhooks-missing",
        severity=Severity.WARNING,
        now=now,
    )


def _find_double_charges(run: ReconciliationRun, now: datetime) -> None:
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
        first, *others = payments
        for payment in others:
            run.mismatch_count += note_mismatch(
                Kind.TWO_CHARGES,
                intent_id=payment.intent_id or "",
                payment=payment,
                detail=f"reservation {reservation} was paid by {first.intent_id} too",
                now=now,
            )


def _note(
    run: ReconciliationRun,
    kind: Mismatch.Kind,
    intent: Intent,
    payment: Payment | None,
    detail: str,
    now: datetime,
) -> None:
    run.mismatch_count += note_mismatch(
        kind, intent_id=intent.id, payment=payment, detail=detail, now=now
    )


def fetch_missing(*, event_id: str, now: datetime) -> WebhookEvent:
    """An event staff ask for by its id, recorded and processed. Raises stripe_api's troubles, NotAnEvent."""
    received = record_event(
        stripe_api.retrieve_event(event_id),
        endpoint="staff",
        livemode=stripe_api.livemode(),
        now=now,
    )
    process_event(event_pk=received.event.pk, now=now)
    received.event.refresh_from_db()
    return received.event
