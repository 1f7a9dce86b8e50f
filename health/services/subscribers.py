"""Subscriptions to incident updates by e-mail: double opt-in, delivery with retries, unsubscription."""

import base64
import hashlib
import hmac
import logging
import smtplib
import time
from datetime import datetime, timedelta

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.template.loader import render_to_string
from django.urls import reverse

from alerts.channels import DeliveryFailed
from health.models import IncidentUpdate, MailState, StatusMail, Subscriber

log = logging.getLogger(__name__)

UNCONFIRMED_RETENTION = timedelta(days=2)
CONFIRMATION_PAUSE = timedelta(hours=1)
MAX_UPDATE_AGE = timedelta(hours=6)
RETRY_PAUSE = timedelta(minutes=5)
SEND_LEASE = timedelta(minutes=2)
MAX_ATTEMPTS = 3
BATCH_SIZE = 100
MAX_SECONDS = 30.0  # maximum duration of a run, which occupies a worker


def _cipher() -> MultiFernet:
    """Return a cipher that encrypts with the current secret key and also decrypts with its fallbacks."""
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return MultiFernet(
        [
            Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"subscribers" + k.encode()).digest()))
            for k in keys
        ]
    )


def hash_address(address: str) -> str:
    """Return a keyed hash by which an encrypted address can be found."""
    key = settings.SECRET_KEY.encode()
    return hmac.new(key, address.strip().lower().encode(), hashlib.sha256).hexdigest()


@transaction.atomic
def subscribe(address: str, *, now: datetime) -> None:
    """Queue a confirmation e-mail, unless the address is confirmed or got one within CONFIRMATION_PAUSE."""
    subscriber, is_new = Subscriber.objects.get_or_create(
        address_hash=hash_address(address),
        defaults={
            "sealed_address": _cipher().encrypt(address.strip().encode()).decode(),
            "asked_at": now,
        },
    )
    if subscriber.confirmed_at:
        return
    if not is_new and subscriber.asked_at > now - CONFIRMATION_PAUSE:
        return
    Subscriber.objects.filter(pk=subscriber.pk).update(asked_at=now)
    StatusMail.objects.create(subscriber=subscriber, next_attempt_at=now)


def confirm(token: str, *, now: datetime) -> bool:
    """Confirm a subscription. Return False for an unknown token."""
    Subscriber.objects.filter(token=token, confirmed_at=None).update(confirmed_at=now)
    return Subscriber.objects.confirmed().filter(token=token).exists()


def unsubscribe(token: str) -> None:
    """Delete the subscriber together with all queued e-mails."""
    Subscriber.objects.filter(token=token).delete()


@transaction.atomic
def queue_updates(*, now: datetime) -> int:
    """Queue one e-mail per subscriber and recent public update. Return the number of new e-mails."""
    recent = IncidentUpdate.objects.filter(
        incident__is_public=True, at__gt=now - MAX_UPDATE_AGE, at__lte=now
    )
    count = 0
    for update in recent:
        missing = (
            Subscriber.objects.confirmed()
            .filter(confirmed_at__lte=update.at)
            .exclude(mails__update=update)
        )
        mails = [
            StatusMail(subscriber=subscriber, update=update, next_attempt_at=now)
            for subscriber in missing
        ]
        count += len(StatusMail.objects.bulk_create(mails, ignore_conflicts=True))
    return count


class _MailServerFailed(Exception):
    """The mail server does not work at the moment, so that sending other e-mails would fail as well."""


def send_pending(*, now: datetime) -> dict[str, int]:
    """Send the e-mails that are due.

    A refused e-mail is sent up to MAX_ATTEMPTS times. While the mail server does not work, each run tries one e-mail,
    until they are older than MAX_UPDATE_AGE.
    """
    outcome = {"sent": 0, "failed": 0}
    due = StatusMail.objects.due(now).order_by("next_attempt_at", "pk")
    started = time.monotonic()
    for pk in list(due.values_list("pk", flat=True)[:BATCH_SIZE]):
        if time.monotonic() - started > MAX_SECONDS:
            break
        if not StatusMail.objects.claim(pk, now=now, until=now + SEND_LEASE):
            continue
        try:
            outcome["sent" if _send(pk, now) else "failed"] += 1
        except _MailServerFailed:
            outcome["failed"] += 1
            break
    return outcome


def _send(pk: int, now: datetime) -> bool:
    """Send one e-mail and record the outcome. Raise _MailServerFailed if sending another one makes no sense."""
    mail = StatusMail.objects.select_related("subscriber", "update__incident").get(pk=pk)
    row = StatusMail.objects.filter(pk=pk)
    try:
        address = _cipher().decrypt(mail.subscriber.sealed_address.encode()).decode()
    except InvalidToken:  # SECRET_KEY changed without a fallback, so the address is lost
        row.update(state=MailState.FAILED, error="the address cannot be decrypted")
        return False
    try:
        _build_message(mail, address).send()
    except Exception as error:  # an e-mail backend may raise anything
        log.warning("status mail failed", extra={"mail": pk, "error": type(error).__name__})
        is_refused = _is_refused(error)
        written_at = mail.update.at if mail.update else mail.subscriber.asked_at
        is_last = mail.attempts >= MAX_ATTEMPTS if is_refused else now - written_at > MAX_UPDATE_AGE
        row.update(
            error=f"{type(error).__name__}"[:300],
            state=MailState.FAILED if is_last else MailState.WAITING,
            next_attempt_at=now + RETRY_PAUSE * min(mail.attempts, MAX_ATTEMPTS),
        )
        if is_refused:
            return False
        raise _MailServerFailed from error
    row.update(state=MailState.SENT, sent_at=now, error="")
    return True


def _is_refused(error: Exception) -> bool:
    """Return True if the mail server refused this e-mail for good, but may accept others."""
    match error:
        case DeliveryFailed():
            return error.is_permanent
        case smtplib.SMTPRecipientsRefused():
            return all(code >= 500 for code, _ in error.recipients.values())
        case smtplib.SMTPDataError():
            return error.smtp_code >= 500
    return False


def _build_message(mail: StatusMail, address: str) -> EmailMessage:
    token = mail.subscriber.token
    context = {
        "update": mail.update,
        "status_url": settings.BASE_URL + reverse("health:status-page"),
        "confirm_url": settings.BASE_URL + reverse("health:status-confirm", args=[token]),
        "leave_url": settings.BASE_URL + reverse("health:status-leave", args=[token]),
    }
    if mail.update is None:
        subject = "Confirm your subscription to incident updates"
        body = render_to_string("emails/status_confirm.txt", context)
    else:
        subject = f"[{mail.update.get_state_display()}] {mail.update.incident.title}"
        body = render_to_string("emails/status_update.txt", context)
    headers = {
        # One-click unsubscription: https://www.rfc-editor.org/rfc/rfc8058
        "List-Unsubscribe": f"<{context['leave_url']}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "Auto-Submitted": "auto-generated",
    }
    return EmailMessage(" ".join(subject.split())[:150], body, to=[address], headers=headers)


def delete_unconfirmed(*, now: datetime) -> int:
    """Delete addresses that were not confirmed in time. Return the number of deleted rows."""
    old = Subscriber.objects.filter(confirmed_at=None, asked_at__lt=now - UNCONFIRMED_RETENTION)
    return old.delete()[0]
