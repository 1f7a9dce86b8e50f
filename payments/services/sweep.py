"""Finish what was left unfinished; forget keys that have lived their time."""

import time
import uuid
from datetime import datetime, timedelta

from payments import stripe_api
from payments.models import Payment
from payments.models.intents import NEVER_RESEND_AFTER
from payments.services import attempt, create
from payments.services.apply import note

AT_ONCE = 500
LONGEST_SWEEP = timedelta(seconds=25)
REAP_AT_ONCE = 5_000
LONGEST_PAUSE = timedelta(minutes=15)


def sweep(*, now: datetime) -> dict[str, int]:
    """Take up unfinished payments whose lease is dead, each less often the more often it failed."""
    outcome = {"finished": 0, "failed": 0, "waiting": 0}
    begun = time.monotonic()
    waiting = Payment.objects.abandoned_by_owner(now).order_by("locked_until", "pk")
    for payment in waiting[:AT_ONCE]:
        # Stripe may take its time with each: leases count from when they are taken.
        moment = now + timedelta(seconds=time.monotonic() - begun)
        if moment < payment.locked_until + _pause(payment.tries):
            outcome["waiting"] += 1
            continue
        if moment - now > LONGEST_SWEEP:
            break
        owner = uuid.uuid4().hex
        until = moment + create.LEASE
        if Payment.objects.all().claim(payment.pk, owner=owner, now=moment, until=until):
            payment.refresh_from_db()
            outcome["finished" if _take_up(payment, moment) else "failed"] += 1
    return outcome


def _pause(tries: int) -> timedelta:
    return min(LONGEST_PAUSE, timedelta(seconds=15 * 2 ** min(tries - 1, 10)))


def _take_up(payment: Payment, now: datetime) -> bool:
    note(payment, "taken over", f"try {payment.tries}, by the sweeper", now=now)
    try:
        if now - payment.created_at < NEVER_RESEND_AFTER:
            create.finish(payment, now=now)
        else:
            _close_old(payment, now)
    except stripe_api.StripeTrouble as trouble:
        attempt.let_go(payment, trouble, now=now)
        return False
    except (create.InProgress, create.NotNow, create.BrokenPromise):
        return False
    return True


def _close_old(payment: Payment, now: datetime) -> None:
    """Too old to be sent again: it is what Stripe says it is, or nothing."""
    found = attempt.look_up(payment)
    if found is not None:
        note(payment, "adopted", found.id, now=now)
        create.store_intent(payment, found, now=now)
    else:
        note(payment, "abandoned", now=now)
        create.abandon(payment, now=now)


def reap_keys(*, now: datetime) -> int:
    """Free keys whose time is over, and with them the stored answers and client secrets. The payments stay."""
    over = Payment.objects.filter(
        key__isnull=False, expires_at__lte=now, state=Payment.State.FINISHED
    )
    total = 0
    while chunk := list(over.order_by("pk").values_list("pk", flat=True)[:REAP_AT_ONCE]):
        total += Payment.objects.filter(pk__in=chunk).update(key=None, response_body="")
    return total
