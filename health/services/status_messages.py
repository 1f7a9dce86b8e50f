"""Deliver messages to subscribers of the status page, as e-mails or as signed calls to webhooks, with retries."""

import logging
import smtplib
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec
from django.core.mail import EmailMessage
from django.db.models import QuerySet
from django.template.loader import render_to_string

from alerts.channels import DeliveryFailed
from alerts.channels.webhook import sign
from core.lib import outbound
from health.models import (
    Incident,
    IncidentUpdate,
    MailState,
    MaintenanceNotice,
    StatusMail,
    StatusPage,
    Subscriber,
    SubscriberKind,
)
from health.public_urls import absolute_url
from health.services.subscribers import MAX_UPDATE_AGE, CannotDecrypt, decrypt_address

log = logging.getLogger(__name__)

RETRY_PAUSE = timedelta(minutes=5)
SEND_LEASE = timedelta(minutes=2)
# Applies to refused e-mails and to confirmation calls to webhooks. Other messages have a time limit instead.
MAX_ATTEMPTS = 3
BATCH_SIZE = 100
MAX_SECONDS = 30.0  # A run occupies a worker, so it must end after this time.
WEBHOOK_TIMEOUT_SECONDS = 5.0

_webhooks = outbound.Client(
    "status-webhook", timeout=WEBHOOK_TIMEOUT_SECONDS, connect=3.0, attempts=1, max_bytes=10_000
)


class _MailServerFailed(Exception):
    """The mail server does not work at the moment, so other e-mails would fail as well."""


def send_pending(*, now: datetime) -> dict[str, int]:
    """Send the e-mails that are due, and return the numbers of sent and failed e-mails.

    A refused e-mail is tried up to MAX_ATTEMPTS times. If the mail server does not work, the run ends after one e-mail,
    which is tried again until its news is older than MAX_UPDATE_AGE.
    """
    return _send_due(SubscriberKind.EMAIL, _send_mail, now=now)


def call_webhooks(*, now: datetime) -> dict[str, int]:
    """Call the webhooks that are due, and return the numbers of successful and failed calls.

    A failed call is repeated until its news is older than MAX_UPDATE_AGE, but a confirmation call at most MAX_ATTEMPTS
    times. The response 410 Gone deletes the subscription.
    """
    return _send_due(SubscriberKind.WEBHOOK, _call_webhook, now=now)


def _send_due(
    kind: SubscriberKind, send: Callable[[StatusMail, str, datetime], bool], *, now: datetime
) -> dict[str, int]:
    outcome = {"sent": 0, "failed": 0}
    due = StatusMail.objects.due(now).filter(subscriber__kind=kind)
    started = time.monotonic()
    for pk in list(due.order_by("next_attempt_at", "pk").values_list("pk", flat=True)[:BATCH_SIZE]):
        if time.monotonic() - started > MAX_SECONDS:
            break
        if not StatusMail.objects.claim(pk, now=now, until=now + SEND_LEASE):
            continue
        mail = StatusMail.objects.select_related("subscriber", "update__incident", "notice").get(
            pk=pk
        )
        try:
            is_sent = send(mail, decrypt_address(mail.subscriber), now)
        except CannotDecrypt as error:
            _row(mail).update(state=MailState.FAILED, error=str(error))
            is_sent = False
        except _MailServerFailed:
            outcome["failed"] += 1
            break
        outcome["sent" if is_sent else "failed"] += 1
        if is_sent:
            _row(mail).update(state=MailState.SENT, sent_at=now, error="")
    return outcome


def _row(mail: StatusMail) -> QuerySet[StatusMail]:
    return StatusMail.objects.filter(pk=mail.pk)


def _retry_or_give_up(mail: StatusMail, error: str, *, is_last: bool, now: datetime) -> None:
    _row(mail).update(
        error=error[:300],
        state=MailState.FAILED if is_last else MailState.WAITING,
        next_attempt_at=now + RETRY_PAUSE * min(mail.attempts, MAX_ATTEMPTS),
    )


def _is_too_old(mail: StatusMail, now: datetime) -> bool:
    return now - mail.written_at > MAX_UPDATE_AGE


def _links(subscriber: Subscriber) -> dict[str, str]:
    return {
        "status_url": absolute_url("status-page"),
        "confirm_url": absolute_url("status-confirm", subscriber.token),
        "leave_url": absolute_url("status-leave", subscriber.token),
    }


# --- e-mails ----------------------------------------------------------------------------------------


def _send_mail(mail: StatusMail, address: str, now: datetime) -> bool:
    """Send one e-mail. Return True on success, and False if the mail server refused the e-mail permanently.

    Raises _MailServerFailed for other errors, because further e-mails would fail as well.
    """
    try:
        _build_message(mail, address).send()
    except Exception as error:  # An e-mail backend may raise any exception.
        log.warning("status mail failed", extra={"mail": mail.pk, "error": type(error).__name__})
        is_refused = _is_refused(error)
        is_last = mail.attempts >= MAX_ATTEMPTS if is_refused else _is_too_old(mail, now)
        _retry_or_give_up(mail, type(error).__name__, is_last=is_last, now=now)
        if is_refused:
            return False
        raise _MailServerFailed from error
    return True


def _is_refused(error: Exception) -> bool:
    """Return True if the mail server permanently refused this e-mail but may accept others."""
    match error:
        case DeliveryFailed():
            return error.is_permanent
        case smtplib.SMTPRecipientsRefused():
            return all(code >= 500 for code, _ in error.recipients.values())
        case smtplib.SMTPDataError():
            return error.smtp_code >= 500
    return False


def _build_message(mail: StatusMail, address: str) -> EmailMessage:
    links = _links(mail.subscriber)
    context = {"update": mail.update, "notice": mail.notice, **links}
    if mail.notice is not None:
        subject = f"[{mail.notice.heading}] {mail.notice.title}"
        body = render_to_string("emails/status_maintenance.txt", context)
    elif mail.update is None:
        subject = "Confirm your subscription to updates about incidents and maintenance"
        body = render_to_string("emails/status_confirm.txt", context)
    else:
        subject = f"[{mail.update.get_state_display()}] {mail.update.incident.title}"
        body = render_to_string("emails/status_update.txt", context)
    headers = {
        # Mail programs then offer to unsubscribe with one click: https://www.rfc-editor.org/rfc/rfc8058.
        "List-Unsubscribe": f"<{links['leave_url']}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "Auto-Submitted": "auto-generated",
    }
    return EmailMessage(" ".join(subject.split())[:150], body, to=[address], headers=headers)


# --- webhooks ---------------------------------------------------------------------------------------


def _call_webhook(mail: StatusMail, url: str, now: datetime) -> bool:
    """Call one webhook and return True on success. The response 410 Gone deletes the subscription."""
    body = msgspec.json.encode(_payload(mail))
    headers = {
        "Content-Type": "application/json",
        "X-Opsportal-Signature": sign(mail.subscriber.secret, int(time.time()), body),
    }
    try:
        response = _webhooks.request(
            "POST", url, content=body, headers=headers, guard=True, idempotent=False
        )
    except (outbound.ForbiddenAddress, outbound.Unavailable, outbound.TooLarge) as error:
        failure = type(error).__name__
    else:
        if response.is_success:
            return True
        if response.status_code == 410:
            mail.subscriber.delete()
            return False
        failure = f"HTTP {response.status_code}"
    is_last = mail.attempts >= MAX_ATTEMPTS if mail.is_confirmation else _is_too_old(mail, now)
    _retry_or_give_up(mail, failure, is_last=is_last, now=now)
    return False


def _payload(mail: StatusMail) -> dict[str, object]:
    links = _links(mail.subscriber)
    common = {
        # All attempts share this id, so that receivers can ignore repeated calls.
        "id": f"status-{mail.pk}",
        "page": {"name": StatusPage.current().name, "url": links["status_url"]},
        "unsubscribe_url": links["leave_url"],
    }
    if mail.notice is not None:
        maintenance = _describe_maintenance(mail.notice, links["status_url"])
        return {"type": "maintenance.update", **common, "maintenance": maintenance}
    if mail.update is None:
        return {"type": "subscription.confirm", **common, "confirm_url": links["confirm_url"]}
    return {
        "type": "incident.update",
        **common,
        "incident": _describe_incident(mail.update.incident, links["status_url"]),
        "update": _describe_update(mail.update),
    }


def _describe_incident(incident: Incident, page_url: str) -> dict[str, object]:
    component = incident.component
    return {
        "id": incident.pk,
        "title": incident.title,
        "state": incident.state,
        "is_major": incident.is_major,
        "components": [component.title] if component and component.is_public else [],
        "started_at": incident.started_at,
        "resolved_at": incident.resolved_at,
        "url": f"{page_url}#incident-{incident.pk}",
    }


def _describe_update(update: IncidentUpdate) -> dict[str, object]:
    return {"at": update.at, "state": update.state, "text": update.text}


def _describe_maintenance(notice: MaintenanceNotice, page_url: str) -> dict[str, object]:
    return {
        "id": notice.window_number,
        "title": notice.title,
        "text": notice.text,
        "state": notice.phase,
        "is_new_time": notice.is_new_time,
        "components": notice.components,
        "starts_at": notice.starts_at,
        "ends_at": notice.ends_at,
        "at": notice.at,
        "url": page_url,
    }
