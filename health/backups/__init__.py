"""Create, rotate and verify online backups.

A verification restores the newest backup into a scratch database.
"""

from health.backups.creation import create_backup
from health.backups.databases import BackupFailed
from health.backups.verification import verify_newest_backup

__all__ = ["BackupFailed", "create_backup", "verify_newest_backup"]
