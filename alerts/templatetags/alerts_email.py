"""Provide template filters for e-mails."""

from django import template

from alerts.channels.base import Message

register = template.Library()

# E-mail clients do not reliably support style sheets, so these severity colors of the light theme are repeated here.
COLORS = {
    "critical": "#b3261e",
    "high": "#c2410c",
    "warning": "#a16207",
    "medium": "#8a6d00",
    "info": "#2563a8",
}


@register.filter
def color(message: Message) -> str:
    return "#2e7d32" if message.is_resolved else COLORS.get(message.severity, COLORS["info"])


@register.filter
def headline(message: Message) -> str:
    return f"{message.state_word.upper()}: {message.bare_title}"
