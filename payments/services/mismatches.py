from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction

from payments.models import Mismatch, Payment
from payments.services.alerts import alarm, all_clear


def note_mismatch(
    kind: Mismatch.Kind,
    *,
    intent_id: str,
    payment: Payment | None,
    detail: str,
    healed: bool = False,
    now: datetime,
) -> bool:
    """Whether it is new: an open one of this kind for this intent stays the one. Runs in the caller's transaction."""
    if healed:
        Mismatch.objects.create(
            kind=kind,
            intent_id=intent_id,
            payment=payment,
            detail=detail[:300],
            found_at=now,
            healed=True,
            settled_at=now,
            settlement="healed by the reconciliation",
        )
        return True
    noted, is_new = Mismatch.objects.open().get_or_create(
        kind=kind,
        intent_id=intent_id,
        settled_at=None,
        defaults={"payment": payment, "detail": detail[:300], "found_at": now},
    )
    if is_new:
        alarm(
            f"mismatch.{kind}.{intent_id}",
            f"{noted.get_kind_display()}: {intent_id}",
            detail,
            alert_type="payment-mismatch",
            payment=payment,
            intent_id=intent_id,
            now=now,
        )
    return is_new


def settle_mismatch(*, mismatch: Mismatch, settlement: str, user: User, now: datetime) -> bool:
    """Staff's decision. False when it was settled already."""
    with transaction.atomic():
        settled = (
            Mismatch.objects.open()
            .filter(pk=mismatch.pk)
            .update(settled_at=now, settled_by=user, settlement=settlement[:200])
        )
        if settled:
            all_clear(f"mismatch.{mismatch.kind}.{mismatch.intent_id}", now=now)
    return bool(settled)
