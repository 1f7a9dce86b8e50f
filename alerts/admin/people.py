from django.contrib import admin
from django.db import models
from django.utils import timezone

from alerts import services
from alerts.admin.notification_tests import NotificationTests
from alerts.models import ChannelTest, NotificationRule, Person, Team
from core.lib.admin import PortalAdmin, PortalInline, Section
from core.lib.forms import SpanField


class NotificationRuleInline(PortalInline):
    """A person's notification rules, which apply whether an escalation step names the person, a schedule or a team."""

    model = NotificationRule
    extra = 1
    formfield_overrides = {models.DurationField: {"form_class": SpanField}}
    verbose_name_plural = "notification rules"
    constraint_messages = {
        "one_rule_per_channel_and_delay": (
            "after",
            "There is already a rule with this channel and this delay.",
        ),
        "personal_rules_come_later": ("after", "Enter a time of 0 min or more."),
    }
    field_labels = {"after": "After"}


@admin.register(NotificationRule)
class NotificationRuleAdmin(PortalAdmin):
    """An unlisted admin for the API and configuration files. Staff edit the rules on the page of the person."""

    section = Section.ALERTING
    is_listed = False
    fields = ("person", "after", "channel")
    formfield_overrides = NotificationRuleInline.formfield_overrides
    constraint_messages = NotificationRuleInline.constraint_messages
    list_display = ("person", "after", "channel")


@admin.register(Person)
class PersonAdmin(NotificationTests, PortalAdmin):
    test_help = "The test uses the saved notification rules. Messages are sent immediately and state their delays."
    section = Section.ALERTING
    setting_title = "People to notify"
    setting_purpose = "People who are notified by e-mail, SMS or phone, with their quiet hours."
    fieldsets = (
        (None, {"fields": ("name", "user", "is_active")}),
        ("Contact", {"fields": ("email", "phone", "slack_id")}),
        (
            "Quiet hours",
            {
                "fields": (("quiet_from", "quiet_until"), "time_zone"),
                "description": "During these hours, only critical alerts are delivered.",
            },
        ),
    )
    field_labels = {
        "email": "E-mail address",
        "phone": "Phone number",
        "slack_id": "Slack member ID",
        "user": "Signs in as",
        "is_active": "Gets messages",
        "quiet_from": "From",
        "quiet_until": "Until",
    }
    field_help = {
        "phone": "The number in international format, for example +491701234567.",
        "slack_id": "Identifies this person when a button in Slack is pressed (optional), for example U024BE7LH.",
        "user": "The account of this person in the portal (optional).",
        "time_zone": "For example Europe/Berlin.",
    }
    list_display = ("name", "email", "phone", "quiet_from", "quiet_until", "time_zone", "is_active")
    search_fields = ("name", "email")
    inlines = (NotificationRuleInline,)

    def send_tests(self, row: Person, user_id: int) -> list[ChannelTest]:
        return services.send_tests_to_person(row, now=timezone.now(), user_id=user_id)

    def why_untestable(self, row: Person) -> str:
        if not row.is_active:
            return f"{row} gets no messages. Check “Gets messages”, and save."
        return (
            f"{row} cannot be reached. Add an e-mail address, a phone number or a notification rule. "
            "Its channel must be configured and working."
        )


@admin.register(Team)
class TeamAdmin(PortalAdmin):
    section = Section.ALERTING
    setting_purpose = "Groups of people that channels and escalations can notify together."
