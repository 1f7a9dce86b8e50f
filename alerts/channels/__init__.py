"""The kinds of channels there are, and what each channel row is configured with."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.conf import settings

from alerts.channels.base import DeliveryFailed, Message, Receipt, Transport
from alerts.channels.discord import Discord
from alerts.channels.email import Mail
from alerts.channels.pagerduty import PagerDuty
from alerts.channels.slack import Slack
from alerts.channels.sms import Sms
from alerts.channels.teams import Teams
from alerts.channels.telegram import Telegram
from alerts.channels.webhook import Webhook

if TYPE_CHECKING:
    from alerts.models import Channel

TRANSPORTS: dict[str, Transport] = {
    transport.kind: transport
    for transport in (
        Mail(),
        Slack(),
        Sms(),
        PagerDuty(),
        Webhook(),
        Teams(),
        Discord(),
        Telegram(),
    )
}


def transport_of(channel: "Channel") -> Transport:
    return TRANSPORTS[channel.kind]


def configuration(channel: "Channel") -> dict[str, str]:
    """What was filled in for the channel, else the portal's settings if it uses them, else the kind's own default."""
    result = {}
    for field in transport_of(channel).fields:
        value = str(channel.config.get(field.name) or "")
        if not value and field.setting and (channel.uses_environment or not field.is_shown):
            setting = getattr(settings, field.setting, "")
            value = ", ".join(setting) if isinstance(setting, list) else str(setting or "")
        result[field.name] = value or field.default
    return result


def missing(channel: "Channel") -> list[str]:
    """What must still be filled in before anything can be sent; empty for a channel that is configured."""
    config = configuration(channel)
    transport = transport_of(channel)
    lacking = [f.label for f in transport.fields if f.is_required and not config[f.name]]
    if (
        transport.reaches_people_by
        and not transport.recipients(config)
        and not channel.people.exists()
        and not channel.teams.exists()
    ):
        lacking.append("Recipients")
    return lacking


def configured(channels: "Iterable[Channel]") -> "list[Channel]":
    return [channel for channel in channels if not missing(channel)]


__all__ = [
    "TRANSPORTS",
    "DeliveryFailed",
    "Message",
    "Receipt",
    "Transport",
    "configuration",
    "configured",
    "missing",
    "transport_of",
]
