"""Name lease owners so that a process can determine whether the owner still runs.

A lease protects work until it expires. If the owner was a process of this machine and was killed, other processes can
take over the work without waiting until the lease expires.
"""

import hashlib
import os
import uuid
from functools import cache
from pathlib import Path

from django.conf import settings

MAX_LENGTH = 64


def new_owner() -> str:
    """Return a unique name: the machine, its boot, the process id, the process's start, and a random part."""
    return (
        f"{_machine()}:{_boot()}:{os.getpid()}.{_started_at(os.getpid())}:{uuid.uuid4().hex[:16]}"
    )


def is_dead(owner: str) -> bool:
    """Return True if the owner was a process of this machine that no longer runs. Return False if that is unknown."""
    parts = owner.split(":")
    if len(parts) != 4 or parts[0] != _machine():
        return False
    pid, _, started_at = parts[2].partition(".")
    if not pid.isdecimal() or not started_at:
        return False
    return parts[1] != _boot() or _started_at(int(pid)) != started_at


@cache
def _machine() -> str:
    return hashlib.sha256(settings.INSTANCE.encode()).hexdigest()[:10]


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
    except OSError:
        return "unknown"


def _started_at(pid: int) -> str:
    """Return the start time of a process in clock ticks since boot, or "" if it does not run or this is not Linux."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # The second field is the name in parentheses, which may contain
    # spaces. The third field is the state; the 22nd is the start time.
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]
