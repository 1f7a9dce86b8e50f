"""`python -m tests.run [pytest arguments]`: the suite on SQLite, then again on a real PostgreSQL and a real Redis.

Each run states what it expects (EXPECT_DB, EXPECT_REDIS), and pytest refuses to start on anything else.
`--only sqlite` or `--only postgresql` does one of the two.

The tests share the machine with each other: with real servers, browsers and kills, one can run out of time because its
neighbor is busy. So a few that failed run once more, alone; what fails then has failed, and what passes is named as unsteady.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.servers.postgres import PostgresServer
from tests.servers.redis_server import RedisServer

ROOT = Path(__file__).resolve().parent.parent
MOST_UNSTEADY = 8  # more than that is no accident
TESTS_FAILED = 1  # pytest's exit code
FAILED_AND_LEFT_OUT = 7  # tests/conftest.py's


def run_pytest(title: str, environment: dict[str, str], arguments: list[str]) -> int:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")
    }
    cache = ROOT / ".cache" / "pytest" / environment["EXPECT_DB"]

    def pytest(*given: str) -> int:
        return subprocess.call(
            [sys.executable, "-m", "pytest", "-o", f"cache_dir={cache}", *given],
            cwd=ROOT,
            env={**inherited, **environment},
        )

    started = time.monotonic()
    print(f"--- {title}", flush=True)
    (cache / "v" / "cache" / "lastfailed").unlink(missing_ok=True)
    code = pytest(*arguments)
    failed = failures(cache)
    left_out = code == FAILED_AND_LEFT_OUT
    if (code == TESTS_FAILED or left_out) and 0 < len(failed) <= MOST_UNSTEADY:
        print(f"--- {title}: {len(failed)} failed beside others; once more, alone", flush=True)
        code = pytest("-n0", "-rfEs", *failed)
        if code == 0:
            for name in failed:
                print(f"UNSTEADY: {name} failed beside others and passed alone")
            code = TESTS_FAILED if left_out else 0
    print(f"--- {title}: exit {code}, {time.monotonic() - started:.0f} s\n", flush=True)
    return code


def failures(cache: Path) -> list[str]:
    """The tests that the last run under this cache saw fail."""
    try:
        return sorted(json.loads((cache / "v" / "cache" / "lastfailed").read_text()))
    except FileNotFoundError:
        return []


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
                "PG_BIN": str(postgres.binaries),  # pg_dump refuses a server newer than itself
            }
            if "-m" not in arguments:
                # What a browser shows does not depend on the database, and the first run has shown it.
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
    runs = {"sqlite": on_sqlite, "postgresql": on_real_servers}
    codes = [run(arguments) for name, run in runs.items() if options.only in (None, name)]
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main())
