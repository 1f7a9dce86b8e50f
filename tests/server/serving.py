"""Run `manage.py serve` and inspect its process tree."""

import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from django_q.signing import SignedPackage

from tests.servers import process
from tests.servers.portal import ROOT, Portal


def parents() -> dict[int, int]:
    """Map the id of each running process, except zombies, to the id of its parent."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if fields[0] != "Z":
                found[int(entry.name)] = int(fields[1])
    return found


def children(pid: int) -> list[int]:
    return sorted(child for child, parent in parents().items() if parent == pid)


def name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def memory_mb(pid: int, kind: str) -> float:
    """Return the memory of a process in MiB. `kind` is "Rss", which counts shared pages in full, or "Pss" (in part)."""
    [line] = re.findall(rf"\n{kind}: +([0-9]+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text())
    return int(line) / 1024


@dataclass
class Cluster:
    sentinel: int
    workers: list[int]


class Serving:
    """A portal that runs under `manage.py serve`, with access to its processes and its log."""

    def __init__(
        self, portal: Portal, *options: str, manage: Sequence[str] = ("manage.py",)
    ) -> None:
        self.portal = portal
        self.log = portal.data_dir / "serve.log"
        self.process: subprocess.Popen[bytes] = process.spawn(
            [sys.executable, *manage, "serve", "--port", str(portal.port), *options],
            log=self.log,
            env=portal.environment,
            cwd=ROOT,
        )

    def wait_until_up(self) -> None:
        process.wait_until(
            lambda: "is up" in self.log.read_text(), process=self.process, log=self.log
        )

    def child(self, named: str) -> int:
        """Return the id of the supervisor's child process with this name, or 0 if it is not running."""
        return next((c for c in children(self.process.pid) if name(c) == named), 0)

    def cluster(self) -> Cluster | None:
        """Return the worker cluster's processes, or None while any of them is not running."""
        sentinel = self.child("opsportal tasks")
        workers = [c for c in children(sentinel) if name(c) == "opsportal work"]
        return Cluster(sentinel, workers) if len(workers) == 2 else None

    def wait_for_cluster(self, other_than: int = 0) -> Cluster:
        def new_cluster() -> Cluster | None:
            found = self.cluster()
            return found if found and found.sentinel != other_than else None

        found: Cluster = self.portal.wait_for(new_cluster, 30, "a complete cluster")
        return found

    def descendants(self) -> set[int]:
        known = parents()
        found = {self.process.pid}
        while grown := {c for c, p in known.items() if p in found and c not in found}:
            found |= grown
        return found

    def enqueue(self, task: str, **arguments: object) -> None:
        """Queue a task as `queue.enqueue` does in a web process, signed with the portal's SECRET_KEY."""
        package = SignedPackage.dumps(
            {
                "id": uuid.uuid4().hex,
                "name": task,
                "func": "core.lib.queue.run",
                "args": (task, "", arguments),
                "kwargs": {},
                "started": datetime.now(UTC),
                "ack_failure": True,
            }
        )
        self.portal.rows(
            "INSERT INTO django_q_ormq (key, payload, lock) VALUES ('opsportal', %s, %s)",
            (package, datetime.now(UTC).replace(tzinfo=None).isoformat(" ")),
        )

    def stop(self) -> None:
        left = self.descendants()
        process.stop(self.process, signal.SIGTERM, grace_seconds=20)
        for pid in left & set(parents()):
            os.kill(pid, signal.SIGKILL)
