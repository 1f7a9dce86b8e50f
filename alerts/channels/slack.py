"""Send notifications to Slack through an incoming webhook: https://api.slack.com/messaging/webhooks"""

import hashlib
import hmac

from alerts.channels.base import Config, Field, Message, Receipt, Transport, truncate
from alerts.channels.http import is_from_settings, post

COLORS = {
    "critical": "#b3261e",
    "high": "#d9480f",
    "warning": "#e0a100",
    "medium": "#8a6d00",
    "info": "#3b6ea5",
}
SHAPES = {"critical": "⛔", "high": "🔶", "warning": "⚠️", "medium": "🔸", "info": "🔹"}
RESOLVED_COLOR = "#2e7d32"
ACTIONS = {"acknowledge": "Acknowledge", "resolve": "Resolve"}
MAX_AGE_SECONDS = 300


def escape(text: str) -> str:
    """Escape the three characters that Slack interprets as markup.

    https://api.slack.com/reference/surfaces/formatting#escaping
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def format_headline(message: Message) -> str:
    if message.is_resolved:
        return f"✅ {message.title}"
    return f"{SHAPES.get(message.severity, '')} {message.title}".strip()


def is_authentic(secret: str, timestamp: str, body: bytes, signature: str, *, now: float) -> bool:
    """Return True if Slack signed the request, and its timestamp differs from `now` by at most five minutes.

    https://api.slack.com/authentication/verifying-requests-from-slack
    """
    if not secret or not timestamp.isdecimal() or abs(now - int(timestamp[:15])) > MAX_AGE_SECONDS:
        return False
    base = b":".join((b"v0", timestamp.encode(), body))
    expected = "v0=" + hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.encode())


def build_blocks(message: Message, *, has_buttons: bool = False) -> list[dict[str, object]]:
    """Build the header, a section with the text and facts, the context, and the buttons.

    Slack allows 150 characters in a header, 3,000 in a section, and ten fields with 2,000 characters each.
    """
    section: dict[str, object] = {
        "type": "section",
        "text": {"type": "mrkdwn", "text": truncate(escape(message.body or message.title), 3000)},
    }
    if message.facts:
        section["fields"] = [
            {"type": "mrkdwn", "text": truncate(f"*{escape(name)}*\n{escape(value)}", 2000)}
            for name, value in message.facts[:10]
        ]
    timestamp, fallback = int(message.at.timestamp()), f"{message.at:%Y-%m-%d %H:%M:%S %Z}"
    when = f"<!date^{timestamp}^{{date_short_pretty}} {{time_secs}}|{fallback}>"
    result: list[dict[str, object]] = [
        {
            "type": "header",
            "text": {
                "type": "plain_text",
                "text": truncate(format_headline(message), 150),
                "emoji": True,
            },
        },
        section,
        {
            "type": "context",
            "elements": [
                {
                    "type": "mrkdwn",
                    "text": truncate(f"{escape(message.source or 'opsportal')} · {when}", 2000),
                }
            ],
        },
    ]
    buttons: list[dict[str, object]] = []
    if has_buttons and message.alert_refs and not message.is_resolved:
        count = len(message.alert_refs)
        buttons += [
            _button(
                f"{text} all {count}" if count > 1 else text,
                action_id=action,
                # A message has at most 101 references, so they fit into Slack's limit of 2,000 characters.
                value=",".join(message.alert_refs),
            )
            for action, text in ACTIONS.items()
        ]
    elif message.action_url and not message.is_resolved:
        buttons.append(_button("Acknowledge or resolve", url=message.action_url))
    if message.url:
        buttons.append(_button("Open in opsportal", url=message.url))
    if buttons:
        result.append({"type": "actions", "elements": buttons})
    return result


def _button(text: str, **members: str) -> dict[str, object]:
    return {"type": "button", "text": {"type": "plain_text", "text": text}, **members}


class Slack(Transport):
    kind = "slack"
    label = "Slack"
    fields = (
        Field(
            "webhook_url",
            "Incoming webhook URL",
            is_secret=True,
            is_url=True,
            setting="SLACK_WEBHOOK_URL",
        ),
        Field(
            "signing_secret",
            "Signing secret",
            is_secret=True,
            is_required=False,
            help="The signing secret of your Slack app. If you enter it, messages have buttons to acknowledge "
            "and resolve alerts.",
        ),
    )

    def send(self, message: Message, config: Config, *, idempotency_key: str) -> Receipt:
        color = (
            RESOLVED_COLOR if message.is_resolved else COLORS.get(message.severity, COLORS["info"])
        )
        blocks = build_blocks(message, has_buttons=bool(config["signing_secret"]))
        body = {
            "text": truncate(escape(format_headline(message)), 3000),
            "attachments": [{"color": color, "blocks": blocks}],
        }
        url = config["webhook_url"]
        is_trusted = is_from_settings(url, "SLACK_WEBHOOK_URL")
        return post("slack", url, json=body, is_trusted=is_trusted)[1]
