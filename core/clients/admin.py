"""Admin pages of registered apps. Their keys have a page of their own, which shows new secrets only once."""

from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Count, Max, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html

from core.clients import services
from core.clients.models import ClientApp
from core.lib.forms import LinesField


def validate_origin(text: str) -> None:
    """Raise ValidationError unless browsers could send the text as Origin, for example https://shop.example."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or f"{parts.scheme}://{parts.netloc}" != text:
        raise ValidationError(f"“{text}” is not an origin. Enter one such as https://shop.example.")


class ClientAppForm(forms.ModelForm[ClientApp]):
    allowed_origins = LinesField(
        validators=[validate_origin],
        help_text="Browser origins that may report errors, one per line, for example https://shop.example."
        " Leave empty to allow all.",
    )
    scrub_keys = LinesField(
        help_text="Additional field names to filter, one per line, for example iban."
    )
    safe_keys = LinesField(help_text="Field names that are never filtered, one per line.")

    class Meta:
        model = ClientApp
        fields = (
            "name", "slug", "platform", "is_active", "allowed_origins", "events_per_second", "events_per_hour",
            "events_per_day", "logs_per_minute", "retention_days", "scrub_keys", "safe_keys",
        )  # fmt: skip


@admin.register(ClientApp)
class ClientAppAdmin(admin.ModelAdmin[ClientApp]):
    form = ClientAppForm
    list_display = ("name", "slug", "platform", "is_active", "live_keys", "last_used", "keys_page")
    list_filter = ("is_active", "platform")
    search_fields = ("name", "slug")
    ordering = ("name",)
    prepopulated_fields = {"slug": ("name",)}
    fieldsets = (
        (None, {"fields": ("name", "slug", "platform", "is_active", "keys_page")}),
        ("Browsers", {"fields": ("allowed_origins",)}),
        ("Quota and retention", {"fields": ("events_per_second", "events_per_hour", "events_per_day", "logs_per_minute", "retention_days")}),
        ("Personal data", {"fields": ("scrub_keys", "safe_keys")}),
    )  # fmt: skip
    readonly_fields = ("keys_page",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ClientApp]:
        live = Q(keys__revoked_at=None)
        return (
            super()
            .get_queryset(request)
            .annotate(
                live_key_count=Count("keys", filter=live, distinct=True),
                newest_use=Max("keys__last_used_at"),
            )
        )

    def has_delete_permission(self, request: HttpRequest, obj: ClientApp | None = None) -> bool:
        return False  # Its reports refer to it. Apps can be disabled instead.

    @admin.display(description="DSN keys", ordering="live_key_count")
    def live_keys(self, app: Any) -> int:
        return int(app.live_key_count)

    @admin.display(description="Last report", ordering="newest_use")
    def last_used(self, app: Any) -> Any:
        return app.newest_use

    @admin.display(description="Keys and DSN")
    def keys_page(self, app: ClientApp) -> str:
        if app._state.adding:
            return "A DSN key is created when you save."
        return format_html(
            '<a href="{}">Keys and DSN</a>', reverse("clients:key-list", args=[app.pk])
        )

    def save_model(self, request: HttpRequest, obj: ClientApp, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change:
            services.issue_dsn_key(app=obj)

    def response_add(
        self, request: HttpRequest, obj: ClientApp, post_url_continue: str | None = None
    ) -> HttpResponse:
        if "_addanother" in request.POST or "_continue" in request.POST:
            return super().response_add(request, obj, post_url_continue)
        return HttpResponseRedirect(reverse("clients:key-list", args=[obj.pk]))
