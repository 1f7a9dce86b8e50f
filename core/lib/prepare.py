"""Prepare a node before it serves: make its files private, migrate, run startup hooks, collect static files.

Several nodes may run this at the same time.
"""

import hashlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command

from core.lib import locks, private_files, startup


def prepare_node(now: datetime) -> None:
    private_files.make_private()
    with locks.cluster_lock("prepare"):
        call_command("migrate", interactive=False, verbosity=0)
        startup.run(now)
    collect_static()


def collect_static() -> bool:
    """Collect static files if any has changed since they were last collected, or if the collected files are missing.

    Return True if they were collected. Collecting takes seconds, because the files are compressed.
    """
    stamp = Path(settings.STATIC_ROOT).with_suffix(".stamp")
    fingerprint = _static_fingerprint()
    if stamp.is_file() and stamp.read_text() == fingerprint and Path(settings.STATIC_ROOT).is_dir():
        return False
    # The copies are removed first, because Django replaces a copy only if the source is newer, and files from an
    # archive may be older than the copies. Copies with hashed names stay for pages that are still open in browsers.
    for path, _ in _static_files():
        (Path(settings.STATIC_ROOT) / path).unlink(missing_ok=True)
    call_command("collectstatic", interactive=False, clear=False, verbosity=0)
    stamp.write_text(fingerprint)
    return True


def _static_files() -> Iterator[tuple[str, Path]]:
    for finder in get_finders():
        for path, storage in finder.list([]):
            yield path, Path(storage.path(path))


def _static_fingerprint() -> str:
    digest = hashlib.sha256(settings.STATICFILES_STORAGE_BACKEND.encode())
    for path, source in _static_files():
        file = source.stat()
        digest.update(f"{path} {file.st_size} {file.st_mtime_ns}\n".encode())
    return digest.hexdigest()
