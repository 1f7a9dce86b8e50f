"""SMS through Twilio's Messages resource: https://www.twilio.com/docs/messaging/api/message-resource"""

import unicodedata
from urllib.parse import quote

from alerts.channels.base import Config, Field, Message, Receipt, Transport
from alerts.channels.http import json_of, post

# One segment of GSM-7 is 160 characters; one character outside of it makes the whole message UCS-2, 70 a segment.
# https://www.twilio.com/docs/glossary/what-is-gsm-7-character-encoding
SEGMENT = 160
BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "ÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
TWICE = frozenset("^{}\\[~]|€")  # sent as two
PLAIN = str.maketrans(
    {
        "\u00a0": " ",  # a non-breaking space would double the price
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


def gsm7(text: str) -> str:
    """The text in the letters that fit into one segment; others become what resembles them, or a question mark."""
    result = []
    for character in text.translate(PLAIN):
        if character in BASIC or character in TWICE:
            result.append(character)
        else:
            bare = unicodedata.normalize("NFKD", character)[:1]
            result.append(bare if bare in BASIC else "?")
    return "".join(result)


def length(text: str) -> int:
    return sum(2 if character in TWICE else 1 for character in text)


def one_segment(message: Message) -> str:
    """Severity and title, as much of the text as fits, and the link if there is room for it whole."""
    word = "OK" if message.is_over else message.severity.upper()
    text = _cut(gsm7(f"{word}: {message.title}"), SEGMENT)
    link = f"\n{gsm7(message.url)}" if message.url else ""
    room = SEGMENT - length(text) - length(link)
    if room < 0:
        return text
    body = " ".join(gsm7(message.text).split())
    if body and room > 20:
        text += "\n" + _cut(body, room - 1)
    return text + link


def _cut(text: str, limit: int) -> str:
    if length(text) <= limit:
        return text
    while length(text) > limit - 3:
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
            help="Numbers like +491701234567, separated by commas. People and teams can be added besides.",
        ),
        Field("api_url", "", setting="TWILIO_API_URL", is_shown=False),
    )
    reaches_people_by = "phone"
    is_one_by_one = True
    max_per_minute = 20

    def send(self, message: Message, config: Config, *, idempotency_key: str) -> Receipt:
        sid = config["account_sid"]
        url = f"{config['api_url']}/2010-04-01/Accounts/{quote(sid, safe='')}/Messages.json"
        (recipient,) = (
            message.recipients
        )  # Twilio has no idempotency key: a retry must not reach others twice
        response, receipt = post(
            "twilio",
            url,
            data={"From": config["sender"], "To": recipient, "Body": one_segment(message)},
            auth=(sid, config["auth_token"]),
        )
        return Receipt(receipt.answer, str(json_of(response).get("sid", "")))
