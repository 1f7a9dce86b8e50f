"""`{% load health %}`: the bars of an uptime history."""

from collections.abc import Sequence

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from health.queries.uptime import Day
from opsportal.lib import formats

register = template.Library()


@register.simple_tag
def uptime_bars(days: Sequence[Day], title: str = "") -> SafeString:
    """One bar a day, oldest first, as SVG without script or style; the label says it in words."""
    known = [day for day in days if day.share.percent is not None]
    bad = [day for day in known if day.tone != "ok"]
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
                f'<rect class="{day.tone}" x="{place * 4}" width="3" height="32" rx="1">'
                f"<title>{day_in_words(day)}</title></rect>"
                for place, day in enumerate(days)
            )
        ),
    )


def day_in_words(day: Day) -> str:
    date = f"{day.date.day} {day.date:%b %Y}"
    if day.share.percent is None:
        return f"{date}: {'maintenance' if day.was_maintained else 'no data'}"
    return (
        f"{date}: {day.share.percent:.2f} % up{', with maintenance' if day.was_maintained else ''}"
    )


@register.filter
def percent(value: float | None) -> str:
    """99.95 -> "99.95 %"; never rounded up to 100."""
    if value is None:
        return formats.NONE
    if value == 100:
        return "100 %"
    return f"{min(value, 99.99) if value > 99.99 else value:.2f} %"
