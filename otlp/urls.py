"""Map the OTLP endpoints. The URLs have no trailing slash, because exporters append `/v1/traces` to the base URL."""

from django.urls import path

from otlp import views

app_name = "otlp"

urlpatterns = [
    path("v1/traces", views.export_traces, name="traces"),
    path("v1/logs", views.export_logs, name="logs"),
    path("v1/metrics", views.export_metrics, name="metrics"),
]
