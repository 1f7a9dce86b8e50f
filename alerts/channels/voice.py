"""Make phone calls through Twilio: https://www.twilio.com/docs/voice/api/call-resource"""

from xml.sax.saxutils import escape, quoteattr

from django.conf import settings
from django.urls import reverse

from alerts.channels import twilio
from alerts.channels.base import Config, Message, Receipt, Transport, truncate

MAX_SPOKEN_CHARS = 400


def build_twiml(message: Message) -> str:
    """Return the TwiML of a call, which speaks the alert's title and text twice, cut to MAX_SPOKEN_CHARS.

    A call to one person about an unresolved alert also names the keys that acknowledge or resolve the alert.

    https://www.twilio.com/docs/voice/twiml
    """
    said = f"{message.state_word} alert. {message.bare_title}. {message.text}"
    spoken = f"<Say>{escape(truncate(' '.join(said.split()), MAX_SPOKEN_CHARS))}</Say>"
    if not message.action_url or message.is_resolved:
        return f"<Response>{spoken}<Pause/>{spoken}</Response>"
    token = message.action_url.rstrip("/").rpartition("/")[2]
    address = settings.BASE_URL + reverse("alerts:reply-voice", args=[token])
    keys = "<Say>Press 1 to acknowledge, or 2 to resolve.</Say>"
    return (
        f'<Response><Gather numDigits="1" method="POST" action={quoteattr(address)}>'
        f"{spoken}{keys}<Pause/>{spoken}{keys}</Gather></Response>"
    )


class Voice(Transport):
    kind = "voice"
    supports_groups = False
    label = "Phone call (Twilio)"
    fields = twilio.ACCOUNT_FIELDS
    contact_field = "phone"
    sends_individually = True
    max_per_minute = 10

    def send(self, message: Message, config: Config, *, idempotency_key: str) -> Receipt:
        (recipient,) = message.recipients
        return twilio.create("Calls", config, {"To": recipient, "Twiml": build_twiml(message)})
