from django.urls import path

from health.views import api

app_name = "health"
urlpatterns = [
    path("livez", api.livez, name="liveness"),
    path("readyz", api.readyz, name="readiness"),
    path("health", api.health, name="health"),
]
