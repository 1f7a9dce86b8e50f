"""E-mail, through Django's back end: console, SMTP or Resend, whichever the settings chose."""

import smtplib
from email.utils import make_msgid
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.template.loader import render_to_string

from alerts.channels.base import (
    Config,
    DeliveryFailed,
    Field,
    Message,
    Receipt,
    Transport,
    clipped,
)

KEY_HEADER = "X-Opsportal-Key"  # by which Resend knows a mail it has taken already


class Mail(Transport):
    kind = "email"
    label = "E-mail"
    fields = (
        Field(
            "recipients",
            "Recipients",
            is_required=False,
            setting="ALERT_EMAILS",
            help="Addresses, separated by commas. People and teams can be added besides.",
        ),
        Field("sender", "Sender", is_required=False, setting="DEFAULT_FROM_EMAIL"),
    )
    reaches_people_by = "email"
    takes_digests = True
    max_per_minute = 60

    def send(self, message: Message, config: Config, *, idempotency_key: str) -> Receipt:
        mail = compose(message, sender=config.get("sender", ""), key=idempotency_key)
        try:
            mail.connection = get_connection()
            mail.send()
        except smtplib.SMTPRecipientsRefused as error:
            codes = {code for code, _ in error.recipients.values()}
            raise DeliveryFailed(
                f"refused: {error}", permanent=all(c >= 500 for c in codes)
            ) from error
        except smtplib.SMTPResponseException as error:
            text = error.smtp_error
            answer = text.decode(errors="replace") if isinstance(text, bytes) else text
            raise DeliveryFailed(
                f"{error.smtp_code} {answer}", permanent=500 <= error.smtp_code < 600
            ) from error
        except (smtplib.SMTPException, OSError) as error:
            raise DeliveryFailed(f"{type(error).__name__}: {error}") from error
        esp = getattr(mail, "anymail_status", None)
        reference = esp.message_id if esp else mail.extra_headers["Message-ID"]
        return Receipt(f"accepted for {', '.join(message.recipients)}", str(reference))


def compose(message: Message, *, sender: str, key: str) -> EmailMultiAlternatives:
    domain = urlsplit(settings.BASE_URL).hostname or "localhost"
    headers = {
        "Message-ID": f"<{key.replace(':', '.')}@{domain}>" if key else make_msgid(domain=domain),
        "Auto-Submitted": "auto-generated",
        KEY_HEADER: key,
        "List-Unsubscribe": f"<{settings.BASE_URL}/admin/alerts/channel/>",
    }
    if message.thread:
        # The thread's root need not exist: mail programs gather what refers to the same id.
        root = f"<{message.thread}@{domain}>"
        headers |= {"In-Reply-To": root, "References": root}
    context = {"message": message, "base_url": settings.BASE_URL}
    mail = EmailMultiAlternatives(
        subject=clipped(" ".join(subject(message).split()), 200),
        body=render_to_string("emails/alert.txt", context),
        from_email=sender or settings.DEFAULT_FROM_EMAIL,
        to=message.recipients,
        headers=headers,
    )
    mail.attach_alternative(
        message.html or render_to_string("emails/alert.html", context), "text/html"
    )
    return mail


def subject(message: Message) -> str:
    if message.kind in ("digest", "report", "test", "notice"):
        return message.title
    return f"[{'resolved' if message.is_over else message.severity}] {message.title}"
