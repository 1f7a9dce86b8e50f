"""The portal's own panels. Orders: now 10-99, performance 200, uptime 300, usage 400, work 500 and more."""

from health.dashboard_widgets import now, performance, uptime, usage, work

__all__ = ["now", "performance", "uptime", "usage", "work"]
