"""Send notifications to Microsoft Teams through a Workflows webhook that accepts an adaptive card.

https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook
"""

from alerts.channels.base import Config, Field, Message, Receipt, Transport, truncate
from alerts.channels.http import post

COLORS = {"critical": "attention", "high": "attention", "warning": "warning", "medium": "warning"}


def build_card(message: Message) -> dict[str, object]:
    color = "good" if message.is_resolved else COLORS.get(message.severity, "accent")
    body: list[dict[str, object]] = [
        {
            "type": "TextBlock",
            "text": message.state_word.upper(),
            "color": color,
            "weight": "bolder",
            "size": "small",
        },
        {
            "type": "TextBlock",
            "text": truncate(message.bare_title, 300),
            "weight": "bolder",
            "size": "large",
            "wrap": True,
        },
        # A RichTextBlock shows text literally. A TextBlock would interpret Markdown in an error message.
        {
            "type": "RichTextBlock",
            "inlines": [{"type": "TextRun", "text": truncate(message.body or " ", 5000)}],
        },
        {
            "type": "FactSet",
            "facts": [{"title": n, "value": truncate(v, 500)} for n, v in message.facts],
        },
        {
            "type": "TextBlock",
            "text": f"{message.source} · {message.at:%Y-%m-%d %H:%M:%S %Z}",
            "isSubtle": True,
            "size": "small",
        },
    ]
    content: dict[str, object] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
    }
    if message.url:
        content["actions"] = [
            {"type": "Action.OpenUrl", "title": "Open in opsportal", "url": message.url}
        ]
    return content


class Teams(Transport):
    kind = "teams"
    label = "Microsoft Teams"
    fields = (Field("webhook_url", "Workflow webhook URL", is_secret=True, is_url=True),)

    def send(self, message: Message, config: Config, *, idempotency_key: str) -> Receipt:
        attachment = {
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": None,
            "content": build_card(message),
        }
        body = {"type": "message", "attachments": [attachment]}
        return post("teams", config["webhook_url"], json=body)[1]
