"""Define the admin of alerts, rules, types, channels, people, silences and the outbox, with one file per subject."""

from alerts.admin import alert, channel, dependency, notification, on_call, people, rule, silence

__all__ = ["alert", "channel", "dependency", "notification", "on_call", "people", "rule", "silence"]
