"""Render an uptime history as inline SVG that needs no script and no inline style. Pure functions."""

from collections.abc import Sequence

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from health.verdict import Tone


def render_bars(days: Sequence[tuple[str, str]], *, title: str) -> SafeString:
    """Render one bar per (tone, text) pair, oldest first. The label summarizes the bars for screen readers."""
    known = [tone for tone, _ in days if tone != Tone.NONE]
    imperfect = [tone for tone in known if tone != Tone.OK]
    label = (
        f"{title}: {len(days)} days, {len(known)} with results,"
        f" {len(imperfect)} of them with problems"
        if known
        else f"{title}: no results yet"
    )
    return format_html(
        '<svg class="uptime-bars" viewBox="0 0 {} 32" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>',
        len(days) * 4,
        label,
        # Not escaped: tones and texts are our own words and numbers, and escaping hundreds of them dominates rendering.
        mark_safe(  # noqa: S308
            "".join(
                f'<rect class="{tone}" x="{index * 4}" width="3" height="32" rx="1">'
                f"<title>{text}</title></rect>"
                for index, (tone, text) in enumerate(days)
            )
        ),
    )
