"""List the kinds of channels, and read the effective configuration of a channel."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.conf import settings

from alerts.channels.apprise import Apprise
from alerts.channels.base import DeliveryFailed, Message, Receipt, Transport
from alerts.channels.discord import Discord
from alerts.channels.email import Email
from alerts.channels.pagerduty import PagerDuty
from alerts.channels.slack import Slack
from alerts.channels.sms import Sms
from alerts.channels.teams import Teams
from alerts.channels.telegram import Telegram
from alerts.channels.voice import Voice
from alerts.channels.webhook import Webhook

if TYPE_CHECKING:
    from alerts.models import Channel

TRANSPORTS: dict[str, Transport] = {
    transport.kind: transport
    for transport in (
        Email(),
        Slack(),
        Sms(),
        Voice(),
        PagerDuty(),
        Webhook(),
        Teams(),
        Discord(),
        Telegram(),
        Apprise(),
    )
}


def get_transport(channel: "Channel") -> Transport:
    return TRANSPORTS[channel.kind]


def get_config(channel: "Channel") -> dict[str, str]:
    """Return the effective value of each field of the channel.

    An empty field falls back to the portal's setting, if the channel uses the portal's settings or the form hides the
    field, and then to the field's default.
    """
    result = {}
    for field in get_transport(channel).fields:
        value = str(channel.config.get(field.name) or "")
        if not value and field.setting and (channel.uses_environment or not field.is_shown):
            setting = getattr(settings, field.setting, "")
            value = ", ".join(setting) if isinstance(setting, list) else str(setting or "")
        result[field.name] = value or field.default
    return result


def list_missing_settings(channel: "Channel") -> list[str]:
    """Return the labels of required settings that are empty.

    Recipients are not checked, because a message to one person has its own recipient.
    """
    config = get_config(channel)
    return [f.label for f in get_transport(channel).fields if f.is_required and not config[f.name]]


def list_missing_fields(channel: "Channel") -> list[str]:
    """Return the labels of everything that the channel lacks for sending alerts: required settings and recipients."""
    config = get_config(channel)
    transport = get_transport(channel)
    missing = list_missing_settings(channel)
    if (
        transport.contact_field
        and not transport.recipients(config)
        and (channel.pk is None or not (channel.people.exists() or channel.teams.exists()))
    ):
        missing.append("Recipients")
    return missing


def filter_configured(channels: "Iterable[Channel]") -> "list[Channel]":
    return [channel for channel in channels if not list_missing_fields(channel)]


__all__ = [
    "TRANSPORTS",
    "DeliveryFailed",
    "Message",
    "Receipt",
    "Transport",
    "filter_configured",
    "get_config",
    "get_transport",
    "list_missing_fields",
    "list_missing_settings",
]
