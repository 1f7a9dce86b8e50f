"""Send notifications as signed JSON to any program that receives webhooks."""

import hashlib
import hmac
import time

import msgspec

from alerts.channels.base import Config, Field, Message, Receipt, Transport
from alerts.channels.http import post


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """Return `t=<unix seconds>,v1=<hex>`, where `hex` is the HMAC-SHA256 of `<t>.<body>`.

    Receivers verify the HMAC and check that the timestamp is recent.
    """
    signed = f"{timestamp}.".encode() + body
    return f"t={timestamp},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


class Webhook(Transport):
    kind = "webhook"
    label = "Webhook"
    fields = (
        Field(
            "url",
            "URL",
            is_url=True,
            help="Private addresses are rejected unless they are listed in ALLOW_PRIVATE_URLS.",
        ),
        Field("secret", "Signing secret", is_secret=True),
    )
    sends_acknowledgments = True
    supports_groups = False

    def send(self, message: Message, config: Config, *, idempotency_key: str) -> Receipt:
        body = build_body(message, idempotency_key)
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": idempotency_key,
            "X-Opsportal-Signature": sign(config["secret"], int(time.time()), body),
        }
        return post("webhook", config["url"], content=body, headers=headers)[1]


def build_body(message: Message, idempotency_key: str) -> bytes:
    return msgspec.json.encode(
        {
            "id": idempotency_key,
            "kind": message.kind,
            "title": message.title,
            "text": message.text,
            "impact": message.impact,
            "estimate": message.estimate,
            "severity": message.severity,
            "source": message.source,
            "alert_type": message.group,
            "thread": message.thread,
            "facts": dict(message.facts),
            "runbook": message.runbook,
            "url": message.url,
            "at": message.at,
            "started_at": message.started_at,
            "was_announced": message.is_announced,
        }
    )
