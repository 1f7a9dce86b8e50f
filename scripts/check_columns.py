"""Fail on lines over 120 columns in code and templates.

`long_lines.txt` lists the files that had such lines when this check was added, with the number of these lines. The
check fails if a file has more long lines than listed, or fewer, in which case the list must be updated:

    python scripts/check_columns.py --update

The update refuses to raise the total, so the list can only shrink. It also corrects the paths of files that have been
moved.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KNOWN = Path(__file__).with_name("long_lines.txt")
MAX_COLUMNS = 120
SUFFIXES = {
    *(".py", ".html", ".css", ".js", ".cjs", ".jsx", ".sh"),
    *(".toml", ".yaml", ".yml", ".conf", ".service", ".ini"),
}
NAMES = {"Makefile", "Dockerfile", "Procfile", "run"}
GENERATED_OR_VENDORED = ("/migrations/", "/vendor/", "tests/browser/axe/")


def is_checked(name: str) -> bool:
    path = Path(name)
    if any(part in f"/{name}" for part in GENERATED_OR_VENDORED):
        return False
    in_templates = name.startswith("templates/")
    return in_templates or path.suffix in SUFFIXES or path.name in NAMES


def tracked_files() -> list[str]:
    """Return the files that git tracks, and new files that it does not ignore. Outside a clone, return none."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def long_lines(path: Path) -> list[int]:
    """Return the numbers of the lines that are too long."""
    lines = path.read_text().splitlines()
    return [number for number, line in enumerate(lines, 1) if len(line) > MAX_COLUMNS]


def read_known() -> dict[str, int]:
    """Return the accepted number of long lines by file."""
    if not KNOWN.exists():
        return {}
    rows = (line.split(maxsplit=1) for line in KNOWN.read_text().splitlines())
    return {name: int(count) for count, name in rows}


def problems(found: dict[str, list[int]], known: dict[str, int]) -> list[str]:
    """Return one sentence for each file that has more or fewer long lines than listed."""
    sentences = []
    for name in sorted(found.keys() | known.keys()):
        numbers, accepted = found.get(name, []), known.get(name, 0)
        if len(numbers) > accepted:
            places = ", ".join(map(str, numbers[:10]))
            sentences.append(
                f"{name}: {len(numbers)} lines over {MAX_COLUMNS} columns, "
                f"{accepted} accepted (lines {places})"
            )
        elif len(numbers) < accepted:
            sentences.append(
                f"{name}: only {len(numbers)} of {accepted} accepted long lines are left; "
                "run: python scripts/check_columns.py --update"
            )
    return sentences


def main() -> int:
    names = tracked_files()
    if not names:
        print("note: line lengths are not checked, because git lists no files here")
        return 0
    found = {name: long_lines(ROOT / name) for name in names if is_checked(name)}
    found = {name: numbers for name, numbers in found.items() if numbers}
    known = read_known()
    total = sum(map(len, found.values()))
    if sys.argv[1:] == ["--update"]:
        if KNOWN.exists() and total > sum(known.values()):
            sys.exit(
                f"{total} lines are too long, but only {sum(known.values())} are accepted."
                " Shorten them first."
            )
        KNOWN.write_text("".join(f"{len(found[name])} {name}\n" for name in sorted(found)))
        return 0
    sentences = problems(found, known)
    print("\n".join(sentences))
    return 1 if sentences else 0


if __name__ == "__main__":
    sys.exit(main())
