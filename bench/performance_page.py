"""docs/performance.md, section by section."""

from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"


def write_section(heading: str, text: str) -> None:
    """Put the text under its heading, in place of what was there, or at the page's end."""
    known = PAGE.read_text() if PAGE.exists() else "# How fast it is\n"
    before, found, after = known.partition(f"## {heading}\n")
    rest = after[after.find("\n## ") :] if found and "\n## " in after else ""
    PAGE.write_text(f"{before.rstrip()}\n\n## {heading}\n\n{text.strip()}\n{rest}")
