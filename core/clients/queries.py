"""Offer the registered apps as filters of lists and as values of search terms."""

from core.clients.models import ClientApp
from core.lib.app_access import limit
from core.lib.filter_bars import Select


def app_select() -> Select:
    """Return the filter that limits a list to one app."""
    apps = limit(ClientApp.objects.order_by("name")).values_list("slug", "name")
    return Select("app", "App", apps, any_label="All apps")


def app_slugs() -> list[str]:
    """Return the values of the search term `app:`."""
    return list(limit(ClientApp.objects.order_by("slug")).values_list("slug", flat=True))
