"""Run the portal with a real web process, store process and, optionally, worker cluster, on its own database."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import redis

from tests.servers import process

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Seeded:
    app_id: int
    public_key: str
    api_key: str
    session: str


@dataclass(frozen=True)
class Template:
    """A migrated and seeded database and collected static files, created once and reused by every portal."""

    folder: Path
    postgres_url: str  # Empty if the template is a SQLite file.
    seeded: Seeded


def base_environment(data_dir: Path, database_url: str) -> dict[str, str]:
    kept = (
        "PATH",
        "HOME",
        "LANG",
        "LC_ALL",
        "TMPDIR",
        "VIRTUAL_ENV",
        "PYTHONPATH",
        "PG_BIN",
        "COVERAGE_PROCESS_CONFIG",
    )
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "DATA_DIR": str(data_dir),
        "DATABASE_URL": database_url,
        "SECRET_KEY": "tests-only-tests-only-tests-only-tests-only-tests-only",
        "STATICFILES_STORAGE": "django.contrib.staticfiles.storage.StaticFilesStorage",
        "LOG_FORMAT": "json",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def make_template(folder: Path, postgres_url: str = "") -> Template:
    """Create the template. `postgres_url` is the URL of the server's maintenance database, or "" for SQLite."""
    template_url = ""
    if postgres_url:
        name = f"portal_template_{uuid.uuid4().hex[:8]}"
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        template_url = postgres_url.rsplit("/", 1)[0] + f"/{name}"
    # Seeding creates a channel for each of these settings. Each portal overrides the addresses with its own settings.
    environment = base_environment(folder, template_url) | {
        "DATABASE_POOL": "0",
        "SLACK_WEBHOOK_URL": "https://hooks.slack.example/seed",
        "ALERT_EMAILS": "ops@shop.example",
    }
    seeding = subprocess.run(
        [sys.executable, "-m", "tests.servers.seed"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    if seeding.returncode:
        raise process.DidNotStart(f"creating the template failed\n{seeding.stderr[-4000:]}")
    if not template_url:  # Empty the WAL, because only the database file is copied.
        with sqlite3.connect(folder / "opsportal.sqlite3") as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()
    return Template(folder, template_url, Seeded(**json.loads(seeding.stdout.splitlines()[-1])))


class Portal:
    """A portal on 127.0.0.1. `kill()` ends it without a shutdown, and `restart()` starts it again on the same data."""

    def __init__(
        self,
        template: Template,
        data_dir: Path,
        *,
        redis_url: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.template = template
        self.data_dir = data_dir
        self.seeded = template.seeded
        self.port = process.free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.database_url = self._copy_database()
        (data_dir / "static").symlink_to(template.folder / "static")
        # The stamp keeps this portal from collecting static files again and thereby deleting the shared files, which
        # other portals use.
        shutil.copy(template.folder / "static.stamp", data_dir)
        self.environment = {
            **base_environment(data_dir, self.database_url),
            "BASE_URL": self.base_url,
            "REDIS_URL": redis_url,
            "DATABASE_POOL": "8",
            **(environment or {}),
        }
        self.redis_url = self.environment["REDIS_URL"]
        if self.redis_url:
            with redis.Redis.from_url(self.redis_url) as client:
                client.flushdb()
        self.web: subprocess.Popen[bytes] | None = None
        self.worker: subprocess.Popen[bytes] | None = None
        self.client = httpx.Client(base_url=self.base_url, timeout=30)

    # --- credentials ------------------------------------------------------------------------------

    @property
    def dsn(self) -> str:
        return f"http://{self.seeded.public_key}@127.0.0.1:{self.port}/{self.seeded.app_id}"

    @property
    def public_key(self) -> str:
        return self.seeded.public_key

    @property
    def api_key(self) -> str:
        """Return a secret key with every scope."""
        return self.seeded.api_key

    @property
    def api(self) -> dict[str, str]:
        """Return headers that authenticate as the app: `portal.client.post(url, headers=portal.api, json=…)`."""
        return {"Authorization": f"Bearer {self.api_key}"}

    @property
    def staff(self) -> dict[str, str]:
        """Return headers with the owner's session: `portal.client.get("/admin/", headers=portal.staff)`."""
        return {"Cookie": f"sessionid={self.seeded.session}"}

    # --- processes --------------------------------------------------------------------------------

    def web_command(self) -> list[str]:
        return [sys.executable, "-m", "tests.servers.web", str(self.port), "16"]

    def start(self) -> None:
        self.web = process.spawn(
            self.web_command(),
            log=self.web_log,
            env=self.environment,
            cwd=ROOT,
        )
        process.wait_until(
            lambda: process.answers(self.port),
            process=self.web,
            log=self.web_log,
            what="the portal",
        )

    def start_worker(self) -> None:
        """Start the worker cluster, which runs scheduled jobs and queued tasks."""
        self.worker = process.spawn(
            [sys.executable, "manage.py", "qcluster"],
            log=self.worker_log,
            env=self.environment,
            cwd=ROOT,
        )

    def kill(self) -> None:
        """Kill the web process and its store process with SIGKILL."""
        if self.web:
            process.kill_group(self.web)

    def kill_worker(self) -> None:
        if self.worker:
            process.kill_group(self.worker)

    def find_workers(self, role: str) -> list[int]:
        """Return the process ids of the worker cluster's processes with this role, such as "loops" or "work"."""
        assert self.worker
        name = f"opsportal {role}"[:15]
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                before, _, after = path.read_text().rpartition(") ")
            except OSError:  # The process has ended.
                continue
            if before.endswith(f"({name}") and int(after.split()[2]) == self.worker.pid:
                found.append(int(path.parent.name))
        return sorted(found)

    def restart(self) -> None:
        """Stop the web process if it is running, and start it on the same data and port."""
        if self.web:
            process.stop(self.web)
        self.client.close()
        self.client = httpx.Client(base_url=self.base_url, timeout=30)
        self.start()

    def stop(self) -> None:
        self.client.close()
        if self.worker:
            process.stop(self.worker, grace_seconds=3)
        if self.web:
            process.stop(self.web, grace_seconds=3)
        if self.template.postgres_url:
            self._on_server(f'DROP DATABASE IF EXISTS "{self._database_name}" WITH (FORCE)')

    def manage(self, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a management command in the portal's environment, and return the completed process with its output."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    # --- database and logs ------------------------------------------------------------------------

    @property
    def web_log(self) -> Path:
        return self.data_dir / "web.log"

    @property
    def worker_log(self) -> Path:
        return self.data_dir / "worker.log"

    def rows(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Run and commit one statement in the portal's database, and return its rows. Placeholders are always `%s`."""
        if self.template.postgres_url:
            with psycopg.connect(self.database_url, autocommit=True) as connection:
                cursor = connection.execute(sql.encode(), parameters)
                return list(cursor.fetchall()) if cursor.description else []
        database = sqlite3.connect(self.data_dir / "opsportal.sqlite3", timeout=20)
        try:
            with database:
                return database.execute(sql.replace("%s", "?"), parameters).fetchall()
        finally:
            database.close()

    def value(self, sql: str, parameters: tuple[Any, ...] = ()) -> Any:
        """Run a statement as `rows` does, and return the first column of the first row, or None without a row."""
        rows = self.rows(sql, parameters)
        return rows[0][0] if rows else None

    def wait_for(
        self, condition: Callable[[], Any], seconds: float = 60, what: str = "the condition"
    ) -> Any:
        """Wait until `condition()` is true, and return its result. After `seconds`, fail with the end of each log."""
        deadline = time.monotonic() + seconds
        while not (outcome := condition()):
            assert time.monotonic() < deadline, (
                f"{what} was not met within {seconds:g} s\n{self.log_ends()}"
            )
            time.sleep(0.05)
        return outcome

    def log_ends(self) -> str:
        logs = [log for log in (self.web_log, self.worker_log) if log.exists()]
        return "\n".join(f"{log.name}: {log.read_text(errors='replace')[-2000:]}" for log in logs)

    # --- copying the template ---------------------------------------------------------------------

    def _copy_database(self) -> str:
        if not self.template.postgres_url:
            copy = self.data_dir / "opsportal.sqlite3"
            shutil.copy(self.template.folder / "opsportal.sqlite3", copy)
            return f"sqlite:///{copy}"
        self._database_name = f"portal_{uuid.uuid4().hex[:12]}"
        template_name = self.template.postgres_url.rsplit("/", 1)[1]
        self._on_server(f'CREATE DATABASE "{self._database_name}" TEMPLATE "{template_name}"')
        return f"{self.template.postgres_url.rsplit('/', 1)[0]}/{self._database_name}"

    def _on_server(self, sql: str) -> None:
        maintenance = self.template.postgres_url.rsplit("/", 1)[0] + "/postgres"
        with psycopg.connect(maintenance, autocommit=True) as connection:
            connection.execute(sql.encode())
