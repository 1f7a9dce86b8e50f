"""Mails about incidents to those who asked for them: asked, confirmed, sent once each, left again."""

import base64
import hashlib
import hmac
import logging
from datetime import datetime, timedelta

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.template.loader import render_to_string
from django.urls import reverse

from health.models import IncidentUpdate, MailState, StatusMail, Subscriber

log = logging.getLogger(__name__)

UNCONFIRMED_KEPT = timedelta(days=2)
LEASE = timedelta(minutes=2)
ATTEMPTS = 3
AT_ONCE = 100


def _box() -> MultiFernet:
    """Opens what older secret keys sealed, seals with the newest."""
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return MultiFernet(
        [
            Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"subscribers" + k.encode()).digest()))
            for k in keys
        ]
    )


def hash_of(address: str) -> str:
    key = settings.SECRET_KEY.encode()
    return hmac.new(key, address.strip().lower().encode(), hashlib.sha256).hexdigest()


@transaction.atomic
def subscribe(address: str, *, now: datetime) -> None:
    """Ask the address to confirm, unless it has lately been asked. Says nothing about whether it is known."""
    subscriber, is_new = Subscriber.objects.get_or_create(
        address_hash=hash_of(address),
        defaults={
            "sealed_address": _box().encrypt(address.strip().encode()).decode(),
            "asked_at": now,
        },
    )
    if subscriber.confirmed_at:
        return
    if not is_new and subscriber.asked_at > now - timedelta(hours=1):
        return
    Subscriber.objects.filter(pk=subscriber.pk).update(asked_at=now)
    StatusMail.objects.create(subscriber=subscriber, next_attempt_at=now)


def confirm(token: str, *, now: datetime) -> bool:
    """False for an unknown token."""
    Subscriber.objects.filter(token=token, confirmed_at=None).update(confirmed_at=now)
    return Subscriber.objects.confirmed().filter(token=token).exists()


def unsubscribe(token: str) -> None:
    Subscriber.objects.filter(token=token).delete()


@transaction.atomic
def queue_updates(*, now: datetime) -> int:
    """A mail to each subscriber for every public update of the last hours that has none yet."""
    recent = IncidentUpdate.objects.filter(
        incident__is_public=True, at__gt=now - timedelta(hours=6), at__lte=now
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


def send_waiting(*, now: datetime) -> dict[str, int]:
    """Send what is due, each once; what fails is tried again, three times in all."""
    outcome = {"sent": 0, "failed": 0}
    due = StatusMail.objects.due(now).order_by("next_attempt_at", "pk")
    for pk in list(due.values_list("pk", flat=True)[:AT_ONCE]):
        if StatusMail.objects.claim(pk, now=now, until=now + LEASE):
            outcome["sent" if _send(pk, now) else "failed"] += 1
    return outcome


def _send(pk: int, now: datetime) -> bool:
    mail = StatusMail.objects.select_related("subscriber", "update__incident").get(pk=pk)
    this = StatusMail.objects.filter(pk=pk)
    try:
        address = _box().decrypt(mail.subscriber.sealed_address.encode()).decode()
    except InvalidToken:  # the secret key was changed without a fallback: the address is lost
        this.update(state=MailState.FAILED, error="the address cannot be read any more")
        return False
    try:
        _message(mail, address).send()
    except Exception as error:  # a mail back end may fail in any way; the row keeps the reason
        log.warning("status mail failed", extra={"mail": pk, "error": type(error).__name__})
        is_last = mail.attempts >= ATTEMPTS
        this.update(
            error=f"{type(error).__name__}"[:300],
            state=MailState.FAILED if is_last else MailState.WAITING,
            next_attempt_at=now + timedelta(minutes=5 * mail.attempts),
        )
        return False
    this.update(state=MailState.SENT, sent_at=now, error="")
    return True


def _message(mail: StatusMail, address: str) -> EmailMessage:
    token = mail.subscriber.token
    context = {
        "update": mail.update,
        "status_url": settings.BASE_URL + reverse("health:status-page"),
        "confirm_url": settings.BASE_URL + reverse("health:status-confirm", args=[token]),
        "leave_url": settings.BASE_URL + reverse("health:status-leave", args=[token]),
    }
    if mail.update is None:
        subject = "Please confirm: incident mails"
        body = render_to_string("emails/status_confirm.txt", context)
    else:
        subject = f"[{mail.update.get_state_display()}] {mail.update.incident.title}"
        body = render_to_string("emails/status_update.txt", context)
    headers = {
        # One click in the mail program: https://www.rfc-editor.org/rfc/rfc8058
        "List-Unsubscribe": f"<{context['leave_url']}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "Auto-Submitted": "auto-generated",
    }
    return EmailMessage(" ".join(subject.split())[:150], body, to=[address], headers=headers)


def forget_unconfirmed(*, now: datetime) -> int:
    old = Subscriber.objects.filter(confirmed_at=None, asked_at__lt=now - UNCONFIRMED_KEPT)
    return old.delete()[0]
