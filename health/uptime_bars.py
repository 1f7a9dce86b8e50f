"""An uptime history as SVG, without script or style."""

from collections.abc import Sequence

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe


def bars(days: Sequence[tuple[str, str]], *, title: str) -> SafeString:
    """One bar for each (tone, words), oldest first; the label says it all in words."""
    known = [tone for tone, _ in days if tone != "none"]
    bad = [tone for tone in known if tone != "ok"]
    label = (
        f"{title}: {len(days)} days, {len(known)} with results, {len(bad)} of them not perfect"
        if known
        else f"{title}: no results yet"
    )
    return format_html(
        '<svg class="uptime-bars" viewBox="0 0 {} 32" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>',
        len(days) * 4,
        label,
        # Nothing but our own words and numbers, and hundreds of them: escaping each would take most of the time.
        mark_safe(  # noqa: S308
            "".join(
                f'<rect class="{tone}" x="{place * 4}" width="3" height="32" rx="1">'
                f"<title>{words}</title></rect>"
                for place, (tone, words) in enumerate(days)
            )
        ),
    )
