"""Run web and store processes like `serve`, without a supervisor: `python -m tests.servers.web PORT THREADS`."""

import sys
import tempfile
from pathlib import Path

from opsportal import wsgi  # noqa: F401  (the import sets up Django)
from opsportal.management.commands.serve import load, run_web, store_child
from opsportal.server.heartbeat import Heartbeat

if __name__ == "__main__":
    load()
    with tempfile.TemporaryDirectory(prefix="opsportal-") as folder:
        store = store_child(Path(folder) / "store")
        store.start()
        try:
            run_web("127.0.0.1", int(sys.argv[1]), int(sys.argv[2]), Heartbeat())
        finally:
            store.terminate()
