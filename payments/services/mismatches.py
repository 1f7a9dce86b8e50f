from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction

from payments.models import Mismatch, Payment, Refund
from payments.models.mismatches import MismatchQuerySet
from payments.services.alerts import clear_alert, raise_alert


def record_mismatch(
    kind: Mismatch.Kind,
    *,
    intent_id: str,
    payment: Payment | None,
    detail: str,
    advice: str = "",
    healed: bool = False,
    now: datetime,
) -> bool:
    """Record a mismatch and alert staff. Return False if the same mismatch is already open.

    With `healed`, record a mismatch that has been fixed, without an alert. The function runs in the caller's
    transaction.
    """
    if healed:
        Mismatch.objects.create(
            kind=kind,
            intent_id=intent_id,
            payment=payment,
            detail=detail[:300],
            found_at=now,
            healed=True,
            settled_at=now,
            settlement="fixed by the reconciliation",
        )
        return True
    mismatch, is_new = Mismatch.objects.open().get_or_create(
        kind=kind,
        intent_id=intent_id,
        settled_at=None,
        defaults={"payment": payment, "detail": detail[:300], "found_at": now},
    )
    if is_new:
        raise_alert(
            f"mismatch.{kind}.{intent_id}",
            f"{mismatch.get_kind_display()}: {intent_id}",
            f"{detail}. {advice}" if advice else detail,
            alert_type="payment-mismatch",
            payment=payment,
            intent_id=intent_id,
            now=now,
        )
    return is_new


def record_failed_refund(refund: Refund, *, expected_refunded: int, now: datetime) -> None:
    """Open a mismatch for a failed refund, or raise the expected amount of the payment's open mismatch.

    The mismatch is resolved when the payment's refunds add up to `expected_refunded`. The function runs in the caller's
    transaction.
    """
    payment = refund.payment
    intent_id = payment.intent_id or ""
    reason = refund.error or "Stripe gives no reason"
    record_mismatch(
        Mismatch.Kind.REFUND_FAILED,
        intent_id=intent_id,
        payment=payment,
        detail=f"{refund.formatted_amount} did not reach the buyer: {reason}",
        advice="The money is back in the Stripe account. Refund the payment again, or pay the buyer in another way.",
        now=now,
    )
    cases = Mismatch.objects.open().filter(intent_id=intent_id, kind=Mismatch.Kind.REFUND_FAILED)
    cases.filter(expected_refunded=None).update(expected_refunded=expected_refunded)
    cases.filter(expected_refunded__lt=expected_refunded).update(
        expected_refunded=expected_refunded
    )


def resolve_mismatches(mismatches: MismatchQuerySet, *, settlement: str, now: datetime) -> int:
    """Resolve the open mismatches in the queryset after they were corrected, and return their number."""
    resolved = 0
    for mismatch in mismatches:
        if _resolve(mismatch, settlement=settlement, user=None, now=now):
            resolved += 1
    return resolved


def settle_mismatch(*, mismatch: Mismatch, settlement: str, user: User, now: datetime) -> bool:
    """Resolve the mismatch for a staff member. Return False if it was resolved before."""
    return _resolve(mismatch, settlement=settlement, user=user, now=now)


@transaction.atomic
def _resolve(mismatch: Mismatch, *, settlement: str, user: User | None, now: datetime) -> bool:
    settled = (
        Mismatch.objects.open()
        .filter(pk=mismatch.pk)
        .update(settled_at=now, settled_by=user, settlement=settlement[:200])
    )
    if settled:
        clear_alert(f"mismatch.{mismatch.kind}.{mismatch.intent_id}", text=settlement, now=now)
    return bool(settled)
