"""Show sections about errors on the page of an app."""

from datetime import datetime
from typing import Any

from core.clients.extension_points import app_section
from core.clients.models import ClientApp
from errors.models import InboundFilter
from errors.queries.filters import COUNTED_DAYS, dropped_counts


@app_section(
    "errors.sample",
    title="Test",
    icon="bug",
    template="errors/_app_sample.html",
    order=10,
)
def sample(app: ClientApp, now: datetime) -> dict[str, Any] | None:
    """Return an empty context, or None to hide the section if the app is inactive and cannot report errors."""
    return {} if app.is_active else None


@app_section(
    "errors.filters",
    title="Inbound filters",
    icon="mute",
    template="errors/_app_filters.html",
    order=20,
)
def filters(app: ClientApp, now: datetime) -> dict[str, Any]:
    """Return the app's filters that are enabled or have dropped errors, with their counts."""
    on = set(InboundFilter.objects.filter(app=app).values_list("kind", flat=True))
    counts = dropped_counts(app, now=now)
    rows = [
        {"label": kind.label, "is_on": kind.value in on, "count": counts[kind.value].total}
        for kind in InboundFilter.Kind
        if kind.value in on or counts[kind.value].total
    ]
    return {"filters": rows, "counted_days": COUNTED_DAYS}
