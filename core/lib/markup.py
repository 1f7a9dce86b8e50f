"""Render HTML fragments that template tags and the Django admin share: icons, pills (colored labels), timestamps."""

from datetime import UTC, datetime
from functools import cache

from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from core.lib import formats

# Maps the lower-case word on a pill to (tone, icon). A tone is a CSS suffix. Icons differ in shape, so that color alone
# never carries the meaning.
SEVERITIES = {
    "fatal": ("critical", "critical"),
    "critical": ("critical", "critical"),
    "high": ("high", "high"),
    "error": ("high", "high"),
    "warning": ("warning", "warning"),
    "warn": ("warning", "warning"),
    "medium": ("medium", "medium"),
    "info": ("info", "info"),
    "debug": ("info", "info"),
    "trace": ("info", "none"),
    "ok": ("ok", "ok"),
}
STATES = {
    # The states of alerts and error groups.
    "pending": ("info", "clock"),
    "open": ("critical", "critical"),
    "unresolved": ("critical", "critical"),
    "regressed": ("critical", "refresh"),
    "escalated": ("critical", "up"),
    "overdue": ("critical", "clock"),
    "flapping": ("warning", "refresh"),
    "acknowledged": ("medium", "user"),
    "dismissed": ("info", "close"),
    "muted": ("info", "mute"),
    "silenced": ("info", "mute"),
    "resolved": ("ok", "ok"),
    # The states of components.
    "healthy": ("ok", "ok"),
    "up": ("ok", "ok"),
    "operational": ("ok", "ok"),
    "degraded": ("warning", "warning"),
    "unhealthy": ("critical", "critical"),
    "down": ("critical", "critical"),
    "not configured": ("info", "none"),
    "unknown": ("info", "none"),
    "ok": ("ok", "ok"),
    "maintenance": ("medium", "gear"),
    # The states of jobs, deliveries and webhooks.
    "running": ("medium", "play"),
    "processing": ("medium", "play"),
    "queued": ("info", "clock"),
    "waiting": ("info", "clock"),
    "scheduled": ("info", "clock"),
    "succeeded": ("ok", "ok"),
    "sent": ("ok", "ok"),
    "delivered": ("ok", "ok"),
    "grouped": ("info", "mute"),
    "processed": ("ok", "ok"),
    "working": ("ok", "ok"),
    "retrying": ("warning", "refresh"),
    "failed": ("critical", "critical"),
    "failing": ("critical", "critical"),
    "lost": ("critical", "critical"),
    "dead": ("critical", "critical"),
    "bounced": ("high", "high"),
    "disabled": ("info", "none"),
    "off": ("info", "none"),
    "live": ("ok", "ok"),
    "revoked": ("info", "close"),
    # The states of payments and reservations.
    "created": ("info", "clock"),
    "active": ("medium", "clock"),
    "completed": ("ok", "ok"),
    "paid": ("ok", "ok"),
    "cancelled": ("info", "close"),
    "canceled": ("info", "close"),
    "expired": ("info", "clock"),
    "refunded": ("medium", "refresh"),
    "partially refunded": ("medium", "refresh"),
    "disputed": ("high", "high"),
    "needs response": ("high", "high"),
    "warning needs response": ("high", "high"),
    "won": ("ok", "ok"),
    "refund needed": ("critical", "critical"),
    "sold out": ("medium", "ticket"),
    "asked": ("info", "clock"),
    "requires payment method": ("info", "clock"),
    "requires confirmation": ("info", "clock"),
    "requires action": ("info", "clock"),
    "requires capture": ("info", "clock"),
    "refused": ("warning", "warning"),
    "abandoned": ("info", "close"),
    "ignored": ("info", "mute"),
    "stuck": ("high", "high"),
    "at risk": ("high", "high"),
}


@cache  # A page may contain hundreds of icons, but few distinct ones.
def icon(name: str, css: str = "") -> SafeString:
    """Return an icon of the sprite, hidden from screen readers because the text beside it carries the meaning."""
    return format_html(
        '<svg class="icon {}" aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg>',
        css,
        static("opsportal/icons.svg"),
        name,
    )


def severity(value: object) -> SafeString:
    """Return a pill that shows a severity by color, shape and word."""
    word = str(value or "info").lower()
    tone, shape = SEVERITIES.get(word, ("info", "info"))
    return _pill(tone, shape, word.capitalize())


def state(value: object, label: str = "") -> SafeString:
    """Return a pill for any state word of the portal. `label` replaces the visible word."""
    word = str(value or "unknown").lower().replace("_", " ").replace("-", " ")
    tone, shape = STATES.get(word, ("info", "none"))
    return _pill(tone, shape, label or word.capitalize())


def when(timestamp: datetime | None, style: str = "relative") -> SafeString:
    """Return a timestamp as `relative` ("4 min ago"), `next` ("in 43 s"), `full` (date and time with zone), or `both`.

    portal.js keeps relative times current; they show the full time on hover.
    """
    if timestamp is None:
        return format_html('<span class="quiet">{}</span>', formats.NONE)
    full = formats.stamp(timestamp)
    iso = timestamp.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    absolute = f'<time datetime="{iso}">{full}</time>'
    if style == "next":
        text, live = formats.until(timestamp, timezone.now()), 'data-live="next"'
    else:
        text = formats.ago(timestamp, timezone.now()) if style != "full" else ""
        live = "data-live"
    relative = f'<time datetime="{iso}" title="{full}" {live}>{text}</time>'
    shown = {"full": absolute, "both": f"{absolute} ({relative})"}.get(style, relative)
    # These texts contain nothing to escape, and escaping hundreds of timestamps would slow a page down.
    return mark_safe(shown)  # noqa: S308


def _pill(tone: str, icon_name: str, word: str) -> SafeString:
    return format_html('<span class="pill pill--{}">{}{}</span>', tone, icon(icon_name), word)
