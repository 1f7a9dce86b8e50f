"""Forecast when the backlog of webhook events will be cleared."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import Q
from django.urls import reverse

from core.lib.forecasts import Forecast, backlog_course, forecast, pace
from core.lib.formats import quantity
from health.extension_points import forecast_source
from payments.models import WebhookEvent

HOUR = timedelta(hours=1)
BASES = (timedelta(minutes=10), HOUR)
MAX_COUNTED = 20_000


@forecast_source("payments.webhooks")
def webhooks(now: datetime) -> Iterator[Forecast]:
    waiting = WebhookEvent.objects.waiting()
    if not waiting.exists():
        return
    rows = WebhookEvent.objects.filter(
        Q(pk__in=waiting.values("pk")) | Q(processed_at__gt=now - HOUR), received_at__lte=now
    ).order_by("-pk")
    spans = rows.values_list("received_at", "processed_at")[:MAX_COUNTED]
    course = backlog_course(spans, now=now, length=HOUR)
    trend = forecast(course, limit=0, now=now, bases=BASES, is_falling=True)
    parts = (f"{quantity(course[-1][1], 'events')} waiting", pace(trend, "events", per="hour"))
    yield Forecast(
        "Backlog of webhook events cleared",
        trend,
        "; ".join(part for part in parts if part),
        reverse("payments:overview"),
    )
