from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from django_ratelimit.core import is_ratelimited

from alerts import services
from alerts.channels import TRANSPORTS, get_config, list_missing_fields
from alerts.models import Channel
from alerts.queries.inbox import describe_channel_state


class ChannelForm(forms.ModelForm[Channel]):
    """One input per field of the kind. A secret is never shown again; an empty input keeps its value."""

    class Meta:
        model = Channel
        fields = ("name",)


class NewChannelForm(ChannelForm):
    kind = forms.ChoiceField(choices=[(t.kind, t.label) for t in TRANSPORTS.values()])


def form_field_name(field_name: str) -> str:
    return f"setting_{field_name}"


@admin.register(Channel)
class ChannelAdmin(admin.ModelAdmin[Channel]):
    list_display = ("name", "kind_label", "state", "last_success_at", "is_enabled", "test_button")
    form = ChannelForm
    filter_horizontal = ("teams", "people")
    readonly_fields = ("state", "last_success_at", "last_error")
    actions = ("enable",)

    def get_fieldsets(self, request: HttpRequest, obj: Channel | None = None) -> Any:
        if obj is None:
            return [(None, {"fields": ("name", "kind")})]
        transport = TRANSPORTS[obj.kind]
        sections: list[Any] = [
            (None, {"fields": ("name", "is_enabled", *self.readonly_fields)}),
            (
                transport.label,
                {
                    "fields": (
                        "uses_environment",
                        *(
                            form_field_name(field.name)
                            for field in transport.fields
                            if field.is_shown
                        ),
                    )
                },
            ),
        ]
        if transport.contact_field:
            sections.append(("Recipients", {"fields": ("teams", "people")}))
        if transport.supports_digests:
            sections[-1][1]["fields"] = (*sections[-1][1]["fields"], "gets_digests")
        sections.append(
            (
                "Limits and quiet hours",
                {"fields": ("max_per_minute", "time_zone", "quiet_from", "quiet_until")},
            )
        )
        return sections

    def get_form(
        self, request: HttpRequest, obj: Channel | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        kwargs["form"] = build_form(obj) if obj else NewChannelForm
        return super().get_form(request, obj, change, **kwargs)

    def response_add(
        self, request: HttpRequest, obj: Channel, post_url_continue: str | None = None
    ) -> HttpResponse:
        # The first form only asks for the kind; this one has its fields.
        return redirect("admin:alerts_channel_change", obj.pk)

    @admin.display(description="kind", ordering="kind")
    def kind_label(self, channel: Channel) -> str:
        return TRANSPORTS[channel.kind].label

    @admin.display(description="state")
    def state(self, channel: Channel) -> str:
        return describe_channel_state(channel)

    @admin.display(description="")
    def test_button(self, channel: Channel) -> SafeString:
        if list_missing_fields(channel):
            return SafeString("")
        url = reverse("admin:alerts_channel_test", args=[channel.pk])
        return format_html('<button class="btn btn--small" formaction="{}">Send test</button>', url)

    @admin.action(description="Enable again")
    def enable(self, request: HttpRequest, channels: QuerySet[Channel]) -> None:
        for channel in channels:
            services.enable_channel(channel, now=timezone.now())
        self.message_user(
            request, f"Enabled {len(channels)} channel{'' if len(channels) == 1 else 's'}."
        )

    def get_urls(self) -> list[URLPattern]:
        test = self.admin_site.admin_view(require_POST(self.send_test))
        return [path("<int:pk>/test/", test, name="alerts_channel_test"), *super().get_urls()]

    def send_test(self, request: HttpRequest, pk: int) -> HttpResponse:
        channel = get_object_or_404(Channel, pk=pk)
        if not self.has_change_permission(request, channel):
            return HttpResponse(status=403)
        if is_ratelimited(
            request, group="alerts.test", key="user_or_ip", rate="6/m", increment=True
        ):
            self.message_user(
                request, "Limit of 6 per minute reached; try again shortly.", messages.WARNING
            )
            return redirect("admin:alerts_channel_changelist")
        notification = services.send_test(channel, now=timezone.now())
        self.message_user(
            request,
            f"A test message to {channel} is being sent. Reload this page to see the answer.",
        )
        return redirect("admin:alerts_notification_change", notification.pk)


def build_form(channel: Channel) -> type[ChannelForm]:
    """Build the form for the kind of the channel."""
    transport = TRANSPORTS[channel.kind]
    config = get_config(channel)
    fields: dict[str, Any] = {}
    shown_fields = [field for field in transport.fields if field.is_shown]
    for field in shown_fields:
        own = str(channel.config.get(field.name) or "")
        hint = field.help
        if not own and config[field.name] and channel.uses_environment and field.setting:
            shown = "set" if field.is_secret else config[field.name]
            hint = f"{hint} From the setting {field.setting}: {shown}.".strip()
        if field.is_secret and own:
            hint = f"{hint} A value is stored. Enter a new one to replace it.".strip()
        fields[form_field_name(field.name)] = forms.CharField(
            label=field.label,
            required=False,
            initial="" if field.is_secret else own,
            help_text=hint,
            widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "size": 60})
            if field.is_secret
            else forms.TextInput(attrs={"size": 60}),
        )

    def save(self: ChannelForm, commit: bool = True) -> Channel:
        new = dict(self.instance.config)
        for field in shown_fields:
            value = self.cleaned_data[form_field_name(field.name)].strip()
            if value or not field.is_secret:
                new[field.name] = value
        self.instance.config = new
        return super(ChannelForm, self).save(commit)

    return type("KindForm", (ChannelForm,), {**fields, "save": save})
