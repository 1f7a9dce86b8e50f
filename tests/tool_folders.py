"""Install npm packages and Python programs in separate environments, once per version of their lock file."""

import fcntl
import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.bootstrap import REQUIREMENTS, install_tools

ROOT = Path(__file__).resolve().parent.parent


def npm_folder(lock_folder: Path, *, cache: str) -> Path:
    """Return a folder with the packages of `lock_folder`/package-lock.json in node_modules."""
    lock = lock_folder / "package-lock.json"
    with _installing(cache, lock) as (folder, is_new):
        if is_new:
            for name in ("package.json", "package-lock.json", ".npmrc"):
                shutil.copy(lock_folder / name, folder)
            subprocess.run(["npm", "ci"], cwd=folder, check=True, capture_output=True, timeout=300)
    return folder


def python_folder(lock_name: str) -> Path:
    """Return a virtual environment with the packages of requirements/`lock_name`.txt."""
    lock = REQUIREMENTS / f"{lock_name}.txt"
    with _installing(lock_name, lock) as (folder, is_new):
        if is_new:
            install_tools(folder, lock)
    return folder


@contextmanager
def _installing(cache: str, lock: Path) -> Iterator[tuple[Path, bool]]:
    """Yield the folder for the lock file, and True if the caller must fill it.

    Other processes wait until the caller has finished.
    """
    parent = ROOT / ".cache" / cache
    parent.mkdir(parents=True, exist_ok=True)
    folder = parent / hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    with (parent / "lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        is_new = not (folder / "complete").exists()
        if is_new:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        yield folder, is_new
        if is_new:
            (folder / "complete").touch()
