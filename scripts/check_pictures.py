"""Check that the pictures in docs/screenshots were made from the current pages (`make pictures` makes them again).

The script compares the hashes of templates, styles, scripts and the demo's story with the hashes in
docs/screenshots/made-from.json. Spaces and comments are ignored. Pixels are not compared, because the pages show live
data.

By default, the script prints a note if pictures are outdated. With --strict, as before a release, it fails.
"""

import hashlib
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "screenshots"
RECORD = FOLDER / "made-from.json"
# A change in one of these files can change the pictures.
SOURCES = (
    "demo/story.py",
    "demo/pictures.py",
    "opsportal/static/opsportal/portal.css",
    "opsportal/static/opsportal/charts.js",
    "templates/base_portal.html",
    "templates/base_public.html",
    "templates/portal/*.html",
    "templates/health/*.html",
    "templates/alerts/*.html",
    "templates/errors/*.html",
    "templates/payments/payment.html",
)
_COMMENTS = re.compile(
    r"\{#.*?#\}|\{% comment %\}.*?\{% endcomment %\}|/\*.*?\*/|<!--.*?-->", re.DOTALL
)


def fingerprints() -> dict[str, str]:
    """Return a short hash of each source by its path."""
    found = {}
    for pattern in SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            text = re.sub(r"\s+", "", _COMMENTS.sub("", path.read_text()))
            found[str(path.relative_to(ROOT))] = hashlib.sha256(text.encode()).hexdigest()[:12]
    return found


def write_record() -> None:
    made = {"sources": fingerprints(), "pictures": sorted(p.name for p in FOLDER.glob("*.png"))}
    RECORD.write_text(json.dumps(made, indent=1) + "\n")


def find_changes() -> list[str]:
    """Return the sources that changed since the pictures were made."""
    known = json.loads(RECORD.read_text())["sources"] if RECORD.exists() else {}
    current = fingerprints()
    return sorted(
        path for path in known.keys() | current.keys() if known.get(path) != current.get(path)
    )


def main() -> int:
    changed = find_changes()
    if not changed:
        return 0
    shown = ", ".join(changed[:8]) + (" …" if len(changed) > 8 else "")
    print(
        f"note: the pictures in docs/screenshots are older than {shown}. "
        "Make them again with `make pictures` and commit them."
    )
    return 1 if "--strict" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
