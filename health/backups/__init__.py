"""Backups: taken online, rotated, and proven by restoring the newest into a scratch database."""

from health.backups.creation import take
from health.backups.databases import BackupFailed
from health.backups.verification import verify

__all__ = ["BackupFailed", "take", "verify"]
