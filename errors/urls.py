"""URLs of the staff pages and of ingestion. `serve` answers ingestion before Django's middleware."""

from django.contrib import admin
from django.urls import path, re_path

from errors.ingest import handler
from errors.views import actions, pages

app_name = "errors"


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
    path("api/v1/errors/", handler.view, name="error-report"),
    path("api/<int:project_id>/envelope/", handler.view, name="envelope-receive"),
    path("tunnel/", handler.view, name="envelope-tunnel"),
    re_path(
        r"^(?:/+)?(?:api/+\d+/+(?:envelope|store|security|csp-report|nel|minidump|unreal|cron)(?:/.*)?|api/+v1/+errors/*|tunnel/*)$",
        handler.view,
        name="ingest-other",
    ),
]
