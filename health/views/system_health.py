"""Show the system-health page. Each widget renders, reloads and fails independently."""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.contrib import admin
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from core.lib import formats, time_ranges
from core.lib.app_access import limit
from core.lib.charts import Chart
from core.lib.first_steps import DISMISSED_COOKIE
from core.lib.time_ranges import TimeRange
from health.extension_points import Tab, Widget, WidgetContext, dashboard_widgets, interval_sections
from health.models import Component
from health.queries import uptime, values
from health.queries.components import list_worst_first, load_in_order

log = logging.getLogger(__name__)

DEFAULT_RANGE = "24h"
# In its first hours, a new portal shows this range, because longer ranges are nearly empty.
NEW_PORTAL_RANGE = "1h"
NEW_PORTAL_AGE = timedelta(hours=3)
TABS = {Tab.RELIABILITY: "Reliability", Tab.BUSINESS: "Business", Tab.PLATFORM: "Platform"}
# Widgets that are not rendered within this time are loaded separately or, without JavaScript, through a link.
RENDER_BUDGET_SECONDS = 0.5
SLOW_WIDGET_SECONDS = 0.25
MAX_INTERVAL = timedelta(days=31)
UPTIME_PAGE_SIZE = 50


@dataclass(frozen=True)
class TabLink:
    key: str
    label: str
    is_current: bool


def selected_range(request: HttpRequest, now: datetime) -> TimeRange:
    key = request.GET.get(time_ranges.PARAMETER, "")
    if key in time_ranges.KEYS:
        return time_ranges.time_range(key)
    since = values.first_recorded_at()
    is_new = since is None or now - since < NEW_PORTAL_AGE
    return time_ranges.time_range(NEW_PORTAL_RANGE if is_new else DEFAULT_RANGE)


def selected_tab(request: HttpRequest) -> Tab:
    key = request.GET.get("tab", "")
    return Tab(key) if key in TABS else Tab.RELIABILITY


@never_cache
@admin.site.admin_view
@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Return the whole page, or only one widget.

    After posting a form in a widget, htmx follows a redirect to this page, and needs only this widget.
    """
    now = timezone.now()
    span = selected_range(request, now)
    target = request.htmx.target  # type: ignore[attr-defined]
    for found in dashboard_widgets:
        if target and found.is_visible and target == dom_id(found):
            return HttpResponse(render_card(found, WidgetContext(request, now, span.length), span))
    widget_context = WidgetContext(request, now, span.length)
    is_wall, is_complete = widget_context.is_wall, request.GET.get("all") == "1"
    tab = selected_tab(request)
    shown = [] if is_wall else list(TABS) if is_complete else [tab]
    context = {
        **admin.site.each_context(request),
        "title": "System health",
        "ranges": time_ranges.buttons(span),
        "range": span,
        "tabs": [TabLink(key, label, key == tab) for key, label in TABS.items()],
        "tab": tab,
        "is_wall": is_wall,
        # Render the cards here and not in the template. Deep in the template's call stack, function calls are much
        # slower, because Python then allocates a new stack chunk for each frame and frees it on return.
        "top": list(render_cards(widget_context, span, tabs=[Tab.TOP], is_complete=True)),
        "widgets": list(render_cards(widget_context, span, tabs=shown, is_complete=is_complete)),
        "zone": settings.TIME_ZONE,
    }
    template = "health/wall.html" if is_wall else "health/system_health.html"
    return HttpResponse(render_to_string(template, context, request))


@never_cache
@admin.site.admin_view
@require_safe
def widget(request: HttpRequest, name: str) -> HttpResponse:
    """Return one widget: for htmx as a fragment, otherwise on a separate page."""
    if name not in dashboard_widgets or not dashboard_widgets.get(name).is_visible:
        raise Http404(name)
    now = timezone.now()
    span = selected_range(request, now)
    card = render_card(dashboard_widgets.get(name), WidgetContext(request, now, span.length), span)
    if request.htmx:  # type: ignore[attr-defined]
        return HttpResponse(card)
    context = {
        **admin.site.each_context(request),
        "title": dashboard_widgets.get(name).title,
        "ranges": time_ranges.buttons(span),
        "widgets": [card],
    }
    return HttpResponse(render_to_string("health/one_widget.html", context, request))


@never_cache
@admin.site.admin_view
@require_POST
def dismiss_first_steps(request: HttpRequest) -> HttpResponse:
    """Hide the checklist of a new portal in this browser."""
    response = redirect("health:system-health")
    response.set_cookie(
        DISMISSED_COOKIE,
        "1",
        max_age=timedelta(days=365),
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    return response


@never_cache
@admin.site.admin_view
@require_safe
def uptime_page(request: HttpRequest) -> HttpResponse:
    """Show the uptime of every component. The widget about uptime shows only the first components."""
    pages = Paginator(list_worst_first(limit(Component.objects.in_use())), UPTIME_PAGE_SIZE)
    page = pages.get_page(request.GET.get("page", "1")[:9])
    context = {
        **admin.site.each_context(request),
        "title": "Uptime",
        "lead": f"The goal is {100 * uptime.GOAL:g} %. A degraded component counts as up; maintenance is not counted.",
        "lines": uptime.load_lines(load_in_order(list(page.object_list)), now=timezone.now()),
        "page": page,
    }
    return HttpResponse(render_to_string("health/uptime.html", context, request))


@never_cache
@admin.site.admin_view
@require_safe
def interval(request: HttpRequest) -> HttpResponse:
    """Show the errors, alerts and orders in a part of the timeline. `since` and `until` are in seconds since 1970."""
    try:
        since, until = (
            datetime.fromtimestamp(float(request.GET[name]), UTC) for name in ("since", "until")
        )
        if not since < until <= since + MAX_INTERVAL:
            raise ValueError
    except (KeyError, ValueError, OverflowError, OSError):
        return HttpResponse(
            "Enter `since` and `until` in seconds since 1970, at most 31 days apart.",
            status=400,
            content_type="text/plain",
        )
    found = [list_interval(since, until) for list_interval in interval_sections]
    context = {
        **admin.site.each_context(request),
        "title": "What happened",
        "lead": f"From {formats.stamp(since)} to {formats.stamp(until)}.",
        "sections": [section for section in found if section],
    }
    return HttpResponse(render_to_string("health/interval.html", context, request))


def dom_id(found: Widget) -> str:
    return f"widget-{found.name.replace('.', '-').replace('_', '-')}"


def widgets_in_order() -> list[Widget]:
    visible = [found for found in dashboard_widgets if found.is_visible]
    return sorted(visible, key=lambda found: (found.order, found.name))


def render_cards(
    context: WidgetContext,
    span: TimeRange,
    *,
    tabs: Sequence[Tab],
    is_complete: bool,
) -> Iterator[SafeString]:
    deadline = time.monotonic() + RENDER_BUDGET_SECONDS
    for found in widgets_in_order():
        if found.tab not in tabs:
            continue
        if is_complete or time.monotonic() < deadline:
            yield render_card(found, context, span)
        else:
            yield _card("health/_widget_later.html", found, context, span, {})


def render_card(found: Widget, context: WidgetContext, span: TimeRange) -> SafeString:
    """Render the card of a widget.

    Return "" if there is nothing to show. If the data is unavailable, return a card that reloads itself later.
    """
    started = time.perf_counter()
    try:
        content = found.context(context)
        if content is None:
            return mark_safe("")
        card = _card(found.template, found, context, span, _mark_charts(content, context))
    except Exception:
        # A widget that fails must not prevent the page from being shown.
        log.exception("widget failed", extra={"widget": found.name})
        return _card("health/_widget_failed.html", found, context, span, {})
    seconds = time.perf_counter() - started
    if seconds > SLOW_WIDGET_SECONDS:
        log.warning("a widget is slow", extra={"widget": found.name, "ms": round(seconds * 1000)})
    return card


def _mark_charts(values: dict[str, object], context: WidgetContext) -> dict[str, object]:
    """Return the values of a widget, with the deploys of the time range added to its charts."""
    marked = {
        name: replace(value, marks=context.deploy_marks())
        for name, value in values.items()
        if isinstance(value, Chart) and not value.marks and not value.is_empty
    }
    return values | marked


def _card(
    template: str,
    found: Widget,
    widget_context: WidgetContext,
    span: TimeRange,
    values: dict[str, object],
) -> SafeString:
    context = {
        "widget": found,
        "id": dom_id(found),
        "now": widget_context.now,
        "range": span,
        "refresh": found.refresh,
        "wall": "&wall=1" if widget_context.is_wall else "",
        **values,
    }
    return mark_safe(render_to_string(template, context, widget_context.request))  # noqa: S308  rendered by a template
