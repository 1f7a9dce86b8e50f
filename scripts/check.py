"""Run every check that needs no running portal. All steps run, and the last line names the steps that failed.

A note after a step names the parts that the step could not check.
"""

import os
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
MANAGE = [sys.executable, "manage.py"]
STEPS: dict[str, list[str]] = {
    "format": [str(BIN / "ruff"), "format", "--check", "--quiet", "."],
    "lint": [str(BIN / "ruff"), "check", "--quiet", "."],
    "spelling": [str(BIN / "codespell")],
    "templates": [str(BIN / "djlint"), "templates", "--lint", "--quiet"],
    "template indentation": [sys.executable, "scripts/check_indentation.py"],
    "columns": [sys.executable, "scripts/check_columns.py"],
    "pictures": [sys.executable, "scripts/check_pictures.py"],
    "commits": [sys.executable, "scripts/check_commits.py"],
    "layers": [str(BIN / "lint-imports"), "--no-cache"],
    "migrations": [*MANAGE, "makemigrations", "--check", "--dry-run"],
    "deployment settings": [*MANAGE, "check", "--deploy", "--fail-level", "WARNING"],
    "types": [str(BIN / "mypy"), "."],
}
# Settings of a portal in production: behind a proxy that serves HTTPS.
PRODUCTION = {"BASE_URL": "https://ops.shop.example", "TRUSTED_PROXY_COUNT": "1"}


def main() -> int:
    failed = []
    with tempfile.TemporaryDirectory() as data_dir:
        production = {**PRODUCTION, "SECRET_KEY": secrets.token_urlsafe(64)}
        for name, command in STEPS.items():
            started = time.monotonic()
            environment = {**os.environ, "DATA_DIR": data_dir}
            if name == "deployment settings":
                environment.update(production)
            step = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
            )
            outcome = "ok" if step.returncode == 0 else "FAILED"
            print(f"{name:<20} {outcome:<6} {time.monotonic() - started:5.1f} s", flush=True)
            if step.returncode:
                failed.append(name)
                print((step.stdout + step.stderr).strip()[-6000:], flush=True)
            elif step.stdout.startswith("note: "):
                print(step.stdout.strip(), flush=True)
    print(f"make check failed: {', '.join(failed)}" if failed else "make check: all steps passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
