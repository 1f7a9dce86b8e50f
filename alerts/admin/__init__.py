"""Alerts, rules, types, channels, people, silences and the outbox, for staff: a file for each file of models."""

from alerts.admin import alert, channel, delivery, people, rule, silence

__all__ = ["alert", "channel", "delivery", "people", "rule", "silence"]
