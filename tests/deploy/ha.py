"""Run the high-availability setup of deploy/ha on one machine: three database hosts and one host for the portal."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg

from tests.deploy.database_hosts import DATABASES, FILES, DatabaseHosts, find_program
from tests.deploy.hosts import Network
from tests.payments.stripe_account import StripeAccount
from tests.payments.stripe_double import StripeDouble
from tests.servers import postgres, process
from tests.servers.portal import ROOT, base_environment

NAMES = [*DATABASES, "app"]
DISK_MB = 640
PORT = 8000
PASSWORD = "change-me"  # The password in deploy/ha/patroni.yml.


class HighAvailability(DatabaseHosts):
    """A running highly available deployment: three database hosts, HAProxy and the portal."""

    def __init__(
        self,
        network: Network,
        folder: Path,
        *,
        has_pgbouncer: bool = False,
        template_url: str = "",
        disk_mb: int = DISK_MB,
    ) -> None:
        """Start all services. Each database host gets a disk of `disk_mb` MiB in memory.

        If `template_url` is set, copy the portal's database from the database at that URL.
        """
        super().__init__(network, folder, disk_mb=disk_mb)
        self.has_pgbouncer = has_pgbouncer
        self.stripe = StripeDouble(account=StripeAccount(), host=network.gateway)
        try:
            self._start_all(template_url)
        except BaseException:
            self.close()
            raise

    def _start_all(self, template_url: str) -> None:
        for name in DATABASES:
            self._create_disk(name)
        for name in DATABASES:
            self.start(name)
        self.wait_until(lambda: self.leader() is not None, "the first leader", 120)
        self._start_haproxy()
        if self.has_pgbouncer:
            self._start_pgbouncer()
        self.wait_until(self.is_redundant, "three members", 180)
        self._create_database(template_url)
        self._start_portal()

    def close(self) -> None:
        with suppress(AttributeError):
            process.stop(self.portal, grace_seconds=1)
        for name in NAMES:
            self.kill(name)
        for started in self.running:
            started.wait()
        self.stripe.close()
        for name in DATABASES:
            subprocess.run(["umount", "-l", self.disk(name)], check=False)

    @property
    def url(self) -> str:
        return f"http://{self.host('app').address}:{PORT}"

    # --- the portal's host -------------------------------------------------------------------------------

    def _start_haproxy(self) -> None:
        config = self.folder / "haproxy.cfg"
        config.write_text(self._own_addresses((FILES / "haproxy.cfg").read_text()))
        self._spawn("app", [find_program("haproxy"), "-db", "-f", config], "haproxy")

    def _start_pgbouncer(self) -> None:
        users = self.folder / "userlist.txt"
        users.write_text(f'"opsportal" "{PASSWORD}"\n')
        config = self.folder / "pgbouncer.ini"
        text = (FILES / "pgbouncer.ini").read_text()
        config.write_text(text.replace("/etc/pgbouncer/userlist.txt", str(users)))
        self._spawn("app", [find_program("pgbouncer"), config], "pgbouncer", user=self.user)

    def _create_database(self, template_url: str) -> None:
        leader = self.leader()
        assert leader
        with psycopg.connect(self.superuser_url(leader), autocommit=True) as connection:
            connection.execute(f"CREATE ROLE opsportal LOGIN PASSWORD '{PASSWORD}'")
            connection.execute("CREATE DATABASE opsportal OWNER opsportal ENCODING 'UTF8'")
        if template_url:
            postgres.copy_database(
                template_url,
                self.superuser_url(leader, "opsportal"),
                binaries=self.postgres,
                owner="opsportal",
            )

    def superuser_url(self, name: str, database: str = "postgres") -> str:
        address = self.host(name).address
        return f"postgresql://postgres:{PASSWORD}@{address}:5432/{database}?connect_timeout=2"

    def environment(self) -> dict[str, str]:
        data = self.folder / "app"
        data.mkdir(exist_ok=True)
        port = 6432 if self.has_pgbouncer else 5432
        url = f"postgresql://opsportal:{PASSWORD}@127.0.0.1:{port}/opsportal"
        return {
            **base_environment(data, url),
            "INSTANCE": "app",
            "BASE_URL": "http://ops.shop.example",
            "ALLOWED_HOSTS": "*",
            "DATABASE_POOL": "0" if self.has_pgbouncer else "8",
            "REDIS_URL": "redis://127.0.0.1:6379/0",
            "STRIPE_API_BASE": self.stripe.base,
            "STRIPE_SECRET_KEY": "sk_test_double",
            "STRIPE_WEBHOOK_SECRETS": self.stripe.secret,
            "ALLOW_PRIVATE_URLS": self.network.gateway,
            "WORKERS": "1",
            "SELF_MONITORING": "false",
        }

    def manage(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self.host("app").prefix, sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=400,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def _start_portal(self) -> None:
        self.manage("prepare")
        command = ["manage.py", "serve", "--host", self.host("app").address, "--port", str(PORT)]
        self.portal = process.spawn(
            [sys.executable, *command],
            log=self.log("portal"),
            env=self.environment(),
            cwd=ROOT,
            prefix=self.host("app").prefix,
        )
        process.wait_until(
            lambda: process.answers(PORT, self.host("app").address),
            process=self.portal,
            log=self.log("portal"),
            seconds=120,
            what="the portal",
        )

    # --- comparison ---------------------------------------------------------------------------------------

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        leader = self.leader()
        assert leader
        with psycopg.connect(self.superuser_url(leader, "opsportal")) as connection:
            return list(connection.execute(sql.encode()).fetchall())

    def write_on(self, name: str) -> str:
        """Connect to a host's database from the host itself, and commit a row. Return "acknowledged" or the error."""
        script = (
            "import psycopg, sys\n"
            f"c = psycopg.connect({self.superuser_url(name, 'opsportal')!r}, autocommit=True)\n"
            "c.execute(\"SET statement_timeout = '3s'\")\n"
            "c.execute('CREATE TABLE IF NOT EXISTS split_brain (at timestamptz)')\n"
            "c.execute('INSERT INTO split_brain VALUES (now())')\n"
            "print('acknowledged')\n"
        )
        done = subprocess.run(
            [*self.host(name).prefix, sys.executable, "-c", script],
            capture_output=True,
            text=True,
            timeout=30,
        )
        return done.stdout.strip() or done.stderr.strip().splitlines()[-1]
