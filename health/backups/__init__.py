"""Backups: taken online, rotated, and proven by restoring the newest into a scratch database."""

from health.backups.databases import BackupFailed
from health.backups.taking import take
from health.backups.verifying import verify

__all__ = ["BackupFailed", "take", "verify"]
