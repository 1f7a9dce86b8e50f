"""Read the CPU time and memory of running processes. Shared pages are divided among the processes that share them."""

import os
import subprocess
from pathlib import Path


def children(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True)
    return [int(line) for line in found.stdout.split()]


def family(pid: int) -> list[int]:
    """Return the id of the process and the ids of all its descendants."""
    return [pid, *(below for child in children(pid) for below in family(child))]


def cpu_seconds(pids: list[int]) -> float:
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def memory_mb(pids: list[int]) -> float:
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


def memory_by_role(pid: int) -> dict[str, float]:
    """Return the MB that the supervisor and each of its children, with all descendants, use, by role."""
    found = {"supervisor": memory_mb([pid])}
    for child in children(pid):
        name = Path(f"/proc/{child}/comm").read_text().strip()
        found[name.removeprefix("opsportal ")] = memory_mb(family(child))
    return found
