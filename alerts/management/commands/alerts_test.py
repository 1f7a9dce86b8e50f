"""Test alerting end to end: create an alert, send a message, find the alert in the inbox, and delete it."""

import uuid
from collections.abc import Callable
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from alerts import services
from alerts.channels import filter_configured
from alerts.extension_points import Severity
from alerts.models import Channel, ChannelTest, SystemAlert


class Command(BaseCommand):
    help = "Create a test alert, send a test message, check that the inbox shows the alert, and remove the alert."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument(
            "--channel", default="email", help="the name of the channel (default: email)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self.failed = 0
        key = f"test:{uuid.uuid4().hex[:12]}"
        self.step("create a test alert", lambda: self.create(key))
        self.step("check that the alert is active", lambda: self.is_active(key))
        self.step("send a test message", lambda: self.send(options["channel"]))
        self.step("check that the inbox shows the alert", lambda: self.is_shown(key))
        self.step("resolve the alert", lambda: self.resolve(key))
        self.step("remove the alert", lambda: self.clean_up(key))
        if self.failed:
            raise CommandError(f"{self.failed} of 6 steps failed")
        self.stdout.write(self.style.SUCCESS("alerting works"))

    def step(self, name: str, work: Callable[[], str]) -> None:
        try:
            outcome, style = work(), self.style.SUCCESS("ok")
        except Exception as error:
            outcome, style = str(error), self.style.ERROR("failed")
            self.failed += 1
        self.stdout.write(f"{style:>6}  {name}: {outcome}")

    def create(self, key: str) -> str:
        alert = services.report_problem(
            key=key,
            # Alerts of this type send no notifications, and are only listed in the daily digest.
            alert_type="high-usage",
            title=f"Test alert {key}",
            message="The command `manage.py alerts_test` created this alert and removes it at the end.",
            severity=Severity.INFO,
            source="alerts_test",
            now=timezone.now(),
        )
        return f"alert {alert.pk}"

    def is_active(self, key: str) -> str:
        return f"state {SystemAlert.objects.active().get(key=key).state}"

    def send(self, name: str) -> str:
        channel = Channel.objects.filter(name=name).first()
        if channel is None:
            raise CommandError(f"there is no channel with the name {name!r}")
        if not filter_configured([channel]):
            raise CommandError(f"the channel {name} is not configured")
        now = timezone.now()
        test = services.run_test(services.send_test(channel, now=now), now=now)
        if test.state != ChannelTest.State.DELIVERED:
            raise CommandError(test.answer)
        return test.answer

    def is_shown(self, key: str) -> str:
        """Load the inbox as a superuser, and return the inbox's URL.

        Raises CommandError if the inbox does not show the alert, or if there is no active superuser.
        """
        user = get_user_model().objects.filter(is_superuser=True, is_active=True).first()
        if user is None:
            raise CommandError("no active superuser exists, so the page cannot be loaded")
        client = Client(headers={"host": "localhost"})
        url = reverse("alerts:alert-list")
        with transaction.atomic():
            client.force_login(user)
            page = client.get(f"{url}?q={key}", secure=True, follow=True)
            client.logout()
        if page.status_code != 200 or key not in page.content.decode():
            raise CommandError(f"{url} answered {page.status_code} without the alert")
        return url

    def resolve(self, key: str) -> str:
        if not services.clear_problem(key=key, now=timezone.now()):
            raise CommandError("no alert was resolved")
        return SystemAlert.objects.get(key=key).state

    def clean_up(self, key: str) -> str:
        SystemAlert.objects.filter(key=key).delete()
        return "test alert removed"
