"""Online backups: creation, rotation, and verification by restoring the newest one into a scratch database."""

from health.backups.creation import create_backup
from health.backups.databases import BackupFailed
from health.backups.verification import verify_newest_backup

__all__ = ["BackupFailed", "create_backup", "verify_newest_backup"]
