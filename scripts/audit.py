"""Check the locked packages for known vulnerabilities with pip-audit (`make audit`).

pip-audit exits with 0 even when its service is unreachable. Therefore, the script parses the report, which must cover
every package that is locked for this system.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.bootstrap import REQUIREMENTS, install_tools, locked_here  # noqa: E402

TOOLS = ROOT / ".cache" / "audit"


def main() -> int:
    install_tools(TOOLS, REQUIREMENTS / "audit.txt")
    vulnerability_count = 0
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
            reported = {d["name"]: d for d in json.loads(report.stdout)["dependencies"]}
        except (ValueError, KeyError):
            print((report.stderr or report.stdout).strip()[-1500:])
            print(
                f"make audit: pip-audit returned no report for {lock}, so nothing is known about it"
            )
            return 1
        missing = [name for name in locked_here(REQUIREMENTS / lock) if _is_missing(reported, name)]
        if missing:
            print(
                f"make audit: {len(missing)} packages of {lock} were not checked: {missing[:5]} …"
            )
            return 1
        for name, package in reported.items():
            for vulnerability in package["vulns"]:
                vulnerability_count += 1
                fixed = ", ".join(vulnerability["fix_versions"]) or "not fixed yet"
                print(
                    f"{lock}: {name} {package['version']}: {vulnerability['id']} (fixed in: {fixed})"
                )
        print(f"{lock}: {len(reported)} packages checked")
    return 1 if vulnerability_count else 0


def _is_missing(reported: dict[str, dict[str, object]], name: str) -> bool:
    package = reported.get(name)
    return package is None or "skip_reason" in package


if __name__ == "__main__":
    sys.exit(main())
