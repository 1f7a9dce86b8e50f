"""Every address of the portal, on one screen."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("", include("health.urls")),
    path("admin/", admin.site.urls),
]
