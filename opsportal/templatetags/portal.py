"""`{% load portal %}`: icons, pills, times, numbers, charts. docs/look.md shows each with its result."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from html import escape
from typing import Any

from django import template
from django.template import RequestContext
from django.templatetags.static import static
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from opsportal.lib import charts, formats

register = template.Library()

# Word on the pill -> (tone, icon). A tone is a CSS suffix; an icon is a shape of its own for each tone.
SEVERITIES = {
    "critical": ("critical", "critical"),
    "high": ("high", "high"),
    "error": ("high", "high"),
    "warning": ("warning", "warning"),
    "medium": ("medium", "medium"),
    "info": ("info", "info"),
    "debug": ("info", "info"),
    "ok": ("ok", "ok"),
}
STATES = {
    # alerts and error groups
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
    # health
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
    # jobs, deliveries, webhooks
    "running": ("medium", "play"),
    "processing": ("medium", "play"),
    "queued": ("info", "clock"),
    "waiting": ("info", "clock"),
    "scheduled": ("info", "clock"),
    "succeeded": ("ok", "ok"),
    "sent": ("ok", "ok"),
    "delivered": ("ok", "ok"),
    "processed": ("ok", "ok"),
    "working": ("ok", "ok"),
    "retrying": ("warning", "refresh"),
    "failed": ("critical", "critical"),
    "failing": ("critical", "critical"),
    "lost": ("critical", "critical"),
    "dead": ("critical", "critical"),
    "bounced": ("high", "high"),
    "disabled": ("info", "none"),
    "live": ("ok", "ok"),
    "revoked": ("info", "close"),
    # payments and reservations
    "created": ("info", "clock"),
    "active": ("medium", "clock"),
    "completed": ("ok", "ok"),
    "paid": ("ok", "ok"),
    "cancelled": ("info", "close"),
    "canceled": ("info", "close"),
    "expired": ("info", "clock"),
    "refunded": ("medium", "refresh"),
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


def _pill(tone: str, icon_name: str, word: str) -> SafeString:
    return format_html('<span class="pill pill--{}">{}{}</span>', tone, icon(icon_name), word)


@register.simple_tag
@cache  # they are few, and a page shows some hundred of them
def icon(name: str, css: str = "") -> SafeString:
    """An icon of the sprite, hidden from screen readers: the word beside it says it."""
    return format_html(
        '<svg class="icon {}" aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg>',
        css,
        static("opsportal/icons.svg"),
        name,
    )


@register.simple_tag
def severity(value: object) -> SafeString:
    """A severity pill: colour, shape and word."""
    word = str(value or "info").lower()
    tone, shape = SEVERITIES.get(word, ("info", "info"))
    return _pill(tone, shape, word.capitalize())


@register.simple_tag
def state(value: object, label: str = "") -> SafeString:
    """A state pill for any state word of the portal; `label` when the shown word differs."""
    word = str(value or "unknown").lower().replace("_", " ").replace("-", " ")
    tone, shape = STATES.get(word, ("info", "none"))
    return _pill(tone, shape, label or word.capitalize())


@register.simple_tag
def when(moment: datetime | None, style: str = "relative") -> SafeString:
    """`relative` ("4 min ago", kept alive by portal.js; the full time on hover), `full` (with zone), or `both`."""
    if moment is None:
        return format_html('<span class="quiet">{}</span>', formats.NONE)
    full = formats.stamp(moment)
    iso = moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    absolute = f'<time datetime="{iso}">{full}</time>'
    ago = formats.ago(moment, timezone.now()) if style != "full" else ""
    relative = f'<time datetime="{iso}" title="{full}" data-live>{ago}</time>'
    shown = {"full": absolute, "both": f"{absolute} ({relative})"}.get(style, relative)
    # A page has hundreds of these, and nothing in them needs escaping, which would take half of their time.
    return mark_safe(shown)  # noqa: S308


def _with_unit(figure: str, unit: str) -> SafeString:
    if not unit:
        return format_html('<span class="number">{}</span>', figure)
    return format_html(
        '<span class="number">{}&nbsp;<span class="unit">{}</span></span>', figure, unit
    )


@register.simple_tag
def figure(value: float | int | None, unit: str = "", places: int | None = None) -> SafeString:
    """A number with its unit; `unit` "ms" and "bytes" scale by themselves, "%" stands close."""
    if unit == "ms":
        return _with_unit(*formats.split_milliseconds(value))
    if unit == "bytes":
        return _with_unit(*formats.split_size(value))
    return _with_unit(formats.number(value, places), unit if value is not None else "")


@register.simple_tag
def money(amount: int | None, currency: str = "") -> SafeString:
    """Minor units with their currency: `{% money 123450 "eur" %}` is 1,234.50 EUR."""
    return format_html('<span class="money">{}</span>', formats.money(amount, currency))


@register.filter
def number(value: float | int | None) -> str:
    return formats.number(value)


@register.filter
def compact(value: float | int | None) -> str:
    return formats.compact(value)


@register.filter
def words(value: object) -> str:
    """`requires_payment_method` as people read it: "requires payment method"."""
    return str(value).replace("_", " ")


@register.filter
def span(value: timedelta | float | int | None) -> str:
    """Seconds or a timedelta: "3 d 4 h"."""
    return formats.span(value)


@register.simple_tag
def sparkline(values: Sequence[float], label: str = "", kind: str = "bars") -> SafeString:
    """The shape of a series in one line of text height; `label` tells screen readers what it shows."""
    return charts.sparkline(values, label=label, kind=kind)


@register.simple_tag
def meter(value: float, limit: float, label: str = "", tone: str = "") -> SafeString:
    """How much of a limit is used, as a bar; warns by itself at 80 % and 100 % unless given a tone."""
    return charts.meter(value, limit, label=label, tone=tone)


@register.inclusion_tag("portal/_chart.html")
def chart(data: "charts.Chart", height: str = "") -> dict[str, object]:
    """A chart (opsportal.lib.charts.Chart) with the table behind it; `height` is "", "tall" or "short"."""
    return {
        "chart": data,
        "payload": json.dumps(data.payload()),
        "rows": _table_rows(data),
        "height": height,
    }


def _table_rows(data: "charts.Chart") -> SafeString:
    """One for each of some hundred slots: as a template they would be half of the time of a page with charts."""
    return mark_safe(  # noqa: S308  escaped here
        "".join(
            f'<tr><th scope="row">{when(moment, "full")}</th>'
            + "".join([f'<td class="num">{escape(text)}</td>' for text in texts])
            + "</tr>\n"
            for moment, texts in data.rows()
        )
    )


@register.inclusion_tag("portal/_empty.html")
def empty(
    title: str, text: str = "", icon_name: str = "ok", url: str = "", action: str = ""
) -> Any:
    """What stands where nothing is: what it means and what to do next."""
    return {"title": title, "text": text, "icon": icon_name, "url": url, "action": action}


@register.inclusion_tag("portal/_post_button.html", takes_context=True)
def post_button(
    context: RequestContext,
    url: str,
    label: str,
    css: str = "",
    icon_name: str = "",
    **fields: object,
) -> dict[str, object]:
    """A form with one button: writes are POSTs, with or without script. Further arguments are hidden fields.

    `hx_target="#alerts"` makes htmx swap that element instead of loading the page; `confirm="Sure?"` asks first.
    """
    target, confirm = fields.pop("hx_target", ""), fields.pop("confirm", "")
    return {
        "csrf_token": context.get("csrf_token"),
        "url": url,
        "label": label,
        "css": css,
        "icon": icon_name,
        "fields": fields.items(),
        "target": target,
        "confirm": confirm,
    }


@register.inclusion_tag("portal/_nav_item.html", takes_context=True)
def nav_item(
    context: RequestContext, name: str, label: str, icon_name: str, *args: str
) -> dict[str, object]:
    """A place in the navigation, marked when the current page lies under it; nothing when its address is not there."""
    request = context.get("request")
    try:
        url = reverse(name, args=args)
    except NoReverseMatch:
        return {"url": ""}
    path = request.path if request else ""
    here = path == url if name == "admin:index" else path.startswith(url)
    return {"url": url, "label": label, "icon": icon_name, "here": here}
