"""Serve the search page for the whole portal, and the search API, which the command palette uses too."""

from collections.abc import Callable

import msgspec
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from core.accounts.services.roles import Role, may_role
from core.clients.api import api
from core.clients.auth import key_of
from core.clients.models import ClientApp, Scope
from core.lib.http import BadRequest, json_response, problem
from core.lib.search_sources import Group, Search, find_all

MAX_LENGTH = 200


class SearchHit(msgspec.Struct):
    title: str
    detail: str
    url: str


class SearchGroup(msgspec.Struct):
    title: str  # The heading of the group, such as "Errors".
    hits: list[SearchHit]


class SearchResults(msgspec.Struct):
    """The hits, in groups of at most five. Groups with an exact hit or a title beginning with the query come first."""

    query: str
    groups: list[SearchGroup]


def _find(text: str, may: Callable[[str], bool]) -> list[Group]:
    text = text.strip()
    if not text:
        return []
    if len(text) > MAX_LENGTH:
        raise BadRequest(f"`q` has more than {MAX_LENGTH} characters")
    return find_all(Search(text, timezone.now(), may))


@never_cache
@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Show the results on a page that works without scripts."""
    text = request.GET.get("q", "")[:MAX_LENGTH]
    context = {
        **admin.site.each_context(request),
        "title": "Search",
        "query": text,
        "groups": _find(text, request.user.has_perm),
    }
    return render(request, "opsportal/search.html", context)


@csrf_exempt
@never_cache
def results(request: HttpRequest) -> HttpResponseBase:
    """Respond with the hits that the user may see. An app's API key has the permissions of the role Read-only."""
    if key_of(request) or not admin.site.has_permission(request):
        return _for_key(request)
    if request.method != "GET":
        return problem(405, "use GET", headers={"Allow": "GET"})
    try:
        return _answer(request, request.user.has_perm)
    except BadRequest as refusal:
        return problem(refusal.status, refusal.detail)


@api(Scope.ADMIN, "GET", permission="", needs_app=False)
def _for_key(request: HttpRequest, app: ClientApp | None) -> HttpResponse:
    if app is None:
        return _answer(request, request.user.has_perm)
    return _answer(request, lambda permission: may_role(Role.READ_ONLY, permission))


def _answer(request: HttpRequest, may: Callable[[str], bool]) -> HttpResponse:
    text = request.GET.get("q", "")
    return json_response(
        SearchResults(
            query=text,
            groups=[
                SearchGroup(
                    group.title,
                    [
                        SearchHit(hit.title, hit.detail, request.build_absolute_uri(hit.url))
                        for hit in group.hits
                    ],
                )
                for group in _find(text, may)
            ],
        )
    )
