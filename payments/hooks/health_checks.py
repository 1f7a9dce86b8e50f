from datetime import timedelta

from django.utils import timezone

from health.extension_points import Degraded, NotConfigured, health_check
from impact.references import References
from payments import stripe_api
from payments.models import Payment, WebhookEvent

LATE_AFTER = timedelta(minutes=10)
MAX_REFERENCES = 1_000


def stuck_payments() -> References:
    """Return references to the stuck payments and to the objects of failed events."""
    stuck = Payment.objects.stuck(timezone.now()).order_by("created_at")
    unprocessed = WebhookEvent.objects.dead().order_by("-received_at")
    ids = {str(uuid) for uuid in stuck.values_list("uuid", flat=True)[:MAX_REFERENCES]}
    ids |= set(unprocessed.values_list("object_id", flat=True)[:MAX_REFERENCES])
    return References(payment_ids=frozenset(ids - {""}))


@health_check(
    "payments",
    summary="Payments",
    timeout=3.0,
    references=stuck_payments,
    depends_on=("stripe",),
)
def payments() -> str:
    if not stripe_api.is_configured():
        raise NotConfigured("set STRIPE_SECRET_KEY")
    now = timezone.now()
    stuck = Payment.objects.stuck(now).count()
    late = WebhookEvent.objects.waiting().filter(received_at__lte=now - LATE_AFTER).count()
    dead = WebhookEvent.objects.dead().count()
    if stuck or late or dead:
        raise Degraded(f"{stuck} stuck payments, {late} late and {dead} failed events")
    return "no stuck payments or events"
