"""Finish payments that a crash or a lost response left unfinished, and remove expired idempotency keys."""

import time
from datetime import datetime, timedelta

from core.lib.lease_owner import new_owner
from payments.models import Payment
from payments.models.intents import NEVER_RESEND_AFTER
from payments.services import create
from payments.services.apply import add_timeline_entry

BATCH_SIZE = 500
MAX_SWEEP = timedelta(seconds=25)
KEY_BATCH_SIZE = 5_000
MAX_RETRY_DELAY = timedelta(minutes=15)


def sweep(*, now: datetime) -> dict[str, int]:
    """Retry up to 500 unfinished payments whose lease has expired, with growing delays, for about 25 seconds.

    Return the number of payments that were finished, that failed, and that wait for their next attempt.
    """
    outcome = {"finished": 0, "failed": 0, "waiting": 0}
    started = time.monotonic()
    Payment.objects.all().release_dead_leases(now)
    waiting = Payment.objects.with_expired_lease(now).order_by("locked_until", "pk")
    for payment in waiting[:BATCH_SIZE]:
        # The calls to Stripe may take seconds, so the lease of a later payment must not start at `now`.
        current = now + timedelta(seconds=time.monotonic() - started)
        is_paused = payment.search_bookmark and not payment.error
        delay = timedelta() if is_paused else _retry_delay(payment.tries)
        if current < payment.locked_until + delay:
            outcome["waiting"] += 1
            continue
        if current - now > MAX_SWEEP:
            break
        owner = new_owner()
        until = current + create.LEASE
        if Payment.objects.all().claim(payment.pk, owner=owner, now=current, until=until):
            payment.refresh_from_db()
            outcome["finished" if _resume(payment, current) else "failed"] += 1
    return outcome


def _retry_delay(tries: int) -> timedelta:
    return min(MAX_RETRY_DELAY, timedelta(seconds=15 * 2 ** min(tries - 1, 10)))


def _resume(payment: Payment, now: datetime) -> bool:
    add_timeline_entry(
        payment, "taken over", f"attempt {payment.tries}, started by the sweeper", now=now
    )
    try:
        if now - payment.created_at < NEVER_RESEND_AFTER:
            create.finish(payment, max_search=create.MAX_SEARCH, now=now)
        else:
            create.close_unsendable(payment, now=now)
    except (create.InProgress, create.StripeUnavailable, create.PortalFault):
        return False
    return True


def reap_keys(*, now: datetime) -> int:
    """Remove the expired keys of finished payments, with their fingerprints and stored responses. Return their number.

    The responses are removed because they contain client secrets.
    """
    expired = Payment.objects.filter(
        key__isnull=False, expires_at__lte=now, state=Payment.State.FINISHED
    )
    total = 0
    while chunk := list(
        expired.order_by("expires_at").values_list("pk", flat=True)[:KEY_BATCH_SIZE]
    ):
        total += Payment.objects.filter(pk__in=chunk).update(
            key=None, fingerprint="", response_body=""
        )
    return total
