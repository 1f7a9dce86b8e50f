"""Define the admin of releases and deploys, which only the API and sentry-cli write."""

from django.contrib import admin

from core.lib.admin import LogAdmin, Section
from core.releases.models import Deploy, Release


@admin.register(Release)
class ReleaseAdmin(LogAdmin):
    section = Section.APPS
    list_display = ["version", "app", "created_at", "released_at"]
    list_filter = ["app"]
    list_select_related = ["app"]
    search_fields = ["version"]
    ordering = ["-created_at"]


@admin.register(Deploy)
class DeployAdmin(LogAdmin):
    section = Section.APPS
    list_display = ["finished_at", "release", "environment", "name", "source"]
    list_filter = ["source", "environment", "release__app"]
    list_select_related = ["release__app"]
    search_fields = ["release__version", "name"]
    ordering = ["-finished_at"]
