"""Send POST requests to providers, and classify their answers for retries."""

from collections.abc import Mapping
from functools import cache

import httpx
import msgspec
from django.conf import settings

from alerts.channels.base import DeliveryFailed, Receipt, truncate
from core.lib import outbound
from core.lib.outbound.client import retry_after

# The timeout must be well below LEASE_DURATION, so that a lease never expires during a request.
TIMEOUT_SECONDS = 10.0
# These statuses mean that the address or the key is no longer valid for any message.
GONE_STATUSES = frozenset({401, 403, 404, 410})
RETRYABLE_STATUSES = frozenset({408, 425, 429})


@cache
def get_client(service: str) -> outbound.Client:
    """Return the HTTP client for a service.

    The client has no circuit breaker of its own, because each channel has one in the database.
    """
    return outbound.Client(
        service,
        timeout=TIMEOUT_SECONDS,
        connect=3.0,
        read=TIMEOUT_SECONDS,
        attempts=1,
        breaker=False,
    )


def post(
    service: str,
    url: str,
    *,
    json: object | None = None,
    content: bytes | None = None,
    data: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    auth: tuple[str, str] | None = None,
    is_trusted: bool = False,
) -> tuple[httpx.Response, Receipt]:
    """Send one POST request without retrying; the outbox retries failed messages.

    Raises DeliveryFailed unless the provider answers with a 2xx status and a body that is not too large. Only public
    addresses and those in ALLOW_PRIVATE_URLS are allowed, unless `is_trusted` is set (see `is_from_settings`).
    """
    try:
        response = get_client(service).request(
            "POST",
            url,
            json=json,
            content=content,
            data=data,
            headers=headers,
            auth=auth,
            idempotent=False,
            guard=not is_trusted,
        )
    except outbound.ForbiddenAddress as error:
        raise DeliveryFailed(f"not a public address: {error}") from error
    except outbound.TooLarge as error:
        raise DeliveryFailed(str(error)) from error
    except outbound.Unavailable as error:
        raise DeliveryFailed(f"unreachable: {error}") from error
    answer = truncate(f"{response.status_code} {response.text}".strip(), 1000)
    if response.is_success:
        return response, Receipt(answer)
    raise DeliveryFailed(
        answer,
        is_permanent=400 <= response.status_code < 500
        and response.status_code not in RETRYABLE_STATUSES | GONE_STATUSES,
        is_gone=response.status_code in GONE_STATUSES,
        retry_after=retry_after(response) or _retry_after_in_body(response),
    )


def is_from_settings(address: str, setting: str) -> bool:
    """Return True if the setting contains exactly this address. Operators may configure private addresses."""
    return bool(address) and address == getattr(settings, setting)


def parse_json_object(response: httpx.Response) -> dict[str, object]:
    """Return the JSON object in the response, or an empty object if the body contains none.

    A 2xx status means that the provider accepted the message, even if the body is not a JSON object.
    """
    try:
        found = msgspec.json.decode(response.content)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _retry_after_in_body(response: httpx.Response) -> float | None:
    """Return the delay in seconds from a body like Telegram's {"parameters": {"retry_after": 5}}, or None."""
    parameters = parse_json_object(response).get("parameters")
    seconds = parameters.get("retry_after") if isinstance(parameters, dict) else None
    return max(0.0, float(seconds)) if isinstance(seconds, (int, float)) else None
