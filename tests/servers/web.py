"""The web server as `serve` runs it, with nobody above it: `python -m tests.servers.web PORT THREADS`."""

import sys

from opsportal import web

if __name__ == "__main__":
    web.run("127.0.0.1", int(sys.argv[1]), int(sys.argv[2]))
