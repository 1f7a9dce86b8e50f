"""Write a software bill of materials of the locked packages that the portal uses, as CycloneDX JSON (`make sbom`).

The result is reproducible: it has no timestamp and no serial number.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.bootstrap import REQUIREMENTS, install_tools  # noqa: E402

TOOLS = ROOT / ".cache" / "audit"
OUTPUT = ROOT / ".cache" / "opsportal.cdx.json"


def main() -> int:
    install_tools(TOOLS, REQUIREMENTS / "audit.txt")
    code = subprocess.call(
        [
            *(TOOLS / "bin" / "cyclonedx-py", "requirements", REQUIREMENTS / "run.txt"),
            *("--pyproject", ROOT / "pyproject.toml", "--output-reproducible", "-o", OUTPUT),
        ],
        cwd=ROOT,
    )
    if not code:
        print(f"written: {OUTPUT.relative_to(ROOT)}")
    return code


if __name__ == "__main__":
    sys.exit(main())
