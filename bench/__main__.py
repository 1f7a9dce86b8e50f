"""Run the benchmarks one after another, print their tables and write them to docs/performance.md (`make bench`).

    make bench                          run every benchmark, which takes about forty minutes on two idle cores
    make bench ARGS="reserve payments"  run only these two benchmarks

Each benchmark runs in its own process on its own data. Compare ratios within one run, not figures from two machines.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.performance_page import write_section

ROOT = Path(__file__).resolve().parent.parent

# Maps the name of a benchmark to its heading in the page and its commands, the last of which prints the table.
BENCHMARKS: dict[str, tuple[str, list[list[str]]]] = {
    "reserve": ("Reservations", [["-m", "bench.reserve"]]),
    "reserve-http": ("Reservations through HTTP", [["-m", "bench.reserve_http"]]),
    "payments": ("Payments and webhooks", [["-m", "bench.payments"]]),
    "limits": ("Cost of the rate limit", [["-m", "bench.limits"]]),
    "alert-latency": ("From a critical error to its notification", [["-m", "bench.alert_latency", "50"]]),
    "health-pages": (
        "The health page with 90 days of history, a month of sales and a million errors",
        [
            ["manage.py", "prepare"],
            ["-m", "bench.seed_health"],
            ["-m", "bench.seed_sales"],
            ["-m", "bench.seed_errors", "--events", "1000000", "--payload-every", "100"],
            ["-m", "bench.health_page"],
        ],
    ),
    "alerts-at-size": (
        "Alerts over five million events",
        [
            ["manage.py", "prepare"],
            ["-m", "bench.seed_health"],
            ["-m", "bench.seed_errors", "--events", "5000000", "--groups", "8000", "--only-rollups"],
            ["-m", "bench.alerts_load"],
        ],
    ),
    "channel-outages": ("Alerts while channels fail", [["-m", "bench.channel_outages"]]),
    "outages": ("Outages of dependencies", [["-m", "bench.outages"]]),
    "error-pages": (
        "Error pages over a million events",
        [["manage.py", "prepare"], ["-m", "bench.seed_errors", "--events", "1000000"], ["-m", "bench.pages"]],
    ),
    "error-lists": (
        "Lists of errors, logs and releases over five million events",
        [
            ["manage.py", "prepare"],
            ["-m", "bench.seed_errors", "--events", "5000000", "--groups", "20000", "--payload-every", "20"],
            ["-m", "bench.seed_logs", "--entries", "300000"],
            ["-m", "bench.api_lists"],
        ],
    ),
    "retention": (
        "Ingestion while retention runs",
        [
            ["manage.py", "prepare"],
            ["-m", "bench.seed_errors", "--events", "600000", "--days", "15"],
            ["-m", "bench.retention"],
        ],
    ),
}  # fmt: skip


def run(commands: list[list[str]]) -> tuple[int, str]:
    """Run the commands in order until one fails. Return the exit code and the output of the last command."""
    printed = ""
    with tempfile.TemporaryDirectory() as folder:
        for command in commands:
            completed = subprocess.run(
                [sys.executable, *command],
                cwd=ROOT,
                env={**os.environ, "DATA_DIR": folder, "LOG_LEVEL": "ERROR"},
                stdout=subprocess.PIPE,
                text=True,
            )
            printed = completed.stdout.strip()
            print(printed, flush=True)
            if completed.returncode:
                return completed.returncode, printed
    return 0, printed


def main() -> int:
    names = ["ingest", *BENCHMARKS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", help=f"benchmarks to run, from: {', '.join(names)}")
    chosen = parser.parse_args().names or names
    if unknown := [name for name in chosen if name not in names]:
        parser.error(f"unknown benchmark {', '.join(unknown)}; choose from {', '.join(names)}")
    exit_code = 0
    for name in chosen:
        print(f"--- {name}", flush=True)
        if name == "ingest":
            exit_code |= subprocess.call(
                [sys.executable, "-m", "bench.ingest", "--write"], cwd=ROOT
            )
            continue
        heading, commands = BENCHMARKS[name]
        code, printed = run(commands)
        if code:
            print(f"--- {name} failed with exit code {code}", flush=True)
            exit_code |= code
        else:
            write_section(heading, f"```text\n{printed}\n```")
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
