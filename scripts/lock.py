"""Lock the requirements with versions and hashes, without index URLs, for Python 3.11 and later (`make lock`)."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.bootstrap import REQUIREMENTS, VENV, uv_settings  # noqa: E402


def main() -> int:
    settings = {**os.environ, **uv_settings()}
    # With this variable, uv would write the path of a local folder into the lock.
    settings.pop("UV_FIND_LINKS", None)
    for name in ("uv", "run", "dev", "audit", "clients", "otel", "patroni"):
        command = [str(VENV / "bin" / "uv"), "pip", "compile", "-q", "--universal"]
        command += ["--python-version", "3.11", "--generate-hashes", "--no-header", *sys.argv[1:]]
        code = subprocess.call(
            [*command, f"{name}.in", "-o", f"{name}.txt"], cwd=REQUIREMENTS, env=settings
        )
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
