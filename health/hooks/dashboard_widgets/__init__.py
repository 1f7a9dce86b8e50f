"""Widgets about the portal's health.

The `order` of widgets: now from 10, performance from 200, uptime from 300, usage from 400, work from 500.
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
