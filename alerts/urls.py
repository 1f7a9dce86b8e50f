"""Addresses of the alert pages and of "run all checks now"."""

from django.contrib import admin
from django.urls import path

from alerts import api, views

app_name = "alerts"
staff = admin.site.admin_view

urlpatterns = [
    path("api/v1/checks/run/", api.run_checks, name="check-run"),
    path("admin/alerts/", staff(views.inbox), name="alert-list"),
    path("admin/alerts/<int:pk>/", staff(views.page), name="alert-page"),
    path("admin/alerts/<int:pk>/dismiss/", staff(views.dismiss), name="alert-dismiss"),
    path("admin/alerts/<int:pk>/acknowledge/", staff(views.acknowledge), name="alert-acknowledge"),
]
