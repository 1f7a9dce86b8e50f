"""Fail on templates whose indentation differs from djhtml's.

`unindented_templates.txt` lists the templates that are not indented yet, which the check skips. The list may only
shrink. `--fix`, which `make format` uses, indents all other templates.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KNOWN = Path(__file__).with_name("unindented_templates.txt")
DJHTML = [str(Path(sys.executable).parent / "djhtml"), "--tabwidth", "2"]


def is_indented(template: str) -> bool:
    run = subprocess.run([*DJHTML, "--check", template], cwd=ROOT, capture_output=True, check=False)
    return run.returncode == 0


def main() -> int:
    known = set(KNOWN.read_text().split())
    templates = {path.relative_to(ROOT).as_posix() for path in (ROOT / "templates").rglob("*.html")}
    rest = sorted(templates - known)
    if "--fix" in sys.argv:
        return subprocess.run([*DJHTML, *rest], cwd=ROOT, check=False).returncode
    run = subprocess.run(
        [*DJHTML, "--check", *rest], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if run.returncode:
        print(run.stderr.strip() or run.stdout.strip(), "(run `make format`)")
    stale = sorted(one for one in known if one not in templates or is_indented(one))
    for one in stale:
        print(f"{one} is indented now or was deleted; remove it from {KNOWN.name}")
    return 1 if run.returncode or stale else 0


if __name__ == "__main__":
    sys.exit(main())
