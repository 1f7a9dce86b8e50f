"""Manage subscriptions to news about incidents and maintenance, and queue the messages to subscribers."""

import base64
import hashlib
import secrets
from datetime import datetime, timedelta

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import transaction

from core.lib.customers import address_hashes
from health.models import (
    IncidentUpdate,
    MaintenanceNotice,
    StatusMail,
    Subscriber,
    SubscriberKind,
)

UNCONFIRMED_RETENTION = timedelta(days=2)
CONFIRMATION_PAUSE = timedelta(hours=1)
MAX_UPDATE_AGE = timedelta(hours=6)


def _cipher() -> MultiFernet:
    """Return a cipher that encrypts with the current secret key, and can also decrypt with the fallback keys."""
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return MultiFernet(
        [
            Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"subscribers" + k.encode()).digest()))
            for k in keys
        ]
    )


def _encrypt(address: str) -> str:
    return _cipher().encrypt(address.encode()).decode()


class CannotDecrypt(Exception):
    """The address cannot be decrypted, because SECRET_KEY was changed without a fallback."""


def decrypt_address(subscriber: Subscriber) -> str:
    """Return the address of a subscriber. Raises CannotDecrypt if no key decrypts it."""
    try:
        return _cipher().decrypt(subscriber.sealed_address.encode()).decode()
    except InvalidToken as error:
        raise CannotDecrypt("the address cannot be decrypted") from error


def hash_address(address: str) -> str:
    """Return a keyed hash that finds the row with the encrypted address."""
    return address_hashes(address)[0]


@transaction.atomic
def subscribe(address: str, *, now: datetime) -> None:
    """Queue a confirmation e-mail for this address.

    Do nothing if the address is confirmed, or was sent a confirmation within CONFIRMATION_PAUSE.
    """
    subscriber, is_new = Subscriber.objects.get_or_create(
        address_hash=hash_address(address),
        defaults={"sealed_address": _encrypt(address.strip()), "asked_at": now},
    )
    if subscriber.confirmed_at:
        return
    if not is_new and subscriber.asked_at > now - CONFIRMATION_PAUSE:
        return
    Subscriber.objects.filter(pk=subscriber.pk).update(asked_at=now)
    StatusMail.objects.create(subscriber=subscriber, next_attempt_at=now)


@transaction.atomic
def subscribe_webhook(url: str, *, now: datetime) -> str:
    """Queue the call that sends the confirmation link to a webhook. Return the secret that signs all calls to it.

    Each subscription has its own secret, so a second subscription for a URL reveals nothing about the first.
    """
    secret = secrets.token_urlsafe(24)
    subscriber = Subscriber.objects.create(
        kind=SubscriberKind.WEBHOOK,
        address_hash=hash_address(f"{secret} {url}"),
        sealed_address=_encrypt(url),
        secret=secret,
        asked_at=now,
    )
    StatusMail.objects.create(subscriber=subscriber, next_attempt_at=now)
    return secret


def confirm(token: str, *, now: datetime) -> bool:
    """Confirm a subscription. Return False if the token is unknown."""
    Subscriber.objects.filter(token=token, confirmed_at=None).update(confirmed_at=now)
    return Subscriber.objects.confirmed().filter(token=token).exists()


def unsubscribe(token: str) -> None:
    """Delete the subscriber that has this token, with all messages to this subscriber."""
    Subscriber.objects.filter(token=token).delete()


@transaction.atomic
def queue_updates(*, now: datetime) -> int:
    """Queue a message about each recent public update and notice to each subscriber who had confirmed by then.

    Return the number of new messages. A message that is already queued is not queued again.
    """
    is_recent = {"at__gt": now - MAX_UPDATE_AGE, "at__lte": now}
    count = 0
    for update in IncidentUpdate.objects.filter(incident__is_public=True, **is_recent):
        count += _queue(update.at, now, update=update)
    for notice in MaintenanceNotice.objects.filter(**is_recent):
        count += _queue(notice.at, now, notice=notice)
    return count


def _queue(at: datetime, now: datetime, **news: IncidentUpdate | MaintenanceNotice) -> int:
    """Queue messages about one update or notice to the subscribers who had confirmed by `at`."""
    about = {f"mails__{name}": value for name, value in news.items()}
    missing = Subscriber.objects.confirmed().filter(confirmed_at__lte=at).exclude(**about)
    mails = [
        StatusMail(subscriber=subscriber, next_attempt_at=now, **news) for subscriber in missing
    ]
    return len(StatusMail.objects.bulk_create(mails, ignore_conflicts=True))


def delete_unconfirmed(*, now: datetime) -> int:
    """Delete subscribers who have not confirmed in time, and return the number of deleted rows."""
    old = Subscriber.objects.filter(confirmed_at=None, asked_at__lt=now - UNCONFIRMED_RETENTION)
    return old.delete()[0]
