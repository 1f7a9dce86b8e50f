"""Draw badges: small SVG images with a name and a status, for README files and other pages.

All functions are pure.
"""

from xml.sax.saxutils import escape

from health.verdict import Status

MAX_LABEL_CHARACTERS = 60
# Maps a status to its label and background color. White text has a contrast of at least 4.5 on each color.
_STATES = {
    Status.HEALTHY.value: ("operational", "#2a7a3f"),
    Status.DEGRADED.value: ("degraded", "#8a5a00"),
    Status.UNHEALTHY.value: ("down", "#b3261e"),
    "maintenance": ("maintenance", "#1f5fa8"),
}
_UNKNOWN = ("unknown", "#5f6368")
_LABEL_COLOR = "#3c4043"
_PADDING = 8


def render_badge(label: str, status: str) -> str:
    """Return a badge as an SVG image with a height of 20 pixels, such as "Checkout | operational"."""
    label = label[:MAX_LABEL_CHARACTERS]
    word, color = _STATES.get(status, _UNKNOWN)
    left, right = _width(label), _width(word)
    title = escape(f"{label}: {word}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img"'
        f' aria-label="{escape(title, {chr(34): "&quot;"})}"><title>{title}</title>'
        f'<rect width="{left}" height="20" fill="{_LABEL_COLOR}"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{color}"/>'
        '<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f'<text x="{left / 2:g}" y="14" textLength="{left - 2 * _PADDING}">{escape(label)}</text>'
        f'<text x="{left + right / 2:g}" y="14" textLength="{right - 2 * _PADDING}">{word}</text></g></svg>'
    )


def _width(text: str) -> int:
    """Return the width of a part in pixels. The text is stretched to this width, because fonts differ."""
    return 2 * _PADDING + 7 * max(len(text), 1)
