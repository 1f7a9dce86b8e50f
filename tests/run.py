"""Run the suite on SQLite, then on a real PostgreSQL and a real Redis: `python -m tests.run [pytest arguments]`.

Each run sets the services that it expects (EXPECT_DB, EXPECT_REDIS), and pytest refuses to start with other services.
`--only sqlite` or `--only postgresql` starts only one of the two runs.

Failed tests are not repeated: a test whose result depends on the load of the machine must be fixed.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.servers.postgres import PostgresServer
from tests.servers.redis_server import RedisServer

ROOT = Path(__file__).resolve().parent.parent


def run_pytest(title: str, environment: dict[str, str], arguments: list[str]) -> int:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")
    }
    cache = ROOT / ".cache" / "pytest" / environment["EXPECT_DB"]
    started = time.monotonic()
    print(f"--- {title}", flush=True)
    code = subprocess.call(
        [sys.executable, "-m", "pytest", "-o", f"cache_dir={cache}", *arguments],
        cwd=ROOT,
        env={**inherited, **environment},
    )
    print(f"--- {title}: exit {code}, {time.monotonic() - started:.0f} s\n", flush=True)
    return code


def on_sqlite(arguments: list[str]) -> int:
    return run_pytest("SQLite", {"EXPECT_DB": "sqlite", "EXPECT_REDIS": "0"}, arguments)


def on_real_servers(arguments: list[str]) -> int:
    redis = RedisServer()
    try:
        postgres = PostgresServer()
        try:
            environment = {
                "EXPECT_DB": "postgresql",
                "EXPECT_REDIS": "1",
                "DATABASE_URL": postgres.url("opsportal"),
                "REDIS_URL": redis.url(0),
                "PG_BIN": str(postgres.binaries),  # pg_dump refuses servers newer than itself.
            }
            if "-m" not in arguments:
                # Browser tests run only once, because pages do not depend on the database.
                arguments = ["-m", "not browser", *arguments]
            return run_pytest("PostgreSQL and Redis", environment, arguments)
        finally:
            postgres.stop()
    finally:
        redis.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    options, arguments = parser.parse_known_args()
    if not any(argument.startswith("-n") for argument in arguments):
        arguments = ["-n", str(min(os.cpu_count() or 1, 4)), *arguments]
    if not any(argument.startswith("-r") for argument in arguments):
        arguments = ["-rfEs", *arguments]
    if not any(argument.startswith("--durations") for argument in arguments):
        arguments = ["--durations=20", *arguments]
    runs = {"sqlite": on_sqlite, "postgresql": on_real_servers}
    codes = [run(arguments) for name, run in runs.items() if options.only in (None, name)]
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main())
