"""Posting to a provider over HTTP, and what its answers mean for a second try."""

from collections.abc import Mapping
from functools import cache

import httpx
import msgspec

from alerts.channels.base import DeliveryFailed, Receipt, clipped
from opsportal.lib import outbound
from opsportal.lib.outbound.client import retry_after

# Times out well within the outbox's lease of two minutes.
TIMEOUT_SECONDS = 10.0
# These say that the address or the key is no longer good, whatever the message.
GONE = frozenset({401, 403, 404, 410})
WORTH_ANOTHER_TRY = frozenset({408, 425, 429})


@cache
def client_for(service: str) -> outbound.Client:
    return outbound.Client(
        service, timeout=TIMEOUT_SECONDS, connect=3.0, read=TIMEOUT_SECONDS, attempts=1
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
    guard: bool = False,
) -> tuple[httpx.Response, Receipt]:
    """One try; the outbox does the retrying. Raises DeliveryFailed unless the provider took it (2xx)."""
    try:
        response = client_for(service).request(
            "POST",
            url,
            json=json,
            content=content,
            data=data,
            headers=headers,
            auth=auth,
            idempotent=False,
            guard=guard,
        )
    except outbound.ForbiddenAddress as error:
        raise DeliveryFailed(f"not a public address: {error}", permanent=True) from error
    except outbound.TooLarge as error:
        raise DeliveryFailed(str(error)) from error
    except outbound.Unavailable as error:
        # Only an open circuit breaker knows when to come back, and then nobody was called.
        raise DeliveryFailed(
            f"not reachable: {error}",
            retry_after=error.retry_after,
            was_tried=error.retry_after is None,
        ) from error
    answer = clipped(f"{response.status_code} {response.text}".strip(), 1000)
    if response.is_success:
        return response, Receipt(answer)
    raise DeliveryFailed(
        answer,
        permanent=400 <= response.status_code < 500
        and response.status_code not in WORTH_ANOTHER_TRY,
        gone=response.status_code in GONE,
        retry_after=retry_after(response) or _retry_after_in_body(response),
    )


def json_of(response: httpx.Response) -> dict[str, object]:
    """The object a provider answered with, or an empty one: what it took is taken, however it words that."""
    try:
        found = msgspec.json.decode(response.content)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _retry_after_in_body(response: httpx.Response) -> float | None:
    """Telegram says it there: {"parameters": {"retry_after": 5}}."""
    parameters = json_of(response).get("parameters")
    seconds = parameters.get("retry_after") if isinstance(parameters, dict) else None
    return float(seconds) if isinstance(seconds, (int, float)) else None
