"""Detect when buyers cannot pay because Stripe does not respond, and when they can pay again."""

from datetime import datetime, timedelta

from django.db import transaction

from payments import stripe_api
from payments.models import Payment, ProviderOutage

# The caller checks every minute. An outage is recorded as begun this long before the first failed check, so that the
# record covers the whole outage.
BEFORE_FIRST_FAILURE = timedelta(minutes=2)
RECENT = timedelta(minutes=5)


def check_provider(*, now: datetime) -> ProviderOutage | None:
    """Call Stripe and record the start or the end of an outage. Return the current outage, or None."""
    reason = _find_failure(now)
    with transaction.atomic():
        outage = ProviderOutage.objects.open().select_for_update().order_by("pk").first()
        if not reason:
            if outage is not None:
                outage.ended_at = now
                outage.save(update_fields=["ended_at"])
            return None
        if outage is None:
            return ProviderOutage.objects.create(
                started_at=now - BEFORE_FIRST_FAILURE, last_seen_at=now, reason=reason[:300]
            )
        outage.last_seen_at = now
        outage.save(update_fields=["last_seen_at"])
        return outage


def _find_failure(now: datetime) -> str:
    """Return the reason why buyers cannot pay, or "" if they can or if Stripe is not configured."""
    if not stripe_api.is_configured():
        return ""
    try:
        stripe_api.require_response()
    except stripe_api.NoResponse as failure:
        return str(failure)
    return _find_failing_payments(now)


def _find_failing_payments(now: datetime) -> str:
    """Return the error of the latest payment without a response.

    Only payments of the last five minutes are considered. Return "" if there is none, or if an intent has been created
    since.

    This check is needed because Stripe may respond to read requests while it fails to create payments.
    """
    failing = Payment.objects.unfinished().exclude(error="").filter(created_at__gt=now - RECENT)
    last = failing.order_by("-created_at").first()
    if last is None:
        return ""
    created = Payment.objects.filter(created_at__gt=now - RECENT, intent_id__isnull=False)
    return "" if created.filter(finished_at__gte=last.created_at).exists() else last.error
