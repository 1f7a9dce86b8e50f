"""Alert rules about performance, deliveries, usage, business and uptime. They read roll-ups only."""

from health.hooks.alert_rules import business, deliveries, performance, uptime, usage

__all__ = ["business", "deliveries", "performance", "uptime", "usage"]
