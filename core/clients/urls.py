from collections.abc import Callable

from django.contrib import admin
from django.http import HttpResponse
from django.urls import path

from core.clients.views import keys, reference, tokens

app_name = "clients"


def staff(route: str, view: Callable[..., HttpResponse], name: str) -> object:
    return path(f"admin/apps/{route}", admin.site.admin_view(view), name=name)


urlpatterns = [
    path("api/v1/openapi.json", reference.document, name="openapi"),
    staff("api/", reference.page, "api-reference"),
    path("admin/tokens/", admin.site.admin_view(tokens.token_list), name="token-list"),
    path("admin/tokens/add/", admin.site.admin_view(tokens.token_add), name="token-add"),
    path(
        "admin/tokens/<int:token_id>/revoke/",
        admin.site.admin_view(tokens.token_revoke),
        name="token-revoke",
    ),
    staff("<int:app_id>/keys/", keys.key_list, "key-list"),
    staff("<int:app_id>/keys/dsn/add/", keys.dsn_key_add, "dsn-key-add"),
    staff("<int:app_id>/keys/dsn/<int:key_id>/rotate/", keys.dsn_key_rotate, "dsn-key-rotate"),
    staff("<int:app_id>/keys/dsn/<int:key_id>/revoke/", keys.dsn_key_revoke, "dsn-key-revoke"),
    staff("<int:app_id>/keys/api/add/", keys.api_key_add, "api-key-add"),
    staff("<int:app_id>/keys/api/<int:key_id>/rotate/", keys.api_key_rotate, "api-key-rotate"),
    staff("<int:app_id>/keys/api/<int:key_id>/revoke/", keys.api_key_revoke, "api-key-revoke"),
]
