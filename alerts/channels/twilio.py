"""Call Twilio's API for text messages and phone calls, and check the signature of its requests to the portal.

https://www.twilio.com/docs/usage/security#validating-requests
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import quote

from alerts.channels.base import Config, Field, Receipt
from alerts.channels.http import is_from_settings, parse_json_object, post

ACCOUNT_FIELDS = (
    Field("account_sid", "Account SID", setting="TWILIO_ACCOUNT_SID"),
    Field("auth_token", "Auth token", is_secret=True, setting="TWILIO_AUTH_TOKEN"),
    Field(
        "sender",
        "From",
        setting="TWILIO_FROM",
        help="The number or name that recipients see as the sender.",
    ),
    Field(
        "recipients",
        "To",
        is_required=False,
        setting="ALERT_PHONES",
        help="Phone numbers such as +491701234567, separated by commas. You can also add people and teams.",
    ),
    Field("api_url", "", setting="TWILIO_API_URL", is_shown=False),
)


def create(resource: str, config: Config, data: Mapping[str, str]) -> Receipt:
    """Send a text message ("Messages") or start a call ("Calls").

    Raises DeliveryFailed if Twilio does not accept the request.
    """
    sid = config["account_sid"]
    url = f"{config['api_url']}/2010-04-01/Accounts/{quote(sid, safe='')}/{resource}.json"
    response, receipt = post(
        "twilio",
        url,
        is_trusted=is_from_settings(config["api_url"], "TWILIO_API_URL"),
        data={"From": config["sender"], **data},
        auth=(sid, config["auth_token"]),
    )
    return Receipt(receipt.answer, str(parse_json_object(response).get("sid", "")))


def sign(url: str, parameters: Mapping[str, str], auth_token: str) -> str:
    """Return the signature that a request from Twilio must have in the header X-Twilio-Signature."""
    text = url + "".join(f"{name}{parameters[name]}" for name in sorted(parameters))
    digest = hmac.new(auth_token.encode(), text.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()
