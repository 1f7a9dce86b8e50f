"""Provide template tags and filters for uptime."""

from collections.abc import Sequence

from django import template
from django.utils.safestring import SafeString

from health.queries.uptime import Day, day_in_words, percent_in_words
from health.uptime_bars import render_bars

register = template.Library()


@register.simple_tag
def uptime_bars(days: Sequence[Day], title: str = "") -> SafeString:
    """Render an uptime history with one bar per day, oldest day first."""
    return render_bars([(day.tone, day_in_words(day)) for day in days], title=title)


@register.filter
def percent(value: float | None) -> str:
    """Format an uptime percentage. A value below 100 is never rounded up to 100."""
    return percent_in_words(value)
