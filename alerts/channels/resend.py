"""Extend anymail's Resend backend with the header that lets Resend recognize a retry.

Django imports this module, and with it `requests`, only if the settings select this backend.
"""

from collections.abc import Sequence
from typing import Any

from anymail.backends.resend import EmailBackend as AnymailBackend
from anymail.exceptions import AnymailAPIError
from django.core.mail import EmailMessage

from alerts.channels.base import DeliveryFailed, truncate
from alerts.channels.email import IDEMPOTENCY_HEADER


class EmailBackend(AnymailBackend):  # type: ignore[misc]  # anymail has no type hints
    def send_messages(self, messages: Sequence[EmailMessage]) -> int:
        """Send the messages, and return their number.

        Raises DeliveryFailed if Resend rejects a message or the network fails.
        """
        try:
            return int(super().send_messages(messages) or 0)
        except AnymailAPIError as error:
            status = getattr(error, "status_code", None)
            raise DeliveryFailed(
                truncate(str(error), 1000),
                is_permanent=status in (400, 404, 422),
                is_gone=status in (401, 403),
            ) from error

    def build_message_payload(self, message: EmailMessage, defaults: dict[str, Any]) -> Any:
        payload = super().build_message_payload(message, defaults)
        key = (message.extra_headers or {}).get(IDEMPOTENCY_HEADER)
        if key:
            # Resend keeps a key for 24 hours and accepts at most 256 characters:
            # https://resend.com/docs/dashboard/emails/idempotency-keys
            payload.headers["Idempotency-Key"] = str(key)[:256]
        return payload
