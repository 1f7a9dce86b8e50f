"""Show the routing table, which assigns alert types to channels."""

from django.contrib import admin, messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from alerts import services
from alerts.models import Channel
from alerts.queries.channels import build_routing_table
from alerts.services.routes import EVERY_TYPE, Route
from core.lib.admin import log_change

CHANGE = "alerts.change_alerttype"


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required("alerts.view_alerttype", raise_exception=True)
def routing_table(request: HttpRequest) -> HttpResponse:
    may_change = request.user.has_perm(CHANGE)
    if request.method == "POST":
        if not may_change:
            return HttpResponse(status=403)
        # Save only the changes to the table that the page showed, so that two people do not undo each other's changes.
        before, after = _read_routes(request, "before"), _read_routes(request, "route")
        _change(request, added=after - before, removed=before - after)
        return redirect("alerts:routing")
    context = {
        **admin.site.each_context(request),
        "title": "Routing",
        "lead": "The channels that get the alerts of each type.",
        "table": build_routing_table(),
        "may_change": may_change,
    }
    return render(request, "alerts/routing.html", context)


@require_POST
@permission_required(CHANGE, raise_exception=True)
def route_every_type(request: HttpRequest, pk: int) -> HttpResponse:
    """Route the alerts of every type to a channel."""
    channel = get_object_or_404(Channel, pk=pk)
    _change(request, added={(EVERY_TYPE, channel.pk)}, removed=set())
    return redirect("admin:alerts_channel_change", channel.pk)


def _read_routes(request: HttpRequest, name: str) -> set[Route]:
    routes = set()
    for value in request.POST.getlist(name):
        type_id, _, channel_id = value.partition("-")
        if type_id.isdecimal() and channel_id.isdecimal() and len(value) < 40:
            routes.add((int(type_id), int(channel_id)))
    return routes


def _change(request: HttpRequest, *, added: set[Route], removed: set[Route]) -> None:
    changed = services.change_routes(added=sorted(added), removed=sorted(removed))
    for one in changed:
        log_change(request, one, "Changed routes.")
    if changed:
        messages.success(request, "The routes were saved.")
    else:
        messages.info(request, "No route was changed.")
