"""Show the page on which staff enable, disable and preview an app's inbound filters."""

from datetime import datetime

from django.contrib import admin, messages
from django.contrib.auth.decorators import permission_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from core.clients.models import ClientApp
from core.lib.app_access import limit
from errors.event.filters import LEGACY_BELOW, NAMES, TAKES_PATTERNS, Filter
from errors.exceptions import InvalidForm
from errors.models import InboundFilter
from errors.queries import filters as queries
from errors.services import filters

_LEADS = {
    Filter.BROWSER_EXTENSIONS: "Errors in scripts of extensions, toolbars and virus scanners.",
    Filter.LOCALHOST: "Errors of pages and requests at localhost or 127.0.0.1, usually on developers' machines.",
    Filter.LEGACY_BROWSERS: "Errors in Internet Explorer, and in "
    + ", ".join(f"{name} before {version}" for name, version in LEGACY_BELOW.items())
    + ".",
    Filter.WEB_CRAWLERS: "Errors caused by search engines and other robots, recognized by their User-Agent.",
    Filter.MESSAGES: "Errors whose message matches a pattern, such as *ResizeObserver loop*.",
    Filter.RELEASES: "Errors of releases that match a pattern, such as shop@1.* or *-dev.",
}
_may_view = permission_required(
    ["clients.view_clientapp", "errors.view_errorgroup"], raise_exception=True
)
_may_change = permission_required(
    ["clients.change_clientapp", "errors.view_errorgroup"], raise_exception=True
)


@require_GET
@_may_view
def filter_list(request: HttpRequest, app_id: int) -> HttpResponse:
    app = get_object_or_404(limit(ClientApp.objects.all()), pk=app_id)
    return _page(request, app, timezone.now())


@require_POST
@_may_change
def filter_change(request: HttpRequest, app_id: int, kind: str) -> HttpResponse:
    """Preview the filter, enable it with the given patterns, or disable it."""
    app = get_object_or_404(limit(ClientApp.objects.all()), pk=app_id)
    if kind not in NAMES:
        raise Http404(kind)
    chosen = Filter(kind)
    label = InboundFilter.Kind(kind).label
    action = request.POST.get("action", "")
    given = request.POST.get("patterns", "")
    if action == "off":
        filters.switch_off(app=app, kind=chosen)
        messages.success(request, f"The filter “{label}” is off.")
        return redirect("errors:filter-list", app_id)
    try:
        patterns = filters.clean_patterns(chosen, given)
    except InvalidForm as refusal:
        messages.error(request, f"Nothing was changed: {refusal}.")
        return _page(request, app, timezone.now(), tried=(chosen, given))
    if action == "on":
        filters.switch_on(app=app, kind=chosen, patterns=patterns)
        messages.success(request, f"The filter “{label}” is on. It applies within a few seconds.")
        return redirect("errors:filter-list", app_id)
    now = timezone.now()
    preview = queries.preview(app, chosen, patterns, now=now)
    return _page(request, app, now, tried=(chosen, given), preview=preview)


def _page(
    request: HttpRequest,
    app: ClientApp,
    now: datetime,
    *,
    tried: tuple[Filter, str] | None = None,
    preview: queries.Preview | None = None,
) -> HttpResponse:
    """Render the page. `tried` is the filter in the submitted form, with the text in its field for patterns."""
    on = {row.kind: row for row in InboundFilter.objects.filter(app=app)}
    counts = queries.dropped_counts(app, now=now)
    rows = []
    for kind in Filter:
        is_tried = tried is not None and tried[0] is kind
        patterns = "\n".join(on[kind.value].patterns) if kind.value in on else ""
        rows.append(
            {
                "kind": kind.value,
                "label": InboundFilter.Kind(kind.value).label,
                "lead": _LEADS[kind],
                "is_on": kind.value in on,
                "takes_patterns": kind in TAKES_PATTERNS,
                "patterns": tried[1] if is_tried and tried else patterns,
                "dropped": counts[kind.value],
                "preview": preview if is_tried else None,
            }
        )
    context = {
        **admin.site.each_context(request),
        "title": f"Inbound filters of {app.name}",
        "lead": "The portal accepts errors that match a filter, but does not store them. This page shows how "
        "many were dropped.",
        "app": app,
        "rows": rows,
        "may_change": request.user.has_perm("clients.change_clientapp"),
        "preview_days": queries.PREVIEW_DAYS,
        "counted_days": queries.COUNTED_DAYS,
    }
    return render(request, "errors/filters.html", context)
