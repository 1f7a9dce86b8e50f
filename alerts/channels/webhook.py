"""Any program that takes a signed JSON POST."""

import hashlib
import hmac
import time

import msgspec

from alerts.channels.base import Config, Field, Message, Receipt, Transport
from alerts.channels.http import post


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """`t=<unix seconds>,v1=<hex>`: HMAC-SHA256 of `<t>.<body>`. Check it, and that t is recent, before believing."""
    signed = f"{timestamp}.".encode() + body
    return f"t={timestamp},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


class Webhook(Transport):
    kind = "webhook"
    label = "Webhook"
    fields = (
        Field(
            "url", "URL", help="Private addresses are refused unless ALLOW_PRIVATE_URLS has them."
        ),
        Field("secret", "Signing secret", is_secret=True),
    )
    tells_acknowledged = True

    def send(self, message: Message, config: Config, *, idempotency_key: str) -> Receipt:
        body = msgspec.json.encode(
            {
                "id": idempotency_key,
                "kind": message.kind,
                "title": message.title,
                "text": message.text,
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
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": idempotency_key,
            "X-Opsportal-Signature": signature(config["secret"], int(time.time()), body),
        }
        return post("webhook", config["url"], content=body, headers=headers, guard=True)[1]
