"""Define the admin site, whose first page lists the settings by task."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.functional import SimpleLazyObject

from core.lib import formats
from core.lib.admin import LogAdmin, PortalAdmin, Section


@dataclass(frozen=True)
class Setting:
    """A line on the settings page."""

    title: str
    purpose: str
    url: str
    add_url: str = ""
    add_title: str = ""


@dataclass(frozen=True)
class SettingsSection:
    title: str
    settings: list[Setting]
    records: list[Setting]  # Lists that users can only read, such as the audit log.

    @property
    def anchor(self) -> str:
        return self.title.lower().replace(" ", "-")


@dataclass(frozen=True)
class _Reader:
    """A stand-in for a user or key with its permissions only, which is all that the admin's permission checks need."""

    has_perm: Callable[[str], bool]


class PortalAdminSite(admin.AdminSite):
    """Django's admin site with the portal's navigation (templates/portal/_nav.html) instead of Django's sidebar."""

    site_title = "opsportal"
    site_header = "opsportal"
    index_title = "Settings"
    enable_nav_sidebar = False
    empty_value_display = formats.NONE

    def register(
        self,
        model_or_iterable: Any,
        admin_class: type[admin.ModelAdmin[Any]] | None = None,
        **options: Any,
    ) -> None:
        """Register models. Add PortalAdmin as a base to admin classes of other packages."""
        styled = admin_class or admin.ModelAdmin
        if not issubclass(styled, PortalAdmin):
            styled = type(styled.__name__, (PortalAdmin, styled), {"__module__": styled.__module__})
        super().register(model_or_iterable, styled, **options)

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> Any:
        """Return the list of apps lazily, because Django adds it to every page's context but few pages show it."""
        return SimpleLazyObject(partial(super().get_app_list, request, app_label))

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Show the settings page, with the settings grouped by task."""
        context = {
            "sections": self.settings_sections(request.user.has_perm),
            **(extra_context or {}),
        }
        return super().index(request, context)

    def app_index(
        self, request: HttpRequest, app_label: str, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Redirect to the settings page, which replaces Django's page for each app."""
        return redirect("admin:index")

    def settings_sections(self, may: Callable[[str], bool]) -> list[SettingsSection]:
        """Return the settings and records that a reader with these permissions may see, grouped by task."""
        request = HttpRequest()
        request.user = _Reader(may)  # type: ignore[assignment]
        sections = {section: SettingsSection(section, [], []) for section in Section}
        for model, model_admin in self._registry.items():
            if not isinstance(model_admin, PortalAdmin):
                continue
            section = sections[model_admin.section]
            for link in model_admin.more_links:
                if not link.permission or may(link.permission):
                    section.settings.append(
                        Setting(link.title, link.purpose, reverse(link.url_name))
                    )
            if model_admin.is_listed and model_admin.has_view_or_change_permission(request):
                lines = section.records if isinstance(model_admin, LogAdmin) else section.settings
                lines.append(self._setting(request, model, model_admin))
        for section in sections.values():
            section.settings.sort(key=lambda one: one.title)
            section.records.sort(key=lambda one: one.title)
        return [one for one in sections.values() if one.settings or one.records]

    def _setting(
        self, request: HttpRequest, model: type[models.Model], model_admin: PortalAdmin
    ) -> Setting:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        may_add = model_admin.offers_add and model_admin.has_add_permission(request)
        return Setting(
            model_admin.plural_name,
            model_admin.setting_purpose,
            reverse(f"{name}_changelist"),
            reverse(f"{name}_add") if may_add else "",
            f"Add {model_admin.singular_name}" if may_add else "",
        )
