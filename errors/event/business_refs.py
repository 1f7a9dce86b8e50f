"""Find references from an event to business objects: request, order, payment, reservation, organization."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from core.lib.scrub import FILTERED

MAX_LENGTH = 128

_NAMES = {
    "requestid": "request_id",
    "xrequestid": "request_id",
    "correlationid": "request_id",
    "orderid": "order_ref",
    "orderref": "order_ref",
    "order": "order_ref",
    "paymentid": "payment_ref",
    "paymentref": "payment_ref",
    "paymentintent": "payment_ref",
    "paymentintentid": "payment_ref",
    "intentid": "payment_ref",
    "reservationid": "reservation_ref",
    "reservationref": "reservation_ref",
    "reservation": "reservation_ref",
    "organizationid": "organization",
    "organisationid": "organization",
    "organization": "organization",
    "organisation": "organization",
    "orgid": "organization",
    "category": "category",
    "function": "function",
    "functionname": "function",
    "component": "function",
}


@lru_cache(maxsize=5_000)
def _column(name: str) -> str:
    return _NAMES.get("".join(c for c in name[:60].lower() if c.isalnum()), "")


def column_of(name: str) -> str:
    """Return the column that stores a field with this name, such as "order_ref" for `orderId`, or "" if none does."""
    return _column(name)


def _collect(found: dict[str, str], values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        column = _column(name)
        if column and column not in found and type(value) in (str, int):
            text = str(value).strip()[:MAX_LENGTH]
            if text and FILTERED not in text:
                found[column] = text


def find(event: Mapping[str, Any]) -> dict[str, str]:
    """Return the first reference for each column, from tags, contexts, extra data and request headers, in this order.

    Contexts with 50 or more members are skipped. Request headers are searched only if no request id was found before.
    """
    found: dict[str, str] = {}
    for name in ("tags", "contexts", "extra"):
        holder = event.get(name)
        # The member may be missing, or the scrubber may have replaced it with a string.
        if not isinstance(holder, dict):
            continue
        _collect(found, holder)
        if name == "contexts":
            for context in holder.values():
                if type(context) is dict and len(context) < 50:
                    _collect(found, context)
    if "request_id" not in found:
        request = event.get("request")
        headers = request.get("headers") if isinstance(request, dict) else None
        if isinstance(headers, dict):
            _collect(found, headers)
    return found
