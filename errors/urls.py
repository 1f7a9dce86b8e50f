"""The staff's pages, and ingestion's addresses. In production opsportal.wsgi answers them before Django is asked; these views give the same answers."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import path, re_path
from django.views.decorators.csrf import csrf_exempt

from errors.views import actions, ingest, pages

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


staff = admin.site.admin_view
urlpatterns = [
    path("admin/errors/", staff(pages.group_list), name="group-list"),
    path("admin/errors/<int:group_id>/", staff(pages.group_detail), name="group-detail"),
    path("admin/errors/bulk/", staff(actions.group_bulk), name="group-bulk"),
    path("admin/errors/<int:group_id>/act/", staff(actions.group_act), name="group-act"),
    path("admin/errors/<int:group_id>/events/", staff(pages.event_list), name="event-list"),
    path(
        "admin/errors/<int:group_id>/events/latest/",
        staff(pages.event_latest),
        name="event-latest",
    ),
    path(
        "admin/errors/<int:group_id>/events/<int:event_id>/",
        staff(pages.event_detail),
        name="event-detail",
    ),
    path(
        "admin/errors/<int:group_id>/events/<int:event_id>/json/",
        staff(pages.event_raw),
        name="event-raw",
    ),
    path("api/v1/errors/", ingest_view, name="error-report"),
    path("api/<int:project_id>/envelope/", ingest_view, name="envelope-receive"),
    path("tunnel/", ingest_view, name="envelope-tunnel"),
    re_path(
        r"^(?:/+)?(?:api/+\d+/+(?:envelope|store|security|csp-report|nel|minidump|unreal|cron)(?:/.*)?|api/+v1/+errors/*|tunnel/*)$",
        ingest_view,
        name="ingest-other",
    ),
]
