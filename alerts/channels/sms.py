"""SMS through Twilio's Messages resource: https://www.twilio.com/docs/messaging/api/message-resource"""

import unicodedata
from urllib.parse import quote

from alerts.channels.base import Config, Field, Message, Receipt, Transport
from alerts.channels.http import is_from_settings, parse_json_object, post

# A GSM-7 segment holds 160 characters. A single character outside of GSM-7 turns the message into UCS-2 with 70.
# https://www.twilio.com/docs/glossary/what-is-gsm-7-character-encoding
SEGMENT_CHARACTERS = 160
BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "ÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENDED = frozenset("^{}\\[~]|€")  # each is sent as two characters
PLAIN = str.maketrans(
    {
        "\u00a0": " ",  # not in GSM-7: one non-breaking space would more than double the number of segments
        "\u202f": " ",
        "–": "-",  # noqa: RUF001
        "—": "-",
        "…": "...",
        "“": '"',
        "”": '"',
        "„": '"',
        "’": "'",  # noqa: RUF001
        "‘": "'",  # noqa: RUF001
        "·": "-",
        "≤": "<=",
        "≥": ">=",
        "×": "x",  # noqa: RUF001
    }
)


def to_gsm7(text: str) -> str:
    """Replace characters outside of GSM-7 by a similar one, or by a question mark."""
    result = []
    for character in text.translate(PLAIN):
        if character in BASIC or character in EXTENDED:
            result.append(character)
        else:
            bare = unicodedata.normalize("NFKD", character)[:1]
            result.append(bare if bare in BASIC else "?")
    return "".join(result)


def count_characters(text: str) -> int:
    """Return the length on the wire, where extended characters count twice."""
    return sum(2 if character in EXTENDED else 1 for character in text)


def build_segment(message: Message) -> str:
    """Build one segment: severity and title, as much of the text as fits, and the link if it fits completely."""
    text = _truncate(
        to_gsm7(f"{message.state_word.upper()}: {message.bare_title}"), SEGMENT_CHARACTERS
    )
    link = f"\n{to_gsm7(message.url)}" if message.url else ""
    room = SEGMENT_CHARACTERS - count_characters(text) - count_characters(link)
    if room < 0:
        return text
    body = " ".join(to_gsm7(f"{message.impact} {message.text}").split())
    if body and room > 20:
        text += "\n" + _truncate(body, room - 1)
    return text + link


def _truncate(text: str, limit: int) -> str:
    if count_characters(text) <= limit:
        return text
    while count_characters(text) > limit - 3:
        text = text[:-1]
    return text.rstrip() + "..."


class Sms(Transport):
    kind = "sms"
    label = "SMS (Twilio)"
    fields = (
        Field("account_sid", "Account SID", setting="TWILIO_ACCOUNT_SID"),
        Field("auth_token", "Auth token", is_secret=True, setting="TWILIO_AUTH_TOKEN"),
        Field("sender", "From", setting="TWILIO_FROM", help="A number or a sender name."),
        Field(
            "recipients",
            "To",
            is_required=False,
            setting="ALERT_PHONES",
            help="Numbers like +491701234567, separated by commas. You can also add people and teams.",
        ),
        Field("api_url", "", setting="TWILIO_API_URL", is_shown=False),
    )
    contact_field = "phone"
    sends_individually = True
    max_per_minute = 20

    def send(self, message: Message, config: Config, *, idempotency_key: str) -> Receipt:
        sid = config["account_sid"]
        url = f"{config['api_url']}/2010-04-01/Accounts/{quote(sid, safe='')}/Messages.json"
        # Twilio has no idempotency key: a retry must not reach other people twice, hence one recipient per message.
        (recipient,) = message.recipients
        response, receipt = post(
            "twilio",
            url,
            is_trusted=is_from_settings(config["api_url"], "TWILIO_API_URL"),
            data={"From": config["sender"], "To": recipient, "Body": build_segment(message)},
            auth=(sid, config["auth_token"]),
        )
        return Receipt(receipt.answer, str(parse_json_object(response).get("sid", "")))
