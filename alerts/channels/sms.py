"""Send text messages through Twilio: https://www.twilio.com/docs/messaging/api/message-resource"""

import unicodedata

from alerts.channels import twilio
from alerts.channels.base import Config, Field, Message, Receipt, Transport

# A GSM-7 segment holds 160 characters. A single character outside of GSM-7 changes the encoding of the message to
# UCS-2, whose segments hold only 70 characters. https://www.twilio.com/docs/glossary/what-is-gsm-7-character-encoding
SEGMENT_CHARACTERS = 160
BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "ÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENDED = frozenset("^{}\\[~]|€")  # GSM-7 transmits each of these characters as two.
PLAIN = str.maketrans(
    {
        # GSM-7 lacks the non-breaking space. A single such space would more than double the number of segments.
        "\u00a0": " ",
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
    """Replace characters that GSM-7 lacks with similar ones or with question marks."""
    result = []
    for character in text.translate(PLAIN):
        if character in BASIC or character in EXTENDED:
            result.append(character)
        else:
            bare = unicodedata.normalize("NFKD", character)[:1]
            result.append(bare if bare in BASIC else "?")
    return "".join(result)


def count_characters(text: str) -> int:
    """Return the number of GSM-7 characters that are transmitted. Extended characters count twice."""
    return sum(2 if character in EXTENDED else 1 for character in text)


def build_segment(message: Message, *, accepts_replies: bool = False) -> str:
    """Build a message of one segment from the severity, title, impact and text, with reply instructions and a link.

    The text is truncated, and the link is left out if it does not fit completely. In a message to one person, however,
    the link for acknowledging the alert is always included. If necessary, the title is shortened, and the instructions
    are left out. Only a link that does not fit into a segment makes the message longer.
    """
    hint = ""
    if accepts_replies and message.alert_ref and not message.is_resolved:
        number = message.alert_ref.partition(".")[0]
        count = len(message.alert_refs)
        hint = f"\nReply ACK {number} or RES {number}" + (f" for all {count}" if count > 1 else "")
    link = to_gsm7(f"\n{message.action_url or message.url}".rstrip())
    if message.action_url and count_characters(link) <= SEGMENT_CHARACTERS < count_characters(
        hint + link
    ):
        hint = ""
    # The recipient of a personal message could not acknowledge the alert without the link.
    end = hint + link if message.action_url else hint
    title = to_gsm7(f"{message.state_word.upper()}: {message.bare_title}")
    text = _truncate(title, SEGMENT_CHARACTERS - count_characters(end))
    room = SEGMENT_CHARACTERS - count_characters(text + hint + link)
    if room < 0:
        return text + end
    body = " ".join(to_gsm7(f"{message.impact} {message.text}").split())
    if body and room > 20:
        text += "\n" + _truncate(body, room - 1)
    return text + hint + link


def _truncate(text: str, limit: int) -> str:
    if count_characters(text) <= limit:
        return text
    # If a long link leaves no room, the limit can be zero or negative.
    while text and count_characters(text) > limit - 3:
        text = text[:-1]
    return (text.rstrip() + "...")[: max(limit, 0)]


class Sms(Transport):
    kind = "sms"
    label = "SMS (Twilio)"
    fields = (
        *twilio.ACCOUNT_FIELDS[:-1],
        Field(
            "accepts_replies",
            "Replies acknowledge and resolve",
            is_required=False,
            is_flag=True,
            help="Messages then explain how to reply. At Twilio, enter the webhook for replies shown on this page.",
        ),
        twilio.ACCOUNT_FIELDS[-1],
    )
    contact_field = "phone"
    sends_individually = True
    max_per_minute = 20

    def send(self, message: Message, config: Config, *, idempotency_key: str) -> Receipt:
        # Twilio has no idempotency key. Each message has only one recipient, so a retry cannot reach other recipients
        # twice.
        (recipient,) = message.recipients
        body = build_segment(message, accepts_replies=bool(config["accepts_replies"]))
        return twilio.create("Messages", config, {"To": recipient, "Body": body})
