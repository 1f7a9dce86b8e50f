"""Send notifications to Telegram through a bot: https://core.telegram.org/bots/api#sendmessage"""

from html import escape

from alerts.channels.base import Config, Field, Message, Receipt, Transport, truncate
from alerts.channels.http import is_from_settings, parse_json_object, post
from alerts.channels.slack import format_headline


def build_html(message: Message) -> str:
    """Build HTML whose text has at most 4,096 characters, which is Telegram's limit.

    The text is truncated before it is escaped, so that no entity is cut.
    """
    lines = [f"<b>{escape(truncate(format_headline(message), 250))}</b>"]
    if message.body:
        lines.append(escape(truncate(message.body, 2000)))
    lines += [f"{escape(n)}: {escape(truncate(v, 100))}" for n, v in message.facts[:10]]
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
            "text": build_html(message),
            "parse_mode": "HTML",
            "link_preview_options": {"is_disabled": True},
        }
        url = f"{config['api_url']}/bot{config['token']}/sendMessage"
        is_trusted = is_from_settings(config["api_url"], "TELEGRAM_API_URL")
        response, receipt = post("telegram", url, json=body, is_trusted=is_trusted)
        result = parse_json_object(response).get("result")
        sent = result if isinstance(result, dict) else {}
        return Receipt(receipt.answer, str(sent.get("message_id", "")))
