"""The widget that forecasts when limits are reached."""

import logging

from core.lib.forecasts import Forecast, soonest_first
from health.extension_points import Tab, WidgetContext, forecasts, widget

log = logging.getLogger(__name__)

MAX_SHOWN = 6


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
    """Show the forecasts of all sources, the soonest first. A source that fails is logged and left out."""
    found: list[Forecast] = []
    for source in forecasts:
        try:
            found += source(context.now)
        except Exception:
            log.exception("forecast failed")
    ordered = soonest_first(found)
    return {"forecasts": ordered[:MAX_SHOWN], "more_forecasts": ordered[MAX_SHOWN:]}
