from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class PortalAdminConfig(AdminConfig):
    default_site = "core.accounts.site.SignInSite"


class PortalConfig(AppConfig):
    """The project package as an app, so that Django finds its commands, templates and static files."""

    name = "opsportal"

    def ready(self) -> None:
        from core.lib import (  # noqa: F401  (their registries)
            app_access,
            first_steps,
            log_shipping,
            logs,
            openapi,
            registry,
            retention,
            schedules,
            search_sources,
            sentry,
            startup,
        )
        from opsportal import self_monitoring

        logs.configure()
        log_shipping.install()
        sentry.install()
        self_monitoring.install()
        registry.autodiscover()
