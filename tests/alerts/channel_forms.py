"""Fill in and read the form of a channel in the admin."""

from typing import Any

from django.test import Client
from django.urls import reverse
from django.utils import timezone

from alerts.models import Channel
from tests.alerts.conftest import deliver

HTMX = {"HX-Request": "true"}
ADD = "/admin/alerts/channel/add/?kind=slack"


def form(**fields: object) -> dict[str, object]:
    return {
        "name": "Ops Slack",
        "is_enabled": "on",
        "max_per_minute": "30",
        "time_zone": "UTC",
        **fields,
    }


def initial(client: Client, kind: str) -> Any:
    page = client.get(f"/admin/alerts/channel/add/?kind={kind}")
    return page.context["adminform"].form.initial


def page_of(channel: Channel) -> str:
    return reverse("admin:alerts_channel_change", args=[channel.pk])


def send_tests() -> None:
    deliver(timezone.now())
