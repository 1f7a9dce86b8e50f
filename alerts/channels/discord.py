"""Discord, through a channel's webhook: https://discord.com/developers/docs/resources/webhook#execute-webhook"""

from alerts.channels.base import Config, Field, Message, Receipt, Transport, clipped
from alerts.channels.http import json_of, post
from alerts.channels.slack import COLORS, RESOLVED_COLOR, headline


def embed(message: Message) -> dict[str, object]:
    """Discord's limits: title 256, description 4 096, 25 fields of 256 and 1 024, all together 6 000."""
    color = RESOLVED_COLOR if message.is_over else COLORS.get(message.severity, COLORS["info"])
    body: dict[str, object] = {
        "title": clipped(headline(message), 256),
        "description": clipped(message.text, 3000),
        "color": int(color.removeprefix("#"), 16),
        "timestamp": message.at.isoformat(),
        "footer": {"text": clipped(message.source or "opsportal", 200)},
        "fields": [
            {"name": clipped(name, 50), "value": clipped(value or "-", 200), "inline": True}
            for name, value in message.facts[:10]
        ],
    }
    if message.url:
        body["url"] = message.url
    return body


class Discord(Transport):
    kind = "discord"
    label = "Discord"
    fields = (Field("webhook_url", "Webhook URL", is_secret=True),)

    def send(self, message: Message, config: Config, *, idempotency_key: str) -> Receipt:
        # Nothing in an error's text may ping people.
        body = {"embeds": [embed(message)], "allowed_mentions": {"parse": []}}
        url = f"{config['webhook_url']}?wait=true"  # then it answers with the message
        response, receipt = post("discord", url, json=body, guard=True)
        return Receipt(receipt.answer, str(json_of(response).get("id", "")))
