"""Define the admin of checks, monitors, heartbeats, the status page, incidents, maintenance windows and backups."""

from health.admin import backups, components, incidents, monitors, status_page

__all__ = ["backups", "components", "incidents", "monitors", "status_page"]
