from django.urls import path

from core.config.extension_points import registry
from core.config.views import list_view, object_view

app_name = "config"
urlpatterns = [
    entry
    for resource in registry
    for entry in (
        path(f"api/v1/config/{resource.kind}/", list_view(resource), name=resource.kind),
        path(
            f"api/v1/config/{resource.kind}/<int:object_id>/",
            object_view(resource),
            name=f"{resource.kind}-object",
        ),
    )
]
