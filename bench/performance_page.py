"""Update docs/performance.md one section at a time."""

from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"


def write_section(heading: str, text: str) -> None:
    """Replace the text under the heading, or append a new section at the end of the page."""
    page = PAGE.read_text() if PAGE.exists() else "# Performance\n"
    before, found, after = page.partition(f"## {heading}\n")
    rest = after[after.find("\n## ") :] if found and "\n## " in after else ""
    PAGE.write_text(f"{before.rstrip()}\n\n## {heading}\n\n{text.strip()}\n{rest}")
