"""Run the services of database hosts from the files in deploy/ha, in which only names and paths are replaced.

Each database host is a network namespace with etcd, Patroni, PostgreSQL, Redis and Sentinel. Its data is on a separate
small file system in memory.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.deploy.hosts import Host, Network
from tests.servers import postgres, process, redis_server
from tests.servers.portal import ROOT

FILES = ROOT / "deploy" / "ha"
DATABASES = ("db1", "db2", "db3")
PROGRAMS = ("etcd", "haproxy", "pgbouncer", "ip")
FIRST_SAFE_PATRONI = (3, 0, 3)  # deploy/ha/README.md explains why older versions are unsafe.
ETCD_PORTS = "2379-2380"


def find_program(name: str) -> str:
    """Return the path of a program in PATH or in the folders for administrators, or "" if it is not installed."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") or ""


def patroni() -> str:
    """Return the path of Patroni from $PATRONI or PATH, or "" if it is missing or older than FIRST_SAFE_PATRONI."""
    path = os.environ.get("PATRONI") or find_program("patroni")
    if not path:
        return ""
    asked = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    version = re.findall(r"\d+", asked.stdout)
    return path if tuple(map(int, version)) >= FIRST_SAFE_PATRONI else ""


def missing_programs() -> list[str]:
    """Return the names of the required programs that are not installed."""
    missing = [name for name in PROGRAMS if not find_program(name)]
    if not patroni():
        missing.append("patroni from requirements/patroni.txt (its path in $PATRONI)")
    if redis_server.find_binary() is None:
        missing.append("redis-server")
    return missing


class DatabaseHosts:
    """The database hosts. Tests can kill them, disconnect them, start them again, and fill their disks."""

    def __init__(self, network: Network, folder: Path, *, disk_mb: int) -> None:
        """Prepare the hosts without starting them. Each host gets a disk of `disk_mb` MiB in memory."""
        self.disk_mb = disk_mb
        self.network, self.folder = network, folder
        self.user = process.unprivileged_user()
        folder.chmod(0o755)
        binaries = postgres.find_binaries()
        assert binaries
        self.postgres = postgres.executable_binaries(binaries, self.user, folder)
        self.running: list[subprocess.Popen[bytes]] = []

    def host(self, name: str) -> Host:
        return self.network.hosts[name]

    def disk(self, name: str) -> Path:
        return self.folder / name

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def wait_until(self, ready: Any, what: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: not within {seconds:g} s\n{self.log_ends()}")
            time.sleep(0.1)

    def log_ends(self) -> str:
        logs = sorted(self.folder.glob("*.log"))
        return "\n".join(f"--- {p.name}\n{p.read_text(errors='replace')[-1500:]}" for p in logs)

    # --- services -------------------------------------------------------------------------------------

    def _create_disk(self, name: str) -> None:
        disk = self.disk(name)
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={self.disk_mb}m,mode=755", "tmpfs", str(disk)]
        subprocess.run(mount, check=True)
        shutil.chown(disk, self.user)
        for part in ("postgres", "socket", "redis"):
            (disk / part).mkdir(mode=0o700)
            shutil.chown(disk / part, self.user)

    def _own_addresses(self, text: str) -> str:
        """Return the text with the names of the database hosts replaced by their addresses."""
        return re.sub(r"(db\d)\.internal", lambda found: self.host(found[1]).address, text)

    def start(self, name: str) -> None:
        """Start all services of the database host `name`."""
        host = self.host(name)
        self._start_etcd(name, host)
        self._start_patroni(name, host)
        guard = FILES / "disk_guard.py"
        self._spawn(
            name,
            [self._python(), guard, self.disk(name) / "patroni.yml", "--pause", "20"],
            f"{name}-disk-guard",
            user=self.user,
        )
        self._start_redis(name, host)

    def _python(self) -> str:
        """Return the Python interpreter of Patroni, whose environment also has the packages that the guard needs."""
        with Path(patroni()).open() as script:
            return script.readline().removeprefix("#!").strip()

    def _spawn(self, name: str, command: list[str | Path], log: str, **options: Any) -> None:
        started = process.spawn(
            command, log=self.log(log), prefix=self.host(name).prefix, cwd=self.folder, **options
        )
        self.running.append(started)

    def _start_etcd(self, name: str, host: Host) -> None:
        config = yaml.safe_load(self._own_addresses((FILES / "etcd.conf.yml").read_text()))
        config |= {
            "name": name,
            "data-dir": str(self.folder / f"{name}.etcd"),
            "advertise-client-urls": f"http://{host.address}:2379",
            "initial-advertise-peer-urls": f"http://{host.address}:2380",
        }
        path = self.folder / f"{name}.etcd.yml"
        path.write_text(yaml.safe_dump(config))
        self._spawn(name, [find_program("etcd"), "--config-file", path], f"{name}-etcd")

    def _start_patroni(self, name: str, host: Host) -> None:
        config = yaml.safe_load(self._own_addresses((FILES / "patroni.yml").read_text()))
        disk = self.disk(name)
        config["name"] = name
        config["restapi"]["connect_address"] = f"{host.address}:8008"
        config["postgresql"] |= {
            "connect_address": f"{host.address}:5432",
            "data_dir": str(disk / "postgres" / "data"),
            "bin_dir": str(self.postgres),
            "pgpass": str(disk / "postgres" / "pgpass"),
            "parameters": {"unix_socket_directories": str(disk / "socket")},
        }
        config["watchdog"]["mode"] = "off"
        config["bootstrap"]["dcs"]["postgresql"]["parameters"] |= {
            "shared_buffers": "48MB",
            "max_wal_size": "96MB",
            "min_wal_size": "32MB",
            # Limit the WAL on the small disk, because Patroni keeps the replication slots of unavailable members for 30
            # minutes.
            "max_slot_wal_keep_size": "96MB",
            "wal_keep_size": "64MB",
            "fsync": "off",  # Do not wait for the disk, because the tests do not cut the power.
        }
        path = disk / "patroni.yml"
        path.write_text(yaml.safe_dump(config))
        environment = {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
            "HOME": str(disk / "postgres"),
        }
        self._spawn(name, [patroni(), path], f"{name}-patroni", user=self.user, env=environment)

    def _start_redis(self, name: str, host: Host) -> None:
        binary = redis_server.find_binary()
        assert binary
        master = self.redis_master() or "db1"
        folder = self.disk(name) / "redis"
        config = folder / "redis.conf"
        text = (FILES / "redis.conf").read_text()
        if master != name:
            text += f"replicaof {self.host(master).address} 6379\n"
        config.write_text(f"{text}dir {folder}\n")
        self._spawn(name, [binary, config], f"{name}-redis")
        sentinel = folder / "sentinel.conf"
        lines = self._own_addresses((FILES / "sentinel.conf").read_text())
        address = self.host(master).address
        sentinel.write_text(
            re.sub(r"(monitor opsportal) \S+", rf"\1 {address}", lines) + f"dir {folder}\n"
        )
        self._spawn(name, [binary, sentinel, "--sentinel"], f"{name}-sentinel")

    # --- faults ---------------------------------------------------------------------------------------

    def pids(self, name: str) -> list[int]:
        listed = subprocess.run(
            ["ip", "netns", "pids", self.host(name).prefix[-1]],
            capture_output=True,
            text=True,
            check=True,
        )
        return [int(pid) for pid in listed.stdout.split()]

    def kill(self, name: str) -> None:
        """Kill all processes of a host simultaneously, as a power failure does."""
        while pids := self.pids(name):
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        for started in self.running:
            started.poll()

    def kill_server(self, name: str) -> None:
        """Kill PostgreSQL's main process only."""
        pid = int((self.disk(name) / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)

    def fill_disk(self, name: str) -> None:
        with suppress(OSError), (self.disk(name) / "filler").open("wb") as filler:
            while True:
                filler.write(b"\0" * 65536)
                filler.flush()

    def empty_disk(self, name: str) -> None:
        (self.disk(name) / "filler").unlink(missing_ok=True)

    def switch_over(self, name: str) -> None:
        """Let the primary `name` hand over to a standby, as `patronictl switchover` does."""
        url = f"http://{self.host(name).address}:8008/switchover"
        httpx.post(url, json={"leader": name}, timeout=30)

    def fail_over_redis(self) -> None:
        """Block the Redis master for 15 s, and wait until Sentinel has promoted another Redis server."""
        import redis

        old = self.redis_master()
        assert old
        redis.Redis(self.host(old).address, 6379).client_pause(15_000)
        self.wait_until(lambda: self.redis_master() not in (old, None), "another master of Redis")

    def copy_again(self) -> list[str]:
        """Copy the primary to the nodes that cannot follow it, as `patronictl reinit` does. Return the nodes' names."""
        leader = self.leader()
        broken = [
            member["name"]
            for member in self.cluster()
            if member["name"] != leader and member["state"] not in ("running", "streaming")
        ]
        for name in broken:
            url = f"http://{self.host(name).address}:8008/reinitialize"
            with suppress(httpx.HTTPError):
                httpx.post(url, json={"force": True}, timeout=10)
        return broken

    # --- state -----------------------------------------------------------------------------------------

    def cluster(self) -> list[dict[str, Any]]:
        """Return the members as the primary lists them, because a disconnected node's list may be out of date."""
        leader = self.leader()
        for name in [leader] if leader else DATABASES:
            with suppress(httpx.HTTPError, ValueError, KeyError):
                answer = httpx.get(f"http://{self.host(name).address}:8008/cluster", timeout=1)
                members: list[dict[str, Any]] = answer.json()["members"]
                return members
        return []

    def leader(self) -> str | None:
        """Return the name of the node whose Patroni reports it as the primary, or None if there is none."""
        for name in DATABASES:
            with suppress(httpx.HTTPError):
                if (
                    httpx.get(
                        f"http://{self.host(name).address}:8008/primary", timeout=1
                    ).status_code
                    == 200
                ):
                    return name
        return None

    def is_redundant(self) -> bool:
        """Return True if there are a primary, a synchronous standby and a replica, and no node lags behind."""
        members = self.cluster()
        roles = sorted(member["role"] for member in members)
        followers = [member for member in members if member["role"] != "leader"]
        return roles == ["leader", "replica", "sync_standby"] and all(
            member["state"] in ("running", "streaming") and member.get("lag", 1) == 0
            for member in followers
        )

    def redis_master(self) -> str | None:
        import redis

        for name in DATABASES:
            with suppress(redis.RedisError):
                client = redis.Redis(
                    self.host(name).address, 6379, socket_timeout=0.5, socket_connect_timeout=0.5
                )
                if client.role()[0] == b"master":
                    return name
        return None
