"""Define alert rules about performance, deliveries, usage, business and uptime.

The rules read only roll-ups.
"""

from health.hooks.alert_rules import business, deliveries, performance, uptime, usage

__all__ = ["business", "deliveries", "performance", "uptime", "usage"]
