"""Map the OTLP endpoints. Exporters append `/v1/traces` etc. to OTEL_EXPORTER_OTLP_ENDPOINT without a final slash."""

from django.urls import path

from otlp import views

app_name = "otlp"

urlpatterns = [
    path("v1/traces", views.export_traces, name="traces"),
    path("v1/logs", views.export_logs, name="logs"),
    path("v1/metrics", views.export_metrics, name="metrics"),
]
