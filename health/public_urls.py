"""Build absolute URLs of the status page, which may have a domain of its own."""

from urllib.parse import urlsplit

from django.conf import settings
from django.urls import reverse


def absolute_url(name: str, *args: object) -> str:
    """Return the absolute URL of a view of the status page. `name` is a URL name such as "status-feed"."""
    path = reverse(f"health:{name}", args=args)
    if not settings.STATUS_PAGE_DOMAIN:
        return f"{settings.BASE_URL}{path}"
    return f"{urlsplit(settings.BASE_URL).scheme}://{settings.STATUS_PAGE_DOMAIN}{path}"
