"""`{% load portal %}`: icons, pills, times, numbers, charts. docs/look.md shows each with its result."""

import json
from collections.abc import Sequence
from datetime import timedelta
from html import escape
from typing import Any

from django import template
from django.template import RequestContext
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from opsportal.lib import charts, formats
from opsportal.lib.markup import icon, severity, state, when

register = template.Library()

for tag in (icon, severity, state, when):
    register.simple_tag(tag)


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
