"""Create and verify signed URLs for acting on an alert or subscribing to a calendar without signing in.

An action link names the alert, its episode and the person. The link is short, because it must fit into a text message.
"""

import base64
from dataclasses import dataclass

from django.conf import settings
from django.urls import reverse
from django.utils.crypto import constant_time_compare, salted_hmac

from alerts.models import Person, Schedule, SystemAlert

# Each kind of link has its own salt, so that a signature is valid only for one kind.
_ACTION, _FEED = "alerts.action-link", "alerts.on-call-feed"
_SIGNATURE_BYTES = 15  # 15 bytes have only 20 characters in Base64, which keeps the link short.


@dataclass(frozen=True)
class Claim:
    """The person and the alert that a valid link names. The link allows this person to act on this alert."""

    alert: SystemAlert
    person: Person


def build_url(alert: SystemAlert, person: Person) -> str:
    return f"{settings.BASE_URL}{reverse('alerts:action-link', args=[build_token(alert, person)])}"


def build_token(alert: SystemAlert, person: Person) -> str:
    value = f"{alert.pk}.{alert.episode}.{person.pk}"
    return f"{value}.{_sign(_ACTION, value, settings.SECRET_KEY)}"


def read_token(token: str) -> Claim | None:
    """Return the alert and person that the token names, or None if the token is not valid.

    A token is valid as long as the person is active and the alert exists and is in the same episode.
    """
    numbers = _verify(_ACTION, token)
    if numbers is None:
        return None
    alert_id, episode, person_id = numbers
    alert = SystemAlert.objects.visible().filter(pk=alert_id, episode=episode).first()
    person = Person.objects.filter(pk=person_id, is_active=True).first()
    return Claim(alert, person) if alert and person else None


def build_feed_url(schedule: Schedule) -> str:
    value = f"{schedule.pk}.{schedule.feed_version}"
    token = f"{value}.{_sign(_FEED, value, settings.SECRET_KEY)}"
    return f"{settings.BASE_URL}{reverse('alerts:on-call-feed', args=[token])}"


def read_feed_token(token: str) -> Schedule | None:
    """Return the schedule that the URL of a calendar names, or None if the URL is invalid or was replaced."""
    numbers = _verify(_FEED, token)
    if numbers is None:
        return None
    schedules = Schedule.objects.filter(pk=numbers[0], feed_version=numbers[1])
    return schedules.with_people().first()


def _verify(salt: str, token: str) -> list[int] | None:
    """Return the numbers in a token, or None if its signature is invalid."""
    value, _, signature = token.rpartition(".")
    secrets = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    if not any(constant_time_compare(signature, _sign(salt, value, one)) for one in secrets):
        return None
    return [int(number) for number in value.split(".")]


def _sign(salt: str, value: str, secret: str) -> str:
    digest = salted_hmac(salt, value, secret, algorithm="sha256").digest()[:_SIGNATURE_BYTES]
    return base64.urlsafe_b64encode(digest).decode()
