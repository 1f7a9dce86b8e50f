from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction

from payments.models import Mismatch, Payment
from payments.services.alerts import clear_alert, raise_alert


def record_mismatch(
    kind: Mismatch.Kind,
    *,
    intent_id: str,
    payment: Payment | None,
    detail: str,
    healed: bool = False,
    now: datetime,
) -> bool:
    """Record a mismatch and return True unless one of this kind is open for this intent.

    Runs in the caller's transaction.
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
            detail,
            alert_type="payment-mismatch",
            payment=payment,
            intent_id=intent_id,
            now=now,
        )
    return is_new


def settle_mismatch(*, mismatch: Mismatch, settlement: str, user: User, now: datetime) -> bool:
    """Resolve the mismatch by a staff decision. Return False if it was resolved before."""
    with transaction.atomic():
        settled = (
            Mismatch.objects.open()
            .filter(pk=mismatch.pk)
            .update(settled_at=now, settled_by=user, settlement=settlement[:200])
        )
        if settled:
            clear_alert(f"mismatch.{mismatch.kind}.{mismatch.intent_id}", now=now)
    return bool(settled)
