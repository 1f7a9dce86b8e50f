"""Send notifications by e-mail through the Django backend that the settings select: console, SMTP or Resend."""

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
    MessageKind,
    Receipt,
    Transport,
    truncate,
)

# Messages of these kinds are not about a single alert, so their subjects show no severity.
WITHOUT_ALERT = (MessageKind.DIGEST, MessageKind.REPORT, MessageKind.TEST, MessageKind.NOTICE)
CONSOLE = "django.core.mail.backends.console.EmailBackend"
PRINTED = "No mail server is configured, so the message was printed to the portal's output."
IDEMPOTENCY_HEADER = "X-Opsportal-Key"  # The Resend backend sends this key to Resend.


class Email(Transport):
    kind = "email"
    label = "E-mail"
    fields = (
        Field(
            "recipients",
            "Recipients",
            is_required=False,
            setting="ALERT_EMAILS",
            help="E-mail addresses, separated by commas. You can also add people and teams.",
        ),
        Field("sender", "Sender", is_required=False, setting="DEFAULT_FROM_EMAIL"),
    )
    contact_field = "email"
    supports_digests = True
    max_per_minute = 60

    def send(self, message: Message, config: Config, *, idempotency_key: str) -> Receipt:
        mail = build_email(message, sender=config.get("sender", ""), key=idempotency_key)
        try:
            mail.connection = get_connection()
            mail.send()
        except smtplib.SMTPRecipientsRefused as error:
            codes = {code for code, _ in error.recipients.values()}
            raise DeliveryFailed(
                f"refused: {error}", is_permanent=all(c >= 500 for c in codes)
            ) from error
        except smtplib.SMTPResponseException as error:
            text = error.smtp_error
            answer = text.decode(errors="replace") if isinstance(text, bytes) else text
            # Only an SMTPDataError concerns a single message. A refused login or sender concerns all messages until
            # staff change the settings, so the message is kept.
            raise DeliveryFailed(
                f"{error.smtp_code} {answer}",
                is_permanent=isinstance(error, smtplib.SMTPDataError) and error.smtp_code >= 500,
            ) from error
        except (smtplib.SMTPException, OSError) as error:
            raise DeliveryFailed(f"{type(error).__name__}: {error}") from error
        if settings.EMAIL_BACKEND == CONSOLE:
            if message.kind == MessageKind.TEST:
                raise DeliveryFailed(
                    f"{PRINTED} Set EMAIL_HOST or RESEND_API_KEY.", is_permanent=True
                )
            return Receipt(PRINTED)
        esp = getattr(mail, "anymail_status", None)
        reference = esp.message_id if esp else mail.extra_headers["Message-ID"]
        return Receipt(f"accepted for {', '.join(message.recipients)}", str(reference))


def build_email(message: Message, *, sender: str, key: str) -> EmailMultiAlternatives:
    domain = urlsplit(settings.BASE_URL).hostname or "localhost"
    headers = {
        "Message-ID": f"<{key.replace(':', '.')}@{domain}>" if key else make_msgid(domain=domain),
        "Auto-Submitted": "auto-generated",
        IDEMPOTENCY_HEADER: key,
        "List-Unsubscribe": f"<{settings.BASE_URL}/admin/alerts/channel/>",
    }
    if message.thread:
        # A message with this id does not have to exist, because e-mail clients group messages that refer to the same
        # id.
        root = f"<{message.thread}@{domain}>"
        headers |= {"In-Reply-To": root, "References": root}
    context = {"message": message, "base_url": settings.BASE_URL}
    mail = EmailMultiAlternatives(
        subject=truncate(" ".join(build_subject(message).split()), 200),
        body=render_to_string("emails/alert.txt", context),
        from_email=sender or settings.DEFAULT_FROM_EMAIL,
        to=message.recipients,
        headers=headers,
    )
    mail.attach_alternative(
        message.html or render_to_string("emails/alert.html", context), "text/html"
    )
    return mail


def build_subject(message: Message) -> str:
    if message.kind in WITHOUT_ALERT:
        return message.title
    return f"[{message.state_word}] {message.bare_title}"
