"""Map the OTLP endpoints. The URLs have no final slash, because exporters request `/v1/traces` and so on."""

from django.urls import path

from otlp import views

app_name = "otlp"

urlpatterns = [
    path("v1/traces", views.export_traces, name="traces"),
    path("v1/logs", views.export_logs, name="logs"),
    path("v1/metrics", views.export_metrics, name="metrics"),
]
