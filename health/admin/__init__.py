"""The Django admin of checks, monitors, heartbeats, incidents, maintenance windows and backups."""

from health.admin import backups, components, incidents, monitors

__all__ = ["backups", "components", "incidents", "monitors"]
