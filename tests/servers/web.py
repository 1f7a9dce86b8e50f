"""Web and store as `serve` runs them, with nobody above them: `python -m tests.servers.web PORT THREADS`."""

import sys
import tempfile
from pathlib import Path

from opsportal import application  # noqa: F401  (sets Django up)
from opsportal.management.commands.serve import load, run_web, store_child

if __name__ == "__main__":
    load()
    with tempfile.TemporaryDirectory(prefix="opsportal-") as folder:
        store = store_child(Path(folder) / "store")
        store.start()
        try:
            run_web("127.0.0.1", int(sys.argv[1]), int(sys.argv[2]))
        finally:
            store.terminate()
