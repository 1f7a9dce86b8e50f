from typing import Any
from urllib.parse import urlencode

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from alerts import services
from alerts.admin.channel_form import ChannelForm, build_form, describe_kinds, form_field_name
from alerts.admin.notification_tests import TOO_MANY, is_over_limit
from alerts.channels import TRANSPORTS, list_missing_fields
from alerts.models import Channel, ChannelTest
from alerts.queries.channels import describe_channel_state, describe_routes, describe_test
from core.lib.admin import PortalAdmin, Section


@admin.register(Channel)
class ChannelAdmin(PortalAdmin):
    section = Section.ALERTING
    setting_purpose = "E-mail, Slack, SMS and other ways to reach people."
    field_labels = {
        "gets_every_type": "Alerts of every type",
        "groups_alerts": "Related alerts in one message",
        "gets_digests": "Digests and the weekly report",
        "max_per_minute": "Maximum messages per minute",
        "uses_environment": "Use the portal's settings",
        "quiet_from": "Quiet from",
        "quiet_until": "Quiet until",
        "last_success_at": "Last delivery",
    }
    field_help = {
        "time_zone": "The time zone of the quiet hours, for example Europe/Berlin.",
        "quiet_from": "During quiet hours, only critical alerts are delivered.",
    }
    list_display = ("name", "kind_label", "state", "routes", "last_success_at", "test_button")
    form = ChannelForm
    readonly_fields = ("state", "last_success_at", "last_error", "reply_address")
    actions = ("enable",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Channel]:
        return Channel.objects.annotate(type_count=Count("alert_types"))

    def get_fieldsets(self, request: HttpRequest, obj: Channel | None = None) -> Any:
        kind = obj.kind if obj else request.GET.get("kind", "")
        transport = TRANSPORTS[kind]
        shown = [form_field_name(field.name) for field in transport.fields if field.is_shown]
        if any(field.setting for field in transport.fields):
            shown = ["uses_environment", *shown]
        state = ("state", "last_success_at", "last_error") if obj else ()
        sections: list[Any] = [
            (None, {"fields": ("name", "is_enabled", *state)}),
            (
                transport.label,
                {
                    "fields": [
                        *shown,
                        *(["reply_address"] if obj and kind in ("sms", "slack") else []),
                    ]
                },
            ),
        ]
        if transport.contact_field:
            sections.append(("Recipients", {"fields": ["teams", "people"]}))
        if transport.supports_digests:
            sections[-1][1]["fields"] = [*sections[-1][1]["fields"], "gets_digests"]
        alerts = ["gets_every_type", "routed_types"]
        if transport.supports_groups:
            alerts.append("groups_alerts")
        sections += [
            ("Alerts sent here", {"fields": alerts}),
            (
                "Limits and quiet hours",
                {"fields": ("max_per_minute", "time_zone", "quiet_from", "quiet_until")},
            ),
        ]
        return sections

    def get_form(
        self, request: HttpRequest, obj: Channel | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        kwargs["form"] = build_form(obj or Channel(kind=request.GET.get("kind", "")))
        return super().get_form(request, obj, change, **kwargs)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show the page for choosing a kind of channel or, if `kind` names one, the form for a channel of this kind.

        The form saves an enabled channel only with all settings that the kind requires.
        """
        if request.GET.get("kind") in TRANSPORTS:
            return super().add_view(request, form_url, extra_context)
        if not self.has_add_permission(request):
            return HttpResponse(status=403)
        return render(
            request,
            "admin/alerts/channel/choose_kind.html",
            {
                **self.admin_site.each_context(request),
                "title": "Add a channel",
                "opts": self.opts,
                "kinds": describe_kinds(),
            },
        )

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        channel = kwargs.get("obj")
        context |= {
            "test_url": self._test_url(channel, request.GET.get("kind", "")),
            "channel_test": describe_test(channel.tests.order_by("-pk").first())
            if channel
            else None,
        }
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    def _test_url(self, channel: Channel | None, kind: str) -> str:
        if channel is not None:
            return reverse("admin:alerts_channel_test", args=[channel.pk])
        return f"{reverse('admin:alerts_channel_test_new')}?{urlencode({'kind': kind})}"

    def save_model(
        self, request: HttpRequest, channel: Channel, form: forms.ModelForm[Channel], change: bool
    ) -> None:
        super().save_model(request, channel, form, change)
        if change:
            services.repair_channel(channel, now=timezone.now())

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        channel = form.instance
        channel.alert_types.set(form.cleaned_data["routed_types"])
        services.announce_soon()
        if not Channel.objects.routed().filter(pk=channel.pk).exists():
            self.message_user(
                request,
                format_html(
                    "No alert type is routed to {}, so it gets no alerts. "
                    'Choose types under "Alerts sent here", or in the <a href="{}">routing table</a>.',
                    channel,
                    reverse("alerts:routing"),
                ),
                messages.WARNING,
            )

    @admin.display(description="webhook for replies")
    def reply_address(self, channel: Channel) -> str:
        """Return the URL that Twilio or Slack calls when a person replies to a message or clicks a button."""
        return settings.BASE_URL + reverse(f"alerts:reply-{channel.kind}", args=[channel.pk])

    @admin.display(description="kind", ordering="kind")
    def kind_label(self, channel: Channel) -> str:
        return TRANSPORTS[channel.kind].label

    @admin.display(description="state")
    def state(self, channel: Channel) -> str:
        return describe_channel_state(channel)

    @admin.display(description="alerts sent here")
    def routes(self, channel: Channel) -> str:
        return describe_routes(channel)

    @admin.display(description="alert types")
    def routed_types(self, channel: Channel) -> str:
        """Return the names of the routed alert types, for users who may view but not change the channel."""
        return ", ".join(channel.alert_types.order_by("name").values_list("name", flat=True))

    @admin.display(description="")
    def test_button(self, channel: Channel) -> SafeString:
        if list_missing_fields(channel):
            return SafeString("")
        url = reverse("admin:alerts_channel_test", args=[channel.pk])
        return format_html(
            '<button class="btn btn--small" name="saved" value="1" formaction="{}">Send test</button>',
            url,
        )

    @admin.action(description="Enable again", permissions=["change"])
    def enable(self, request: HttpRequest, channels: QuerySet[Channel]) -> None:
        for channel in channels:
            services.enable_channel(channel, now=timezone.now())
        self.message_user(
            request, f"Enabled {len(channels)} channel{'' if len(channels) == 1 else 's'}."
        )

    # --- tests --------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("test/", wrap(require_POST(self.test_new)), name="alerts_channel_test_new"),
            path("test/<int:pk>/", wrap(self.show_test), name="alerts_channel_test_result"),
            path("<int:pk>/test/", wrap(require_POST(self.test_one)), name="alerts_channel_test"),
            *super().get_urls(),
        ]

    def test_new(self, request: HttpRequest) -> HttpResponse:
        """Send a test message with the values in the form of a channel that is not saved yet."""
        if not self.has_add_permission(request) or request.GET.get("kind") not in TRANSPORTS:
            return HttpResponse(status=403)
        return self._test(request, None)

    def test_one(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send a test message to a saved channel, with the values of the form if the request contains them."""
        channel = get_object_or_404(Channel, pk=pk)
        if not self.has_change_permission(request, channel):
            return HttpResponse(status=403)
        return self._test(request, channel)

    def _test(self, request: HttpRequest, channel: Channel | None) -> HttpResponse:
        if is_over_limit(request):
            return self._answer_test(request, channel, None, [TOO_MANY])
        now = timezone.now()
        user_id = request.user.pk
        if channel is not None and "name" not in request.POST:
            test = services.send_test(channel, now=now, user_id=user_id)
            return self._answer_test(request, channel, test, [])
        form = self.get_form(request, channel, channel is not None)(
            request.POST, instance=channel or Channel(kind=request.GET["kind"])
        )
        if not form.is_valid():
            problems = [
                f"{form.fields[name].label}: {text}" if name in form.fields else str(text)
                for name, texts in form.errors.items()
                for text in texts
            ]
            return self._answer_test(request, channel, None, problems)
        test = services.send_test_of_form(
            form.build_draft(),
            changed=form.list_changed_settings(),
            recipients=form.list_recipients(),
            now=now,
            user_id=user_id,
        )
        return self._answer_test(request, channel, test, [])

    def _answer_test(
        self,
        request: HttpRequest,
        channel: Channel | None,
        test: ChannelTest | None,
        problems: list[str],
    ) -> HttpResponse:
        """Return the result of a test request: a part of the page, or a redirect to the page of the channel.

        htmx requests and the form of a new channel get the part of the page.
        """
        if "HX-Request" in request.headers or channel is None:
            return self._render_test(request, test, problems)
        for problem in problems:
            self.message_user(request, problem, messages.WARNING)
        return redirect("admin:alerts_channel_change", channel.pk)

    def show_test(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not self.has_view_permission(request):
            return HttpResponse(status=403)
        return self._render_test(request, get_object_or_404(ChannelTest, pk=pk), [])

    def _render_test(
        self, request: HttpRequest, test: ChannelTest | None, problems: list[str]
    ) -> HttpResponse:
        context = {"channel_test": describe_test(test), "problems": problems}
        return render(request, "alerts/_channel_test.html", context)
