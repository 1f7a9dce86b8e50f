"""Define the input of the store: a normalized, scrubbed and grouped event with its columns and its payload."""

from datetime import datetime

import msgspec


class NewEvent(msgspec.Struct, gc=False):
    """An event to store. `group_hash` comes from errors.event.fingerprint; `payload` is scrubbed JSON."""

    app_id: int
    event_id: str  # The id has 32 hex digits.
    received_at: datetime
    occurred_at: datetime
    group_hash: str
    title: str
    payload: bytes
    severity: str = "high"
    culprit: str = ""
    type: str = ""
    platform: str = ""
    environment: str = ""
    release: str = ""
    category: str = ""
    function: str = ""
    request_id: str = ""
    user_key: str = ""
    organization: str = ""
    order_ref: str = ""
    payment_ref: str = ""
    reservation_ref: str = ""
    tags: tuple[tuple[str, str], ...] = ()
