"""Map the URLs of the staff pages, the APIs and ingestion. `serve` answers ingestion without Django's middleware."""

from django.contrib import admin
from django.urls import path, re_path

from errors.ingest import handler
from errors.views import (
    actions,
    api,
    api_actions,
    cli_releases,
    cli_uploads,
    filter_pages,
    pages,
    release_pages,
)

app_name = "errors"


staff = admin.site.admin_view
_ORGANIZATION = "api/0/organizations/<str:organization>"
_RELEASE = f"{_ORGANIZATION}/releases/<str:version>"
_PROJECT = "api/0/projects/<str:organization>/<str:project>"
# sentry-cli and the bundler plugins call these URLs, which are the same as in Sentry's API.
cli_urls = [
    path("api/0/", cli_releases.info, name="cli-info"),
    path("api/0/users/me/regions/", cli_releases.regions, name="cli-regions"),
    path("api/0/organizations/", cli_releases.organizations, name="cli-organizations"),
    path(f"{_ORGANIZATION}/projects/", cli_releases.projects, name="cli-projects"),
    path(f"{_ORGANIZATION}/repos/", cli_releases.repositories, name="cli-repositories"),
    path(f"{_ORGANIZATION}/chunk-upload/", cli_uploads.chunk_upload, name="cli-chunk-upload"),
    path(
        f"{_ORGANIZATION}/artifactbundle/assemble/",
        cli_uploads.assemble_bundle,
        name="cli-assemble-bundle",
    ),
    path(f"{_ORGANIZATION}/releases/", cli_releases.release_list, name="cli-releases"),
    path(f"{_RELEASE}/", cli_releases.release_detail, name="cli-release"),
    path(f"{_RELEASE}/assemble/", cli_uploads.assemble_release, name="cli-assemble-release"),
    path(f"{_RELEASE}/commits/", cli_releases.release_commits, name="cli-commits"),
    path(
        f"{_RELEASE}/previous-with-commits/",
        cli_releases.previous_with_commits,
        name="cli-previous-with-commits",
    ),
    path(f"{_RELEASE}/deploys/", cli_releases.release_deploys, name="cli-deploys"),
    path(f"{_PROJECT}/releases/", cli_releases.release_list, name="cli-project-releases"),
    path(
        f"{_PROJECT}/releases/<str:version>/",
        cli_releases.release_detail,
        name="cli-project-release",
    ),
    path(
        f"{_PROJECT}/releases/<str:version>/files/",
        cli_uploads.release_files,
        name="cli-release-files",
    ),
]
urlpatterns = [
    *cli_urls,
    path("admin/errors/", staff(pages.group_list), name="group-list"),
    path("admin/errors/<int:group_id>/", staff(pages.group_detail), name="group-detail"),
    path("admin/errors/filters/<int:app_id>/", staff(filter_pages.filter_list), name="filter-list"),
    path(
        "admin/errors/filters/<int:app_id>/<str:kind>/",
        staff(filter_pages.filter_change),
        name="filter-change",
    ),
    path("admin/errors/sample/<int:app_id>/", staff(actions.send_sample), name="sample-send"),
    path("admin/errors/complete/", staff(pages.complete), name="group-complete"),
    path("admin/errors/undo/<uuid:batch>/", staff(actions.undo), name="group-undo"),
    path("admin/errors/bulk/", staff(actions.group_bulk), name="group-bulk"),
    path("admin/errors/<int:group_id>/act/", staff(actions.group_act), name="group-act"),
    path("admin/errors/<int:group_id>/delete/", staff(actions.group_delete), name="group-delete"),
    path(
        "admin/errors/<int:group_id>/users/delete/",
        staff(actions.user_delete),
        name="user-delete",
    ),
    path(
        "admin/errors/<int:group_id>/events/<int:event_id>/delete/",
        staff(actions.event_delete),
        name="event-delete",
    ),
    path("admin/errors/<int:group_id>/tags/", staff(pages.tag_list), name="group-tags"),
    path("admin/errors/<int:group_id>/users/", staff(pages.user_list), name="group-users"),
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
    path("admin/releases/", staff(release_pages.release_list), name="release-list"),
    path(
        "admin/releases/<int:release_id>/",
        staff(release_pages.release_detail),
        name="release-detail",
    ),
    path("api/v1/error-groups/", api.group_list, name="api-group-list"),
    path("api/v1/events/", api.event_search, name="api-event-search"),
    path("api/v1/error-groups/act/", api_actions.group_act, name="api-group-act"),
    path("api/v1/error-groups/<int:group_id>/", api.group_detail, name="api-group-detail"),
    path("api/v1/error-groups/<int:group_id>/events/", api.event_list, name="api-event-list"),
    path("api/v1/error-groups/<int:group_id>/counts/", api.group_counts, name="api-group-counts"),
    path("api/v1/error-events/export/", api.event_export, name="api-event-export"),
    path("api/v1/error-events/<uuid:event_id>/", api.event_detail, name="api-event-detail"),
    path(
        "api/v1/error-events/<uuid:event_id>/delete/",
        api_actions.event_delete,
        name="api-event-delete",
    ),
    path("api/v1/error-users/delete/", api_actions.user_delete, name="api-user-delete"),
    path("api/v1/error-counts/", api.count_list, name="api-count-list"),
    path("api/v1/releases/", api.release_list, name="api-release-list"),
    path("api/v1/errors/", handler.view, name="error-report"),
    path("api/<int:project_id>/envelope/", handler.view, name="envelope-receive"),
    path("tunnel/", handler.view, name="envelope-tunnel"),
    re_path(
        r"^(?:/+)?(?:api/+\d+/+(?:envelope|store|security|csp-report|nel|minidump|unreal|cron)(?:/.*)?|api/+v1/+errors/*|tunnel/*)$",
        handler.view,
        name="ingest-other",
    ),
]
