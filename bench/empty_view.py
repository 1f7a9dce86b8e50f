"""Serve a view without middleware that reads the body and responds.

Its rate is the upper limit that the server and Django set.
"""

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import re_path

settings.configure(
    DEBUG=False,
    SECRET_KEY="empty",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=[],
    INSTALLED_APPS=[],
    LOGGING_CONFIG=None,
    DATA_UPLOAD_MAX_MEMORY_SIZE=None,
)


def empty(request: HttpRequest) -> HttpResponse:
    request.body  # noqa: B018  (read the body as every POST endpoint does)
    return HttpResponse(
        b'{"id":"00000000000000000000000000000000"}', content_type="application/json"
    )


urlpatterns = [re_path("", empty)]
application = get_wsgi_application()
