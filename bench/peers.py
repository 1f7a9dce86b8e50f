"""Compare servers that implement the Sentry protocol under the same load, one after another.

    python -m bench.peers systems.toml --connections 8 --append runs.jsonl      measure one round; repeat as needed
    python -m bench.peers systems.toml --table runs.jsonl                       print the medians of all rounds

An event is digested when it is a row in the system's own database. The time is measured from the first request to the
last row. Before you run the benchmark, start each system as its documentation describes for production, and describe
the systems in a file like this:

    ["Portal on SQLite"]
    dsn = "http://KEY@127.0.0.1:8000/1"
    events = 8000                                   # per round, enough for at least ten seconds
    count = "sqlite3 data/opsportal.sqlite3 'SELECT count(*) FROM errors_errorevent'"
    size = "stat -c %s data/opsportal.sqlite3"      # stored bytes without journals
    processes = [4711, 4712]                        # ids of the started processes, without their children
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import msgspec

from bench.processes import family, memory_mb

_TICKS_PER_SECOND = 100  # On every Linux system, CPU times in /proc are in hundredths of a second.
_LAST_ROW_TIMEOUT_SECONDS = 100


class System(msgspec.Struct, forbid_unknown_fields=True):
    dsn: str
    events: int
    count: str
    size: str
    processes: list[int]

    def all_processes(self) -> list[int]:
        return [pid for root in self.processes for pid in family(root)]

    def cpu_seconds(self) -> float:
        """Return the CPU seconds of all processes of the system and of their children that have ended."""
        stats = [Path(f"/proc/{pid}/stat").read_text() for pid in self.all_processes()]
        return (
            sum(sum(map(int, s.rpartition(")")[2].split()[11:15])) for s in stats)
            / _TICKS_PER_SECOND
        )

    def run(self, command: str) -> int:
        completed = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
        return int(completed.stdout)


class Run(msgspec.Struct):
    system: str
    connections: int
    digested_per_s: float
    answered_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float  # The CPU time per event.
    memory_mb: float
    kb_each: float  # The stored size per event.
    missing: int


def measure(name: str, system: System, connections: int) -> Run:
    rows, size, cpu = system.run(system.count), system.run(system.size), system.cpu_seconds()
    load = subprocess.run(
        [
            *(sys.executable, "-m", "bench.ingest_load", "--dsn", system.dsn, "--json"),
            *("--connections", str(connections), "--events", str(system.events)),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    ended = time.monotonic()
    sent = json.loads(load.stdout)
    seconds = sent["elapsed_s"]
    while (digested := system.run(system.count) - rows) < sent["acked"]:
        waited = time.monotonic() - ended
        if waited > _LAST_ROW_TIMEOUT_SECONDS:
            break
        seconds = sent["elapsed_s"] + waited
        time.sleep(0.25)
    return Run(
        system=name,
        connections=connections,
        digested_per_s=digested / seconds,
        answered_per_s=sent["acked_per_s"],
        p50_ms=sent["p50_ms"],
        p99_ms=sent["p99_ms"],
        cpu_ms=1000 * (system.cpu_seconds() - cpu) / digested,
        memory_mb=memory_mb(system.all_processes()),
        kb_each=(system.run(system.size) - size) / digested / 1000,
        missing=sent["acked"] - digested,
    )


def table(runs: list[Run]) -> str:
    """Return a table with the medians of all rounds, and the largest memory."""
    lines = [
        "| system | connections | digested/s | answered/s | p50 ms | p99 ms | CPU ms per event | memory, MB | KB per event | rounds |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for connections in sorted({run.connections for run in runs}):
        for name in dict.fromkeys(run.system for run in runs):
            own = [run for run in runs if run.system == name and run.connections == connections]
            if not own:
                continue

            def median(field: str, own: list[Run] = own) -> float:
                return statistics.median(getattr(run, field) for run in own)

            lines.append(
                f"| {name} | {connections} | {median('digested_per_s'):,.0f} | {median('answered_per_s'):,.0f}"
                f" | {median('p50_ms'):,.1f} | {median('p99_ms'):,.1f} | {median('cpu_ms'):,.2f}"
                f" | {max(run.memory_mb for run in own):,.0f} | {median('kb_each'):,.1f} | {len(own)} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("systems", type=Path)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--only", default="", help="measure only systems whose name contains this")
    parser.add_argument("--append", type=Path, help="append the figures of this round to a file")
    parser.add_argument(
        "--table", type=Path, help="print the medians of a file without a measurement"
    )
    options = parser.parse_args()
    if options.table:
        lines = options.table.read_bytes().splitlines()
        print(table([msgspec.json.decode(line, type=Run) for line in lines]))
        return
    descriptions = tomllib.loads(options.systems.read_text())
    for name, system in msgspec.convert(descriptions, dict[str, System]).items():
        if options.only in name:
            run = measure(name, system, options.connections)
            print(run, flush=True)
            if options.append:
                with options.append.open("ab") as runs:
                    runs.write(msgspec.json.encode(run) + b"\n")


if __name__ == "__main__":
    main()
