"""Slack, through an incoming webhook: https://api.slack.com/messaging/webhooks"""

from django.conf import settings

from alerts.channels.base import Config, Field, Message, Receipt, Transport, clipped
from alerts.channels.http import post

COLORS = {
    "critical": "#b3261e",
    "high": "#d9480f",
    "warning": "#e0a100",
    "medium": "#8a6d00",
    "info": "#3b6ea5",
}
SHAPES = {"critical": "⛔", "high": "🔶", "warning": "⚠️", "medium": "🔸", "info": "🔹"}
RESOLVED_COLOR = "#2e7d32"


def escaped(text: str) -> str:
    """Slack reads exactly these three as markup: https://api.slack.com/reference/surfaces/formatting#escaping"""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def headline(message: Message) -> str:
    if message.is_over:
        return f"✅ {message.title}"
    return f"{SHAPES.get(message.severity, '')} {message.title}".strip()


def blocks(message: Message) -> list[dict[str, object]]:
    """Header (150 characters), section (3 000, at most ten fields of 2 000), context, and a button to the alert."""
    section: dict[str, object] = {
        "type": "section",
        "text": {"type": "mrkdwn", "text": clipped(escaped(message.text or message.title), 3000)},
    }
    if message.facts:
        section["fields"] = [
            {"type": "mrkdwn", "text": clipped(f"*{escaped(name)}*\n{escaped(value)}", 2000)}
            for name, value in message.facts[:10]
        ]
    when = f"<!date^{int(message.at.timestamp())}^{{date_short_pretty}} {{time_secs}}|{message.at:%Y-%m-%d %H:%M:%S %Z}>"
    result: list[dict[str, object]] = [
        {
            "type": "header",
            "text": {"type": "plain_text", "text": clipped(headline(message), 150), "emoji": True},
        },
        section,
        {
            "type": "context",
            "elements": [
                {
                    "type": "mrkdwn",
                    "text": clipped(f"{escaped(message.source or 'opsportal')} · {when}", 2000),
                }
            ],
        },
    ]
    if message.url:
        result.append(
            {
                "type": "actions",
                "elements": [
                    {
                        "type": "button",
                        "text": {"type": "plain_text", "text": "Open in opsportal"},
                        "url": message.url,
                    }
                ],
            }
        )
    return result


class Slack(Transport):
    kind = "slack"
    label = "Slack"
    fields = (
        Field("webhook_url", "Incoming webhook URL", is_secret=True, setting="SLACK_WEBHOOK_URL"),
    )

    def send(self, message: Message, config: Config, *, idempotency_key: str) -> Receipt:
        color = RESOLVED_COLOR if message.is_over else COLORS.get(message.severity, COLORS["info"])
        body = {
            "text": clipped(escaped(headline(message)), 3000),
            "attachments": [{"color": color, "blocks": blocks(message)}],
        }
        url = config["webhook_url"]
        # What the portal's own settings say is trusted; what was typed into the admin is not.
        return post("slack", url, json=body, guard=url != settings.SLACK_WEBHOOK_URL)[1]
