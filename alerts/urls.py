"""Addresses of the alert pages, below /admin/alerts/."""

from django.contrib import admin
from django.urls import path

from alerts import views

app_name = "alerts"

urlpatterns = [
    path("", admin.site.admin_view(views.inbox), name="alert-list"),
    path("<int:pk>/", admin.site.admin_view(views.page), name="alert-page"),
    path("<int:pk>/dismiss/", admin.site.admin_view(views.dismiss), name="alert-dismiss"),
    path(
        "<int:pk>/acknowledge/", admin.site.admin_view(views.acknowledge), name="alert-acknowledge"
    ),
]
