from typing import Any

from django import forms
from django.contrib import admin
from django.db import models
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from alerts import services
from alerts.admin.notification_tests import NotificationTests
from alerts.messages import format_value
from alerts.models import AlertRule, AlertType, ChannelTest, EscalationStep
from alerts.rule_form import AlertRuleForm
from core.lib import formats
from core.lib.admin import PortalAdmin, PortalInline, Section, SettingLink
from core.lib.forms import SpanField

SPANS: dict[type[models.Field[Any, Any]], Any] = {models.DurationField: {"form_class": SpanField}}


# Staff must enter a metric and a threshold. All other fields have defaults.
NEW_RULE = (
    ("Metric", {"fields": ("reader", "selector")}),
    ("Breached when", {"fields": ("threshold", "below", "unit", "window")}),
    ("Alert", {"fields": ("severity", "alert_type", "summary", "runbook")}),
    (
        "More limits",
        {
            "classes": ("collapse",),
            "fields": (
                "critical_threshold",
                "clear_threshold",
                ("breaches_needed", "out_of"),
                "clear_after",
                "min_samples",
                "no_data",
                "repeat_every",
                "cooldown",
                "reopen_window",
                "cadence",
                "name",
                "is_enabled",
            ),
        },
    ),
)


@admin.register(AlertRule)
class AlertRuleAdmin(PortalAdmin):
    section = Section.ALERTING
    setting_purpose = "Conditions that open an alert, with their metrics and thresholds."
    field_labels = {
        "name": "Rule",
        "summary": "Title of the alert",
        "below": "Low values are bad",
        "threshold": "Threshold",
        "critical_threshold": "Critical from",
        "clear_threshold": "Resolves at",
        "breaches_needed": "Breaches needed",
        "out_of": "Out of",
        "clear_after": "Clear evaluations needed",
        "min_samples": "Samples needed",
        "no_data": "Without data",
        "reopen_window": "Reopen within",
        "cooldown": "Pause between messages",
        "repeat_every": "Remind every",
        "cadence": "Evaluated",
        "last_error": "Last problem",
    }
    constraint_messages = {
        "n_of_m_can_be_reached": (
            "breaches_needed",
            "Enter a number from 1 to the number of evaluations.",
        ),
        "clears_after_something": ("clear_after", "Enter 1 or more."),
        "window_is_not_empty": ("window", "Enter a duration above zero, for example 15 min."),
    }
    more_links = (
        SettingLink(
            "Noisy rules",
            "See which rules opened the most alerts in a week, with thresholds that would have opened fewer.",
            "alerts:noise",
            "alerts.view_alertrule",
        ),
    )
    form = AlertRuleForm
    formfield_overrides = SPANS
    list_display = (
        "rule",
        "is_enabled",
        "limit",
        "window_length",
        "reading",
        "severity",
        "type_name",
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
            "Alert",
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
        ("Current state", {"fields": readonly_fields}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlertRule]:
        names = AlertType.objects.filter(slug=OuterRef("alert_type")).values("name")[:1]
        found: QuerySet[AlertRule] = super().get_queryset(request)
        return found.annotate(type_name=Subquery(names))

    def get_readonly_fields(self, request: HttpRequest, obj: AlertRule | None = None) -> Any:
        code = ("name", "summary", "unit", "direction") if obj and not obj.is_custom else ()
        return (*self.readonly_fields, *code)

    def get_fieldsets(self, request: HttpRequest, obj: AlertRule | None = None) -> Any:
        """Return the sections of the form for a new rule, a rule that staff created, or a rule from code.

        The metric can be changed only in rules that staff created. The direction of a rule from code is read-only.
        """
        if obj is None:
            return NEW_RULE
        if not obj.is_custom:
            name, breached = self.fieldsets[1]
            fields = tuple("direction" if f == "below" else f for f in breached["fields"])
            return (self.fieldsets[0], (name, {"fields": fields}), *self.fieldsets[2:])
        reads = ("Metric", {"fields": ("reader", "selector")})
        return (self.fieldsets[0], reads, *self.fieldsets[1:])

    def has_delete_permission(self, request: HttpRequest, obj: AlertRule | None = None) -> bool:
        """Return True if the user may delete rules and, if a rule is given, staff created it.

        The portal would create a deleted rule from code again, so staff disable such rules instead.
        """
        return super().has_delete_permission(request, obj) and (obj is None or obj.is_custom)

    @admin.display(description="threshold", ordering="threshold")
    def limit(self, rule: AlertRule) -> str:
        return f"{'≤' if rule.below else '>'} {format_value(rule.threshold, rule.unit)}"

    @admin.display(description="window", ordering="window")
    def window_length(self, rule: AlertRule) -> str:
        return formats.span(rule.window)

    @admin.display(description="direction")
    def direction(self, rule: AlertRule) -> str:
        return "at or below the threshold" if rule.below else "above the threshold"

    @admin.display(description="last value")
    def last_seen(self, rule: AlertRule) -> str:
        return format_value(rule.last_value, rule.unit)

    @admin.display(description="rule", ordering="summary")
    def rule(self, rule: AlertRule) -> SafeString:
        return format_html(
            '{}<br><span class="quiet small">{}</span>', rule.summary or rule.name, rule.name
        )

    @admin.display(description="last value")
    def reading(self, rule: AlertRule) -> SafeString | str:
        if rule.last_error:
            return format_html('<span class="tone-critical">{}</span>', rule.last_error[:80])
        return self.last_seen(rule)

    @admin.display(description="alert type", ordering="type_name")
    def type_name(self, rule: AlertRule) -> str:
        return str(getattr(rule, "type_name", None) or rule.alert_type)


class StepForm(forms.ModelForm[EscalationStep]):
    class Meta:
        model = EscalationStep
        fields = ("after", "schedules", "people", "teams", "channels")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        names = ("schedules", "people", "teams", "channels")
        if not any(cleaned.get(name) for name in names) and not cleaned.get("DELETE"):
            raise forms.ValidationError("Choose a schedule, a person, a team or a channel.")
        return cleaned


class StepInline(PortalInline):
    model = EscalationStep
    form = StepForm
    constraint_messages = {
        "steps_come_later": ("after", "Enter a time of 0 min or more, for example 15 min."),
        "one_step_per_delay": ("after", "Another step has the same time. Enter a different one."),
    }
    formfield_overrides = SPANS
    extra = 0


@admin.register(AlertType)
class AlertTypeAdmin(NotificationTests, PortalAdmin):
    test_help = "The test sends a message to the saved channels of the type and to channels that get every type."
    section = Section.ALERTING
    setting_purpose = "Response times, channels and escalation for each kind of problem."
    field_labels = {
        "slug": "Identifier",
        "respond_within": "Respond within",
        "digest_only": "Daily digest only",
    }
    more_links = (
        SettingLink(
            "Routing",
            "Choose the alerts that each channel gets.",
            "alerts:routing",
            "alerts.view_alerttype",
        ),
    )
    fields = ("name", "slug", "severity", "respond_within", "channels", "digest_only")
    prepopulated_fields = {"slug": ("name",)}
    field_help = {
        "name": "For example Payment provider down.",
        "slug": "Routes and silences refer to the type by this identifier.",
    }
    list_display = ("name", "slug", "severity", "response_time", "channel_names", "digest_only")
    search_fields = ("name", "slug")
    formfield_overrides = SPANS
    inlines = (StepInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlertType]:
        return super().get_queryset(request).prefetch_related("channels")

    @admin.display(description="respond within", ordering="respond_within")
    def response_time(self, alert_type: AlertType) -> str:
        return formats.span(alert_type.respond_within)

    @admin.display(description="channels")
    def channel_names(self, alert_type: AlertType) -> str:
        names = ", ".join(channel.name for channel in alert_type.channels.all())
        return names or ("daily digest" if alert_type.digest_only else "none")

    def send_tests(self, row: AlertType, user_id: int) -> list[ChannelTest]:
        return services.send_tests_of_type(row, now=timezone.now(), user_id=user_id)

    def why_untestable(self, row: AlertType) -> str:
        if row.digest_only:
            return "Alerts of this type are only listed in the daily digest."
        return "No configured channel gets this type. Choose channels, and save."
