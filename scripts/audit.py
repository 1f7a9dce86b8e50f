"""Ask pip-audit whether a locked package has a known weakness.

It exits 0 when its service cannot be reached, which is no answer; so its report is read, and every package must be in it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.bootstrap import REQUIREMENTS, VENV, locked_here, uv_settings  # noqa: E402

TOOLS = ROOT / ".cache" / "audit"


def main() -> int:
    _install()
    weak = 0
    for lock in ("run.txt", "dev.txt"):
        report = subprocess.run(
            [
                *(str(TOOLS / "bin" / "pip-audit"), "-r", lock, "--disable-pip"),
                *("--require-hashes", "--format", "json", "--progress-spinner", "off"),
                *("--timeout", "20"),
            ],
            cwd=REQUIREMENTS,
            capture_output=True,
            text=True,
            check=False,
        )
        try:
            answered = {d["name"]: d for d in json.loads(report.stdout)["dependencies"]}
        except (ValueError, KeyError):
            print((report.stderr or report.stdout).strip()[-1500:])
            print(f"make audit: no answer for {lock}; nothing is known, so this is a failure")
            return 1
        silent = [name for name in locked_here(REQUIREMENTS / lock) if _unanswered(answered, name)]
        if silent:
            print(f"make audit: no answer about {len(silent)} packages of {lock}: {silent[:5]} …")
            return 1
        for name, found in answered.items():
            for weakness in found["vulns"]:
                weak += 1
                fixed = ", ".join(weakness["fix_versions"]) or "no fix yet"
                print(f"{lock}: {name} {found['version']}: {weakness['id']} (fixed in: {fixed})")
        print(f"{lock}: {len(answered)} packages asked about")
    return 1 if weak else 0


def _unanswered(answered: dict[str, dict[str, object]], name: str) -> bool:
    found = answered.get(name)
    return found is None or "skip_reason" in found


def _install() -> None:
    uv = str(VENV / "bin" / "uv")
    settings = {**os.environ, **uv_settings()}
    python = str(TOOLS / "bin" / "python")
    if not Path(python).exists():
        made = [uv, "venv", "-q", "--python", sys.executable, str(TOOLS)]
        subprocess.run(made, env=settings, check=True)
    install = [uv, "pip", "install", "-q", "--python", python, "--require-hashes", "--no-build"]
    subprocess.run([*install, "-r", "audit.txt"], cwd=REQUIREMENTS, env=settings, check=True)


if __name__ == "__main__":
    sys.exit(main())
