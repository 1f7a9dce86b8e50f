"""Any servers that speak the Sentry protocol, in turn under the same load: how many events a second each has digested.

    python -m bench.peers systems.toml --connections 8 --append runs.jsonl      one round; repeat it at will
    python -m bench.peers systems.toml --table runs.jsonl                       the medians of all rounds

An event counts when it is a row in the system's own database: the clock runs from the first request to the last row. All
systems are started beforehand, each as its documentation says for production, and described in a file like this:

    ["Portal on SQLite"]
    dsn = "http://KEY@127.0.0.1:8000/1"
    events = 8000                                   # to send in a round, for some ten seconds or more
    count = "sqlite3 data/opsportal.sqlite3 'SELECT count(*) FROM errors_errorevent'"
    size = "stat -c %s data/opsportal.sqlite3"      # bytes of what it keeps, its journals left out
    processes = [4711, 4712]                        # those that it was started with; their children are found
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

_TICKS = 100  # a second, in /proc, on every Linux
_PATIENCE = 100  # seconds until the last row


class System(msgspec.Struct, forbid_unknown_fields=True):
    dsn: str
    events: int
    count: str
    size: str
    processes: list[int]

    def all_processes(self) -> list[int]:
        return [pid for root in self.processes for pid in family(root)]

    def cpu_seconds(self) -> float:
        """Of all its processes and of those that ended under them."""
        stats = [Path(f"/proc/{pid}/stat").read_text() for pid in self.all_processes()]
        return sum(sum(map(int, s.rpartition(")")[2].split()[11:15])) for s in stats) / _TICKS

    def ask(self, command: str) -> int:
        done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
        return int(done.stdout)


class Run(msgspec.Struct):
    system: str
    connections: int
    digested_per_s: float
    answered_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float  # an event
    memory_mb: float
    kb_each: float
    missing: int


def measure(name: str, system: System, connections: int) -> Run:
    rows, size, cpu = system.ask(system.count), system.ask(system.size), system.cpu_seconds()
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
    while (digested := system.ask(system.count) - rows) < sent["acked"]:
        waited = time.monotonic() - ended
        if waited > _PATIENCE:
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
        kb_each=(system.ask(system.size) - size) / digested / 1000,
        missing=sent["acked"] - digested,
    )


def table(runs: list[Run]) -> str:
    """The medians of all rounds."""
    lines = [
        "| system | connections | digested/s | answered/s | p50 ms | p99 ms | CPU ms an event | memory, MB | KB an event | rounds |",
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
    parser.add_argument("--only", default="", help="systems whose name has this")
    parser.add_argument("--append", type=Path, help="keep this round's figures in that file")
    parser.add_argument("--table", type=Path, help="measure nothing: the medians of that file")
    options = parser.parse_args()
    if options.table:
        kept = options.table.read_bytes().splitlines()
        print(table([msgspec.json.decode(line, type=Run) for line in kept]))
        return
    described = tomllib.loads(options.systems.read_text())
    for name, system in msgspec.convert(described, dict[str, System]).items():
        if options.only in name:
            run = measure(name, system, options.connections)
            print(run, flush=True)
            if options.append:
                with options.append.open("ab") as runs:
                    runs.write(msgspec.json.encode(run) + b"\n")


if __name__ == "__main__":
    main()
