"""`make bench`: every benchmark in turn; their tables are printed and written to docs/performance.md.

    make bench                          all of it, about forty minutes on two quiet cores
    make bench ARGS="reserve payments"  some of it

Each runs in a process of its own with data of its own. Compare ratios within one run, not figures of two machines.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.performance_page import write_section

ROOT = Path(__file__).resolve().parent.parent

# name -> heading, and the commands that make its table: the last one prints it
BENCHMARKS: dict[str, tuple[str, list[list[str]]]] = {
    "reserve": ("Reservations", [["-m", "bench.reserve"]]),
    "reserve-http": ("Reservations through HTTP", [["-m", "bench.reserve_http"]]),
    "payments": ("Payments and webhooks", [["-m", "bench.payments"]]),
    "limits": ("What the rate limit costs", [["-m", "bench.limits"]]),
    "alert-latency": ("From a critical error to its message", [["-m", "bench.alert_latency", "50"]]),
    "health-pages": (
        "The health page with 90 days of history and a million errors",
        [
            ["manage.py", "prepare"],
            ["-m", "bench.seed_health"],
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
    "outages": ("What it stands on, taken away", [["-m", "bench.outages"]]),
    "error-pages": (
        "Error pages over a million events",
        [["manage.py", "prepare"], ["-m", "bench.seed_errors", "--events", "1000000"], ["-m", "bench.pages"]],
    ),
    "retention": (
        "Taking errors while old ones are removed",
        [
            ["manage.py", "prepare"],
            ["-m", "bench.seed_errors", "--events", "600000", "--days", "15"],
            ["-m", "bench.retention"],
        ],
    ),
}  # fmt: skip


def run(commands: list[list[str]]) -> tuple[int, str]:
    """The exit code of the first command that failed, or 0, and what the last one printed."""
    printed = ""
    with tempfile.TemporaryDirectory() as folder:
        for command in commands:
            done = subprocess.run(
                [sys.executable, *command],
                cwd=ROOT,
                env={**os.environ, "DATA_DIR": folder, "LOG_LEVEL": "ERROR"},
                stdout=subprocess.PIPE,
                text=True,
            )
            printed = done.stdout.strip()
            print(printed, flush=True)
            if done.returncode:
                return done.returncode, printed
    return 0, printed


def main() -> int:
    names = ["ingest", *BENCHMARKS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", help=f"some of: {', '.join(names)}")
    chosen = parser.parse_args().names or names
    if unknown := [name for name in chosen if name not in names]:
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(names)}")
    worst = 0
    for name in chosen:
        print(f"--- {name}", flush=True)
        if name == "ingest":
            worst |= subprocess.call([sys.executable, "-m", "bench.ingest", "--write"], cwd=ROOT)
            continue
        heading, commands = BENCHMARKS[name]
        code, printed = run(commands)
        if code:
            print(f"--- {name} failed with exit code {code}", flush=True)
            worst |= code
        else:
            write_section(heading, f"```text\n{printed}\n```")
    return worst


if __name__ == "__main__":
    sys.exit(main())
