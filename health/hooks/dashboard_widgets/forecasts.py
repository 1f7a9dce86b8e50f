"""Show when limits will be reached."""

import logging
from datetime import datetime

from django.core.cache import cache

from core.lib.forecasts import Forecast, soonest_first
from health.extension_points import Tab, WidgetContext, forecasts, widget

log = logging.getLogger(__name__)

MAX_SHOWN = 6
# Forecasts read weeks of measurements but change slowly, so they are computed at most once a minute.
CACHE_KEY, CACHE_SECONDS = "health:forecasts", 60


@widget(
    "health.forecasts",
    title="Forecasts",
    template="health/_widget_forecasts.html",
    refresh=120,
    order=390,
    size="wide",
    tab=Tab.PLATFORM,
)
def all_forecasts(context: WidgetContext) -> dict[str, object]:
    """Return the forecasts of all sources, earliest first. Forecasts without enough data are not shown at first."""
    ordered: list[Forecast] = (
        cache.get_or_set(CACHE_KEY, lambda: _compute(context.now), CACHE_SECONDS) or []
    )
    known = [one for one in ordered if one.has_data]
    unknown = [one for one in ordered if not one.has_data]
    return {"forecasts": known[:MAX_SHOWN], "more_forecasts": known[MAX_SHOWN:], "unknown": unknown}


def _compute(now: datetime) -> list[Forecast]:
    """Return the forecasts of all sources, earliest first. A source that fails is logged and left out."""
    found: list[Forecast] = []
    for source in forecasts:
        try:
            found += source(now)
        except Exception:
            log.exception("forecast failed")
    return list(soonest_first(found))
