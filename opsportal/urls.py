"""Map the URLs of the portal."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from opsportal import search

search_urls = [
    path("admin/search/", admin.site.admin_view(search.page), name="page"),
    path("api/v1/search/", search.results, name="api"),
]
urlpatterns = [
    path("", RedirectView.as_view(pattern_name="health:system-health")),
    path("", include("errors.urls")),
    path("", include("logs.urls")),
    path("", include("otlp.urls")),
    path("", include("health.urls")),
    path("", include("core.clients.urls")),
    path("", include("core.releases.urls")),
    path("", include("core.config.urls")),
    path("", include("payments.urls")),
    path("", include("reservations.urls")),
    path("", include("alerts.urls")),
    path("", include("impact.urls")),
    path("", include("core.accounts.urls")),
    path("", include((search_urls, "search"))),
    path("admin/", admin.site.urls),
]

handler400 = "opsportal.error_pages.bad_request"
handler403 = "opsportal.error_pages.permission_denied"
handler404 = "opsportal.error_pages.page_not_found"
handler500 = "opsportal.error_pages.server_error"
