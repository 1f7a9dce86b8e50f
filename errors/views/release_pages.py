"""Show the list of releases, and a release with its deploys, groups, commits and source maps."""

from django.contrib import admin
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_GET

from core.clients.queries import app_select
from core.lib.app_access import limit
from core.lib.filter_bars import filter_bar
from core.lib.http import url_with
from core.lib.keyset import keyset_page
from core.releases.models import Release
from errors.models import ArtifactBundle
from errors.queries import releases as queries

PAGE_SIZE = 50
MAX_GROUPS = 20
MAX_COMMITS = 50
MAX_DEPLOYS = 50
MAX_BUNDLES = 20
may_view = permission_required("releases.view_release", raise_exception=True)


@require_GET
@may_view
def release_list(request: HttpRequest) -> HttpResponse:
    filters = {key: request.GET.get(key, "").strip() for key in ("app", "q")}
    releases = limit(Release.objects.select_related("app"))
    if filters["app"]:
        releases = releases.filter(app__slug=filters["app"])
    if filters["q"]:
        releases = releases.filter(version__icontains=filters["q"])
    cursor = request.GET.get("after", "")
    page = keyset_page(releases, field="created_at", cursor=cursor, size=PAGE_SIZE)
    context = {
        **admin.site.each_context(request),
        "title": "Releases",
        "lead": "The errors, crashes, deploys and commits of each version of an app.",
        "rows": queries.describe_releases(page.rows),
        "bar": filter_bar(
            filters,
            placeholder="Version",
            selects=[app_select()],
            clear_url=reverse("errors:release-list"),
            is_used=any(filters.values()),
        ),
        "has_filters": any(filters.values()),
        "first_url": url_with("errors:release-list", filters) if cursor else "",
        "next_url": page.next_cursor
        and url_with("errors:release-list", {**filters, "after": page.next_cursor}),
    }
    return render(request, "errors/release_list.html", context)


@require_GET
@may_view
def release_detail(request: HttpRequest, release_id: int) -> HttpResponse:
    release = get_object_or_404(limit(Release.objects.select_related("app")), pk=release_id)
    [row] = queries.describe_releases([release])
    bundles = ArtifactBundle.objects.filter(app=release.app_id, release=release.version)
    return render(
        request,
        "errors/release_detail.html",
        {
            **admin.site.each_context(request),
            "title": release.version,
            "release": release,
            "row": row,
            "deploys": release.deploys.newest_first()[:MAX_DEPLOYS],
            "group_lists": [
                ("New groups", queries.new_groups(release).newest_first()[:MAX_GROUPS]),
                ("Regressed groups", queries.regressed_groups(release).newest_first()[:MAX_GROUPS]),
            ],
            "most_events": queries.groups_in_release(release, limit=MAX_GROUPS),
            "all_errors_url": url_with(
                "errors:group-list",
                {"q": f'release:"{release.version}"', "app": release.app.slug, "state": "all"},
            ),
            "commits": release.commits.order_by("position")[:MAX_COMMITS],
            "bundles": bundles.order_by("-uploaded_at")[:MAX_BUNDLES],
            "keys_url": reverse("clients:key-list", args=[release.app_id]),
        },
    )
