"""How mails show a message."""

from django import template

from alerts.channels.base import Message

register = template.Library()

# Mail programs know no style sheets and no tokens; these are the light theme's severity colors.
COLORS = {
    "critical": "#b3261e",
    "high": "#c2410c",
    "warning": "#a16207",
    "medium": "#8a6d00",
    "info": "#2563a8",
}


@register.filter
def color(message: Message) -> str:
    return "#2e7d32" if message.is_over else COLORS.get(message.severity, COLORS["info"])


@register.filter
def state_word(message: Message) -> str:
    return "resolved" if message.is_over else message.severity


@register.filter
def headline(message: Message) -> str:
    return f"{state_word(message).upper()}: {message.title}"
