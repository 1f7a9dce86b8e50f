"""`{% load health %}`: the bars of an uptime history."""

from collections.abc import Sequence

from django import template
from django.utils.safestring import SafeString

from health.queries.uptime import Day, day_in_words, percent_in_words
from health.uptime_bars import bars

register = template.Library()


@register.simple_tag
def uptime_bars(days: Sequence[Day], title: str = "") -> SafeString:
    """One bar a day, oldest first."""
    return bars([(day.tone, day_in_words(day)) for day in days], title=title)


@register.filter
def percent(value: float | None) -> str:
    return percent_in_words(value)
