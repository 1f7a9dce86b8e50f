"""Check the accessibility of pages with axe-core (tests/browser/axe, as published on npm)."""

from pathlib import Path

from playwright.sync_api import Page

AXE = Path(__file__).parent / "axe" / "axe.min.js"
SERIOUS = ("serious", "critical")


def serious_faults(page: Page, *rules: str) -> list[str]:
    """Return the serious violations of `rules`, or of all rules by default, as `id: help, at <element>`."""
    page.evaluate(AXE.read_text())
    found = page.evaluate(
        "rules => axe.run(document, {resultTypes: ['violations'], ...(rules.length && {runOnly: rules})})",
        list(rules),
    )
    return [
        f"{fault['id']}: {fault['help']}, at {node['html'][:200]}"
        for fault in found["violations"]
        if fault["impact"] in SERIOUS
        for node in fault["nodes"]
    ]
