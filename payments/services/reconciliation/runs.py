"""Start comparisons on a schedule, and continue interrupted comparisons from their bookmark."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.utils import timezone

from alerts.extension_points import Severity
from payments import stripe_api
from payments.models import ReconciliationRun
from payments.services.alerts import clear_alert, raise_alert
from payments.services.attempt import STRIPE_KEY_ALERT
from payments.services.reconciliation.events import compare_events
from payments.services.reconciliation.intents import compare_intents, compare_unlisted
from payments.services.reconciliation.mismatches import recheck_mismatches
from payments.services.reconciliation.pages import OVERLAP
from payments.services.reconciliation.reversals import (
    compare_disputes,
    compare_open_reversals,
    compare_refunds,
)

Stage = ReconciliationRun.Stage

FULL_LOOKBACK = timedelta(days=30)  # Stripe keeps events for 30 days.
MAX_SLICE_SECONDS = 35.0
LEASE = timedelta(seconds=60)
RESUME_WITHIN = timedelta(hours=6)  # Older unfinished runs are replaced by a new run.
MISSING_WEBHOOKS_ALERT = "webhooks-missing"


def reconcile(*, now: datetime, is_full: bool = False) -> ReconciliationRun:
    """Start a comparison, or continue an unfinished one, for about 35 seconds. Return its row.

    Do nothing while another worker has leased the unfinished comparison. Raises a stripe_api.StripeFailure if a call to
    Stripe fails. A call within six hours then continues at the bookmark.
    """
    unfinished = ReconciliationRun.objects.unfinished(now - RESUME_WITHIN).filter(is_full=is_full)
    run = unfinished.first() or _start_run(now, is_full)
    _continue_run(run, now)
    return run


def continue_reconciliation(*, now: datetime) -> int:
    """Continue the interrupted runs of the last six hours, and return the number of finished runs."""
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
        return  # Another worker is working on this run.
    run.refresh_from_db()
    deadline = time.monotonic() + MAX_SLICE_SECONDS
    try:
        while run.finished_at is None and time.monotonic() < deadline:
            _take_step(run, now)
    finally:
        run.locked_until = now
        run.save()


def _take_step(run: ReconciliationRun, now: datetime) -> None:
    """Compare one page and move the bookmark. After the last page, proceed to the next stage."""
    step = _STEPS[Stage(run.stage)]
    try:
        run.bookmark = step(run, now)
    except stripe_api.InvalidRequest:
        # Stripe responds with 400, not with 404, if it does not have the object at the bookmark. Read the list again
        # from its start.
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
    clear_alert(STRIPE_KEY_ALERT, now=now)  # The comparison has shown that Stripe accepts the key.


def _alert_missing_webhooks(run: ReconciliationRun, now: datetime) -> None:
    """Alert staff if this run found events or changes older than 15 minutes that had not arrived, or resolve the alert.

    The reason may be that webhook calls do not reach the portal.
    """
    if not run.late_count:
        clear_alert(MISSING_WEBHOOKS_ALERT, now=now)
        return
    raise_alert(
        MISSING_WEBHOOKS_ALERT,
        f"{run.late_count} Stripe events never arrived",
        "The events have been fetched and processed. Check the endpoint in Stripe's dashboard, and the rejected "
        "deliveries in the portal.",
        alert_type="webhooks-missing",
        severity=Severity.WARNING,
        now=now,
    )


_STEPS: dict[ReconciliationRun.Stage, Callable[[ReconciliationRun, datetime], str]] = {
    Stage.EVENTS: compare_events,
    Stage.INTENTS: compare_intents,
    Stage.REFUNDS: compare_refunds,
    Stage.DISPUTES: compare_disputes,
    Stage.UNLISTED: compare_unlisted,
    Stage.OPEN_REVERSALS: compare_open_reversals,
    Stage.MISMATCHES: recheck_mismatches,
}
