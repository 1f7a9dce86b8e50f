"""Let the portal's search find registered apps."""

from collections.abc import Iterator

from django.urls import reverse

from core.clients.models import ClientApp
from core.lib.app_access import limit
from core.lib.search_sources import Hit, Search, search_source


@search_source(
    "clients.apps", title="Apps", permission="clients.view_clientapp", order=50, respects_apps=True
)
def find_apps(search: Search) -> Iterator[Hit]:
    for app in limit(ClientApp.objects.order_by("name")):
        if search.matches(app.name, app.slug):
            url = reverse("clients:key-list", args=[app.pk])
            yield Hit(app.name, url, "Keys and setup", is_exact=search.text.lower() == app.slug)
