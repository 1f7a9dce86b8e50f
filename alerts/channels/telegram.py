"""Telegram, through a bot: https://core.telegram.org/bots/api#sendmessage"""

from html import escape

from alerts.channels.base import Config, Field, Message, Receipt, Transport, clipped
from alerts.channels.http import json_of, post
from alerts.channels.slack import headline


def html(message: Message) -> str:
    """At most 4 096 characters; cut before escaping, so that no entity is cut in two."""
    lines = [f"<b>{escape(clipped(headline(message), 250))}</b>"]
    if message.text:
        lines.append(escape(clipped(message.text, 2000)))
    lines += [f"{escape(n)}: {escape(clipped(v, 100))}" for n, v in message.facts[:10]]
    if message.url:
        lines.append(f'<a href="{escape(message.url)}">Open in opsportal</a>')
    return "\n".join(lines)


class Telegram(Transport):
    kind = "telegram"
    label = "Telegram"
    fields = (
        Field("token", "Bot token", is_secret=True),
        Field("chat_id", "Chat id"),
        Field("api_url", "", setting="TELEGRAM_API_URL", is_shown=False),
    )
    max_per_minute = 20

    def send(self, message: Message, config: Config, *, idempotency_key: str) -> Receipt:
        body = {
            "chat_id": config["chat_id"],
            "text": html(message),
            "parse_mode": "HTML",
            "link_preview_options": {"is_disabled": True},
        }
        url = f"{config['api_url']}/bot{config['token']}/sendMessage"
        response, receipt = post("telegram", url, json=body)
        result = json_of(response).get("result")
        sent = result if isinstance(result, dict) else {}
        return Receipt(receipt.answer, str(sent.get("message_id", "")))
