"""Widgets about the portal's health. Their `order` is now: 10-99, performance: 200s, uptime: 300s, usage: 400s, work: 500s and up."""

from health.dashboard_widgets import now, performance, uptime, usage, work

__all__ = ["now", "performance", "uptime", "usage", "work"]
