"""Let only the portal's own user read its files, because they contain personal data and secrets."""

import logging
import stat
from pathlib import Path

from django.conf import settings
from django.db import connection

log = logging.getLogger(__name__)

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def make_private() -> list[Path]:
    """Remove other users' permissions from the data folder, its files and the SQLite files, and log each change.

    Files in subfolders are protected by the data folder's mode. Return the changed paths.
    """
    folder = Path(settings.DATA_DIR)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    files = [path for path in folder.iterdir() if path.is_file()]
    if connection.vendor == "sqlite":
        database = Path(connection.settings_dict["NAME"])
        files += [path for path in database.parent.glob(f"{database.name}*") if path.is_file()]
    return [path for path in dict.fromkeys([folder, *files]) if _make_private(path)]


def _make_private(path: Path) -> bool:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if not mode & OTHERS:
            return False
        path.chmod(mode & ~OTHERS)
    except FileNotFoundError:
        return False  # The file was temporary and has been deleted since it was listed.
    except OSError as error:
        log.warning(
            "other users can read a file of the portal, and its mode cannot be changed",
            extra={"path": str(path), "error": str(error)},
        )
        return False
    log.warning(
        "other users could read a file of the portal; its mode was changed to prevent this",
        extra={"path": str(path), "mode_before": f"{mode:04o}"},
    )
    return True
