"""The page owners open first. Every widget renders, refreshes and fails by itself."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from health import dashboard
from health.dashboard import Widget, WidgetContext
from health.models import Component
from health.queries import uptime

log = logging.getLogger(__name__)

RANGES = {
    "1h": ("1 h", timedelta(hours=1)),
    "24h": ("24 h", timedelta(hours=24)),
    "7d": ("7 d", timedelta(days=7)),
    "30d": ("30 d", timedelta(days=30)),
}
DEFAULT_RANGE = "24h"
# What is legible from across a room.
WALL = (
    "health.verdict",
    "errors.live",
    "alerts.active",
    "health.users",
    "health.response_times",
    "health.uptime",
    "payments.at_a_glance",
    "reservations.at_a_glance",
)
# The first page holds what can be rendered in this time; the rest fetches itself, and without script a link does.
PAGE_BUDGET = 0.5  # seconds
NEVER_LATER = ("health.verdict", "alerts.active")  # what owners came for


@dataclass(frozen=True)
class Range:
    key: str
    label: str
    length: timedelta
    is_current: bool = False


def chosen_range(request: HttpRequest) -> Range:
    key = request.GET.get("range", DEFAULT_RANGE)
    key = key if key in RANGES else DEFAULT_RANGE
    return Range(key, *RANGES[key], is_current=True)


@never_cache
@admin.site.admin_view
@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """The whole page; for an htmx request that targets one widget (after its form was posted), that widget."""
    now, span = timezone.now(), chosen_range(request)
    target = request.htmx.target  # type: ignore[attr-defined]
    for found in dashboard.registry:
        if target and target == dom_id(found):
            return HttpResponse(render(found, WidgetContext(request, now, span.length), span))
    is_wall = request.GET.get("wall") == "1"
    context = {
        **admin.site.each_context(request),
        "title": "System health",
        "ranges": [Range(key, *value, key == span.key) for key, value in RANGES.items()],
        "range": span,
        "is_wall": is_wall,
        # Here and not in the midst of the page's template, where each call of a function may cost ten times as much:
        # so deep, Python takes memory for its frame from the system and gives it back at once.
        "widgets": list(
            rendered(
                WidgetContext(request, now, span.length),
                span,
                names=WALL if is_wall else None,
                everything=is_wall or request.GET.get("all") == "1",
            )
        ),
        "zone": settings.TIME_ZONE,
    }
    template = "health/wall.html" if is_wall else "health/system_health.html"
    return HttpResponse(render_to_string(template, context, request))


@never_cache
@admin.site.admin_view
@require_safe
def widget(request: HttpRequest, name: str) -> HttpResponse:
    """One widget: the part that htmx swaps in, or a page with just it."""
    if name not in dashboard.registry:
        raise Http404(name)
    now, span = timezone.now(), chosen_range(request)
    card = render(dashboard.registry.get(name), WidgetContext(request, now, span.length), span)
    if request.htmx:  # type: ignore[attr-defined]
        return HttpResponse(card)
    context = {**admin.site.each_context(request), "title": "System health", "widgets": [card]}
    return HttpResponse(render_to_string("health/one_widget.html", context, request))


@never_cache
@admin.site.admin_view
@require_safe
def uptime_page(request: HttpRequest) -> HttpResponse:
    """Every component with its bars; the widget shows the first few."""
    components = Component.objects.in_use().worst_first()
    context = {
        **admin.site.each_context(request),
        "title": "Uptime",
        "lead": f"Against the goal of {100 * uptime.GOAL:g} %. Maintenance is not counted; degraded is up.",
        "lines": uptime.load_lines(components, now=timezone.now()),
    }
    return HttpResponse(render_to_string("health/uptime.html", context, request))


def dom_id(found: Widget) -> str:
    return f"widget-{found.name.replace('.', '-').replace('_', '-')}"


def in_order() -> list[Widget]:
    return sorted(dashboard.registry, key=lambda found: (found.order, found.name))


def rendered(
    context: WidgetContext,
    span: Range,
    *,
    names: tuple[str, ...] | None,
    everything: bool,
) -> Iterator[SafeString]:
    deadline = time.monotonic() + PAGE_BUDGET
    for found in in_order():
        if names is not None and found.name not in names:
            continue
        if everything or found.name in NEVER_LATER or time.monotonic() < deadline:
            yield render(found, context, span)
        else:
            yield _card("health/_widget_later.html", found, context, span, {})


def render(found: Widget, context: WidgetContext, span: Range) -> SafeString:
    """The widget's card; when its figures cannot be had, a quiet card that says so and tries again."""
    began = time.perf_counter()
    try:
        card = _card(found.template, found, context, span, found.context(context))
    except Exception:
        # One panel must never take the page with it, whatever is wrong with it.
        log.exception("widget failed", extra={"widget": found.name})
        return _card("health/_widget_failed.html", found, context, span, {})
    took = time.perf_counter() - began
    if took > 0.25:
        log.warning("widget slow", extra={"widget": found.name, "ms": round(took * 1000)})
    return card


def _card(
    template: str,
    found: Widget,
    asked: WidgetContext,
    span: Range,
    values: dict[str, object],
) -> SafeString:
    context = {
        "widget": found,
        "id": dom_id(found),
        "now": asked.now,
        "range": span,
        "refresh": found.refresh,
        **values,
    }
    return mark_safe(render_to_string(template, context, asked.request))  # noqa: S308  our own templates
