"""A second handler of Django for frequent API requests, with only the middleware that they need.

Only pages need sessions, users, CSRF, messages and static files. Without their middleware, a reservation takes about
550 µs 800 µs of CPU less (`python -m bench.reserve_http`). Everything else is Django's own handler.
"""

from collections.abc import Callable, Iterable
from typing import Any

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.urls import reverse

from core.lib import openapi

StartResponse = Callable[..., Any]
WSGIApplication = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]

ONLY_FOR_PAGES = frozenset(
    {
        "whitenoise.middleware.WhiteNoiseMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "core.accounts.middleware.UserMiddleware",
        "core.accounts.middleware.AuditMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django_htmx.middleware.HtmxMiddleware",
    }
)


class ApiHandler(WSGIHandler):
    """Django's handler with all middleware except ONLY_FOR_PAGES, in the same order."""

    def load_middleware(self, is_async: bool = False) -> None:
        everything = settings.MIDDLEWARE
        settings.MIDDLEWARE = [name for name in everything if name not in ONLY_FOR_PAGES]
        try:
            super().load_middleware(is_async)
        finally:
            settings.MIDDLEWARE = everything


def in_front_of(django: WSGIApplication) -> WSGIApplication:
    """Return a WSGI application that answers frequent API operations itself and passes the others to `django`."""
    handler = ApiHandler()
    openapi.registry.autodiscover()
    frequent = {operation.url for operation in openapi.registry if operation.is_frequent}
    paths = frozenset(map(reverse, frequent))

    def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        chosen = handler if environ.get("PATH_INFO", "") in paths else django
        return chosen(environ, start_response)

    return application
