"""Ingestion's addresses. In production opsportal.wsgi answers them before Django is asked; these views give the same answers."""

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import path, re_path
from django.views.decorators.csrf import csrf_exempt

from errors.views import ingest

app_name = "errors"


@csrf_exempt
def ingest_view(request: HttpRequest, **_: object) -> HttpResponseBase:
    response: HttpResponseBase
    address = ingest.match(request.path_info)
    if address is None:
        return HttpResponse(status=404)
    status, headers, body = ingest.handle(request.environ, address)  # type: ignore[attr-defined]
    # A stream is left alone by the middleware that explains empty refusals; sentry-php needs an empty 429.
    response = (
        HttpResponse(body, status=status) if body else StreamingHttpResponse([], status=status)
    )
    del response["Content-Type"]
    for name, value in headers:
        response[name] = value
    return response


urlpatterns = [
    path("api/v1/errors/", ingest_view, name="error-report"),
    path("api/<int:project_id>/envelope/", ingest_view, name="envelope-receive"),
    path("tunnel/", ingest_view, name="envelope-tunnel"),
    re_path(
        r"^(?:/+)?(?:api/+\d+/+(?:envelope|store|security|csp-report|nel|minidump|unreal|cron)(?:/.*)?|api/+v1/+errors/*|tunnel/*)$",
        ingest_view,
        name="ingest-other",
    ),
]
