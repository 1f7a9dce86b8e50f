"""Define the admin of registered apps. A separate page manages their keys, because it shows new secrets only once."""

from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from core.clients import services
from core.clients.models import ClientApp, PersonalToken
from core.lib import app_access
from core.lib.admin import LogAdmin, PortalAdmin, Section, SettingLink
from core.lib.forms import LinesField
from core.lib.markup import when


def validate_origin(text: str) -> None:
    """Raise ValidationError unless the string is an origin as browsers send it, such as https://shop.example."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or f"{parts.scheme}://{parts.netloc}" != text:
        raise ValidationError(
            f"“{text}” is not an origin. Enter an origin such as https://shop.example."
        )


class ClientAppForm(forms.ModelForm[ClientApp]):
    allowed_origins = LinesField(
        validators=[validate_origin],
        help_text="Browser origins that may report errors, one per line, for example https://shop.example."
        " Leave empty to allow all origins.",
    )
    scrub_keys = LinesField(
        help_text="Values of these fields are also removed. Enter one field name per line, for example iban."
    )
    safe_keys = LinesField(
        help_text="These fields are not removed because of their names. Enter one field name per line."
    )

    class Meta:
        model = ClientApp
        fields = (
            "name", "slug", "platform", "is_active", "allowed_origins", "events_per_second", "events_per_hour",
            "events_per_day", "logs_per_minute", "retention_days", "scrub_keys", "safe_keys",
        )  # fmt: skip


@admin.register(ClientApp)
class ClientAppAdmin(PortalAdmin):
    section = Section.APPS
    setting_title = "Apps"
    setting_purpose = "The apps that report to this portal, with their keys, quotas and retention."
    more_links = (
        SettingLink(
            "API reference",
            "The API that apps can call, with examples.",
            "clients:api-reference",
            "clients.view_clientapp",
        ),
    )
    form = ClientAppForm
    field_labels = {
        "slug": "Identifier",
        "is_active": "Accepts reports",
        "events_per_second": "Maximum events per second",
        "events_per_hour": "Maximum events per hour",
        "events_per_day": "Maximum events per day",
        "retention_days": "Keep events for (days)",
    }
    field_help = {
        "name": "Enter a name such as Ticket shop.",
        "slug": "Use this text in searches, as in app:shop.",
        "is_active": "If this is off, all keys of the app are rejected.",
        "events_per_second": "Leave empty for no limit.",
        "events_per_hour": "Leave empty for no limit.",
        "events_per_day": "Leave empty for no limit.",
        "retention_days": "Older events are deleted. Error groups and their counts stay.",
    }
    constraint_messages = {
        "retention_is_at_least_a_day": ("retention_days", "Enter 1 day or more.")
    }
    list_display = (
        "name",
        "slug",
        "platform",
        "is_active",
        "num_live_keys",
        "last_heard_of",
        "keys_page",
    )
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
        apps = app_access.limit(ClientApp.objects.with_last_call())
        return apps.annotate(live_key_count=Count("keys", filter=live, distinct=True))

    def has_delete_permission(self, request: HttpRequest, obj: ClientApp | None = None) -> bool:
        return False  # Reports refer to their app, so an app can be disabled but not deleted.

    @admin.display(description="DSN keys", ordering="live_key_count")
    def num_live_keys(self, app: Any) -> int:
        return int(app.live_key_count)

    @admin.display(description="last call", ordering="last_call_at")
    def last_heard_of(self, app: Any) -> Any:
        return when(app.last_call_at) if app.last_call_at else "never"

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


@admin.register(PersonalToken)
class PersonalTokenAdmin(LogAdmin):
    """The list of all people's tokens, where owners can revoke them. People create their tokens on another page."""

    section = Section.PEOPLE
    setting_title = "API tokens of people"
    list_display = (
        "user",
        "label",
        "token",
        "scopes",
        "created_at",
        "expires_at",
        "last_used_at",
        "revoked_at",
    )
    list_filter = (
        ("revoked_at", admin.EmptyFieldListFilter),
        ("user", admin.RelatedOnlyFieldListFilter),
    )
    search_fields = ("label", "prefix", "user__username")
    ordering = ("-created_at", "-pk")
    list_select_related = ("user",)
    exclude = ("key_hash",)
    actions = ("revoke",)

    def has_delete_permission(self, request: HttpRequest, obj: PersonalToken | None = None) -> bool:
        return False  # A revoked token stays on the list, so that owners see that it existed.

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("clients.change_personaltoken")

    @admin.display(description="token")
    def token(self, token: PersonalToken) -> str:
        return str(token)

    @admin.action(description="Revoke", permissions=["revoke"])
    def revoke(self, request: HttpRequest, tokens: QuerySet[PersonalToken]) -> None:
        count = sum(services.revoke(token, now=timezone.now()) for token in tokens)
        self.message_user(request, f"{count} token{' was' if count == 1 else 's were'} revoked.")
