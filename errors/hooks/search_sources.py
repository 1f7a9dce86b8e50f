"""Let the portal's search find errors and releases."""

from collections.abc import Iterator
from urllib.parse import urlencode

from django.contrib.auth.models import AnonymousUser
from django.urls import reverse

from core.lib.app_access import limit
from core.lib.formats import quantity
from core.lib.search_sources import MAX_HITS, Hit, Search, search_source
from core.releases.models import Release
from errors.models import ErrorGroup
from errors.queries import search as queries


@search_source(
    "errors.groups",
    title="Errors",
    permission="errors.view_errorgroup",
    order=100,
    respects_apps=True,
)
def find_groups(search: Search) -> Iterator[Hit]:
    """Find groups by their number, or by the words and filters of the errors list."""
    groups = limit(ErrorGroup.objects.visible())
    number = search.text.removeprefix("#")
    if number.isdecimal() and len(number) < 19:
        for group in groups.filter(pk=int(number)).select_related("app"):
            yield _hit(group, is_exact=True)
    found = queries.search(search.text, groups=groups, user=AnonymousUser(), now=search.now)
    for group in found.groups.select_related("app").order_by("-last_seen_at")[:MAX_HITS]:
        yield _hit(group)


@search_source(
    "errors.users",
    title="Errors of a user",
    permission="errors.view_errorgroup",
    order=105,
    respects_apps=True,
)
def find_users(search: Search) -> Iterator[Hit]:
    """Find the errors that affected the user or customer with this id or e-mail address."""
    if len(search.text.split()) != 1 or not set('":').isdisjoint(search.text):
        return
    query = f'user:"{search.text}"'
    everything = limit(ErrorGroup.objects.visible())
    found = queries.search(query, groups=everything, user=AnonymousUser(), now=search.now)
    count = found.groups.count()
    if count:
        url = f"{reverse('errors:group-list')}?{urlencode({'state': 'all', 'q': query})}"
        yield Hit(f"Errors of {search.text}", url, quantity(count, "errors"), is_exact=True)


def _hit(group: ErrorGroup, *, is_exact: bool = False) -> Hit:
    detail = ", ".join(
        filter(None, [group.app.name, group.get_status_display().lower(), group.culprit])
    )
    return Hit(group.title, reverse("errors:group-detail", args=[group.pk]), detail, is_exact)


@search_source(
    "errors.releases",
    title="Releases",
    permission="releases.view_release",
    order=400,
    respects_apps=True,
)
def find_releases(search: Search) -> Iterator[Hit]:
    releases = limit(Release.objects.filter(version__startswith=search.text)).select_related("app")
    for release in releases.order_by("-created_at")[:MAX_HITS]:
        url = reverse("errors:release-detail", args=[release.pk])
        yield Hit(release.version, url, release.app.name, release.version == search.text)
