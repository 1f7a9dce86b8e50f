"""Alerts, rules, types, channels, people, silences and the outbox, for staff."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from django_ratelimit.core import is_ratelimited

from alerts import metric_readers, services
from alerts.channels import TRANSPORTS, configuration, missing
from alerts.models import (
    AlertEvent,
    AlertRule,
    AlertType,
    Channel,
    DeliveryAttempt,
    EscalationStep,
    Notification,
    Person,
    Silence,
    SystemAlert,
    Team,
)
from alerts.queries import state_in_words
from alerts.services.messages import in_units, in_words
from alerts.silencing import read_matchers
from opsportal.lib.admin import LogAdmin


class TimelineInline(admin.TabularInline[AlertEvent, SystemAlert]):
    model = AlertEvent
    fields = readonly_fields = ("at", "kind", "text", "user")
    ordering = ("at", "pk")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(SystemAlert)
class SystemAlertAdmin(LogAdmin):
    """Changed through its actions only; each keeps who did it and when."""

    list_display = (
        "title",
        "severity",
        "state",
        "age",
        "last_value",
        "occurrence_count",
        "opened_at",
        "is_read",
        "buttons",
    )
    list_filter = ("state", "severity", "alert_type", "source")
    search_fields = ("title", "message", "key")
    ordering = ("-opened_at", "-pk")
    date_hierarchy = "opened_at"
    actions = ("acknowledge", "dismiss", "mark_read", "resolve")
    inlines = (TimelineInline,)
    list_select_related = ("rule",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[SystemAlert]:
        return SystemAlert.objects.visible()

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    @admin.display(description="open for")
    def age(self, alert: SystemAlert) -> str:
        return in_words(alert.duration(timezone.now()))

    @admin.display(description="value")
    def last_value(self, alert: SystemAlert) -> str:
        return in_units(alert.value, alert.unit) if alert.threshold is not None else ""

    @admin.display(description="read", boolean=True)
    def is_read(self, alert: SystemAlert) -> bool:
        return alert.read_at is not None

    @admin.display(description="")
    def buttons(self, alert: SystemAlert) -> SafeString:
        """They post the change list's own form, with its token, to another address."""
        if not alert.is_active:
            return SafeString("")
        return format_html(
            '<button class="btn btn--small" formaction="{}">Acknowledge</button> '
            '<button class="btn btn--small" formaction="{}">Dismiss</button>',
            reverse("alerts:alert-acknowledge", args=[alert.pk]),
            reverse("alerts:alert-dismiss", args=[alert.pk]),
        )

    @admin.action(description="Acknowledge", permissions=["act"])
    def acknowledge(self, request: HttpRequest, alerts: QuerySet[SystemAlert]) -> None:
        self._act(request, alerts, services.acknowledge, "acknowledged")

    @admin.action(description="Dismiss", permissions=["act"])
    def dismiss(self, request: HttpRequest, alerts: QuerySet[SystemAlert]) -> None:
        self._act(request, alerts, services.dismiss, "dismissed")

    @admin.action(description="Mark read", permissions=["act"])
    def mark_read(self, request: HttpRequest, alerts: QuerySet[SystemAlert]) -> None:
        self._act(request, alerts, services.mark_read, "marked read")

    @admin.action(description="Resolve", permissions=["act"])
    def resolve(self, request: HttpRequest, alerts: QuerySet[SystemAlert]) -> None:
        self._act(request, alerts, services.resolve, "resolved")

    def has_act_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("alerts.change_systemalert")

    def _act(
        self,
        request: HttpRequest,
        alerts: QuerySet[SystemAlert],
        act: Callable[..., int],
        word: str,
    ) -> None:
        changed = act(alerts, user=request.user, now=timezone.now())
        level = messages.SUCCESS if changed else messages.INFO
        self.message_user(request, f"{changed} of {len(alerts)} alerts {word}.", level)


@admin.register(AlertRule)
class AlertRuleAdmin(admin.ModelAdmin[AlertRule]):
    list_display = (
        "name",
        "summary",
        "is_enabled",
        "limit",
        "last_seen",
        "severity",
        "alert_type",
        "window",
        "last_evaluated_at",
        "problem",
    )
    list_filter = ("is_enabled", "severity", "cadence")
    list_editable = ("is_enabled",)
    search_fields = ("name", "summary")
    readonly_fields = ("last_evaluated_at", "last_seen", "last_error")
    fieldsets = (
        (None, {"fields": ("name", "summary", "is_enabled", "runbook")}),
        (
            "Breached when",
            {
                "fields": (
                    "unit",
                    "below",
                    "threshold",
                    "critical_threshold",
                    "clear_threshold",
                    "window",
                    ("breaches_needed", "out_of"),
                    "clear_after",
                    "min_samples",
                    "no_data",
                )
            },
        ),
        (
            "Then",
            {
                "fields": (
                    "severity",
                    "alert_type",
                    "repeat_every",
                    "cooldown",
                    "reopen_window",
                    "cadence",
                )
            },
        ),
        ("As it stands", {"fields": readonly_fields}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: AlertRule | None = None) -> Any:
        code = ("name", "summary", "unit", "direction") if obj and not obj.is_custom else ()
        return (*self.readonly_fields, *code)

    def get_fieldsets(self, request: HttpRequest, obj: AlertRule | None = None) -> Any:
        """A rule that staff make says which recorded metric it reads."""
        if obj and not obj.is_custom:
            name, breached = self.fieldsets[1]
            fields = tuple("direction" if f == "below" else f for f in breached["fields"])
            return (self.fieldsets[0], (name, {"fields": fields}), *self.fieldsets[2:])
        reads = ("Reads", {"fields": ("reader", "selector")})
        return (self.fieldsets[0], reads, *self.fieldsets[1:])

    def formfield_for_dbfield(
        self, db_field: models.Field[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> Any:
        if db_field.name == "reader":
            names = metric_readers.registry.names()
            return forms.ChoiceField(choices=[(name, name) for name in names])
        if db_field.name == "alert_type":
            kwargs["widget"] = forms.Select(
                choices=list(AlertType.objects.values_list("slug", "name"))
            )
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def has_delete_permission(self, request: HttpRequest, obj: AlertRule | None = None) -> bool:
        """Code's rules would come back; they are disabled instead."""
        return super().has_delete_permission(request, obj) and (obj is None or obj.is_custom)

    @admin.display(description="threshold", ordering="threshold")
    def limit(self, rule: AlertRule) -> str:
        return f"{'≤' if rule.below else '>'} {in_units(rule.threshold, rule.unit)}"

    @admin.display(description="direction")
    def direction(self, rule: AlertRule) -> str:
        return "at the threshold or below it" if rule.below else "above the threshold"

    @admin.display(description="last value")
    def last_seen(self, rule: AlertRule) -> str:
        return in_units(rule.last_value, rule.unit)

    @admin.display(description="failing")
    def problem(self, rule: AlertRule) -> str:
        return rule.last_error[:80]


class StepInline(admin.TabularInline[EscalationStep, AlertType]):
    model = EscalationStep
    extra = 0


@admin.register(AlertType)
class AlertTypeAdmin(admin.ModelAdmin[AlertType]):
    list_display = ("name", "slug", "severity", "respond_within", "told_on", "digest_only")
    search_fields = ("name", "slug")
    filter_horizontal = ("channels",)
    inlines = (StepInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlertType]:
        return super().get_queryset(request).prefetch_related("channels")

    @admin.display(description="channels")
    def told_on(self, alert_type: AlertType) -> str:
        names = ", ".join(channel.name for channel in alert_type.channels.all())
        return names or ("daily digest" if alert_type.digest_only else "none")


class ChannelForm(forms.ModelForm[Channel]):
    """One input per thing the kind must be told. What is secret is never shown again: left empty, it stays."""

    class Meta:
        model = Channel
        fields = ("name",)


class NewChannelForm(ChannelForm):
    kind = forms.ChoiceField(choices=[(t.kind, t.label) for t in TRANSPORTS.values()])


def setting_name(field_name: str) -> str:
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
                        *(setting_name(field.name) for field in transport.fields if field.is_shown),
                    )
                },
            ),
        ]
        if transport.reaches_people_by:
            sections.append(("Who", {"fields": ("teams", "people")}))
        if transport.takes_digests:
            sections[-1][1]["fields"] = (*sections[-1][1]["fields"], "gets_digests")
        sections.append(
            ("When", {"fields": ("max_per_minute", "time_zone", "quiet_from", "quiet_until")})
        )
        return sections

    def get_form(
        self, request: HttpRequest, obj: Channel | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        kwargs["form"] = form_for(obj) if obj else NewChannelForm
        return super().get_form(request, obj, change, **kwargs)

    def response_add(
        self, request: HttpRequest, obj: Channel, post_url_continue: str | None = None
    ) -> HttpResponse:
        return redirect("admin:alerts_channel_change", obj.pk)  # where its settings are asked

    @admin.display(description="kind", ordering="kind")
    def kind_label(self, channel: Channel) -> str:
        return TRANSPORTS[channel.kind].label

    @admin.display(description="state")
    def state(self, channel: Channel) -> str:
        return state_in_words(channel)

    @admin.display(description="")
    def test_button(self, channel: Channel) -> SafeString:
        if missing(channel):
            return SafeString("")
        url = reverse("admin:alerts_channel_test", args=[channel.pk])
        return format_html(
            '<button class="btn btn--small" formaction="{}">Send a test</button>', url
        )

    @admin.action(description="Enable again")
    def enable(self, request: HttpRequest, channels: QuerySet[Channel]) -> None:
        for channel in channels:
            services.enable(channel, now=timezone.now())
        self.message_user(request, f"{len(channels)} channels enabled.")

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
            self.message_user(request, "Six tests a minute are enough.", messages.WARNING)
            return redirect("admin:alerts_channel_changelist")
        notification = services.send_test(channel, now=timezone.now())
        self.message_user(request, f"A test is on its way to {channel}. Its answer appears here.")
        return redirect("admin:alerts_notification_change", notification.pk)


def form_for(channel: Channel) -> type[ChannelForm]:
    """The form of a channel's kind."""
    transport = TRANSPORTS[channel.kind]
    config = configuration(channel)
    fields: dict[str, Any] = {}
    shown_fields = [field for field in transport.fields if field.is_shown]
    for field in shown_fields:
        own = str(channel.config.get(field.name) or "")
        hint = field.help
        if not own and config[field.name] and channel.uses_environment and field.setting:
            shown = "set" if field.is_secret else config[field.name]
            hint = f"{hint} From the setting {field.setting}: {shown}.".strip()
        if field.is_secret and own:
            hint = f"{hint} Kept; write a new value to replace it.".strip()
        fields[setting_name(field.name)] = forms.CharField(
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
            value = self.cleaned_data[setting_name(field.name)].strip()
            if value or not field.is_secret:
                new[field.name] = value
        self.instance.config = new
        return super(ChannelForm, self).save(commit)

    return type("KindForm", (ChannelForm,), {**fields, "save": save})


class AttemptInline(admin.TabularInline[DeliveryAttempt, Notification]):
    model = DeliveryAttempt
    fields = readonly_fields = ("number", "started_at", "duration_ms", "is_success", "answer")
    ordering = ("number", "pk")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(Notification)
class NotificationAdmin(LogAdmin):
    list_display = (
        "created_at",
        "kind",
        "subject",
        "channel",
        "state",
        "attempt_count",
        "sent_at",
        "error",
    )
    list_filter = ("state", "kind", "channel")
    ordering = ("-created_at", "-pk")
    list_select_related = ("channel",)
    actions = ("resend",)
    inlines = (AttemptInline,)
    exclude = ("lease", "payload")
    readonly_fields = ("content",)

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    @admin.display(description="message")
    def subject(self, notification: Notification) -> str:
        return str(notification.payload.get("title", ""))[:100]

    @admin.display(description="message")
    def content(self, notification: Notification) -> str:
        return f"{notification.payload.get('title')}\n{notification.payload.get('text')}"

    @admin.action(description="Send again", permissions=["resend"])
    def resend(self, request: HttpRequest, notifications: QuerySet[Notification]) -> None:
        if is_ratelimited(
            request, group="alerts.resend", key="user_or_ip", rate="20/m", increment=True
        ):
            self.message_user(request, "Too many at once; wait a minute.", messages.WARNING)
            return
        count = sum(services.resend(row, now=timezone.now()) for row in notifications[:100])
        self.message_user(request, f"{count} will be sent again.")

    def has_resend_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("alerts.change_notification")


@admin.register(Person)
class PersonAdmin(admin.ModelAdmin[Person]):
    list_display = ("name", "email", "phone", "quiet_from", "quiet_until", "time_zone", "is_active")
    search_fields = ("name", "email")


@admin.register(Team)
class TeamAdmin(admin.ModelAdmin[Team]):
    filter_horizontal = ("people",)


class SilenceForm(forms.ModelForm[Silence]):
    class Meta:
        model = Silence
        fields = (
            "comment",
            "is_maintenance",
            "matchers",
            "starts_at",
            "ends_at",
            "recurrence",
            "until",
            "time_zone",
        )

    def clean_matchers(self) -> dict[str, str]:
        try:
            return read_matchers(self.cleaned_data["matchers"])
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error


@admin.register(Silence)
class SilenceAdmin(admin.ModelAdmin[Silence]):
    list_display = ("comment", "is_maintenance", "starts_at", "ends_at", "recurrence", "created_by")
    list_filter = ("is_maintenance", "recurrence")
    form = SilenceForm

    def save_model(
        self, request: HttpRequest, obj: Silence, form: forms.ModelForm[Silence], change: bool
    ) -> None:
        if not change:
            obj.created_by_id = request.user.pk
        super().save_model(request, obj, form, change)
