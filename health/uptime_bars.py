"""Render an uptime history as inline SVG, without scripts and inline styles. All functions are pure."""

from collections.abc import Sequence
from itertools import groupby

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from health.verdict import Tone

# Includes a gap of one unit. portal.css uses the same width for the dashed lines.
BAR_WIDTH = 4


def render_bars(days: Sequence[tuple[str, str]], *, title: str) -> SafeString:
    """Render one bar for each pair of a tone and a tooltip, oldest first. A label sums up the bars for screen readers.

    Days with a problem or maintenance are rectangles with a tooltip. Consecutive other days share one dashed line,
    because a page with 90 rectangles for each of hundreds of components would be too large.
    """
    known = [tone for tone, _ in days if tone != Tone.NONE]
    imperfect = [tone for tone in known if tone != Tone.OK]
    label = (
        f"{title}: {len(days)} days, {len(known)} with results,"
        f" {len(imperfect)} of them with problems"
        if known
        else f"{title}: no results yet"
    )
    shapes: list[str] = []
    for (is_remarkable, tone), run in groupby(
        enumerate(days), key=lambda item: (_is_remarkable(*item[1]), item[1][0])
    ):
        indexes = list(run)
        if is_remarkable:
            shapes += [
                f'<rect class="{tone}" x="{index * BAR_WIDTH}" width="{BAR_WIDTH - 1}" height="32" rx="1">'
                f"<title>{text}</title></rect>"
                for index, (_, text) in indexes
            ]
        else:
            shapes.append(
                f'<path class="{tone}" d="M{indexes[0][0] * BAR_WIDTH} 16h{len(indexes) * BAR_WIDTH - 1}"/>'
            )
    return format_html(
        '<svg class="uptime-bars" viewBox="0 0 {} 32" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>',
        len(days) * BAR_WIDTH,
        label,
        # The tones and texts contain only words of the portal and numbers, so they need no escaping, which would be
        # slow.
        mark_safe("".join(shapes)),  # noqa: S308
    )


def _is_remarkable(tone: str, text: str) -> bool:
    return tone not in (Tone.OK, Tone.NONE) or "maintenance" in text
