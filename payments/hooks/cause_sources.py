"""Report outages of the payment provider as possible causes of a problem."""

from collections.abc import Iterator

from django.db.models import Q

from impact.causes import CauseKind, Change, Onset
from impact.extension_points import cause_source
from payments.models import ProviderOutage

PROVIDER = "stripe"  # The health check and error events use this name for Stripe.


@cause_source("payments.outages")
def outages(onset: Onset) -> Iterator[Change]:
    found = ProviderOutage.objects.filter(
        Q(ended_at=None) | Q(ended_at__gte=onset.since),
        started_at__gte=onset.since,
        started_at__lte=onset.until,
    )
    for outage in found.order_by("-started_at")[:20]:
        yield Change(
            CauseKind.OUTAGE,
            "Payment provider stopped responding",
            outage.started_at,
            until=outage.ended_at,
            identity=f"component {PROVIDER}",
            subjects=frozenset({f"component {PROVIDER}"}),
            names=(PROVIDER, "payment provider"),
        )
