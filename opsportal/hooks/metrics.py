"""Export metrics of the portal itself for /metrics."""

from collections.abc import Iterator
from datetime import timedelta

from django.db.models import Sum
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric

from core.lib import outbound, ratelimit
from core.lib.outbound.breaker import State
from core.limits.models import BlockedCall, Tier
from health.extension_points import metric_source
from opsportal.self_monitoring.errors import own_errors
from opsportal.self_monitoring.requests import own_requests

_STATE_VALUES = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}


@metric_source("opsportal.breakers")
def breakers() -> Iterator[Metric]:
    family = GaugeMetricFamily(
        "opsportal_breaker_state",
        "State of a dependency's circuit breaker: 0 is closed, 1 is half-open, 2 is open.",
        labels=["dependency"],
    )
    for state in outbound.breaker_states():
        family.add_metric([state.name], _STATE_VALUES[state.state])
    yield family


@metric_source("opsportal.rate_limits")
def rate_limits() -> Iterator[Metric]:
    since = timezone.now() - timedelta(minutes=5)
    totals = dict(
        BlockedCall.objects.since(since).values_list("tier").annotate(Sum("count")).order_by()
    )
    family = GaugeMetricFamily(
        "opsportal_rate_limit_blocked_calls",
        "Requests rejected by rate limits in the last five minutes.",
        labels=["tier"],
    )
    for tier in Tier.values:
        family.add_metric([tier], totals.get(tier, 0))
    yield family
    yield GaugeMetricFamily(
        "opsportal_rate_limit_degraded",
        "1 while Redis is unavailable and each process counts requests separately; otherwise 0.",
        value=float(ratelimit.is_degraded()),
    )


@metric_source("opsportal.self_monitoring")
def self_monitoring() -> Iterator[Metric]:
    family = GaugeMetricFamily(
        "opsportal_self_monitoring_dropped",
        "Measurements and errors of the portal that this process has dropped since it started.",
        labels=["kind"],
    )
    family.add_metric(["requests"], own_requests.dropped_count)
    family.add_metric(["errors"], own_errors.dropped_count)
    yield family
