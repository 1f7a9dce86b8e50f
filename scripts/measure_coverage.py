"""Run the suite on SQLite under coverage.py, print the figure, and list untested code of payments and ingestion.

    python scripts/measure_coverage.py [pytest arguments]

Programs that the tests start are measured as well, unless a test kills them.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".cache" / "coverage"
# A mistake in these files could lose money or errors, so the output lists each branch that no test takes.
CRITICAL = ("payments/services", "reservations/services", "errors/ingest", "errors/store")


def coverage(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "COVERAGE_FILE": str(FOLDER / "data")}
    return subprocess.run(
        [sys.executable, "-m", "coverage", *arguments], cwd=ROOT, env=environment, check=False
    )


def main() -> int:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    tests = coverage("run", "-m", "tests.run", "--only", "sqlite", *sys.argv[1:])
    coverage("combine", "--quiet")
    report = FOLDER / "report.json"
    coverage("json", "--quiet", "-o", str(report))
    coverage("html", "--quiet", "-d", str(FOLDER / "html"))
    if not report.exists():
        return tests.returncode or 1
    measured = json.loads(report.read_text())
    for line in incomplete(measured["files"]):
        print(line)
    totals = measured["totals"]
    print(
        f"coverage: {totals['percent_covered']:.1f} % of lines and branches; "
        f"{totals['missing_lines']} lines and {totals['missing_branches']} branches are not reached "
        f"(pages in {(FOLDER / 'html').relative_to(ROOT)})"
    )
    return tests.returncode


def incomplete(files: dict[str, dict[str, Any]]) -> list[str]:
    """Return a line for each critical file below 100 %, with the lines and branches that no test takes.

    Branches from or to a line that is already listed are left out.
    """
    sentences = []
    for name, found in sorted(files.items()):
        if not name.startswith(CRITICAL):
            continue
        lines: list[int] = found["missing_lines"]
        jumps = [jump(*pair) for pair in found["missing_branches"] if not set(pair) & set(lines)]
        parts = [f"lines {spans(lines)}"] if lines else []
        parts += [f"branches {', '.join(jumps)}"] if jumps else []
        if parts:
            sentences.append(f"{name}: not reached: {'; '.join(parts)}")
    return sentences


def jump(start: int, end: int) -> str:
    """Return a branch in the notation of coverage.py's reports."""
    return f"{start}->{'exit' if end < 0 else end}"


def spans(numbers: list[int]) -> str:
    """Return line numbers with neighbors joined: "3-5, 9"."""
    joined: list[list[int]] = []
    for number in numbers:
        if joined and number == joined[-1][1] + 1:
            joined[-1][1] = number
        else:
            joined.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in joined)


if __name__ == "__main__":
    sys.exit(main())
