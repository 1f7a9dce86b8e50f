"""Define the admin pages for alerts, rules, types, channels, people, silences and the outbox."""

from alerts.admin import alert, channel, dependency, notification, on_call, people, rule, silence

__all__ = ["alert", "channel", "dependency", "notification", "on_call", "people", "rule", "silence"]
