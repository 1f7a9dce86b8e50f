"""Run PostgreSQL with pgbouncer, Redis, two web nodes, two workers and nginx, each on its own host."""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psycopg

from tests.deploy.hosts import Host, Network
from tests.servers import process
from tests.servers.fake_http import FakeHTTP
from tests.servers.portal import ROOT, base_environment
from tests.servers.postgres import PostgresServer
from tests.servers.redis_server import RedisServer

NAMES = ["db", "cache", "web1", "web2", "worker1", "worker2", "proxy"]
WEB, WORKERS = ("web1", "web2"), ("worker1", "worker2")
# These nodes connect through pgbouncer and all others directly, because both ways must work in one cluster.
POOLED = ("web2", "worker2")
PORT = 8000


def program(name: str) -> str | None:
    """Return the path of a program in PATH or in the folders for administrators, or None if it is not installed."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


class Cluster:
    """A cluster that starts when it is constructed. Tests can kill a node and start it again with other code."""

    def __init__(self, network: Network, folder: Path) -> None:
        self.network, self.folder = network, folder
        self.nodes: dict[str, subprocess.Popen[bytes]] = {}
        self.code = dict.fromkeys((*WEB, *WORKERS), ROOT)
        self.slack = FakeHTTP(network.gateway)
        db, cache = self.host("db"), self.host("cache")
        self.postgres = PostgresServer(db.address, db.prefix)
        with psycopg.connect(self.postgres.url(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE opsportal")
        self.redis = RedisServer(cache.address, cache.prefix)
        self._start_pgbouncer()
        subprocess.run(
            [sys.executable, "manage.py", "prepare"],
            cwd=ROOT,
            env=self.environment("web1"),
            check=True,
            timeout=180,
        )
        self.expected_to_run: set[str] = set()
        for name in (*WEB, *WORKERS):
            self.start(name)
        self._closing = threading.Event()
        threading.Thread(target=self._restart_always, daemon=True).start()
        self.start_proxy()
        self.wait_until_up(*WEB)

    @property
    def url(self) -> str:
        return f"http://{self.host('proxy').address}:{PORT}"

    @property
    def database_url(self) -> str:
        return self.postgres.url("opsportal")

    def host(self, name: str) -> Host:
        return self.network.hosts[name]

    # --- nodes ------------------------------------------------------------------------------------------

    def environment(self, name: str) -> dict[str, str]:
        data = self.folder / name
        data.mkdir(exist_ok=True)
        url = self.database_url
        if name in POOLED:
            url = f"postgresql://opsportal@{self.host('db').address}:{self.pooler_port}/opsportal"
        return {
            **base_environment(data, url),
            "INSTANCE": name,
            "BASE_URL": "http://ops.shop.example",
            "ALLOWED_HOSTS": "*",
            "TRUSTED_PROXY_COUNT": "1",
            "DATABASE_POOL": "0" if name in POOLED else "8",
            "REDIS_URL": self.redis.url(0),
            "SLACK_WEBHOOK_URL": f"{self.slack.url}/hook",
            "ALLOW_PRIVATE_URLS": self.network.gateway,
            "WORKERS": "1",
        }

    def start(self, name: str, *, code: Path | None = None) -> None:
        """Start a node. If `code` is given, the node runs that copy of the code from then on."""
        self.code[name] = code or self.code[name]
        host = self.host(name)
        role = (
            ["--host", host.address, "--port", str(PORT), "--no-worker"]
            if name in WEB
            else ["--no-web"]
        )
        self.nodes[name] = process.spawn(
            [sys.executable, "manage.py", "serve", *role],
            log=self.log(name),
            env=self.environment(name),
            cwd=self.code[name],
            prefix=host.prefix,
        )
        self.expected_to_run.add(name)

    def _restart_always(self) -> None:
        """Keep restarting nodes that have ended, as systemd does, for example after an outage of the database."""
        while not self._closing.wait(1):
            for name in list(self.expected_to_run):
                if self.nodes[name].poll() is not None and name in self.expected_to_run:
                    self.start(name)

    def kill(self, name: str) -> None:
        """Kill the node's supervisor with SIGKILL, and all its child processes with it."""
        self.expected_to_run.discard(name)
        process.kill_group(self.nodes[name])

    def restart(self, name: str) -> None:
        """Stop a node gracefully and start it again."""
        self.expected_to_run.discard(name)
        process.stop(self.nodes[name], grace_seconds=20)
        self.start(name)
        self.wait_until_up(name)

    def wait_until_up(self, *names: str) -> None:
        for name in names:
            process.wait_until(
                lambda name=name: process.answers(PORT, self.host(name).address),  # type: ignore[misc]
                process=self.nodes[name],
                log=self.log(name),
                seconds=40,
                what=name,
            )

    def run_on_host(self, name: str, script: Path) -> subprocess.Popen[bytes]:
        """Run the Python program `script` on a node's host in the node's environment, and return its process."""
        return process.spawn(
            [sys.executable, script],
            log=self.log(script.stem),
            env=self.environment(name) | {"PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            prefix=self.host(name).prefix,
        )

    # --- proxy and connection pooler ----------------------------------------------------------------------

    def start_proxy(self) -> None:
        """Start nginx with the proxy settings in deploy/."""
        host = self.host("proxy")
        folder = self.folder / "proxy"
        folder.mkdir(exist_ok=True)
        upstream = "".join(
            f"server {self.host(name).address}:{PORT} max_fails=1 fail_timeout=2s;" for name in WEB
        )
        temporary = "".join(
            f"{kind}_temp_path {folder}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config = folder / "nginx.conf"
        config.write_text(
            f"""daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1;
            {"user root;" if os.geteuid() == 0 else ""}
            events {{ worker_connections 512; }}
            http {{ access_log off; {temporary}
              upstream opsportal {{ {upstream} keepalive 64; }}
              server {{ listen {host.address}:{PORT};
                location / {{ include {ROOT}/deploy/nginx/opsportal-proxy.conf; }} }} }}"""
        )
        nginx = program("nginx")
        assert nginx
        self.nodes["proxy"] = process.spawn(
            [nginx, "-e", str(folder / "error.log"), "-c", str(config)],
            log=self.log("nginx"),
            prefix=host.prefix,
        )
        process.wait_until(
            lambda: process.answers(PORT, host.address),
            process=self.nodes["proxy"],
            log=self.log("nginx"),
            what="nginx",
        )

    def _start_pgbouncer(self) -> None:
        host, user = self.host("db"), process.unprivileged_user()
        # pgbouncer refuses to run as root, and other users cannot read pytest's folders.
        folder = self.pooler_folder = Path(tempfile.mkdtemp(prefix="opsportal-pgbouncer-"))
        folder.chmod(0o755)
        self.pooler_port = self.postgres.port + 1
        (folder / "users.txt").write_text('"opsportal" ""\n')
        (folder / "pgbouncer.ini").write_text(
            f"""[databases]
opsportal = host={host.address} port={self.postgres.port} dbname=opsportal
[pgbouncer]
listen_addr = {host.address}
listen_port = {self.pooler_port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users.txt
pool_mode = transaction
default_pool_size = 10
max_client_conn = 500
server_login_retry = 1
"""
        )
        pgbouncer = program("pgbouncer")
        assert pgbouncer
        self.pooler = process.spawn(
            [pgbouncer, folder / "pgbouncer.ini"],
            log=self.log("pgbouncer"),
            prefix=host.prefix,
            user=user,
        )
        process.wait_until(
            lambda: process.answers(self.pooler_port, host.address),
            process=self.pooler,
            log=self.log("pgbouncer"),
            what="pgbouncer",
        )

    # --- database and logs ----------------------------------------------------------------------------------

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.database_url) as connection:
            return list(connection.execute(sql.encode()).fetchall())

    def log_ends(self) -> str:
        logs = sorted(self.folder.glob("*.log"))
        return "\n".join(f"--- {p.name}\n{p.read_text(errors='replace')[-1500:]}" for p in logs)

    def close(self) -> None:
        self._closing.set()
        self.expected_to_run.clear()
        # Stop the nodes before Network deletes their namespaces: a namespace persists while a process uses it.
        for node in self.nodes.values():
            process.stop(node, grace_seconds=0.2)
        process.stop(self.pooler, grace_seconds=1)
        process.remove(self.pooler_folder)
        time.sleep(0.2)  # The supervisors' child processes may still be ending.
        self.redis.stop()
        self.postgres.stop()
        self.slack.close()
