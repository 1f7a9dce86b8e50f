"""Define the widgets about the health of the portal.

Their `order` begins at 10 for the current state, 200 for performance, 300 for uptime, 400 for usage and 500 for work.
"""

from health.hooks.dashboard_widgets import (
    first_steps,
    forecasts,
    now,
    overview,
    performance,
    uptime,
    usage,
    work,
)

__all__ = ["first_steps", "forecasts", "now", "overview", "performance", "uptime", "usage", "work"]
