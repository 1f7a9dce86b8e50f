"""anymail's Resend back end, plus the header by which Resend knows a mail it has taken already."""

from typing import Any

from anymail.backends.resend import EmailBackend as AnymailBackend
from django.core.mail import EmailMessage

KEY_HEADER = "X-Opsportal-Key"


class EmailBackend(AnymailBackend):  # type: ignore[misc]  # anymail brings no types
    def build_message_payload(self, message: EmailMessage, defaults: dict[str, Any]) -> Any:
        payload = super().build_message_payload(message, defaults)
        key = (message.extra_headers or {}).get(KEY_HEADER)
        if key:
            # Kept for 24 hours, at most 256 characters: https://resend.com/docs/dashboard/emails/idempotency-keys
            payload.headers["Idempotency-Key"] = str(key)[:256]
        return payload
