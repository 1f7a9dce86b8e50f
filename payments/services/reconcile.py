"""Compare our payments with Stripe's, fix what can be fixed, and record the rest as mismatches.

A run reads Stripe's lists page by page and keeps a bookmark, so that it can be continued after a time limit, a crash
or an outage. A list that was not read to its end proves nothing: before an intent counts as unknown at Stripe, it is
requested by its id.
"""

import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Max, Q
from django.utils import timezone

from alerts.extension_points import Severity
from core.lib.formats import money
from core.lib.uuids import parse_uuids
from payments import stripe_api
from payments.intents import Intent
from payments.models import (
    Dispute,
    Mismatch,
    Payment,
    PaymentStatus,
    ReconciliationRun,
    Refund,
    WebhookEvent,
)
from payments.reversals import StripeDispute, StripeRefund
from payments.services.alerts import clear_alert, raise_alert
from payments.services.apply import apply_intent
from payments.services.attempt import STRIPE_KEY_ALERT
from payments.services.disputes import store_dispute
from payments.services.mismatches import record_mismatch, resolve_mismatches
from payments.services.refund import STATES, store_refunds
from payments.services.webhooks.process import process_event
from payments.services.webhooks.receive import RECONCILED_TYPES, NotAnEvent, record_event

Kind = Mismatch.Kind
Stage = ReconciliationRun.Stage

FULL_LOOKBACK = timedelta(days=30)  # as long as Stripe keeps events
OVERLAP = timedelta(hours=1)
LATE_AFTER = timedelta(minutes=15)
MAX_SLICE_SECONDS = 35.0
LEASE = timedelta(seconds=60)
RESUME_WITHIN = timedelta(hours=6)  # an older unfinished run is replaced by a new one
SINGLE_BATCH_SIZE = 50
MISSING_WEBHOOKS_ALERT = "webhooks-missing"


def reconcile(*, now: datetime, is_full: bool = False) -> ReconciliationRun:
    """Start a comparison, or continue an unfinished one, for up to 35 seconds, and return its row.

    Raises the errors of stripe_api; the next call then continues at the bookmark.
    """
    unfinished = ReconciliationRun.objects.unfinished(now - RESUME_WITHIN).filter(is_full=is_full)
    run = unfinished.first() or _start_run(now, is_full)
    _continue_run(run, now)
    return run


def continue_reconciliation(*, now: datetime) -> int:
    """Continue every run that a time limit or an error interrupted, and return the number of finished ones."""
    finished = 0
    for run in ReconciliationRun.objects.unfinished(now - RESUME_WITHIN):
        _continue_run(run, now)
        finished += run.finished_at is not None
    return finished


def _start_run(now: datetime, is_full: bool) -> ReconciliationRun:
    last = ReconciliationRun.objects.exclude(finished_at=None).order_by("-started_at").first()
    since = (last.started_at if last else now - FULL_LOOKBACK) - OVERLAP
    if is_full or since < now - FULL_LOOKBACK:
        since = now - FULL_LOOKBACK
    return ReconciliationRun.objects.create(
        started_at=now, since=since, is_full=is_full, locked_until=now
    )


def _continue_run(run: ReconciliationRun, now: datetime) -> None:
    if not ReconciliationRun.objects.claim(run.pk, now=now, until=now + LEASE):
        return  # another worker continues it
    run.refresh_from_db()
    deadline = time.monotonic() + MAX_SLICE_SECONDS
    try:
        while run.finished_at is None and time.monotonic() < deadline:
            _take_step(run, now)
    finally:
        run.locked_until = now
        run.save()


def _take_step(run: ReconciliationRun, now: datetime) -> None:
    """Compare one page and move the bookmark, or proceed to the next stage after the last page."""
    step = _STEPS[Stage(run.stage)]
    try:
        run.bookmark = step(run, now)
    except stripe_api.NotFound:
        # The object at the bookmark is no longer listed, so this list is read from its start again.
        if not run.bookmark:
            raise
        run.bookmark = ""
        return
    if not run.bookmark:
        stages = list(Stage)
        following = stages.index(Stage(run.stage)) + 1
        run.stage = stages[following] if following < len(stages) else run.stage
        if following == len(stages):
            _finish_run(run, now)
    run.save()


def _finish_run(run: ReconciliationRun, now: datetime) -> None:
    run.finished_at = timezone.now()
    run.save()
    _alert_missing_webhooks(run, now)
    clear_alert(STRIPE_KEY_ALERT, now=now)  # Stripe has just accepted the key


def _read_page(
    run: ReconciliationRun, resource: str, **filters: Any
) -> tuple[list[dict[str, Any]], str]:
    """Return the next page of the list since the run's start, and the bookmark after it ("" after the last page)."""
    page = stripe_api.read_page(
        resource, since=run.since, until=run.started_at, after=run.bookmark, **filters
    )
    return page.items, page.bookmark


# --- events ------------------------------------------------------------------------------------------------


def _compare_events(run: ReconciliationRun, now: datetime) -> str:
    """Store and process the events of one page that never arrived."""
    events, bookmark = _read_page(run, "events", types=list(RECONCILED_TYPES))
    run.event_count += len(events)
    ids = [str(data.get("id")) for data in events]
    known = set(WebhookEvent.objects.filter(event_id__in=ids).values_list("event_id", flat=True))
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
            run.inserted_count += 1
            run.late_count += received.event.created_at < now - LATE_AFTER
            process_event(event_pk=received.event.pk, now=now)
    return bookmark


# --- intents -----------------------------------------------------------------------------------------------


def _compare_intents(run: ReconciliationRun, now: datetime) -> str:
    items, bookmark = _read_page(run, "payment_intents")
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
    """Record a paid intent that no payment has, unless its money has been given back."""
    if _is_given_back(intent):
        return
    twin = Payment.objects.filter(uuid__in=parse_uuids([intent.payment_uuid])).first()
    kind = Kind.TWO_CHARGES if twin else Kind.MISSING
    _record(run, kind, intent, twin, detail, now)


def _find_unlinked(intent: Intent) -> Payment | None:
    """Return the payment that this intent was created for, unless it has another intent."""
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
    # The money of a reservation is compared with its price when it arrives, and has a case of its own.
    if not is_same and not payment.reservation_id:
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
        payment.refresh_from_db(fields=["status"])
        if payment.status != intent.status:  # an event may have brought the status in the meantime
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


def _compare_unlisted(run: ReconciliationRun, now: datetime) -> str:
    """Request each intent that a full run did not find in the list by its id. The bookmark is a payment's number."""
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


# --- refunds and disputes ----------------------------------------------------------------------------------


def _compare_refunds(run: ReconciliationRun, now: datetime) -> str:
    items, bookmark = _read_page(run, "refunds")
    _store_refunds(run, [StripeRefund.from_stripe(data) for data in items], now)
    return bookmark


def _compare_disputes(run: ReconciliationRun, now: datetime) -> str:
    items, bookmark = _read_page(run, "disputes")
    _store_disputes(run, [StripeDispute.from_stripe(data) for data in items], now)
    return bookmark


def _compare_open_reversals(run: ReconciliationRun, now: datetime) -> str:
    """Request pending refunds and open disputes by their ids, because their lists begin with the run."""
    if not run.is_full:
        return ""
    pending = Refund.objects.filter(state=Refund.State.PENDING).exclude(stripe_id=None)
    for stripe_id in list(pending.order_by("pk").values_list("stripe_id", flat=True)):
        _store_refunds(run, [stripe_api.retrieve_refund(str(stripe_id))], now)
    open_ = Dispute.objects.open().order_by("pk").values_list("stripe_id", flat=True)
    for stripe_id in list(open_):
        _store_disputes(run, [stripe_api.retrieve_dispute(stripe_id)], now)
    return ""


def _store_refunds(run: ReconciliationRun, refunds: list[StripeRefund], now: datetime) -> None:
    ids = [refund.id for refund in refunds]
    known = dict(Refund.objects.filter(stripe_id__in=ids).values_list("stripe_id", "state"))
    payments = _payments_by_intent(refund.intent_id for refund in refunds)
    for refund in refunds:
        payment_id = payments.get(refund.intent_id)
        if payment_id is not None and known.get(refund.id) != STATES.get(refund.status):
            changed = store_refunds(payment_id=payment_id, refunds=[refund], now=now)
            run.healed_count += changed
            run.late_count += changed and refund.created_at < now - LATE_AFTER


def _store_disputes(run: ReconciliationRun, disputes: list[StripeDispute], now: datetime) -> None:
    ids = [dispute.id for dispute in disputes]
    known = dict(Dispute.objects.filter(stripe_id__in=ids).values_list("stripe_id", "status"))
    payments = _payments_by_intent(dispute.intent_id for dispute in disputes)
    for dispute in disputes:
        payment_id = payments.get(dispute.intent_id)
        if payment_id is not None and known.get(dispute.id) != dispute.status:
            store_dispute(payment_id=payment_id, reported=dispute, reported_at=now, now=now)
            run.healed_count += 1
            run.late_count += dispute.created_at < now - LATE_AFTER


def _payments_by_intent(intent_ids: Iterable[str]) -> dict[str | None, int]:
    found = Payment.objects.filter(intent_id__in=set(intent_ids))
    return dict(found.values_list("intent_id", "pk"))


# --- open mismatches ---------------------------------------------------------------------------------------


def _recheck_mismatches(run: ReconciliationRun, now: datetime) -> str:
    """Resolve the open mismatches that were put right at Stripe. The bookmark is a mismatch's number."""
    open_ = (
        Mismatch.objects.open()
        .exclude(kind=Kind.REFUND_FAILED)  # resolved by the next refund
        .filter(pk__gt=int(run.bookmark or 0))
        .select_related("payment")
    )
    bookmark = ""
    for mismatch in open_.order_by("pk")[:SINGLE_BATCH_SIZE]:
        bookmark = str(mismatch.pk)
        try:
            settlement = _put_right(mismatch, stripe_api.retrieve_intent(mismatch.intent_id))
        except stripe_api.NotFound:
            continue
        if settlement:
            resolve_mismatches(
                Mismatch.objects.filter(pk=mismatch.pk), settlement=settlement, now=now
            )
    return bookmark


def _put_right(mismatch: Mismatch, intent: Intent) -> str:
    """Return how the mismatch was put right, or "" if it was not."""
    payment = mismatch.payment
    if mismatch.kind == Kind.NOT_AT_STRIPE:
        return "found at Stripe"
    if mismatch.kind == Kind.BEHIND and payment and payment.status == intent.status:
        return "the status is the same as at Stripe"
    is_same = payment and (payment.amount, payment.currency) == (intent.amount, intent.currency)
    is_undone = is_same and intent.status != PaymentStatus.SUCCEEDED
    if mismatch.kind == Kind.AMOUNT and is_undone:
        return "the amount is the same as at Stripe"
    if mismatch.kind == Kind.MISSING and Payment.objects.filter(intent_id=intent.id).exists():
        return "known here"
    if intent.status == PaymentStatus.CANCELED:
        return "canceled at Stripe"
    if mismatch.kind != Kind.BEHIND and _is_given_back(intent):
        return "refunded"
    return ""


def _is_given_back(intent: Intent) -> bool:
    if not intent.amount_received:
        return False
    refunds = stripe_api.refunds_of(intent.id)
    return sum(one.amount for one in refunds if one.is_effective) >= intent.amount_received


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


_STEPS: dict[ReconciliationRun.Stage, Callable[[ReconciliationRun, datetime], str]] = {
    Stage.EVENTS: _compare_events,
    Stage.INTENTS: _compare_intents,
    Stage.REFUNDS: _compare_refunds,
    Stage.DISPUTES: _compare_disputes,
    Stage.UNLISTED: _compare_unlisted,
    Stage.OPEN_REVERSALS: _compare_open_reversals,
    Stage.MISMATCHES: _recheck_mismatches,
}


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
