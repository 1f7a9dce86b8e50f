from django.urls import path

from health.views import api, system_health

app_name = "health"
urlpatterns = [
    path("livez", api.livez, name="liveness"),
    path("readyz", api.readyz, name="readiness"),
    path("health", api.health, name="health"),
    path("admin/system-health/", system_health.page, name="system-health"),
    path("admin/system-health/widgets/<str:name>/", system_health.widget, name="widget"),
]
