"""anymail's Resend back end, plus the header by which Resend knows a mail it has taken already.

Imported by Django when the settings name it, and by nobody else: with `requests` it takes 4 MB.
"""

from collections.abc import Sequence
from typing import Any

from anymail.backends.resend import EmailBackend as AnymailBackend
from anymail.exceptions import AnymailAPIError
from django.core.mail import EmailMessage

from alerts.channels.base import DeliveryFailed, clipped
from alerts.channels.email import KEY_HEADER


class EmailBackend(AnymailBackend):  # type: ignore[misc]  # anymail brings no types
    def send_messages(self, messages: Sequence[EmailMessage]) -> int:
        """Raises DeliveryFailed for what Resend, or the network, refused."""
        try:
            return int(super().send_messages(messages) or 0)
        except AnymailAPIError as error:
            status = getattr(error, "status_code", None)
            raise DeliveryFailed(
                clipped(str(error), 1000),
                permanent=status in (400, 401, 403, 404, 422),
                gone=status in (401, 403),
            ) from error

    def build_message_payload(self, message: EmailMessage, defaults: dict[str, Any]) -> Any:
        payload = super().build_message_payload(message, defaults)
        key = (message.extra_headers or {}).get(KEY_HEADER)
        if key:
            # Kept for 24 hours, at most 256 characters: https://resend.com/docs/dashboard/emails/idempotency-keys
            payload.headers["Idempotency-Key"] = str(key)[:256]
        return payload
