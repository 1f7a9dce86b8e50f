"""Hand over the primary when the disk of its node is nearly full: `python3 disk_guard.py /etc/patroni/config.yml`.

The program runs on each database node beside Patroni (disk_guard.service). Patroni does not react to a full disk,
because PostgreSQL continues to run and only refuses writes. If the handover fails, the program stops PostgreSQL, and
Patroni promotes the synchronous standby. By default, a node hands over at most once in ten minutes (--pause), so that
nodes with full disks do not hand over to each other in a loop.
"""

import argparse
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import yaml

MIN_FREE_BYTES = 32 * 1024 * 1024
MIN_FREE_SHARE = 0.02
CHECK_SECONDS = 2
HANDOVER_SECONDS = 12


def call(address: str, path: str, body: object = None) -> int:
    """Return the HTTP status of Patroni's response, or 0 if Patroni does not respond."""
    data = json.dumps(body).encode() if body is not None else None
    try:
        with urllib.request.urlopen(f"http://{address}{path}", data, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def is_nearly_full(folder: str) -> bool:
    try:
        usage = shutil.disk_usage(folder)
    except FileNotFoundError:  # The node has no data folder yet.
        return False
    return usage.free < max(MIN_FREE_BYTES, MIN_FREE_SHARE * usage.total)


def hand_over(config: dict[str, Any], address: str) -> None:
    server = config["postgresql"]
    status = call(address, "/switchover", {"leader": config["name"]})
    print(f"the disk is nearly full; the primary is handed over: {status}", flush=True)
    deadline = time.monotonic() + HANDOVER_SECONDS
    while time.monotonic() < deadline:
        if call(address, "/primary") != 200:
            return
        time.sleep(1)
    print("the handover failed; PostgreSQL is stopped", flush=True)
    pg_ctl = Path(server["bin_dir"]) / "pg_ctl"
    subprocess.run([pg_ctl, "stop", "-m", "immediate", "-D", server["data_dir"]], check=False)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Hand over the primary when its disk is nearly full."
    )
    parser.add_argument("config", type=Path, help="Patroni's configuration")
    parser.add_argument("--pause", type=float, default=600, help="seconds between two handovers")
    options = parser.parse_args()
    config = yaml.safe_load(options.config.read_text())
    address = config["restapi"]["connect_address"]
    while True:
        time.sleep(CHECK_SECONDS)
        if is_nearly_full(config["postgresql"]["data_dir"]) and call(address, "/primary") == 200:
            hand_over(config, address)
            time.sleep(options.pause)


if __name__ == "__main__":
    main()
