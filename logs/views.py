"""Show the logs page to staff who have the permission to view log entries."""

from collections.abc import Mapping

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from core.clients.models import ClientApp
from core.clients.queries import app_select
from core.lib.filter_bars import Select, filter_bar
from core.lib.http import json_response, url_with
from core.lib.keyset import newest_page
from core.lib.search_terms import quote
from errors.models import ErrorGroup
from logs import queries
from logs.models import Level, LogEntry

PAGE_SIZE = 100
may_view = permission_required("logs.view_logentry", raise_exception=True)


def list_url(parameters: Mapping[str, str]) -> str:
    return url_with("logs:log-list", parameters)


@require_GET
@may_view
def log_list(request: HttpRequest) -> HttpResponse:
    filters = {key: request.GET.get(key, "").replace("\0", "") for key in queries.FILTERS}
    found = queries.search(filters, now=timezone.now())
    cursor = request.GET.get("before", "")
    page = newest_page(found.entries, cursor=cursor, size=PAGE_SIZE)
    may_view_errors = request.user.has_perm("errors.view_errorgroup")
    has_trace = bool(found.trace_id) and may_view_errors
    context = {
        **admin.site.each_context(request),
        "title": "Logs",
        "lead": f"The log entries of the last {settings.LOG_DAYS} day{'s' * (settings.LOG_DAYS != 1)}.",
        "rows": describe(page.rows),
        "has_filters": any(filters.values()),
        "problem": "; ".join(found.problems).capitalize(),
        "trace_id": found.trace_id,
        "errors": _errors(found.trace_id) if has_trace else [],
        "bar": filter_bar(
            filters,
            placeholder="Text, or app:shop level:error order_id:1042",
            selects=[app_select(), Select("level", "Level", list(reversed(Level.choices)))],
            clear_url=list_url({}),
            is_used=any(filters.values()),
            complete_url=reverse("logs:log-complete"),
            help_text=f"Words match messages. Filter with {', '.join(queries.KEYS)} or the name of an attribute, "
            "followed by a colon and a value.",
        ),
        "here": request.get_full_path(),
        "first_url": list_url(filters) if cursor else "",
        "next_url": page.next_cursor and list_url({**filters, "before": page.next_cursor}),
        "reload_url": list_url(filters),
        "apps_url": reverse("admin:clients_clientapp_changelist"),
    }
    part = request.htmx  # type: ignore[attr-defined]
    return render(request, "logs/_log_card.html" if part else "logs/log_list.html", context)


@require_GET
@may_view
def complete(request: HttpRequest) -> HttpResponse:
    """Suggest completions of the search line. The parameter `q` is the text before the cursor."""
    return json_response(queries.complete(request.GET.get("q", "")))


def describe(entries: list[LogEntry]) -> list[dict[str, object]]:
    """Return template rows for the entries: the app, and links that search for the trace, request and attributes."""
    apps = ClientApp.objects.in_bulk({entry.app_id for entry in entries})
    return [
        {
            "entry": entry,
            "app": apps.get(entry.app_id),
            "trace_url": list_url({"q": f"trace:{entry.trace_id}"}) if entry.trace_id else "",
            "request_url": list_url({"q": f"request:{quote(entry.request_id)}"})
            if entry.request_id
            else "",
            "attributes": [
                (name, text, list_url({"q": f"{name}:{quote(text)}"}) if is_scalar else "")
                for name, text, is_scalar in queries.attributes_of(entry)
            ],
        }
        for entry in entries
    ]


def _errors(trace_id: str) -> list[dict[str, object]]:
    events = queries.errors_of_trace(trace_id)
    groups = ErrorGroup.objects.select_related("app").in_bulk({event.group_id for event in events})
    return [
        {"event": event, "group": groups[event.group_id]}
        for event in events
        if event.group_id in groups
    ]
