"""Provide the `{% load portal %}` tags for icons, pills, timestamps, numbers and charts. docs/look.md has examples."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from html import escape
from typing import Any

from django import template
from django.contrib import admin
from django.contrib.messages.storage.base import Message
from django.template import RequestContext
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from core.lib import charts, formats, read_only
from core.lib.admin_fields import readable
from core.lib.markup import icon, severity, state, when
from core.lib.staff_actions import UNDO_TAG

register = template.Library()

MAX_LISTED_MARKS = 2  # The maximum number of marks listed below a chart.

for tag in (icon, severity, state, when):
    register.simple_tag(tag)
register.filter("readable", readable)


def _with_unit(figure: str, unit: str) -> SafeString:
    if not unit:
        return format_html('<span class="number">{}</span>', figure)
    return format_html(
        '<span class="number">{}&nbsp;<span class="unit">{}</span></span>', figure, unit
    )


@register.simple_tag
def figure(value: float | int | None, unit: str = "", places: int | None = None) -> SafeString:
    """Show a number with its unit, and convert "ms" and "bytes" to a fitting unit."""
    if unit == "ms":
        return _with_unit(*formats.split_milliseconds(value))
    if unit == "bytes":
        return _with_unit(*formats.split_size(value))
    return _with_unit(formats.number(value, places), unit if value is not None else "")


@register.simple_tag
def money(amount: int | None, currency: str = "") -> SafeString:
    """Show an amount that is given in minor units: `{% money 123450 "eur" %}` shows 1,234.50 EUR."""
    return format_html('<span class="money">{}</span>', formats.money(amount, currency))


@register.simple_tag
def read_only_notice() -> str:
    """Return the text that explains why the portal is read-only, or "" if it is not."""
    notice = read_only.current()
    return notice.text if notice else ""


@register.filter
def number(value: float | int | None) -> str:
    return formats.number(value)


@register.filter
def compact(value: float | int | None) -> str:
    return formats.compact(value)


@register.filter
def words(value: object) -> str:
    """Replace underscores by spaces: `requires_payment_method` becomes "requires payment method"."""
    return str(value).replace("_", " ")


@register.filter
def undo_url(message: Message) -> str:
    """Return the URL that undoes the reported action, or "" if it cannot be undone."""
    tags = message.extra_tags or ""
    return tags.removeprefix(UNDO_TAG) if tags.startswith(UNDO_TAG) else ""


@register.filter
def span(value: timedelta | float | int | None) -> str:
    """Show a duration (seconds or a timedelta) as "3 d 4 h"."""
    return formats.span(value)


@register.simple_tag
def sparkline(
    values: Sequence[float | None], label: str = "", kind: charts.SparklineKind = "bars"
) -> SafeString:
    """Show a small chart in a line of text. `label` describes the chart for screen readers."""
    return charts.sparkline(values, label=label, kind=kind)


@register.simple_tag
def meter(value: float, limit: float, label: str = "", tone: str = "") -> SafeString:
    """Show the used share of a limit as a bar, which changes color at 80 % and 100 % unless `tone` is given."""
    return charts.meter(value, limit, label=label, tone=tone)


@register.inclusion_tag("portal/_chart.html")
def chart(data: "charts.Chart", height: str = "") -> dict[str, object]:
    """Show a chart (core.lib.charts.Chart) with its table. `height` is "", "tall" or "short"."""
    # Charts with links to intervals are part of the timeline, which lists its marks itself.
    marks = [] if data.interval_url else sorted(data.marks, key=lambda mark: mark.at, reverse=True)
    return {
        "chart": data,
        "payload": json.dumps(data.payload()),
        "rows": _table_rows(data),
        "height": height,
        "marks": marks[:MAX_LISTED_MARKS],
        "more_marks": len(marks[MAX_LISTED_MARKS:]),
    }


@lru_cache(maxsize=50)
def _row_heads(times: tuple[datetime, ...], interval_url: str, _zone: tzinfo) -> list[str]:
    """Return the first cell of each row of a chart's table, with the newest time first.

    The result is cached, because all charts of a page have the same times.
    """
    frame = charts.Chart(title="", times=times, series=[], interval_url=interval_url)
    heads = []
    for index in reversed(range(len(times))):
        text, link = when(times[index], "full"), frame.interval_link(index)
        if link:
            text = format_html('<a href="{}">{}</a>', link, text)
        heads.append(f'<th scope="row">{text}</th>')
    return heads


def _table_rows(data: "charts.Chart") -> SafeString:
    """Return the rows of a chart's table, built without a template, which would slow pages with charts down."""
    heads = _row_heads(tuple(data.times), data.interval_url, timezone.get_current_timezone())
    rows = []
    for head, (_, texts) in zip(heads, data.rows(), strict=True):
        figures = "".join([f'<td class="num">{escape(text)}</td>' for text in texts])
        rows.append(f"<tr>{head}{figures}</tr>\n")
    return mark_safe("".join(rows))  # noqa: S308  escaped here


@register.simple_block_tag
def table(content: SafeString, label: str, columns: str, css: str = "") -> SafeString:
    """Show a table with the rows between `{% table "Refunds" "Payment, #Amount, -Actions" %}` and `{% endtable %}`.

    `#` before a title means a column of numbers, and `-` a title that only screen readers read. `label` names the table
    for screen readers. `css` is "compact" for small rows.
    """
    titles = [title.strip() for title in columns.split(",")]
    heads = [
        {
            "title": title.lstrip("#-"),
            "is_number": title.startswith("#"),
            "is_hidden": title.startswith("-"),
        }
        for title in titles
    ]
    context = {"label": label, "columns": heads, "css": css, "rows": content}
    return render_to_string("portal/_table.html", context)


@register.inclusion_tag("portal/_empty.html")
def empty(
    title: str, text: str = "", icon_name: str = "ok", url: str = "", action: str = ""
) -> Any:
    """Show a message in place of an empty list. It says why the list is empty and, optionally, what to do next."""
    return {"title": title, "text": text, "icon": icon_name, "url": url, "action": action}


@register.simple_tag
def admin_of(opts: Any) -> Any:
    """Return the admin of a model, given its `_meta`."""
    return admin.site.get_model_admin(opts.model)


@register.inclusion_tag("portal/_post_button.html", takes_context=True)
def post_button(
    context: RequestContext,
    url: str,
    label: str,
    css: str = "",
    icon_name: str = "",
    **fields: object,
) -> dict[str, object]:
    """Show a form with one button, which works without scripts. Further arguments become hidden fields.

    With `hx_target="#alerts"`, htmx replaces that element instead of loading a page. With `confirm="Sure?"`, the user
    must answer this question first. `key="r"` is the button's keyboard shortcut, and `key_name` describes the shortcut
    if the label alone is not enough.
    """
    target, confirm = fields.pop("hx_target", ""), fields.pop("confirm", "")
    key, key_name = fields.pop("key", ""), fields.pop("key_name", "")
    return {
        "csrf_token": context.get("csrf_token"),
        "url": url,
        "label": label,
        "css": css,
        "icon": icon_name,
        "fields": fields.items(),
        "target": target,
        "confirm": confirm,
        "key": key,
        "key_name": key_name,
    }


@register.inclusion_tag("portal/_nav_item.html", takes_context=True)
def nav_item(
    context: RequestContext, name: str, label: str, icon_name: str, *args: str
) -> dict[str, object]:
    """Show a navigation entry, marked if the current page is below it. Show nothing if the URL name does not exist."""
    request = context.get("request")
    try:
        url = reverse(name, args=args)
    except NoReverseMatch:
        return {"url": ""}
    path = request.path if request else ""
    is_current = path == url if name == "admin:index" else path.startswith(url)
    return {"url": url, "label": label, "icon": icon_name, "is_current": is_current}
