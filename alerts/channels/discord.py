"""Send notifications to Discord through a channel webhook.

https://discord.com/developers/docs/resources/webhook#execute-webhook
"""

from alerts.channels.base import Config, Field, Message, Receipt, Transport, truncate
from alerts.channels.http import parse_json_object, post
from alerts.channels.slack import COLORS, RESOLVED_COLOR, format_headline


def build_embed(message: Message) -> dict[str, object]:
    """Build the embed within the limits of Discord.

    The limits are 256 characters for the title, 4,096 for the description, and 6,000 in total. An embed has at
    most 25 fields, with 256 characters for each name and 1,024 for each value.
    """
    color = RESOLVED_COLOR if message.is_resolved else COLORS.get(message.severity, COLORS["info"])
    body: dict[str, object] = {
        "title": truncate(format_headline(message), 256),
        "description": truncate(message.body, 3000),
        "color": int(color.removeprefix("#"), 16),
        "timestamp": message.at.isoformat(),
        "footer": {"text": truncate(message.source or "opsportal", 200)},
        "fields": [
            {"name": truncate(name, 50), "value": truncate(value or "-", 200), "inline": True}
            for name, value in message.facts[:10]
        ],
    }
    if message.url:
        body["url"] = message.url
    return body


class Discord(Transport):
    kind = "discord"
    label = "Discord"
    fields = (Field("webhook_url", "Webhook URL", is_secret=True, is_url=True),)

    def send(self, message: Message, config: Config, *, idempotency_key: str) -> Receipt:
        # Suppress mentions, because an error text that contains @everyone must not notify people.
        body = {"embeds": [build_embed(message)], "allowed_mentions": {"parse": []}}
        # With wait=true, Discord returns the created message with its id.
        url = f"{config['webhook_url']}?wait=true"
        response, receipt = post("discord", url, json=body)
        return Receipt(receipt.answer, str(parse_json_object(response).get("id", "")))
